//! What consumers say to each other through a group: the subscription with which each joins, and the assignment that the
//! leader hands to each.
//!
//! A version above the newest reads as the newest: Kafka's clients only ever add fields at the end.

use bytes::Bytes;

use crate::codec::{DecodeError, EncodeError, KafkaString, Reader};
use crate::versioned::Format;

/// Protocol type of a group of consumers.
pub const PROTOCOL_TYPE: &str = "consumer";

message! {
    /// What a consumer asks for: the metadata of each of its protocols, versions 0 to 3.
    ConsumerProtocolSubscription {
        /// Names of the topics; Kafka's clients write them sorted.
        topics: Vec<KafkaString> [0+],
        /// What the assignor of this member says to that of the leader.
        user_data: Option<Bytes> [0+],
        /// What the member reads now (KIP-429).
        owned_partitions: Vec<OwnedPartitions> [1+],
        /// Generation in which it was given that, −1 when it does not say (KIP-792).
        generation_id: i32 [2+] = -1,
        /// Rack of the member (KIP-881).
        rack_id: Option<KafkaString> [3+],
    }

    /// Partitions of a topic that a member reads.
    OwnedPartitions {
        /// Name of the topic.
        topic: KafkaString [1+],
        /// Numbers of the partitions.
        partitions: Vec<i32> [1+],
    }

    /// What a consumer is given, versions 0 to 3, which are alike.
    ConsumerProtocolAssignment {
        /// The partitions, by topic.
        assigned_partitions: Vec<AssignedPartitions> [0+],
        /// What the leader's assignor says to that of the member.
        user_data: Option<Bytes> [0+],
    }

    /// Partitions of a topic that a member shall read.
    AssignedPartitions {
        /// Name of the topic.
        topic: KafkaString [0+],
        /// Numbers of the partitions.
        partitions: Vec<i32> [0+],
    }
}

macro_rules! consumer_protocol {
    ($($name:ident),*) => {$(
        impl $name {
            pub(crate) const FORMAT: Format =
                Format { name: stringify!($name), newest: 3, flexible_from: None };

            /// Reads it behind its version.
            ///
            /// # Errors
            /// When the version is negative, or the bytes are nothing such.
            pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
                let mut reader = Reader::new(bytes);
                let version = reader.read_i16()?.min(Self::FORMAT.newest);
                Self::FORMAT.read(version, &mut reader)
            }

            /// Writes it behind the newest version, as Kafka's clients do.
            ///
            /// # Errors
            /// When a string is too long.
            pub fn encode(&self) -> Result<Bytes, EncodeError> {
                Self::FORMAT.encode(self, Self::FORMAT.newest)
            }
        }
    )*};
}
consumer_protocol!(ConsumerProtocolSubscription, ConsumerProtocolAssignment);
