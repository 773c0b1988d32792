//! The timers of all shards: one set of deadlines, drained by one task, and the clock that they go by.
//!
//! A shard arms an entry when its next timeout becomes earlier than the entry it has; it never removes one. It knows which entry is its live one and ignores the others
//! when they fire, so stale entries cost one look each and do not multiply.

use std::sync::{Mutex, MutexGuard, Weak};

use model::{Clock, Deadlines, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::machine::Machine;
use super::shard::ShardHandle;
use crate::group::Now;

/// The entries, and the wake-up of the task that waits for the earliest.
#[derive(Debug)]
pub(super) struct Timers<M: Machine> {
    clock: Clock,
    deadlines: Mutex<Deadlines<Weak<ShardHandle<M>>>>,
    earlier: Notify,
}

impl<M: Machine> Timers<M> {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, deadlines: Mutex::default(), earlier: Notify::new() }
    }

    /// Returns the time of a step.
    pub(super) fn now(&self) -> Now {
        Now { monotonic: self.monotonic(), wall: self.clock.wall() }
    }

    /// Wakes a shard at a time. Called without any shard's lock.
    pub(super) fn arm(&self, at: Timestamp, shard: Weak<ShardHandle<M>>) {
        let is_earliest = self.lock().insert(at, shard);
        if is_earliest {
            self.earlier.notify_one();
        }
    }

    /// Fires entries as they fall due, until the token is cancelled.
    pub(super) async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let now = self.monotonic();
            let next = self.fire(now);
            let wait = async {
                match next {
                    Some(at) if at <= now => tokio::task::yield_now().await,
                    Some(at) => tokio::time::sleep_until(self.clock.instant_of(at).into()).await,
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

    /// Fires the earliest entry if it is due at `now`: one shard's step is a turn. Returns when the earliest of the rest falls due.
    fn fire(&self, now: Timestamp) -> Option<Timestamp> {
        // The lock is released before the shard is stepped: it may arm its next entry.
        let due = self.lock().pop_due(now);
        if let Some((at, shard)) = due
            && let Some(shard) = shard.upgrade()
        {
            shard.timeout_reached(at);
        }
        self.lock().earliest()
    }

    /// Reads the time by which the task sleeps, so that a test which holds it holds it for the machines too.
    fn monotonic(&self) -> Timestamp {
        self.clock.timestamp_of(Instant::now().into_std())
    }

    fn lock(&self) -> MutexGuard<'_, Deadlines<Weak<ShardHandle<M>>>> {
        self.deadlines.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}
