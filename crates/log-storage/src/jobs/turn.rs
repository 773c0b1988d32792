//! The order of the jobs that work on one log's files: checkpoint, truncation, removal.
//!
//! Owns that they run one at a time, and that one which was overtaken by a truncation notices it before it touches a file: a snapshot or an index entry of
//! bytes that are gone would be believed at the next start. Once the log has been retired, no job touches the directory's name any more: another log may have it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// A job's claim to work on the files of a log in the generation in which it was begun.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    jobs: Arc<Mutex<()>>,
    begun_in: u64,
    generation: Arc<AtomicU64>,
    retired: Arc<AtomicBool>,
}

impl Turn {
    pub(crate) fn new(
        jobs: &Arc<Mutex<()>>,
        generation: &Arc<AtomicU64>,
        retired: &Arc<AtomicBool>,
    ) -> Self {
        Self {
            jobs: Arc::clone(jobs),
            begun_in: generation.load(Ordering::SeqCst),
            generation: Arc::clone(generation),
            retired: Arc::clone(retired),
        }
    }

    /// Waits for the job that works at present.
    pub(crate) fn take(&self) -> MutexGuard<'_, ()> {
        self.jobs.lock().expect("a panic ends the process, so that no lock is ever poisoned")
    }

    /// Says whether no truncation was begun since; to be asked with the turn taken.
    pub(crate) fn is_current(&self) -> bool {
        self.generation.load(Ordering::SeqCst) == self.begun_in
    }

    /// Says whether the log's directory is somebody else's to rename and delete by now.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }
}

/// The end of a log whose directory is to be deleted.
#[derive(Debug)]
#[must_use = "the directory may be touched only after it has run"]
pub struct Retirement {
    pub(crate) turn: Turn,
}

impl Retirement {
    /// Waits for the job that works on the log's files, if there is one; blocks. From here on nothing of the log touches its directory by name, so that it can be
    /// renamed or deleted, and another log may take the name. The owner's lock must not be held.
    pub fn run(self) {
        drop(self.turn.take());
    }
}
