//! The timers of all partitions: one set of deadlines, drained by one task.
//!
//! A partition arms an entry when its machine's next timeout becomes earlier than the entry it has; it never removes one. It knows which entry is its live one
//! and ignores the others when they fire, so stale entries cost one look each and do not multiply.

use std::sync::{Mutex, MutexGuard, Weak};

use model::{Clock, Deadlines, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::PartitionHandle;

/// The entries, and the wake-up of the task that waits for the earliest.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: Mutex<Deadlines<Weak<PartitionHandle>>>,
    earlier: Notify,
}

impl Timers {
    /// Wakes a partition at a time. Called without any partition's lock.
    pub(crate) fn arm(&self, at: Timestamp, partition: Weak<PartitionHandle>) {
        let is_earliest = self.lock().insert(at, partition);
        if is_earliest {
            self.earlier.notify_one();
        }
    }

    /// Fires entries as they fall due, until the token is cancelled.
    pub(crate) async fn run(&self, clock: Clock, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let now = clock.now();
            let next = self.fire(now);
            let wait = async {
                match next {
                    Some(at) if at <= now => tokio::task::yield_now().await,
                    Some(at) => tokio::time::sleep_until(clock.instant_of(at).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.earlier.notified() => {}
                () = wait => {}
            }
        }
    }

    /// Fires some of what is due at `now`. Returns when the earliest of the rest falls due.
    fn fire(&self, now: Timestamp) -> Option<Timestamp> {
        for _ in 0..FIRED_AT_ONCE {
            // The lock is released before the partition is stepped: it may arm its next entry.
            let due = self.lock().pop_due(now);
            let Some((at, partition)) = due else { break };
            if let Some(partition) = partition.upgrade() {
                partition.timeout_reached(at);
            }
        }
        self.lock().earliest()
    }

    /// Returns the number of entries, stale ones included.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().count()
    }

    fn lock(&self) -> MutexGuard<'_, Deadlines<Weak<PartitionHandle>>> {
        self.deadlines.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

/// Entries that are fired before other tasks get a turn.
const FIRED_AT_ONCE: usize = 64;
