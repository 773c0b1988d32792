//! Committed offsets of groups, with the rules of Kafka's `OffsetMetadataManager`.
//!
//! Owns what was committed ([`GroupOffsets`]) or is to be with a transaction ([`PendingOffsets`]), and decides about commits, fetches, deletions, expiry and deleted topics. A decision changes nothing: it says which records
//! are to be written ([`Decision`]), and the shard replays them as it appends them. So replay, and nothing else, changes what is committed.
//!
//! Never knows members: what the rules need of a group comes in as [`GroupFacts`].

mod commit;
mod delete;
mod expiry;
mod fetch;
mod pending;
mod stored;
mod subscription;

use std::collections::BTreeSet;

use model::UnixMillis;

use super::ids::{GenerationId, TopicName};
use super::record::GroupRecord;
use super::response::Response;
use super::state::GroupState;

pub(in crate::group) use self::commit::{commit, commit_transactional};
pub(in crate::group) use self::delete::{OfGoneTopics, delete, delete_topics};
pub(in crate::group) use self::expiry::expired;
pub(in crate::group) use self::fetch::fetch;
pub(in crate::group) use self::pending::PendingOffsets;
pub(in crate::group) use self::stored::{GroupOffsets, StoredOffset, tombstone};
pub(in crate::group) use self::subscription::subscribed_topics;

/// What the rules about offsets must know of a group that exists.
#[derive(Clone, Copy, Debug)]
pub(in crate::group) struct GroupFacts<'a> {
    /// What it does.
    pub(in crate::group) state: GroupState,
    /// Its generation.
    pub(in crate::group) generation_id: GenerationId,
    /// `consumer`, `connect`, ...; `None` for a group of offsets alone.
    pub(in crate::group) protocol_type: Option<&'a str>,
    /// Since when it is in its state, if the log tells.
    pub(in crate::group) state_since: Option<UnixMillis>,
    /// What [`subscribed_topics`] said when the present generation began.
    pub(in crate::group) subscribed_topics: Option<&'a BTreeSet<TopicName>>,
}

impl GroupFacts<'_> {
    /// Says whether its members speak the consumers' protocol, so that their subscriptions can be read.
    fn is_of_consumers(&self) -> bool {
        self.protocol_type == Some(CONSUMER)
    }

    /// Says whether a member reads the topic. Of consumers whose subscriptions are not known, any may.
    fn is_subscribed_to(&self, topic: &TopicName) -> bool {
        self.subscribed_topics
            .map_or_else(|| self.is_of_consumers(), |topics| topics.contains(topic))
    }
}

/// What a group has stored.
#[derive(Clone, Copy, Debug)]
pub(in crate::group) struct Stored<'a> {
    /// What is committed.
    pub(in crate::group) committed: &'a GroupOffsets,
    /// What open transactions are to commit.
    pub(in crate::group) pending: &'a PendingOffsets,
}

/// What a request leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::group) struct Decision {
    /// To be written together, in this order; empty when nothing changes.
    pub(in crate::group) records: Vec<GroupRecord>,
    /// To be given once that is committed.
    pub(in crate::group) response: Response,
}

impl Decision {
    /// An answer that changes nothing.
    fn answer(response: Response) -> Self {
        Self { records: Vec::new(), response }
    }
}

/// The protocol type of consumers.
const CONSUMER: &str = "consumer";

#[cfg(test)]
mod tests;
