//! Removal of old segments: renamed at once, removed later, so that readers that began before can finish.
//!
//! Owns the order: the log start offset is durable before the first name goes. What a crash leaves (a segment below the log start, a `.deleted` file) is
//! removed when the log is opened.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::Offset;

use super::turn::Turn;
use crate::checkpoint_files::PartitionCheckpoint;
use crate::error::FatalError;
use crate::file_names::{DELETED, FileKind};
use crate::file_system::{FileSystem, remove_if_there};

/// Segments that left the log and are still on disk.
#[derive(Debug)]
pub struct Removal {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) directory: PathBuf,
    pub(crate) turn: Turn,
    pub(crate) checkpoint: PartitionCheckpoint,
    pub(crate) base_offsets: Vec<Offset>,
    pub(crate) delay: Duration,
}

/// Renamed files, to be removed after a delay.
#[derive(Debug)]
pub struct DelayedRemoval {
    fs: Arc<dyn FileSystem>,
    paths: Vec<PathBuf>,
    delay: Duration,
}

impl Removal {
    /// Persists the log start offset and renames the files to `.deleted`; blocks. Returns what is to be removed after `file.delete.delay.ms`.
    ///
    /// # Errors
    /// The first failure; it is final.
    pub fn run(self) -> Result<DelayedRemoval, FatalError> {
        let Self { fs, directory, turn, checkpoint, base_offsets, delay } = self;
        let _turn = turn.take()?;
        checkpoint.persist()?;
        let mut paths = Vec::new();
        // After a truncation a segment of the same name may be there again; the old one's files went with the restart or go with the next start.
        if turn.is_current() {
            for base_offset in base_offsets {
                for kind in FileKind::ALL {
                    let path = kind.path(&directory, base_offset);
                    let mut deleted = path.clone().into_os_string();
                    deleted.push(DELETED);
                    let deleted = PathBuf::from(deleted);
                    match fs.rename(&path, &deleted) {
                        Ok(()) => paths.push(deleted),
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                        Err(error) => return Err(FatalError::new("renaming", &path, error)),
                    }
                }
            }
            fs.sync_dir(&directory).map_err(|error| FatalError::new("fsync", &directory, error))?;
        }
        Ok(DelayedRemoval { fs, paths, delay })
    }
}

impl DelayedRemoval {
    /// Returns how long readers that began before may go on: `file.delete.delay.ms`.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Removes the files. One that cannot be removed is left for the next start.
    pub fn run(self) {
        for path in self.paths {
            if let Err(error) = remove_if_there(self.fs.as_ref(), &path) {
                tracing::warn!(path = ?path, %error, "file cannot be removed, it is left for the next start");
            }
        }
    }
}
