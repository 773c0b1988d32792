//! One heap of timers for all partitions, drained by one task.
//!
//! A partition arms an entry when its machine's next timeout becomes earlier than the entry it has; it never removes one. It knows which entry is its live one
//! and ignores the others when they fire, so stale entries cost one look each and do not multiply.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard, Weak};

use model::{Clock, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::partition_handle::PartitionHandle;

/// The heap.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: Mutex<BinaryHeap<Reverse<Entry>>>,
    earlier: Notify,
}

#[derive(Debug)]
struct Entry {
    at: Timestamp,
    partition: Weak<PartitionHandle>,
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
    /// Wakes a partition at a time. Called without any partition's lock.
    pub(crate) fn arm(&self, at: Timestamp, partition: Weak<PartitionHandle>) {
        let mut heap = self.lock();
        let is_earliest = heap.peek().is_none_or(|Reverse(first)| at < first.at);
        heap.push(Reverse(Entry { at, partition }));
        drop(heap);
        if is_earliest {
            self.earlier.notify_one();
        }
    }

    /// Fires entries as they fall due, until the token is cancelled.
    pub(crate) async fn run(&self, clock: Clock, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let next = match self.fire(clock.now()) {
                Next::Due => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Next::At(at) => Some(clock.instant_of(at)),
                Next::Never => None,
            };
            let sleep = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
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

    /// Fires some of what is due at `now`.
    fn fire(&self, now: Timestamp) -> Next {
        for _ in 0..FIRED_AT_ONCE {
            let mut heap = self.lock();
            let Some(Reverse(first)) = heap.peek() else { return Next::Never };
            if first.at > now {
                return Next::At(first.at);
            }
            let entry = heap.pop();
            drop(heap);
            if let Some(Reverse(Entry { at, partition })) = entry
                && let Some(partition) = partition.upgrade()
            {
                partition.timeout_reached(at);
            }
        }
        Next::Due
    }

    /// Returns the number of entries, stale ones included.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
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

/// Entries that are fired before other tasks get a turn.
const FIRED_AT_ONCE: usize = 64;
