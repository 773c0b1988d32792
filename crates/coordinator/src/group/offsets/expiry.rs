//! When committed offsets expire (KIP-211).

use std::time::Duration;

use model::UnixMillis;

use super::stored::{StoredOffset, tombstone};
use super::{GroupFacts, Stored};
use crate::group::ids::GroupId;
use crate::group::record::GroupRecord;
use crate::group::state::GroupState;

/// What of a group has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::group) struct Expired {
    /// The tombstones to write.
    pub(in crate::group) records: Vec<GroupRecord>,
    /// Whether no offset is left after them, and none is pending. An empty group without offsets is removed.
    pub(in crate::group) is_all: bool,
}

/// Says which offsets of a group have expired (Kafka's `cleanupExpiredOffsets`).
pub(in crate::group) fn expired(
    group_id: &GroupId,
    facts: &GroupFacts<'_>,
    stored: Stored<'_>,
    wall: UnixMillis,
    retention: Duration,
) -> Expired {
    let Stored { committed, pending } = stored;
    if committed.is_empty() {
        return Expired { records: Vec::new(), is_all: pending.is_empty() };
    }
    let Some(since) = RetainedSince::of(facts) else {
        return Expired { records: Vec::new(), is_all: false };
    };
    let mut records = Vec::new();
    // A group that a transaction is about to commit for stays.
    let mut is_all = pending.is_empty();
    for (topic, partition, stored) in committed.iter() {
        if since.is_over(stored, wall, retention)
            && !facts.is_subscribed_to(topic)
            && !pending.contains(topic, partition)
        {
            records.push(tombstone(group_id, topic, partition));
        } else {
            is_all = false;
        }
    }
    Expired { records, is_all }
}

/// From when on an offset without a time of its own is kept for `offsets.retention.minutes`.
#[derive(Clone, Copy, Debug)]
enum RetainedSince {
    /// From the commit on.
    Commit,
    /// From when the group lost its last member.
    Empty(UnixMillis),
}

impl RetainedSince {
    /// `None` while nothing of the group expires (Kafka's `offsetExpirationCondition`).
    fn of(facts: &GroupFacts<'_>) -> Option<Self> {
        match facts.state {
            // Offsets alone: nobody says when their use ends.
            _ if facts.protocol_type.is_none() => Some(Self::Commit),
            // Old records do not tell since when.
            GroupState::Empty => Some(facts.state_since.map_or(Self::Commit, Self::Empty)),
            // A topic that no member subscribes to any longer. What else may be in use is known for consumers alone.
            GroupState::Stable if facts.subscribed_topics.is_some() => Some(Self::Commit),
            GroupState::Stable
            | GroupState::PreparingRebalance
            | GroupState::CompletingRebalance
            | GroupState::Dead => None,
        }
    }

    fn is_over(self, stored: &StoredOffset, wall: UnixMillis, retention: Duration) -> bool {
        if let Some(expire_time) = stored.expire_time() {
            return wall >= expire_time;
        }
        let since = match self {
            Self::Commit => stored.commit_time,
            Self::Empty(since) => since,
        };
        let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        wall.0.saturating_sub(since.0) >= retention
    }
}
