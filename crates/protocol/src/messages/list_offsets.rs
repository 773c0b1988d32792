//! ListOffsets (key 2): offsets by time, and the ends of partitions.

use model::ErrorCode;

use crate::codec::KafkaString;

/// Timestamp that asks for the end: the high watermark, or with read_committed the last stable offset.
pub const LATEST_TIMESTAMP: i64 = -1;
/// Timestamp that asks for the first offset that is kept.
pub const EARLIEST_TIMESTAMP: i64 = -2;
/// Timestamp that asks for the record with the greatest timestamp (version 7, KIP-734).
pub const MAX_TIMESTAMP: i64 = -3;
/// Timestamp that asks for the first offset that is kept on the broker's own disk (version 8, KIP-405).
pub const EARLIEST_LOCAL_TIMESTAMP: i64 = -4;
/// Timestamp that asks for the last offset that is in remote storage (version 9, KIP-1005).
pub const LATEST_TIERED_TIMESTAMP: i64 = -5;
/// Timestamp that asks for the first offset that is not in remote storage (version 11, KIP-1023).
pub const EARLIEST_PENDING_UPLOAD_TIMESTAMP: i64 = -6;

message! {
    /// Asks for offsets by time.
    ListOffsetsRequest {
        /// Broker id of a follower, −1 for a consumer, −2 for a debugging consumer.
        replica_id: i32 [0+],
        /// 0 for all committed records, 1 for those of decided transactions only.
        isolation_level: i8 [2+],
        /// The topics.
        topics: Vec<ListOffsetsTopic> [0+],
        /// Milliseconds that a look into remote storage may take.
        timeout_ms: i32 [10+],
    }

    /// A topic to look into.
    ListOffsetsTopic {
        /// Name of the topic.
        name: KafkaString [0+],
        /// The partitions.
        partitions: Vec<ListOffsetsPartition> [0+],
    }

    /// A partition to look into.
    ListOffsetsPartition {
        /// Number of the partition.
        partition_index: i32 [0+],
        /// Leader epoch that the client knows, −1 to skip the comparison (KIP-320).
        current_leader_epoch: i32 [4+] = -1,
        /// Unix milliseconds, or one of the negative values above.
        timestamp: i64 [0+],
        /// Most offsets to return.
        max_num_offsets: i32 [0-0] = 1,
    }

    /// Brings offsets.
    ListOffsetsResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [2+],
        /// The topics of the request.
        topics: Vec<ListOffsetsTopicResponse> [0+],
    }

    /// A topic of the request.
    ListOffsetsTopicResponse {
        /// Name of the topic.
        name: KafkaString [0+],
        /// The partitions of the request.
        partitions: Vec<ListOffsetsPartitionResponse> [0+],
    }

    /// A partition of the request.
    ListOffsetsPartitionResponse {
        /// Number of the partition.
        partition_index: i32 [0+],
        /// Error of this partition.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// Version 0: base offsets of the segments that begin before the time, newest first.
        old_style_offsets: Vec<i64> [0-0],
        /// Unix milliseconds of the record that was found, −1 for the ends of the log or when there is none.
        timestamp: i64 [1+] = -1,
        /// The offset, −1 when there is none.
        offset: i64 [1+] = -1,
        /// Leader epoch of the record that was found, −1 when it is not known.
        leader_epoch: i32 [4+] = -1,
    }
}
