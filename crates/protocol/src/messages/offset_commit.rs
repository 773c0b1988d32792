//! OffsetCommit (key 8): commits offsets for a group.

use model::{ErrorCode, TopicId};

use crate::codec::KafkaString;

message! {
    /// Asks the coordinator of a group to commit offsets.
    OffsetCommitRequest {
        /// Id of the group.
        group_id: KafkaString [0+],
        /// Generation of the group, or member epoch (KIP-848); −1 when no member commits.
        generation_id_or_member_epoch: i32 [1+] = -1,
        /// Id of the member, empty when no member commits.
        member_id: KafkaString [1+],
        /// Instance id of a static member (KIP-345).
        group_instance_id: Option<KafkaString> [7+],
        /// Milliseconds to keep the committed offsets, −1 for what the broker is configured to.
        retention_time_ms: i64 [2-4] = -1,
        /// The topics.
        topics: Vec<OffsetCommitRequestTopic> [0+],
    }

    /// A topic to commit offsets of.
    OffsetCommitRequestTopic {
        /// Name of the topic.
        name: KafkaString [0-9],
        /// Id of the topic.
        topic_id: TopicId [10+],
        /// The partitions.
        partitions: Vec<OffsetCommitRequestPartition> [0+],
    }

    /// An offset to commit.
    OffsetCommitRequestPartition {
        /// Number of the partition.
        partition_index: i32 [0+],
        /// Offset of the next record to read.
        committed_offset: i64 [0+],
        /// Leader epoch of the last record that was read, −1 when it is not known (KIP-320).
        committed_leader_epoch: i32 [6+] = -1,
        /// Unix milliseconds of the commit, −1 for the broker's time.
        commit_timestamp: i64 [1-1] = -1,
        /// Text to keep with the offset.
        committed_metadata: Option<KafkaString> [0+] = Some(KafkaString::default()),
    }

    /// Says what became of the commit.
    OffsetCommitResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [3+],
        /// The topics of the request.
        topics: Vec<OffsetCommitResponseTopic> [0+],
    }

    /// A topic of the request.
    OffsetCommitResponseTopic {
        /// Name of the topic.
        name: KafkaString [0-9],
        /// Id of the topic.
        topic_id: TopicId [10+],
        /// The partitions of the request.
        partitions: Vec<OffsetCommitResponsePartition> [0+],
    }

    /// A partition of the request.
    OffsetCommitResponsePartition {
        /// Number of the partition.
        partition_index: i32 [0+],
        /// Error of this partition.
        error_code: ErrorCode [0+] = ErrorCode::None,
    }
}
