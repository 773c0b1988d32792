//! Long polls: a consumer's fetch that found too little waits until enough has been committed.
//!
//! One waiter serves one request over any number of partitions; each partition counts into it what its high watermark passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::Notify;

/// Waits until a number of bytes has become readable in the partitions that it watches, or one of them stops being readable here.
///
/// Made per request; [`PartitionHandle::watch`](crate::PartitionHandle::watch) ties it to partitions. Dropping it lets go of them.
#[derive(Debug)]
pub struct FetchWaiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Bytes still missing; the waiter is done at 0 or below.
    missing_bytes: AtomicI64,
    done: Notify,
}

impl FetchWaiter {
    /// Makes a waiter for `missing_bytes` more bytes than the request has found so far.
    #[must_use]
    pub fn new(missing_bytes: usize) -> Self {
        let missing_bytes = AtomicI64::new(i64::try_from(missing_bytes).unwrap_or(i64::MAX));
        Self { shared: Arc::new(Shared { missing_bytes, done: Notify::new() }) }
    }

    /// Says whether the wait is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.shared.missing_bytes.load(Ordering::Acquire) <= 0
    }

    /// Waits until enough is readable. The caller bounds it by the request's `max_wait_ms`.
    pub async fn done(&self) {
        while !self.is_done() {
            // `notify_one` leaves a permit, so a completion between the check and the wait is not lost.
            self.shared.done.notified().await;
        }
    }

    pub(crate) fn watcher(&self) -> Watcher {
        Watcher { shared: Arc::clone(&self.shared) }
    }
}

/// A partition's end of a waiter.
#[derive(Debug)]
pub(crate) struct Watcher {
    shared: Arc<Shared>,
}

impl Watcher {
    /// Counts bytes that became readable and says whether that was enough, in which case [`Self::wake`] is due.
    pub(crate) fn add(&self, bytes: i64) -> bool {
        let before = self.shared.missing_bytes.fetch_sub(bytes, Ordering::AcqRel);
        before > 0 && before <= bytes
    }

    /// Ends the wait whatever is missing.
    pub(crate) fn finish(&self) -> bool {
        self.shared.missing_bytes.swap(0, Ordering::AcqRel) > 0
    }

    /// Wakes the request's task. Called without any lock.
    pub(crate) fn wake(&self) {
        self.shared.done.notify_one();
    }

    fn is_abandoned(&self) -> bool {
        self.shared.missing_bytes.load(Ordering::Acquire) <= 0
            || Arc::strong_count(&self.shared) == 1
    }
}

/// The waiters that watch one partition. Their number is bounded by the requests in flight, each of which watches a partition once.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    list: Vec<Watcher>,
    /// Length at which abandoned entries are swept out, so that an idle partition does not collect those of past polls.
    sweep_at: usize,
}

impl Watchers {
    /// Adds a waiter.
    pub(crate) fn push(&mut self, watcher: Watcher) {
        if self.list.len() >= self.sweep_at.max(8) {
            self.list.retain(|watcher| !watcher.is_abandoned());
            self.sweep_at = self.list.len() * 2;
        }
        self.list.push(watcher);
    }

    /// Counts committed bytes into each waiter; those that have enough move to `woken`.
    pub(crate) fn add(&mut self, bytes: i64, woken: &mut Vec<Watcher>) {
        woken.extend(self.list.extract_if(.., |watcher| watcher.add(bytes)));
    }

    /// Ends all waits.
    pub(crate) fn finish(&mut self, woken: &mut Vec<Watcher>) {
        woken.extend(self.list.drain(..).filter(Watcher::finish));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiter_is_done_once_the_bytes_of_all_its_partitions_suffice() {
        let waiter = FetchWaiter::new(100);
        let (mut first, mut second) = (Watchers::default(), Watchers::default());
        first.push(waiter.watcher());
        second.push(waiter.watcher());
        let mut woken = Vec::new();
        first.add(60, &mut woken);
        assert!(woken.is_empty() && !waiter.is_done());
        second.add(40, &mut woken);
        assert_eq!(woken.len(), 1);
        first.add(1, &mut woken);
        assert_eq!(woken.len(), 1, "a waiter is woken once");
        assert!(waiter.is_done());
    }

    #[test]
    fn abandoned_waiters_are_swept_out() {
        let mut watchers = Watchers::default();
        for _ in 0..10_000 {
            watchers.push(FetchWaiter::new(1).watcher());
        }
        assert!(watchers.list.len() <= 16, "{}", watchers.list.len());
    }
}
