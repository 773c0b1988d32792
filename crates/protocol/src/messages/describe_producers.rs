//! DescribeProducers (key 61): what partitions know of their producers.

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks the leaders of partitions for their active producers (KIP-664).
    DescribeProducersRequest {
        /// The topics.
        topics: Vec<TopicRequest> [0+],
    }

    /// Partitions of a topic.
    TopicRequest {
        /// Name of the topic.
        name: KafkaString [0+],
        /// Numbers of the partitions.
        partition_indexes: Vec<i32> [0+],
    }

    /// Brings the producers.
    DescribeProducersResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// The topics of the request.
        topics: Vec<TopicResponse> [0+],
    }

    /// A topic of the request.
    TopicResponse {
        /// Name of the topic.
        name: KafkaString [0+],
        /// The partitions of the request.
        partitions: Vec<PartitionResponse> [0+],
    }

    /// A partition of the request.
    PartitionResponse {
        /// Number of the partition.
        partition_index: i32 [0+],
        /// Error of this partition.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// What went wrong, for a reader.
        error_message: Option<KafkaString> [0+],
        /// The producers that the partition keeps state of.
        active_producers: Vec<ProducerState> [0+],
    }

    /// A producer.
    ProducerState {
        /// Its id.
        producer_id: i64 [0+],
        /// Its epoch.
        producer_epoch: i32 [0+],
        /// Sequence number of its last record, −1 for none.
        last_sequence: i32 [0+] = -1,
        /// Unix milliseconds of its last write, −1 for none.
        last_timestamp: i64 [0+] = -1,
        /// Coordinator epoch of its last marker, −1 for none.
        coordinator_epoch: i32 [0+],
        /// Offset where its open transaction begins, −1 for none.
        current_txn_start_offset: i64 [0+] = -1,
    }
}
