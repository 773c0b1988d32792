//! DescribeTopicPartitions (key 75): partitions of topics page by page, with eligible leader replicas (KIP-966).

use model::{ErrorCode, TopicId};

use crate::codec::KafkaString;

message! {
    /// Asks for one page of partitions.
    DescribeTopicPartitionsRequest {
        /// The topics; empty for all.
        topics: Vec<TopicRequest> [0+],
        /// Most partitions of the page.
        response_partition_limit: i32 [0+] = 2000,
        /// Where the page begins, null for the beginning.
        cursor: Option<Cursor> [0+],
    }

    /// A topic to describe.
    TopicRequest {
        /// Name of the topic.
        name: KafkaString [0+],
    }

    /// A place in the list of all partitions.
    Cursor {
        /// Name of the topic.
        topic_name: KafkaString [0+],
        /// Number of the partition.
        partition_index: i32 [0+],
    }

    /// Brings one page of partitions.
    DescribeTopicPartitionsResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// The topics, by name.
        topics: Vec<DescribeTopicPartitionsResponseTopic> [0+],
        /// Where the next page begins, null when this is the last.
        next_cursor: Option<Cursor> [0+],
    }

    /// A topic.
    DescribeTopicPartitionsResponseTopic {
        /// Error of this topic.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// Name of the topic.
        name: Option<KafkaString> [0+],
        /// Id of the topic.
        topic_id: TopicId [0+],
        /// Whether the topic is the cluster's own.
        is_internal: bool [0+],
        /// The partitions of this page.
        partitions: Vec<DescribeTopicPartitionsResponsePartition> [0+],
        /// Bits of the operations that the client may do with the topic, `i32::MIN` when it is not told.
        topic_authorized_operations: i32 [0+] = i32::MIN,
    }

    /// A partition.
    DescribeTopicPartitionsResponsePartition {
        /// Error of this partition.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// Number of the partition.
        partition_index: i32 [0+],
        /// Broker id of the leader, −1 when there is none.
        leader_id: i32 [0+],
        /// Epoch of the leader, −1 when it is not known.
        leader_epoch: i32 [0+] = -1,
        /// Assigned replicas, the preferred leader first.
        replica_nodes: Vec<i32> [0+],
        /// Replicas in sync.
        isr_nodes: Vec<i32> [0+],
        /// Replicas that hold all that is committed, but are not in sync; null when it is not told.
        eligible_leader_replicas: Option<Vec<i32>> [0+],
        /// The last leader of a partition that has neither replicas in sync nor eligible ones; null when it is not told.
        last_known_elr: Option<Vec<i32>> [0+],
        /// Assigned replicas that are offline.
        offline_replicas: Vec<i32> [0+],
    }
}

nullable_structure!(Cursor);
