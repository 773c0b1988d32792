//! The order of the jobs that work on one log's files: checkpoint, truncation, removal.
//!
//! Owns that they run one at a time, and that one which was overtaken by a truncation notices it before it touches a file: a snapshot or an index entry of
//! bytes that are gone would be believed at the next start. A swap that the log has begun comes before all that is begun later: whoever takes the turn first does it. Once the log has been retired, no job touches the directory's name any more: another log may have it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::compaction::swap::PendingSwap;
use crate::error::FatalError;
use crate::generation::{BegunIn, PresentGeneration, TruncationGeneration};

/// The log's side: hands out turns.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    generation: PresentGeneration,
    /// Held by the job that works on the files.
    working: Arc<Mutex<()>>,
    /// A cleaned segment that is in place in memory and not on the disk. Held for a moment only.
    swap: Arc<Mutex<Option<PendingSwap>>>,
    /// Set once the directory is to be deleted.
    retired: Arc<AtomicBool>,
}

/// A job's claim to work on the files of a log in the generation in which it was begun.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    begun: BegunIn,
    working: Arc<Mutex<()>>,
    swap: Arc<Mutex<Option<PendingSwap>>>,
    retired: Arc<AtomicBool>,
}

impl Turns {
    pub(crate) fn generation(&self) -> TruncationGeneration {
        self.generation.get()
    }

    /// Marks a read, which waits for nobody.
    pub(crate) fn begin_read(&self) -> BegunIn {
        self.generation.begin()
    }

    /// Returns the turn of a job that begins now.
    pub(crate) fn begin(&self) -> Turn {
        Turn {
            begun: self.generation.begin(),
            working: Arc::clone(&self.working),
            swap: Arc::clone(&self.swap),
            retired: Arc::clone(&self.retired),
        }
    }

    /// Returns the turn of a swap, which every job that takes its turn from now on finds done.
    pub(crate) fn begin_swap(&self, swap: PendingSwap) -> Turn {
        let earlier = lock(&self.swap).replace(swap);
        assert!(earlier.is_none(), "a clean swaps one segment after the other");
        self.begin()
    }

    /// Makes void what was begun before, ahead of a truncation.
    pub(crate) fn overtake(&self) {
        self.generation.advance();
    }

    /// Ends the log: what was begun before is void.
    pub(crate) fn retire(&self) -> Retirement {
        self.retired.store(true, Ordering::SeqCst);
        self.overtake();
        Retirement { turn: self.begin() }
    }
}

impl Turn {
    /// Waits for the job that works at present. With it, a swap that was begun is done.
    ///
    /// # Errors
    /// When the swap fails; that is final.
    pub(crate) fn take(&self) -> Result<MutexGuard<'_, ()>, FatalError> {
        let guard = lock(&self.working);
        let swap = lock(&self.swap).take();
        match swap {
            Some(swap) if !self.is_retired() => swap.run()?,
            _ => {}
        }
        Ok(guard)
    }

    pub(crate) fn generation(&self) -> TruncationGeneration {
        self.begun.generation()
    }

    /// Says whether no truncation was begun since; to be asked with the turn taken.
    pub(crate) fn is_current(&self) -> bool {
        self.begun.is_current()
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
    turn: Turn,
}

impl Retirement {
    /// Waits for the job that works on the log's files, if there is one; blocks. From here on nothing of the log touches its directory by name, so that it can be
    /// renamed or deleted, and another log may take the name. The owner's lock must not be held.
    pub fn run(self) {
        // A swap that is still to be done would touch names: it is void.
        drop(lock(&self.turn.working));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a panic ends the process, so that no lock is ever poisoned")
}
