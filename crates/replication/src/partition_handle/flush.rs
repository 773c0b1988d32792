//! How the log gets to the disk: the flusher's hooks, `flush.ms`, and checkpoints that make a start from the log's end cheap. All of it off the lock.

use log_storage::{FatalError, Flush, FlushDone, FlushMark, Flushable};

use super::{PartitionHandle, State};
use crate::partition::Event;

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
}
