//! A file that is opened when it is first needed.
//!
//! Owns at most one handle. A broker has many segments and most are never read again, so that an open handle for each would
//! run into the limit of the process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{File, FileSystem, OpenMode};

/// A path with the handle of its file, once somebody asked for it.
#[derive(Debug)]
pub(crate) struct LazyFile {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    handle: OnceLock<Arc<dyn File>>,
    /// Whether a sync has failed; held while one runs.
    has_lost_pages: Mutex<bool>,
}

impl LazyFile {
    /// Names a file that exists and is opened later.
    pub(crate) fn unopened(fs: Arc<dyn FileSystem>, path: PathBuf) -> Self {
        Self { fs, path, handle: OnceLock::new(), has_lost_pages: Mutex::new(false) }
    }

    /// Takes over the handle of a file that has this name, or will have it.
    pub(crate) fn opened(fs: Arc<dyn FileSystem>, path: PathBuf, handle: Arc<dyn File>) -> Self {
        Self { fs, path, handle: OnceLock::from(handle), has_lost_pages: Mutex::new(false) }
    }

    /// Says whether somebody has opened the file.
    pub(crate) fn is_open(&self) -> bool {
        self.handle.get().is_some()
    }

    /// Creates the file, or opens it when it exists.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn create(fs: Arc<dyn FileSystem>, path: PathBuf) -> io::Result<Self> {
        let handle = fs.open(&path, OpenMode::Create)?;
        Ok(Self { fs, path, handle: OnceLock::from(handle), has_lost_pages: Mutex::new(false) })
    }

    /// Returns the handle, for reading and writing.
    ///
    /// # Errors
    /// `NotFound` when the file was removed meanwhile; whatever the file system says.
    pub(crate) fn get(&self) -> io::Result<&Arc<dyn File>> {
        if let Some(handle) = self.handle.get() {
            return Ok(handle);
        }
        let handle = self.fs.open(&self.path, OpenMode::Write)?;
        Ok(self.handle.get_or_init(|| handle))
    }

    /// Makes the file's bytes durable. One sync of a file runs at a time, and after a failure every later one fails too: the kernel reports
    /// pages that it could not write once, and calls them clean from then on, so that a second caller would be told that all is well.
    ///
    /// # Errors
    /// Whatever the file system says, for good.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        let handle = self.get()?;
        // A panic ends the process, so a poisoned lock is never seen.
        let mut has_lost_pages = self.has_lost_pages.lock().unwrap_or_else(PoisonError::into_inner);
        if *has_lost_pages {
            return Err(io::Error::other("an earlier fdatasync of this file failed"));
        }
        handle.sync_data().inspect_err(|_| *has_lost_pages = true)
    }

    /// Returns the path under which the file was opened; a removal may have renamed it since.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(all(test, feature = "simulation"))]
mod tests {
    use super::*;
    use crate::file_system::{Fault, FaultOperation, SimulatedDisk};

    #[test]
    fn a_file_whose_sync_failed_is_never_called_durable_again() {
        let disk = SimulatedDisk::new(1);
        let file = LazyFile::create(Arc::new(disk.clone()), PathBuf::from("/file")).unwrap();
        file.sync_data().unwrap();
        disk.inject(Fault {
            operation: FaultOperation::SyncData,
            path_contains: String::new(),
            after: 0,
            times: 1,
            error: io::ErrorKind::Other,
        });
        file.sync_data().unwrap_err();
        // The disk itself would say yes now.
        file.get().unwrap().sync_data().unwrap();
        file.sync_data().unwrap_err();
    }
}
