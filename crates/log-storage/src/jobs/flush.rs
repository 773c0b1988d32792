//! Making a log durable, in three steps: begin under the owner's lock, run off it, complete under it.
//!
//! Owns the list of what has to be synced for the flushed offset to rise: every file with bytes at or above it, and the directory when files were
//! created since. The flushed offset is the end of a contiguous prefix, so one unsynced old tail or name holds all of it back.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use model::Offset;

use super::turn::Turn;
use crate::error::FatalError;
use crate::file_system::{FileSystem, LazyFile};
use crate::generation::TruncationGeneration;

/// One flush that was begun: files and names to sync. Dropped without [`Flush::run`], it changes nothing.
#[derive(Debug)]
pub struct Flush {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) files: Vec<Arc<LazyFile>>,
    pub(crate) directory: Option<PathBuf>,
    /// Asked whether the log was retired, not taken: a flush runs beside the other jobs.
    pub(crate) turn: Turn,
    pub(crate) done: FlushDone,
}

/// A flush that succeeded, to be handed to [`Log::complete_flush`](crate::Log::complete_flush).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushDone {
    pub(crate) end_offset: Offset,
    pub(crate) generation: TruncationGeneration,
    pub(crate) names_created: u64,
}

impl Flush {
    /// Returns the number of files that will be synced, the directory not counted.
    pub(crate) fn file_count(&self) -> usize {
        self.files.len()
    }

    /// Syncs; blocks for as long as the device takes. The owner's lock must not be held.
    ///
    /// # Errors
    /// The first failure. It is final: no flush of this log may be tried again in this process.
    pub fn run(self) -> Result<FlushDone, FatalError> {
        match self.sync() {
            // The directory was renamed under the flush, and its completion is void.
            Err(error)
                if error.source.kind() == io::ErrorKind::NotFound && self.turn.is_retired() =>
            {
                Ok(self.done)
            }
            outcome => outcome.map(|()| self.done),
        }
    }

    fn sync(&self) -> Result<(), FatalError> {
        for file in &self.files {
            let failed = |error: io::Error| FatalError::new("fdatasync", file.path(), error);
            file.sync_data().map_err(failed)?;
        }
        if let Some(directory) = &self.directory {
            let failed = |error: io::Error| FatalError::new("fsync", directory, error);
            self.fs.sync_dir(directory).map_err(failed)?;
        }
        Ok(())
    }
}
