//! What a shard holds: counts for metrics, the topics of its offsets for the end of a load, and the walk over what is live for a rewrite.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::Shard;
use super::live_walk::{LiveChunk, RewriteCursor, Unsettled};
use crate::group::ids::{GroupId, TopicIdentity};
use crate::group::record::GroupRecord;
use crate::group::state::GroupState;

/// How much a shard holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardCounts {
    /// Groups by state; a state without groups is not there.
    pub groups: BTreeMap<GroupState, usize>,
    /// Members of all groups.
    pub member_count: usize,
    /// Committed offsets of all groups.
    pub offset_count: usize,
    /// Offsets of all groups that wait for the marker of their transaction.
    pub pending_offset_count: usize,
    /// Transactions that have committed offsets here and wait for their marker.
    pub open_transaction_count: usize,
    /// Rebalances that ended in an assignment, since the shard was loaded.
    pub completed_rebalance_count: u64,
}

impl Shard {
    /// Counts what the shard holds. Takes time in proportion to the number of groups.
    #[must_use]
    pub fn counts(&self) -> ShardCounts {
        let mut counts = ShardCounts {
            offset_count: self.totals.offset_count,
            open_transaction_count: self.transactions.len(),
            completed_rebalance_count: self.completed_rebalance_count,
            ..ShardCounts::default()
        };
        for group in self.groups.values() {
            *counts.groups.entry(group.state()).or_default() += 1;
            counts.member_count += group.members.len();
            counts.pending_offset_count += group.pending_offsets.len();
        }
        counts
    }

    /// Returns the topics of all committed and pending offsets, each once for each id that offsets name (also for none). Takes time in proportion to the number of offsets; a load
    /// asks it once and tells the shard with [`crate::group::Event::TopicsDeleted`] which of them are gone.
    #[must_use]
    pub fn committed_topics(&self) -> BTreeSet<TopicIdentity> {
        let mut topics = BTreeSet::new();
        for group in self.groups.values() {
            group.offsets.add_topics(&mut topics);
            group.pending_offsets.add_topics(&mut topics);
        }
        topics
    }

    /// Returns about how many bytes the last values of all keys take in the log.
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        self.totals.bytes
    }

    /// Walks over everything that is live, for the rewrite of the log: returns the next records behind `after` (from the start for `None`), about `limit_bytes` of them
    /// and one at least, and where to go on; `None` at the end. At the end of all groups it may have passed offsets by that wait for transactions: then there may be no record, and it is to be
    /// asked again after a while.
    #[must_use]
    pub fn live_records(
        &self,
        after: Option<&RewriteCursor>,
        limit_bytes: usize,
    ) -> (Vec<GroupRecord>, Option<RewriteCursor>) {
        self.walk(after, LiveChunk::new(after, limit_bytes, Unsettled::Deferred))
    }

    /// Walks over everything that is committed, for whoever looks at it: as [`Self::live_records`], but passes nothing by.
    #[must_use]
    pub fn committed_records(
        &self,
        after: Option<&RewriteCursor>,
        limit_bytes: usize,
    ) -> (Vec<GroupRecord>, Option<RewriteCursor>) {
        self.walk(after, LiveChunk::new(after, limit_bytes, Unsettled::Passed))
    }

    fn walk(
        &self,
        after: Option<&RewriteCursor>,
        mut chunk: LiveChunk,
    ) -> (Vec<GroupRecord>, Option<RewriteCursor>) {
        let from = match after.map(RewriteCursor::group_id) {
            None => Bound::Unbounded,
            Some(Some(group_id)) => Bound::Included(group_id),
            Some(None) => return chunk.end(&self.groups),
        };
        for group in self.groups.range::<GroupId, _>((from, Bound::Unbounded)).map(|(_, it)| it) {
            if !chunk.pass(group) {
                return chunk.pause();
            }
        }
        chunk.end(&self.groups)
    }
}
