//! The log's blocking work, off the lock: flushes, truncations, removals, checkpoints, the lost mark.

use std::path::PathBuf;

use log_storage::{FatalError, Flush, FlushDone, FlushMark, Flushable, Removal, Truncation};

use super::effects::Loss;
use super::{PartitionHandle, State, log_state};
use crate::partition::{Event, LossReason};
use crate::requests::ReplicaRequest;
use crate::storage::partition_directory::{self as directory, LostMark};

impl Flushable for PartitionHandle {
    fn begin_flush(&self) -> Option<Flush> {
        let mut state = self.lock();
        if state.is_removed {
            return None;
        }
        state.log.begin_flush()
    }

    fn complete_flush(&self, done: FlushDone) {
        self.with_state(|state, effects| {
            if state.log.complete_flush(done).is_some() {
                let flushed = state.flushed();
                state.machine.step(effects.now, flushed);
                effects.checkpoint = state.log.is_checkpoint_due();
            }
        });
    }

    fn flush_mark(&self) -> &FlushMark {
        &self.flush_mark
    }
}

impl State {
    fn flushed(&self) -> Event {
        Event::Flushed {
            offset: self.log.flushed_offset(),
            truncation_generation: self.truncation_generation(),
        }
    }
}

impl PartitionHandle {
    /// Runs a truncation on a storage thread and tells the machine; the log takes no appends until then.
    pub(super) fn run_truncation(&self, truncation: Truncation) {
        let Some(me) = self.me.upgrade() else { return };
        self.host.storage.run_job(move || match truncation.run() {
            Ok(done) => {
                if me.lock().is_removed {
                    return;
                }
                me.remove_lost_mark();
                me.with_state(|state, effects| {
                    state.log.complete_truncation(done);
                    // A flush that came up meanwhile found the log closed to it, and nobody asks again for what it would have made durable.
                    effects.flush = true;
                    state.meter.truncated(state.log.log_end_offset());
                    let log = log_state(&state.log);
                    state.machine.step(effects.now, Event::Truncated(log));
                });
            }
            Err(error) => me.host.storage.fatal(&error),
        });
    }

    /// Takes old segments off the disk on a storage thread, in two steps.
    pub(super) fn run_removal(&self, removal: Removal) {
        let Some(me) = self.me.upgrade() else { return };
        self.host.storage.run_job(move || match removal.run() {
            Ok(delayed) => {
                // Files that a full queue leaves behind go at the next start.
                let _ = me.host.storage.flusher.run_after(delayed.delay(), move || delayed.run());
            }
            Err(error) => me.host.storage.fatal(&error),
        });
    }

    /// Removes what `retention.ms` and `retention.bytes` say, and forgets idempotent producers that are gone. Cheap when there is nothing.
    pub(crate) fn apply_retention(&self) {
        let now = self.host.clock.wall();
        self.with_state(|state, effects| {
            if state.is_removed {
                return;
            }
            state.log.expire_producers(now);
            let high_watermark = state.machine.high_watermark();
            if let Some(removal) = state.log.apply_retention(now, high_watermark) {
                effects.removals.push(removal);
                let log_start_offset = state.log.log_start_offset();
                state.machine.step(effects.now, Event::LogStartMoved { log_start_offset });
                effects.followers = true;
            }
        });
    }

    /// Flushes the log and writes what makes a start from its end cheap. Blocks; called on a storage thread.
    ///
    /// # Errors
    /// A fatal error, which was reported.
    pub(crate) fn checkpoint(&self) -> Result<(), FatalError> {
        let checkpoint = {
            let mut state = self.lock();
            if state.is_removed {
                return Ok(());
            }
            state.log.begin_checkpoint()
        };
        let Some(checkpoint) = checkpoint else { return Ok(()) };
        let done = checkpoint.run().inspect_err(|error| self.host.storage.fatal(error))?;
        self.with_state(|state, effects| {
            if state.log.complete_checkpoint(done).is_some() {
                let flushed = state.flushed();
                state.machine.step(effects.now, flushed);
            }
        });
        Ok(())
    }

    /// Marks the log for a flush when `flush.ms` demands it.
    pub(crate) fn flush_if_due(&self) {
        let now = self.host.clock.wall();
        self.with_state(|state, effects| {
            effects.flush = !state.is_removed && state.log.is_flush_due(now);
        });
    }

    /// Puts a lost mark beside the partition, durably, and then asks to be taken out of the ISR (design rule 3a.7).
    pub(super) fn declare_lost(&self, loss: Loss) {
        let Some(me) = self.me.upgrade() else { return };
        let Loss { reason, leader_epoch, broker_epoch } = loss;
        tracing::error!(partition = %self.name, ?reason, "this replica cannot trust its data and leaves the in-sync replicas");
        self.host.storage.run_job(move || {
            let partition = me.id;
            let lost =
                ReplicaRequest::ReplicaLost { partition, reason, leader_epoch, broker_epoch };
            // Without the mark on the disk a restart would not know of the loss.
            if me.write_lost_mark(reason).is_some() {
                me.host.requests.push(lost);
            }
        });
    }

    /// Writes the mark unless it is there. Blocks. `None` when that failed, which ends the process.
    fn write_lost_mark(&self, reason: LossReason) -> Option<()> {
        let damaged_from = match reason {
            LossReason::Corruption { offset } => Some(offset),
            LossReason::DivergenceBelowHighWatermark { .. } => None,
        };
        let path = {
            let state = self.lock();
            if state.is_removed {
                return None;
            }
            if state.mark == LostMark::Present {
                return Some(());
            }
            state.log.directory().to_owned()
        };
        let fs = self.host.storage.fs.as_ref();
        match directory::write_lost_mark(fs, &path, damaged_from) {
            Ok(()) => {
                self.lock().mark = LostMark::Present;
                Some(())
            }
            // The directory was deleted meanwhile, and with it what was lost.
            Err(_) if self.lock().is_removed => None,
            Err(error) => {
                self.host.storage.failed("marking", &path, error);
                None
            }
        }
    }

    /// Takes the mark away if there is one: what was lost has been cut, or the image counts the replica in sync again. Blocks.
    pub(super) fn remove_lost_mark(&self) {
        let (before, path) = {
            let mut state = self.lock();
            let before = std::mem::replace(&mut state.mark, LostMark::Absent);
            (before, state.log.directory().to_owned())
        };
        if before == LostMark::Present {
            self.host.storage.remove_lost_mark(&path);
        }
    }

    /// The replica's directory.
    pub(crate) fn directory(&self) -> PathBuf {
        self.lock().log.directory().to_owned()
    }
}
