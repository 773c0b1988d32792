//! CreatePartitions (key 37): adds partitions to topics.

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks for topics to get more partitions.
    CreatePartitionsRequest {
        /// The topics.
        topics: Vec<CreatePartitionsTopic> [0+],
        /// Milliseconds that the answer may take.
        timeout_ms: i32 [0+],
        /// Whether to check only, and create nothing.
        validate_only: bool [0+],
    }

    /// A topic that gets more partitions.
    CreatePartitionsTopic {
        /// Name of the topic.
        name: KafkaString [0+],
        /// Number of partitions afterwards.
        count: i32 [0+],
        /// Where the replicas of each new partition go; null to let the cluster decide.
        assignments: Option<Vec<CreatePartitionsAssignment>> [0+],
    }

    /// Where the replicas of a new partition go.
    CreatePartitionsAssignment {
        /// Broker ids, the preferred leader first.
        broker_ids: Vec<i32> [0+],
    }

    /// Says what became of the topics.
    CreatePartitionsResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// The topics of the request.
        results: Vec<CreatePartitionsTopicResult> [0+],
    }

    /// A topic of the request.
    CreatePartitionsTopicResult {
        /// Name of the topic.
        name: KafkaString [0+],
        /// Error of this topic.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// What went wrong, for a reader.
        error_message: Option<KafkaString> [0+],
    }
}
