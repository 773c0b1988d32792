//! TxnOffsetCommit (key 28): commits offsets for a group as part of a transaction.

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks the coordinator of a group to commit offsets once the transaction is committed.
    TxnOffsetCommitRequest {
        /// Transactional id of the transaction.
        transactional_id: KafkaString [0+],
        /// Id of the group.
        group_id: KafkaString [0+],
        /// Producer id of the transaction.
        producer_id: i64 [0+],
        /// Producer epoch of the transaction.
        producer_epoch: i16 [0+],
        /// Generation of the group, −1 when no member commits (KIP-447).
        generation_id: i32 [3+] = -1,
        /// Id of the member, empty when no member commits (KIP-447).
        member_id: KafkaString [3+],
        /// Instance id of a static member (KIP-447).
        group_instance_id: Option<KafkaString> [3+],
        /// The topics.
        topics: Vec<TxnOffsetCommitRequestTopic> [0+],
    }

    /// A topic to commit offsets of.
    TxnOffsetCommitRequestTopic {
        /// Name of the topic.
        name: KafkaString [0+],
        /// The partitions.
        partitions: Vec<TxnOffsetCommitRequestPartition> [0+],
    }

    /// An offset to commit.
    TxnOffsetCommitRequestPartition {
        /// Number of the partition.
        partition_index: i32 [0+],
        /// Offset of the next record to read.
        committed_offset: i64 [0+],
        /// Leader epoch of the last record that was read, −1 when it is not known (KIP-320).
        committed_leader_epoch: i32 [2+] = -1,
        /// Text to keep with the offset.
        committed_metadata: Option<KafkaString> [0+] = Some(KafkaString::default()),
    }

    /// Says what became of the commit.
    TxnOffsetCommitResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// The topics of the request.
        topics: Vec<TxnOffsetCommitResponseTopic> [0+],
    }

    /// A topic of the request.
    TxnOffsetCommitResponseTopic {
        /// Name of the topic.
        name: KafkaString [0+],
        /// The partitions of the request.
        partitions: Vec<TxnOffsetCommitResponsePartition> [0+],
    }

    /// A partition of the request.
    TxnOffsetCommitResponsePartition {
        /// Number of the partition.
        partition_index: i32 [0+],
        /// Error of this partition.
        error_code: ErrorCode [0+] = ErrorCode::None,
    }
}
