//! OffsetForLeaderEpoch (key 23): where a leader epoch ends, to find out about truncation (KIP-101, KIP-320).

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks where leader epochs end.
    OffsetForLeaderEpochRequest {
        /// Broker id of a follower, −1 for a consumer, −2 for a debugging consumer.
        replica_id: i32 [3+] = -2,
        /// The topics.
        topics: Vec<OffsetForLeaderTopic> [0+],
    }

    /// A topic to look into.
    OffsetForLeaderTopic {
        /// Name of the topic.
        topic: KafkaString [0+],
        /// The partitions.
        partitions: Vec<OffsetForLeaderPartition> [0+],
    }

    /// A partition to look into.
    OffsetForLeaderPartition {
        /// Number of the partition.
        partition: i32 [0+],
        /// Leader epoch that the client knows, −1 to skip the comparison.
        current_leader_epoch: i32 [2+] = -1,
        /// The epoch whose end is asked for.
        leader_epoch: i32 [0+],
    }

    /// Says where leader epochs end.
    OffsetForLeaderEpochResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [2+],
        /// The topics of the request.
        topics: Vec<OffsetForLeaderTopicResult> [0+],
    }

    /// A topic of the request.
    OffsetForLeaderTopicResult {
        /// Name of the topic.
        topic: KafkaString [0+],
        /// The partitions of the request.
        partitions: Vec<EpochEndOffset> [0+],
    }

    /// A partition of the request.
    EpochEndOffset {
        /// Error of this partition.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// Number of the partition.
        partition: i32 [0+],
        /// Greatest epoch that is not above the one that was asked for, −1 for none.
        leader_epoch: i32 [1+] = -1,
        /// Offset behind its last record, −1 for none.
        end_offset: i64 [0+] = -1,
    }
}
