//! The time of a nemesis: the only place where it waits, so that tests need not.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The time has come.
    Elapsed,
    /// The run is to end now.
    Cancelled,
}

/// Time since the nemesis began, and waiting for it.
pub(crate) trait Pacer: Send + Sync {
    fn now(&self) -> Duration;

    /// Returns at that time or when the run is cancelled, whichever comes first; once cancelled, at once.
    fn wait_until(&self, time: Duration) -> Waited;
}

/// Real time. Another thread ends the nemesis with [`ClockPacer::cancel`].
#[derive(Debug)]
pub(crate) struct ClockPacer {
    begun: Instant,
    cancelled: Mutex<bool>,
    wake: Condvar,
}

impl ClockPacer {
    pub(crate) fn start() -> Self {
        Self { begun: Instant::now(), cancelled: Mutex::new(false), wake: Condvar::new() }
    }

    /// Ends all waits now and later: the nemesis heals and returns.
    pub(crate) fn cancel(&self) {
        *self.cancelled.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }
}

impl Pacer for ClockPacer {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn wait_until(&self, time: Duration) -> Waited {
        let left = time.saturating_sub(self.now());
        let cancelled = self.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
        let (cancelled, _) = self
            .wake
            .wait_timeout_while(cancelled, left, |cancelled| !*cancelled)
            .unwrap_or_else(PoisonError::into_inner);
        if *cancelled { Waited::Cancelled } else { Waited::Elapsed }
    }
}
