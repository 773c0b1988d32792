//! OffsetDelete (key 47): forgets committed offsets of a group (KIP-496).

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks the coordinator to forget committed offsets.
    OffsetDeleteRequest {
        /// Id of the group.
        group_id: KafkaString [0+],
        /// The topics.
        topics: Vec<OffsetDeleteRequestTopic> [0+],
    }

    /// A topic to forget committed offsets of.
    OffsetDeleteRequestTopic {
        /// Name of the topic.
        name: KafkaString [0+],
        /// The partitions.
        partitions: Vec<OffsetDeleteRequestPartition> [0+],
    }

    /// A partition to forget the committed offset of.
    OffsetDeleteRequestPartition {
        /// Number of the partition.
        partition_index: i32 [0+],
    }

    /// Says what became of the committed offsets.
    OffsetDeleteResponse {
        /// Error of the whole request.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// The topics of the request.
        topics: Vec<OffsetDeleteResponseTopic> [0+],
    }

    /// A topic of the request.
    OffsetDeleteResponseTopic {
        /// Name of the topic.
        name: KafkaString [0+],
        /// The partitions of the request.
        partitions: Vec<OffsetDeleteResponsePartition> [0+],
    }

    /// A partition of the request.
    OffsetDeleteResponsePartition {
        /// Number of the partition.
        partition_index: i32 [0+],
        /// Error of this partition.
        error_code: ErrorCode [0+] = ErrorCode::None,
    }
}
