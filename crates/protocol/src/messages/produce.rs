//! Produce (key 0): appends record batches.

use bytes::Bytes;
use model::{ErrorCode, TopicId};

pub use super::current_leader::{LeaderIdAndEpoch, NodeEndpoint};
use crate::codec::KafkaString;

message! {
    /// Asks the leaders of partitions to append records.
    ProduceRequest {
        /// Transactional id of the producer.
        transactional_id: Option<KafkaString> [3+],
        /// What the answer waits for: 0 nothing (and there is no answer), 1 the leader, −1 the in-sync replicas.
        acks: i16 [0+],
        /// Milliseconds that the answer may take.
        timeout_ms: i32 [0+],
        /// The topics to append to.
        topic_data: Vec<TopicProduceData> [0+],
    }

    /// A topic to append to.
    TopicProduceData {
        /// Name of the topic.
        name: KafkaString [0-12],
        /// Id of the topic.
        topic_id: TopicId [13+],
        /// The partitions to append to.
        partition_data: Vec<PartitionProduceData> [0+],
    }

    /// A partition to append to.
    PartitionProduceData {
        /// Number of the partition.
        index: i32 [0+],
        /// The records: one batch of format 2 from version 3 on, messages of format 0 or 1 before.
        records: Option<Bytes> [0+],
    }

    /// Says what became of the records.
    ProduceResponse {
        /// The topics of the request.
        responses: Vec<TopicProduceResponse> [0+],
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [1+],
        /// Where the brokers named as current leaders can be reached (KIP-951).
        node_endpoints: Vec<NodeEndpoint> [10+, tag 0],
    }

    /// A topic of the request.
    TopicProduceResponse {
        /// Name of the topic.
        name: KafkaString [0-12],
        /// Id of the topic.
        topic_id: TopicId [13+],
        /// The partitions of the request.
        partition_responses: Vec<PartitionProduceResponse> [0+],
    }

    /// A partition of the request.
    PartitionProduceResponse {
        /// Number of the partition.
        index: i32 [0+],
        /// Error of this partition.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// Offset of the first record, −1 with an error.
        base_offset: i64 [0+],
        /// Unix milliseconds of the append where the topic has LogAppendTime, else −1.
        log_append_time_ms: i64 [2+] = -1,
        /// First offset that the partition keeps, −1 with an error.
        log_start_offset: i64 [5+] = -1,
        /// The records that made the broker refuse the batch (KIP-467).
        record_errors: Vec<BatchIndexAndErrorMessage> [8+],
        /// Why the batch was refused, for a reader.
        error_message: Option<KafkaString> [8+],
        /// The leader that the producer should go to (KIP-951).
        current_leader: LeaderIdAndEpoch [10+, tag 0],
    }

    /// A record that made the broker refuse its batch.
    BatchIndexAndErrorMessage {
        /// Number of the record in its batch.
        batch_index: i32 [8+],
        /// What is wrong with it, for a reader.
        batch_index_error_message: Option<KafkaString> [8+],
    }
}
