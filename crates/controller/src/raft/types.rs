//! The types that openraft is instantiated with.
//!
//! A node's id is drawn when its storage is formatted and its only attribute is the broker id: addresses live elsewhere,
//! since they change and a membership entry would not. Terms and log ids exist in this module's siblings alone.

use std::fmt;

use bytes::Bytes;
use model::BrokerId;
use openraft::impls::leader_id_std;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::metadata::Outcome;

openraft::declare_raft_types!(
    /// Standard Raft (one leader per term), with commands as entries.
    pub(crate) Types:
        D = EncodedCommand,
        R = Reply,
        NodeId = u64,
        Node = Node,
        Term = u64,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
);

pub(crate) type LogId = openraft::type_config::alias::LogIdOf<Types>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<Types>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<Types>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<Types>;
pub(crate) type Membership = openraft::Membership<u64, Node>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<Types>;

/// What the membership says about a node besides its Raft id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// The broker that this node is (or was, before it was formatted anew).
    pub(crate) broker_id: i32,
}

impl Node {
    pub(crate) fn new(broker_id: BrokerId) -> Self {
        Self { broker_id: broker_id.0 }
    }

    pub(crate) fn broker_id(self) -> BrokerId {
        BrokerId(self.broker_id)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broker {}", self.broker_id)
    }
}

/// A metadata command in its protobuf form, as it lies in the log.
///
/// It stays encoded until it is applied, so that the log, the network and the state machine share one buffer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EncodedCommand(pub(crate) Bytes);

impl fmt::Debug for EncodedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for EncodedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.0.len())
    }
}

// openraft's `serde` feature demands these; our disk and wire forms are protobuf (see `codec`).
impl Serialize for EncodedCommand {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for EncodedCommand {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(|bytes| Self(Bytes::from(bytes)))
    }
}

/// What applying an entry answered: an outcome for a command, nothing for Raft's own entries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reply {
    #[serde(skip)]
    pub(crate) outcome: Option<Outcome>,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.outcome.is_some() { "outcome of a command" } else { "no outcome" })
    }
}
