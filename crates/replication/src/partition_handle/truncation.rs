//! Truncation of a replica's log: begun by one action of the machine alone, run on a storage thread, told to the machine when it is durable.
//!
//! Nobody else cuts the tail of an open log. When it may be cut is the machine's rule (`partition::cut`, `partition::loss`).

use log_storage::Truncation;

use super::{PartitionHandle, log_state};
use crate::partition::Event;

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
                    let log_end_offset = state.log.log_end_offset();
                    state.meter.truncated(log_end_offset);
                    state.stable_meter.truncated(log_end_offset);
                    let log = log_state(&state.log);
                    state.machine.step(effects.now, Event::Truncated(log));
                });
            }
            Err(error) => me.host.storage.fatal(&error),
        });
    }
}
