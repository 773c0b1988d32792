//! The periodic look for transactional ids whose time is over.
//!
//! A pass goes over the ids in parts, so that no step writes or looks at too much.

use std::ops::Bound;
use std::time::Duration;

use model::{Timestamp, UnixMillis};

use super::Shard;
use crate::transaction::Now;
use crate::transaction::ids::TransactionalId;
use crate::transaction::producer::Producer;
use crate::transaction::record::TransactionRecord;
use crate::transaction::record_size;
use crate::transaction::state::TransactionState;
use crate::transaction::turn::Turn;

/// Where the look for what has expired stands.
#[derive(Clone, Debug)]
pub(super) struct Expiry {
    interval: Duration,
    /// When to begin a pass, or to go on with it.
    due_at: Timestamp,
    /// The last id that the pass looked at; `None` between passes.
    after: Option<TransactionalId>,
}

impl Expiry {
    /// `interval` is `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, due_at: Timestamp::ZERO, after: None }
    }

    /// Waits a whole interval before the next pass.
    pub(super) fn rest(&mut self, now: Timestamp) {
        self.due_at = now + self.interval;
        self.after = None;
    }

    pub(super) fn due_at(&self) -> Timestamp {
        self.due_at
    }
}

impl Shard {
    /// Goes on with the look for what has expired if it is due, up to a bound: more than that waits for the next step, at once.
    pub(super) fn expire(&mut self, now: Now) {
        if self.expiry.due_at > now.monotonic {
            return;
        }
        let from = self.expiry.after.take().map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.producers.range((from, Bound::Unbounded)).take(MAX_IDS_PER_STEP);
        let looked_at: Vec<_> = behind.map(|(id, _)| id.clone()).collect();
        let is_end = looked_at.len() < MAX_IDS_PER_STEP;
        let last = looked_at.last().cloned();
        for id in looked_at {
            self.expire_one(now, &id);
        }
        if is_end {
            self.expiry.rest(now.monotonic);
        } else {
            self.expiry.due_at = now.monotonic;
            self.expiry.after = last;
        }
    }

    fn expire_one(&mut self, now: Now, id: &TransactionalId) {
        let retention = self.config.id_expiration;
        let Some(producer) = self.producers.get(id) else { return };
        if !has_expired(producer, now.wall, retention) {
            return;
        }
        let was_bytes = record_size::of(id, &producer.logged);
        self.producers.remove(id);
        let Self { config, deadlines, outbox, totals, .. } = self;
        let mut turn = Turn { now, config, totals, deadlines, outbox };
        let tombstone = TransactionRecord { transactional_id: id.clone(), value: None };
        let write = turn.append(tombstone);
        turn.totals.replaced(was_bytes, 0);
        self.last_removal = Some(write);
    }
}

/// Says whether a producer has been idle for too long. One with a transaction never is.
fn has_expired(producer: &Producer, wall: UnixMillis, retention: Duration) -> bool {
    match producer.state() {
        TransactionState::Ongoing
        | TransactionState::PrepareCommit
        | TransactionState::PrepareAbort => false,
        TransactionState::Empty
        | TransactionState::CompleteCommit
        | TransactionState::CompleteAbort => {
            let idle = wall.0.saturating_sub(producer.logged.updated_at.0);
            u128::try_from(idle).is_ok_and(|idle| idle >= retention.as_millis())
        }
    }
}

/// How many ids one step looks at.
const MAX_IDS_PER_STEP: usize = 1_000;
