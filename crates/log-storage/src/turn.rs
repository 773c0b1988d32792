//! The order of the jobs that work on one log's files: checkpoint, truncation, removal.
//!
//! Owns that they run one at a time, and that one which was overtaken by a truncation notices it before it touches a file: a snapshot or an index entry of
//! bytes that are gone would be believed at the next start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// A job's claim to work on the files of a log in the generation in which it was begun.
#[derive(Debug)]
pub(crate) struct Turn {
    jobs: Arc<Mutex<()>>,
    begun_in: u64,
    generation: Arc<AtomicU64>,
}

impl Turn {
    pub(crate) fn new(jobs: &Arc<Mutex<()>>, generation: &Arc<AtomicU64>) -> Self {
        Self {
            jobs: Arc::clone(jobs),
            begun_in: generation.load(Ordering::SeqCst),
            generation: Arc::clone(generation),
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
}
