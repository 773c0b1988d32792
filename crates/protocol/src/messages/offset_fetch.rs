//! OffsetFetch (key 9): reads the committed offsets of groups.

use model::{ErrorCode, TopicId};

use crate::codec::KafkaString;

message! {
    /// Asks the coordinator for committed offsets: of one group up to version 7, of several from version 8 on (KIP-709).
    OffsetFetchRequest {
        /// Id of the group.
        group_id: KafkaString [0-7],
        /// The topics, null for all.
        topics: Option<Vec<OffsetFetchRequestTopic>> [0-7, null 2+] = Some(Vec::new()),
        /// The groups.
        groups: Vec<OffsetFetchRequestGroup> [8+],
        /// Whether offsets that an open transaction may change are refused (KIP-447).
        require_stable: bool [7+],
    }

    /// A topic to read committed offsets of.
    OffsetFetchRequestTopic {
        /// Name of the topic.
        name: KafkaString [0-7],
        /// Numbers of the partitions.
        partition_indexes: Vec<i32> [0-7],
    }

    /// A group to read committed offsets of.
    OffsetFetchRequestGroup {
        /// Id of the group.
        group_id: KafkaString [8+],
        /// Id of the member that asks, null for none (KIP-848).
        member_id: Option<KafkaString> [9+],
        /// Epoch of the member that asks, −1 for none (KIP-848).
        member_epoch: i32 [9+] = -1,
        /// The topics, null for all.
        topics: Option<Vec<OffsetFetchRequestTopics>> [8+] = Some(Vec::new()),
    }

    /// A topic to read committed offsets of, within a group.
    OffsetFetchRequestTopics {
        /// Name of the topic.
        name: KafkaString [8-9],
        /// Id of the topic.
        topic_id: TopicId [10+],
        /// Numbers of the partitions.
        partition_indexes: Vec<i32> [8+],
    }

    /// Brings committed offsets.
    OffsetFetchResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [3+],
        /// The topics.
        topics: Vec<OffsetFetchResponseTopic> [0-7],
        /// Error of the whole request.
        error_code: ErrorCode [2-7] = ErrorCode::None,
        /// The groups of the request.
        groups: Vec<OffsetFetchResponseGroup> [8+],
    }

    /// A topic with committed offsets.
    OffsetFetchResponseTopic {
        /// Name of the topic.
        name: KafkaString [0-7],
        /// The partitions.
        partitions: Vec<OffsetFetchResponsePartition> [0-7],
    }

    /// A committed offset.
    OffsetFetchResponsePartition {
        /// Number of the partition.
        partition_index: i32 [0-7],
        /// Offset of the next record to read, −1 for none.
        committed_offset: i64 [0-7] = -1,
        /// Leader epoch of the last record that was read, −1 when it is not known (KIP-320).
        committed_leader_epoch: i32 [5-7] = -1,
        /// Text that was kept with the offset.
        metadata: Option<KafkaString> [0-7] = Some(KafkaString::default()),
        /// Error of this partition.
        error_code: ErrorCode [0-7] = ErrorCode::None,
    }

    /// A group of the request.
    OffsetFetchResponseGroup {
        /// Id of the group.
        group_id: KafkaString [8+],
        /// The topics.
        topics: Vec<OffsetFetchResponseTopics> [8+],
        /// Error of this group.
        error_code: ErrorCode [8+] = ErrorCode::None,
    }

    /// A topic with committed offsets, within a group.
    OffsetFetchResponseTopics {
        /// Name of the topic.
        name: KafkaString [8-9],
        /// Id of the topic.
        topic_id: TopicId [10+],
        /// The partitions.
        partitions: Vec<OffsetFetchResponsePartitions> [8+],
    }

    /// A committed offset, within a group.
    OffsetFetchResponsePartitions {
        /// Number of the partition.
        partition_index: i32 [8+],
        /// Offset of the next record to read, −1 for none.
        committed_offset: i64 [8+] = -1,
        /// Leader epoch of the last record that was read, −1 when it is not known (KIP-320).
        committed_leader_epoch: i32 [8+] = -1,
        /// Text that was kept with the offset.
        metadata: Option<KafkaString> [8+] = Some(KafkaString::default()),
        /// Error of this partition.
        error_code: ErrorCode [8+] = ErrorCode::None,
    }
}
