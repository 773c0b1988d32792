//! One heap of timers for all shards, drained by one task.
//!
//! A shard arms an entry when its next timeout becomes earlier than the entry it has; it never removes one. It knows which entry is its live one and ignores the others
//! when they fire, so stale entries cost one look each and do not multiply.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard, Weak};

use model::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::clock::RuntimeClock;
use super::shard::ShardHandle;

/// The heap.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: Mutex<BinaryHeap<Reverse<Entry>>>,
    earlier: Notify,
}

#[derive(Debug)]
struct Entry {
    at: Timestamp,
    shard: Weak<ShardHandle>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl Timers {
    /// Wakes a shard at a time. Called without any shard's lock.
    pub(super) fn arm(&self, at: Timestamp, shard: Weak<ShardHandle>) {
        let mut heap = self.lock();
        let is_earliest = heap.peek().is_none_or(|Reverse(first)| at < first.at);
        heap.push(Reverse(Entry { at, shard }));
        drop(heap);
        if is_earliest {
            self.earlier.notify_one();
        }
    }

    /// Fires entries as they fall due, until the token is cancelled.
    pub(super) async fn run(&self, clock: RuntimeClock, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let next = match self.fire(clock.monotonic()) {
                Next::Due => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Next::At(at) => Some(clock.instant_of(at)),
                Next::Never => None,
            };
            let sleep = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.earlier.notified() => {}
                () = sleep => {}
            }
        }
    }

    /// Fires the first entry if it is due.
    fn fire(&self, now: Timestamp) -> Next {
        let mut heap = self.lock();
        let Some(Reverse(first)) = heap.peek() else { return Next::Never };
        if first.at > now {
            return Next::At(first.at);
        }
        let entry = heap.pop();
        drop(heap);
        if let Some(Reverse(Entry { at, shard })) = entry
            && let Some(shard) = shard.upgrade()
        {
            shard.timeout_reached(at);
        }
        Next::Due
    }

    fn lock(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Entry>>> {
        self.heap.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

/// When the next entry fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Due,
    At(Timestamp),
    Never,
}
