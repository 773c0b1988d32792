//! The transactional ids of one partition of `__transaction_state`: where each event finds its producer, and the wishes find their way out.

use std::collections::BTreeMap;

use model::Timestamp;

use super::ids::TransactionalId;
use super::record::TransactionRecord;
use super::request::Request;
use super::state::TransactionState;
use super::{Action, Event, Now, TransactionConfig};

/// How far a walk over a shard's live records has come: the last id that it passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteCursor(TransactionalId);

/// How much a shard holds, and what it has done since it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardCounts {
    /// Transactional ids by state; a state without ids is not there.
    pub transactional_ids: BTreeMap<TransactionState, usize>,
    /// How long the oldest transaction that is not complete has been open, by the wall clock; `None` when there is none.
    pub oldest_open_for: Option<std::time::Duration>,
    /// Partitions whose markers are asked for and not written yet.
    pub pending_marker_count: usize,
    /// Transactions that were decided to be committed.
    pub commit_count: u64,
    /// Transactions that were decided to be aborted, whoever wished so.
    pub abort_count: u64,
    /// Those of the aborts that a timeout decided.
    pub timeout_count: u64,
    /// Requests of former incarnations of producers that were refused (PRODUCER_FENCED).
    pub fenced_count: u64,
}

/// All transactional ids of one partition of `__transaction_state`.
#[derive(Debug)]
pub struct Shard {
    config: TransactionConfig,
}

impl Shard {
    /// Makes a shard without ids. [`Self::replay`] its log, then tell it that it is [`Self::loaded`]; from then on it may be stepped.
    #[must_use]
    pub fn new(config: TransactionConfig) -> Self {
        Self { config }
    }

    /// Takes in a record of the log. Records come in the log's order, before [`Self::loaded`].
    pub fn replay(&mut self, record: TransactionRecord) {
        let _ = (&self.config, record);
    }

    /// Ends the load: decided transactions ask for their markers again, and open ones may time out. What that leads to is in [`Self::poll_action`], as after a step.
    pub fn loaded(&mut self, now: Now) {
        let _ = now;
    }

    /// Takes in what happened. Time never goes back; one that does counts as the time of the step before.
    pub fn step(&mut self, now: Now, event: Event) {
        let _ = (now, event);
    }

    /// Returns the next wish; call until `None` after every step and after the load.
    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }

    /// Returns when to step [`Event::TimeoutReached`], if ever. A time in the past means now. To step it later harms no promise: transactions stay open for longer.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }

    /// Says whether a request may lead to a write, so that it must be refused beforehand while the partition takes none.
    ///
    /// Timeouts, written markers and drawn producer ids may write as well.
    #[must_use]
    pub fn may_write(request: &Request) -> bool {
        match request {
            Request::InitProducerId(_) | Request::AddPartitions(_) | Request::End(_) => true,
            Request::VerifyPartitions(_) | Request::Describe(_) | Request::List(_) => false,
        }
    }

    /// Counts what the shard holds. Takes time in proportion to the number of ids.
    #[must_use]
    pub fn counts(&self, now: Now) -> ShardCounts {
        let _ = now;
        ShardCounts::default()
    }

    /// Returns about how many bytes the last records of all ids take in the log.
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        0
    }

    /// Walks over everything that is live, for the rewrite of the log: returns the next records behind `after` (from the start for `None`), about `limit_bytes` of them
    /// and one at least, and where to go on; `None` at the end.
    #[must_use]
    pub fn live_records(
        &self,
        after: Option<&RewriteCursor>,
        limit_bytes: usize,
    ) -> (Vec<TransactionRecord>, Option<RewriteCursor>) {
        let _ = (after, limit_bytes);
        (Vec::new(), None)
    }
}
