//! Administration of consumer groups: who coordinates them, what they are, what they have committed.
//!
//! Each question goes to the group's coordinator and is asked again, after a look for the coordinator, while that moves, loads or breaks; the
//! time for all attempts is `default.api.timeout.ms`. Membership is not here: see [`group_consumer`](crate::group_consumer).

pub(crate) mod consumer_protocol;
pub(crate) mod coordinators;
mod deletion;
mod descriptions;
mod listing;
pub(crate) mod offset_messages;
mod offsets;

#[cfg(test)]
mod tests;

use std::fmt;

use model::{BrokerId, LeaderEpoch, Offset, TopicPartition};

/// The broker that keeps a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Coordinator {
    /// Its id.
    pub broker: BrokerId,
    /// Where it is reached, `host:port`.
    pub address: String,
}

/// State of a group (Kafka's `GroupState`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupState {
    /// Members are to join again.
    PreparingRebalance,
    /// All have joined; the leader's assignment is awaited.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
    /// No members; committed offsets may be left.
    Empty,
    /// The group does not exist.
    Dead,
    /// A state of another kind of group, by its name.
    Other(String),
}

/// A group as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub group_id: String,
    /// What its members are: `consumer`, or empty where there were only commits.
    pub protocol_type: String,
    /// Its state; `None` from a broker older than Kafka 2.6.
    pub state: Option<GroupState>,
    /// `Classic`, `Consumer` and so on; `None` from a broker older than Kafka 3.8.
    pub group_type: Option<String>,
}

impl GroupListing {
    /// Returns the type of a group that is not classic.
    #[must_use]
    pub fn other_type(&self) -> Option<&str> {
        let group_type = self.group_type.as_deref()?;
        (!group_type.is_empty() && !group_type.eq_ignore_ascii_case("classic"))
            .then_some(group_type)
    }
}

/// A group of the classic protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group_id: String,
    /// The broker that keeps it.
    pub coordinator: Coordinator,
    /// Its state.
    pub state: GroupState,
    /// What its members are: `consumer`, or empty.
    pub protocol_type: String,
    /// The assignment strategy that the members agreed on; empty without members.
    pub protocol: String,
    /// Its members, in the order of client id and member id.
    pub members: Vec<GroupMember>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id, given by the coordinator.
    pub member_id: String,
    /// Its own name, of a static member.
    pub group_instance_id: Option<String>,
    /// `client.id` of its client.
    pub client_id: String,
    /// The address that it connected from.
    pub client_host: String,
    /// What it asked for; `None` where that cannot be read, as of a group that is none of consumers.
    pub subscription: Option<Subscription>,
    /// The partitions that it was given.
    pub assignment: Vec<TopicPartition>,
}

/// What a member asks for when it joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Topics that it wants to read.
    pub topics: Vec<String>,
    /// Partitions that it has and would like to keep.
    pub owned: Vec<TopicPartition>,
    /// The generation that it has them from.
    pub generation: Option<i32>,
    /// Its rack.
    pub rack: Option<String>,
}

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset of the next record to read.
    pub offset: Offset,
    /// Leader epoch of the record before, where the committer knew it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Whatever the committer noted.
    pub metadata: String,
}

impl CommittedOffset {
    /// Makes one of an offset alone.
    #[must_use]
    pub fn at(offset: Offset) -> Self {
        Self { offset, leader_epoch: None, metadata: String::new() }
    }
}

impl GroupState {
    /// Reads Kafka's name, in whatever case.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let known = [
            Self::PreparingRebalance,
            Self::CompletingRebalance,
            Self::Stable,
            Self::Empty,
            Self::Dead,
        ];
        let found = known.into_iter().find(|state| state.name().eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| Self::Other(name.to_owned()))
    }

    /// Returns Kafka's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Empty => "Empty",
            Self::Dead => "Dead",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names a group in an error.
pub(crate) fn subject(group: &str) -> String {
    format!("group {group}")
}
