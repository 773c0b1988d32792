//! Metadata (key 3): brokers, topics, partitions and their leaders.

use model::{ErrorCode, TopicId};

use crate::codec::KafkaString;

message! {
    /// Asks for brokers and topics.
    MetadataRequest {
        /// The topics. All of them: null, and in version 0 an empty array. None of them: an empty array, from version 1 on.
        topics: Option<Vec<MetadataRequestTopic>> [0+, null 1+],
        /// Whether topics that do not exist may be created, where the broker is configured to.
        allow_auto_topic_creation: bool [4+] = true,
        /// Whether to say what the client may do with the cluster.
        include_cluster_authorized_operations: bool [8-10],
        /// Whether to say what the client may do with each topic.
        include_topic_authorized_operations: bool [8+],
    }

    /// A topic to describe.
    MetadataRequestTopic {
        /// Id of the topic. Kafka's clients ask by it from version 12 on.
        topic_id: TopicId [10+],
        /// Name of the topic, null when it is asked for by id.
        name: Option<KafkaString> [0+, null 10+],
    }

    /// Describes brokers and topics.
    MetadataResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [3+],
        /// The live brokers.
        brokers: Vec<MetadataResponseBroker> [0+],
        /// Id of the cluster.
        cluster_id: Option<KafkaString> [2+],
        /// A broker that takes administrative requests, −1 when there is none.
        controller_id: i32 [1+] = -1,
        /// The topics.
        topics: Vec<MetadataResponseTopic> [0+],
        /// Bits of the operations that the client may do with the cluster, `i32::MIN` when it did not ask.
        cluster_authorized_operations: i32 [8-10] = i32::MIN,
        /// Error of the whole request.
        error_code: ErrorCode [13+] = ErrorCode::None,
    }

    /// A live broker.
    MetadataResponseBroker {
        /// Id of the broker.
        node_id: i32 [0+],
        /// Host name, as advertised for the listener of the connection.
        host: KafkaString [0+],
        /// Port, as advertised for the listener of the connection.
        port: i32 [0+],
        /// Rack of the broker.
        rack: Option<KafkaString> [1+],
    }

    /// A topic.
    MetadataResponseTopic {
        /// Error of this topic.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// Name of the topic; null when it was asked for by an id that does not exist.
        name: Option<KafkaString> [0+, null 12+],
        /// Id of the topic; zero when it was asked for by a name that does not exist.
        topic_id: TopicId [10+],
        /// Whether the topic is the cluster's own.
        is_internal: bool [1+],
        /// The partitions.
        partitions: Vec<MetadataResponsePartition> [0+],
        /// Bits of the operations that the client may do with the topic, `i32::MIN` when it did not ask.
        topic_authorized_operations: i32 [8+] = i32::MIN,
    }

    /// A partition.
    MetadataResponsePartition {
        /// Error of this partition.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// Number of the partition.
        partition_index: i32 [0+],
        /// Broker id of the leader, −1 when there is none.
        leader_id: i32 [0+],
        /// Epoch of the leader, −1 when it is not known.
        leader_epoch: i32 [7+] = -1,
        /// Assigned replicas, the preferred leader first.
        replica_nodes: Vec<i32> [0+],
        /// Replicas in sync.
        isr_nodes: Vec<i32> [0+],
        /// Assigned replicas that are offline.
        offline_replicas: Vec<i32> [5+],
    }
}
