//! Compaction of a replica's log, leader's and follower's alike: each replica cleans its own log, below what it knows to be stable.

use log_storage::{
    CleanDone, CleanError, CleanRequest, CleanStats, Cleanable, CleanedLog, Pace, ReadError,
    Replacement, Swap,
};
use model::Offset;

use super::{PartitionHandle, State};

impl PartitionHandle {
    /// Says what there is to clean, if enough.
    pub(crate) fn cleanable(&self) -> Option<Cleanable> {
        let now = self.host.clock.wall();
        let state = self.lock();
        if state.is_removed {
            return None;
        }
        state.log.cleanable(now, state.stable_offset())
    }

    /// Cleans the log; blocks for as long as it takes. `None` when there is nothing to clean, or another thread does.
    pub(crate) fn clean(
        &self,
        map_bytes: usize,
        pace: &mut dyn FnMut(u64) -> Pace,
    ) -> Option<Result<CleanStats, CleanError>> {
        let now = self.host.clock.wall();
        let clean = {
            let mut state = self.lock();
            if state.is_removed {
                return None;
            }
            let stable_offset = state.stable_offset();
            state.log.begin_clean(CleanRequest { now, stable_offset, map_bytes })
        }?;
        let outcome = clean.run(self, pace);
        match &outcome {
            Ok(stats) => self.host.metrics.cleaned(stats),
            Err(CleanError::Abandoned) => {}
            Err(CleanError::Fatal(error)) => self.host.storage.fatal(error),
            Err(error) => {
                self.host.metrics.clean_failed();
                if let CleanError::Unreadable { offset, reason } = error {
                    let error = ReadError::Corrupt { offset: *offset, reason: reason.clone() };
                    self.replica_read_failed(*offset, &error);
                }
            }
        }
        Some(outcome)
    }
}

impl CleanedLog for PartitionHandle {
    fn begin_swap(&self, replacement: Replacement) -> Option<Swap> {
        let mut state = self.lock();
        if state.is_removed {
            return None;
        }
        state.log.begin_swap(replacement)
    }

    fn complete_clean(&self, done: CleanDone) {
        self.lock().log.complete_clean(done);
    }
}

impl State {
    /// Below it everything is committed and belongs to no open transaction.
    fn stable_offset(&self) -> Offset {
        self.log.last_stable_offset(self.machine.high_watermark())
    }
}
