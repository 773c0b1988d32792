//! CreateTopics (key 19).

use model::{ErrorCode, TopicId};

use crate::codec::KafkaString;

message! {
    /// Asks for topics to be created.
    CreateTopicsRequest {
        /// The topics.
        topics: Vec<CreatableTopic> [0+],
        /// Milliseconds that the answer may take.
        timeout_ms: i32 [0+] = 60_000,
        /// Whether to check only, and create nothing.
        validate_only: bool [1+],
    }

    /// A topic to create.
    CreatableTopic {
        /// Name of the topic.
        name: KafkaString [0+],
        /// Number of partitions; −1 for the default, or with assignments.
        num_partitions: i32 [0+],
        /// Replicas of each partition; −1 for the default, or with assignments.
        replication_factor: i16 [0+],
        /// Where the replicas go; empty to let the cluster decide.
        assignments: Vec<CreatableReplicaAssignment> [0+],
        /// Configuration of the topic.
        configs: Vec<CreatableTopicConfig> [0+],
    }

    /// Where the replicas of a partition go.
    CreatableReplicaAssignment {
        /// Number of the partition.
        partition_index: i32 [0+],
        /// Broker ids, the preferred leader first.
        broker_ids: Vec<i32> [0+],
    }

    /// A configuration of a topic.
    CreatableTopicConfig {
        /// Key.
        name: KafkaString [0+],
        /// Value.
        value: Option<KafkaString> [0+],
    }

    /// Says what became of the topics.
    CreateTopicsResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [2+],
        /// The topics of the request.
        topics: Vec<CreatableTopicResult> [0+],
    }

    /// A topic of the request.
    CreatableTopicResult {
        /// Name of the topic.
        name: KafkaString [0+],
        /// Id of the new topic.
        topic_id: TopicId [7+],
        /// Error of this topic.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// What went wrong, for a reader.
        error_message: Option<KafkaString> [1+],
        /// Why the configuration is not told, if it is not.
        topic_config_error_code: ErrorCode [5+, tag 0] = ErrorCode::None,
        /// Number of partitions, −1 when it is not told.
        num_partitions: i32 [5+] = -1,
        /// Replicas of each partition, −1 when it is not told.
        replication_factor: i16 [5+] = -1,
        /// Configuration of the new topic, null when it is not told.
        configs: Option<Vec<CreatableTopicConfigs>> [5+],
    }

    /// A configuration of the new topic.
    CreatableTopicConfigs {
        /// Key.
        name: KafkaString [5+],
        /// Value; null when it is secret.
        value: Option<KafkaString> [5+],
        /// Whether it can never be changed.
        read_only: bool [5+],
        /// Where the value comes from, as in DescribeConfigs; −1 when it is not told.
        config_source: i8 [5+] = -1,
        /// Whether it is secret.
        is_sensitive: bool [5+],
    }
}
