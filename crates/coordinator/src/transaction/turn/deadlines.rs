//! When which open transaction is to be aborted, for all producers of a shard.
//!
//! As in Kafka they are looked for now and then, at the ends of intervals that begin with the load; no timer runs when none would be found.

use std::collections::BTreeSet;
use std::time::Duration;

use model::Timestamp;

use crate::transaction::ids::TransactionalId;

/// The deadlines, the earliest first.
#[derive(Clone, Debug)]
pub(in crate::transaction) struct Deadlines {
    interval: Duration,
    loaded_at: Timestamp,
    entries: BTreeSet<(Timestamp, TransactionalId)>,
    /// Transactions whose time is over, and that cannot be aborted without a producer id for their producer to go on with.
    waiting: BTreeSet<TransactionalId>,
}

impl Deadlines {
    /// `interval` is `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    pub(in crate::transaction) fn new(interval: Duration) -> Self {
        Self {
            interval: interval.max(Duration::from_millis(1)),
            loaded_at: Timestamp::ZERO,
            entries: BTreeSet::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// Begins the first interval.
    pub(in crate::transaction) fn begin(&mut self, now: Timestamp) {
        self.loaded_at = now;
    }

    pub(in crate::transaction) fn insert(&mut self, deadline: Timestamp, id: &TransactionalId) {
        self.entries.insert((deadline, id.clone()));
    }

    pub(in crate::transaction) fn remove(&mut self, deadline: Timestamp, id: &TransactionalId) {
        self.entries.remove(&(deadline, id.clone()));
        self.waiting.remove(id);
    }

    /// Returns when the earliest one is to be looked for.
    pub(in crate::transaction) fn next(&self) -> Option<Timestamp> {
        self.entries.first().map(|(deadline, _)| self.end_of_interval(*deadline))
    }

    /// Takes the earliest transaction that is to be aborted now.
    pub(in crate::transaction) fn take_due(&mut self, now: Timestamp) -> Option<TransactionalId> {
        if self.next()? > now {
            return None;
        }
        self.entries.pop_first().map(|(_, id)| id)
    }

    /// Keeps a transaction that cannot be aborted yet. Returns whether a producer id is to be drawn: one is drawn at a time.
    pub(in crate::transaction) fn wait_for_producer_id(&mut self, id: TransactionalId) -> bool {
        let is_first = self.waiting.is_empty();
        self.waiting.insert(id) && is_first
    }

    /// Takes the next transaction that waits for a producer id.
    pub(in crate::transaction) fn take_waiting(&mut self) -> Option<TransactionalId> {
        self.waiting.pop_first()
    }

    /// Says whether another producer id is needed.
    pub(in crate::transaction) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns the end of the interval that a deadline lies in.
    fn end_of_interval(&self, deadline: Timestamp) -> Timestamp {
        let interval = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        let elapsed = deadline.0.saturating_sub(self.loaded_at.0);
        let intervals = elapsed.div_ceil(interval).max(1);
        Timestamp(self.loaded_at.0.saturating_add(intervals.saturating_mul(interval)))
    }
}
