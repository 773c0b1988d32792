//! ElectLeaders (key 43): asks for elections (KIP-460).

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks for leaders to be elected.
    ElectLeadersRequest {
        /// Who is elected: 0 the preferred replica, 1 any live replica, where none in sync is left.
        election_type: i8 [1+],
        /// The partitions, null for all.
        topic_partitions: Option<Vec<TopicPartitions>> [0+],
        /// Milliseconds that the answer may take.
        timeout_ms: i32 [0+] = 60_000,
    }

    /// Partitions of a topic.
    TopicPartitions {
        /// Name of the topic.
        topic: KafkaString [0+],
        /// Numbers of the partitions.
        partitions: Vec<i32> [0+],
    }

    /// Says what became of the elections.
    ElectLeadersResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// Error of the whole request.
        error_code: ErrorCode [1+] = ErrorCode::None,
        /// The topics.
        replica_election_results: Vec<ReplicaElectionResult> [0+],
    }

    /// A topic.
    ReplicaElectionResult {
        /// Name of the topic.
        topic: KafkaString [0+],
        /// The partitions.
        partition_result: Vec<PartitionResult> [0+],
    }

    /// A partition.
    PartitionResult {
        /// Number of the partition.
        partition_id: i32 [0+],
        /// Error of this partition.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// What went wrong, for a reader.
        error_message: Option<KafkaString> [0+],
    }
}
