//! Records of `__consumer_offsets`: keys and values of committed offsets and of classic groups.
//!
//! A record without a value says that its key is gone. Kafka has more kinds of keys, for groups of KIP-848 and younger;
//! they read as [`GroupLogKey::Unknown`] and are to be skipped.

mod partition;

use bytes::Bytes;
use model::TopicId;

use crate::codec::{DecodeError, EncodeError, KafkaString, Layout, Reader, Wire};
use crate::versioned::{Format, write};

pub use partition::partition_of_group;

/// Whose record it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupLogKey {
    /// A committed offset; its value is an [`OffsetCommitValue`].
    OffsetCommit(OffsetCommitKey),
    /// A classic group; its value is a [`GroupMetadataValue`].
    GroupMetadata(GroupMetadataKey),
    /// Another kind, by its number: nothing else of it has been read.
    Unknown(i16),
}

impl GroupLogKey {
    /// Reads the key of a record.
    ///
    /// # Errors
    /// When the bytes end too early, or are no such key.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.read_i16()? {
            OLDEST_OFFSET_COMMIT_KIND | OFFSET_COMMIT_KIND => {
                OffsetCommitKey::read(&mut reader).map(Self::OffsetCommit)
            }
            GROUP_METADATA_KIND => GroupMetadataKey::read(&mut reader).map(Self::GroupMetadata),
            other => Ok(Self::Unknown(other)),
        }
    }
}

/// Kind of a committed offset's key before Kafka 0.9; the rest of the key and its value are as in the next kind.
const OLDEST_OFFSET_COMMIT_KIND: i16 = 0;
/// Kind of a committed offset's key.
const OFFSET_COMMIT_KIND: i16 = 1;
/// Kind of a classic group's key.
const GROUP_METADATA_KIND: i16 = 2;

message! {
    /// Key of a committed offset.
    OffsetCommitKey {
        /// Id of the group.
        group: KafkaString [0+],
        /// Name of the topic.
        topic: KafkaString [0+],
        /// Number of the partition.
        partition: i32 [0+],
    }

    /// Key of a classic group.
    GroupMetadataKey {
        /// Id of the group.
        group: KafkaString [0+],
    }

    /// A committed offset, versions 0 to 4.
    OffsetCommitValue {
        /// Offset of the next record to read.
        offset: i64 [0+],
        /// Leader epoch of the last record that was read, −1 when it is not known.
        leader_epoch: i32 [3+] = -1,
        /// Text to keep with the offset.
        metadata: KafkaString [0+],
        /// Unix milliseconds of the commit.
        commit_timestamp: i64 [0+],
        /// Unix milliseconds when the offset is gone, −1 for what the broker is configured to.
        expire_timestamp: i64 [1-1] = -1,
        /// Id of the topic, zero when it is not known.
        topic_id: TopicId [4+, tag 0],
    }

    /// A classic group, versions 0 to 4.
    GroupMetadataValue {
        /// Class of the protocols, empty when it has none.
        protocol_type: KafkaString [0+],
        /// The generation.
        generation: i32 [0+],
        /// The protocol that was chosen, null without members.
        protocol: Option<KafkaString> [0+],
        /// Member id of the leader, null without members.
        leader: Option<KafkaString> [0+],
        /// Unix milliseconds since when the group is in its state, −1 when it is not known.
        current_state_timestamp: i64 [2+] = -1,
        /// The members.
        members: Vec<MemberMetadata> [0+],
    }

    /// A member of a classic group.
    MemberMetadata {
        /// Id of the member.
        member_id: KafkaString [0+],
        /// Instance id of a static member (KIP-345).
        group_instance_id: Option<KafkaString> [3+],
        /// Client id, as it was when the member joined.
        client_id: KafkaString [0+],
        /// Host of the client, with a slash in front as Java prints addresses.
        client_host: KafkaString [0+],
        /// Milliseconds to join again in a rebalance; −1 (version 0) means the session timeout.
        rebalance_timeout: i32 [1+] = -1,
        /// Milliseconds without a heartbeat after which the member is taken for dead.
        session_timeout: i32 [0+],
        /// What the member said with the protocol that was chosen.
        subscription: Bytes [0+],
        /// Its assignment.
        assignment: Bytes [0+],
    }
}

impl OffsetCommitKey {
    /// Writes the key of a record, in the kind that Kafka 4.3 writes.
    ///
    /// # Errors
    /// When a string is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        write(self, OFFSET_COMMIT_KIND, 0, Layout::Classic)
    }
}

impl GroupMetadataKey {
    /// Writes the key of a record.
    ///
    /// # Errors
    /// When a string is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        write(self, GROUP_METADATA_KIND, 0, Layout::Classic)
    }
}

impl OffsetCommitValue {
    pub(crate) const FORMAT: Format =
        Format { name: "OffsetCommitValue", newest: 4, flexible_from: Some(4) };

    /// Reads the value of a committed offset's record, in any version.
    ///
    /// # Errors
    /// When the version is not known, or the bytes are no such value.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        Self::FORMAT.decode(bytes)
    }

    /// Writes the value in the version that Kafka 4.3 writes: 1 with a time of its own to be gone, which keeps neither
    /// leader epoch nor topic id; else 4.
    ///
    /// # Errors
    /// When a string is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let version = if self.expire_timestamp == -1 { 4 } else { 1 };
        Self::FORMAT.encode(self, version)
    }
}

impl GroupMetadataValue {
    pub(crate) const FORMAT: Format =
        Format { name: "GroupMetadataValue", newest: 4, flexible_from: Some(4) };

    /// Reads the value of a group's record, in any version.
    ///
    /// # Errors
    /// When the version is not known, or the bytes are no such value.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        Self::FORMAT.decode(bytes)
    }

    /// Writes the value in the version that Kafka 4.3 writes: 3.
    ///
    /// # Errors
    /// When a string is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        Self::FORMAT.encode(self, 3)
    }
}
