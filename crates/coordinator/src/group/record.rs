//! What the group machine writes to its log and reads back: the content of Kafka's records, without their bytes.

use std::time::Duration;

use bytes::Bytes;
use model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicId, UnixMillis};

use super::ids::{GenerationId, GroupId, GroupInstanceId, MemberId, TopicName};
use super::request::{CompleteTransaction, VerificationGuard};

/// One record of `__consumer_offsets`. Each says the whole of what its key names, so the last one of a key counts, and replay in log order gives the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// Kafka's `OffsetCommit`; `None` is its tombstone.
    Offset {
        /// The group.
        group_id: GroupId,
        /// The topic.
        topic: TopicName,
        /// Number of the partition.
        partition: i32,
        /// What was committed.
        value: Option<OffsetRecord>,
    },
    /// Kafka's `GroupMetadata`; `None` is its tombstone.
    Group {
        /// The group.
        group_id: GroupId,
        /// The group as of its last generation.
        value: Option<GroupMetadataRecord>,
    },
}

impl GroupRecord {
    /// Returns the group that the record is of.
    #[must_use]
    pub fn group_id(&self) -> &GroupId {
        match self {
            Self::Offset { group_id, .. } | Self::Group { group_id, .. } => group_id,
        }
    }
}

/// One batch of a transaction in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionBatch {
    /// Offsets that count once the transaction is committed: a transactional batch without a sequence. They fit one batch.
    Offsets {
        /// The transaction's producer.
        producer_id: ProducerId,
        /// Which of its incarnations.
        producer_epoch: ProducerEpoch,
        /// The proof that the transaction was verified.
        guard: Option<VerificationGuard>,
        /// The offsets.
        records: Vec<GroupRecord>,
    },
    /// What ends it: a control batch.
    Marker(CompleteTransaction),
}

/// The value of an offset's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetRecord {
    /// The next offset to read.
    pub offset: Offset,
    /// Epoch of the last record read, if the client told.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The client's own words.
    pub metadata: String,
    /// Id of the topic that it was committed for; not written beside a time to expire.
    pub topic_id: Option<TopicId>,
    /// When it was committed.
    pub commit_time: UnixMillis,
    /// When it expires, if the client chose that (OffsetCommit 2 to 4).
    pub expire_time: Option<UnixMillis>,
}

/// The value of a group's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadataRecord {
    /// `consumer`, `connect`, ...; empty for a group of offsets alone.
    pub protocol_type: String,
    /// The generation.
    pub generation_id: GenerationId,
    /// The strategy; `None` without members.
    pub protocol_name: Option<String>,
    /// The leader; `None` without members.
    pub leader: Option<MemberId>,
    /// Since when the group is in its state: expiry counts from when it became empty.
    pub state_since: Option<UnixMillis>,
    /// The members.
    pub members: Vec<MemberRecord>,
}

/// A member in a group's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// Its id.
    pub member_id: MemberId,
    /// Its static name.
    pub group_instance_id: Option<GroupInstanceId>,
    /// The client's id.
    pub client_id: String,
    /// The client's address.
    pub client_host: String,
    /// How long a rebalance waits for it.
    pub rebalance_timeout: Duration,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// Its metadata of the group's strategy; opaque. Its own memory, as its part: the machine keeps both.
    pub subscription: Bytes,
    /// Its part; opaque.
    pub assignment: Bytes,
}
