//! DeleteRecords (key 21): moves the first offset of partitions.

use model::ErrorCode;

use crate::codec::KafkaString;

/// Offset that asks to delete all that is committed: everything below the high watermark.
pub const HIGH_WATERMARK_OFFSET: i64 = -1;

message! {
    /// Asks the leaders of partitions to forget records.
    DeleteRecordsRequest {
        /// The topics.
        topics: Vec<DeleteRecordsTopic> [0+],
        /// Milliseconds that the answer may take.
        timeout_ms: i32 [0+],
    }

    /// A topic to delete from.
    DeleteRecordsTopic {
        /// Name of the topic.
        name: KafkaString [0+],
        /// The partitions.
        partitions: Vec<DeleteRecordsPartition> [0+],
    }

    /// A partition to delete from.
    DeleteRecordsPartition {
        /// Number of the partition.
        partition_index: i32 [0+],
        /// First offset that stays, or the negative value above.
        offset: i64 [0+],
    }

    /// Says what became of the records.
    DeleteRecordsResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// The topics of the request.
        topics: Vec<DeleteRecordsTopicResult> [0+],
    }

    /// A topic of the request.
    DeleteRecordsTopicResult {
        /// Name of the topic.
        name: KafkaString [0+],
        /// The partitions of the request.
        partitions: Vec<DeleteRecordsPartitionResult> [0+],
    }

    /// A partition of the request.
    DeleteRecordsPartitionResult {
        /// Number of the partition.
        partition_index: i32 [0+],
        /// First offset that the partition keeps on all its replicas, −1 with an error.
        low_watermark: i64 [0+] = -1,
        /// Error of this partition.
        error_code: ErrorCode [0+] = ErrorCode::None,
    }
}
