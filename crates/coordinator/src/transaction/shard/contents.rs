//! What a shard holds: counts for metrics, and the walk over what is live for a rewrite.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use model::{ErrorCode, UnixMillis};

use super::Shard;
use super::live_walk::{LiveChunk, RewriteCursor};
use crate::transaction::Now;
use crate::transaction::ids::TransactionalId;
use crate::transaction::producer::Producer;
use crate::transaction::record::TransactionRecord;
use crate::transaction::response::Response;
use crate::transaction::state::TransactionState;

/// How much a shard holds, and what it has done since it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardCounts {
    /// Transactional ids by state; a state without ids is not there.
    pub transactional_ids: BTreeMap<TransactionState, usize>,
    /// How long ago the oldest transaction began that is open or whose markers are on their way, by the wall clock; `None` when there is none.
    pub oldest_open_for: Option<Duration>,
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

impl Shard {
    /// Counts what the shard holds. Takes time in proportion to the number of ids.
    #[must_use]
    pub fn counts(&self, now: Now) -> ShardCounts {
        let mut counts = ShardCounts {
            commit_count: self.totals.commit_count,
            abort_count: self.totals.abort_count,
            timeout_count: self.totals.timeout_count,
            fenced_count: self.totals.fenced_count,
            ..ShardCounts::default()
        };
        for producer in self.producers.values() {
            *counts.transactional_ids.entry(producer.state()).or_default() += 1;
            counts.oldest_open_for = counts.oldest_open_for.max(open_for(producer, now.wall));
            counts.pending_marker_count +=
                producer.decision.as_ref().map_or(0, |decision| decision.unmarked.len());
        }
        counts
    }

    /// Returns about how many bytes the last records of all ids take in the log.
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        self.totals.live_bytes
    }

    /// Walks over everything that is live, for the rewrite of the log: returns the next records behind `after` (from the start for `None`), about `limit_bytes` of them
    /// and one at least, and where to go on; `None` at the end.
    #[must_use]
    pub fn live_records(
        &self,
        after: Option<&RewriteCursor>,
        limit_bytes: usize,
    ) -> (Vec<TransactionRecord>, Option<RewriteCursor>) {
        let mut chunk = LiveChunk::new(limit_bytes);
        let from = after.map_or(Bound::Unbounded, |cursor| Bound::Excluded(cursor.id()));
        let behind = self.producers.range::<TransactionalId, _>((from, Bound::Unbounded));
        for (transactional_id, producer) in behind {
            if !chunk.pass(transactional_id, &producer.logged) {
                return chunk.pause();
            }
        }
        chunk.end()
    }
}

/// How long ago a producer's transaction began, if it has one that is not complete.
fn open_for(producer: &Producer, wall: UnixMillis) -> Option<Duration> {
    let state = producer.state();
    if state != TransactionState::Ongoing && state.prepared().is_none() {
        return None;
    }
    let started_at = producer.logged.started_at?;
    let millis = wall.0.saturating_sub(started_at.0);
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

/// Returns 1 for an answer that refuses a former incarnation.
pub(super) fn fenced_answers(response: &Response) -> u64 {
    let is_fenced = match response {
        Response::InitProducerId(result) | Response::End(result) => {
            *result == Err(ErrorCode::ProducerFenced)
        }
        Response::AddPartitions(code) => *code == ErrorCode::ProducerFenced,
        Response::VerifyPartitions(codes) => codes.contains(&ErrorCode::ProducerFenced),
        Response::Describe(_) | Response::List(_) | Response::NeedsProducerId => false,
    };
    u64::from(is_fenced)
}
