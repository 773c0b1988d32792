//! A file that is opened when it is first needed.
//!
//! Owns at most one handle. A broker has many segments and most are never read again, so that an open handle for each would
//! run into the limit of the process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::{File, FileSystem, OpenMode};

/// A path with the handle of its file, once somebody asked for it.
#[derive(Debug)]
pub struct LazyFile {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    handle: OnceLock<Arc<dyn File>>,
}

impl LazyFile {
    /// Names a file that exists and is opened later.
    #[must_use]
    pub fn unopened(fs: Arc<dyn FileSystem>, path: PathBuf) -> Self {
        Self { fs, path, handle: OnceLock::new() }
    }

    /// Creates the file, or opens it when it exists.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn create(fs: Arc<dyn FileSystem>, path: PathBuf) -> io::Result<Self> {
        let handle = fs.open(&path, OpenMode::Create)?;
        Ok(Self { fs, path, handle: OnceLock::from(handle) })
    }

    /// Returns the handle, for reading and writing.
    ///
    /// # Errors
    /// `NotFound` when the file was removed meanwhile; whatever the file system says.
    pub fn get(&self) -> io::Result<&Arc<dyn File>> {
        if let Some(handle) = self.handle.get() {
            return Ok(handle);
        }
        let handle = self.fs.open(&self.path, OpenMode::Write)?;
        Ok(self.handle.get_or_init(|| handle))
    }

    /// Returns the path under which the file was opened; a removal may have renamed it since.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
