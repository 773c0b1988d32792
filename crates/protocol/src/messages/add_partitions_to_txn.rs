//! AddPartitionsToTxn (key 24): makes partitions part of a transaction, or asks whether they are.
//!
//! Clients use versions 0 to 3, for one transaction; from version 4 on brokers ask about several (KIP-890).

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks the coordinator of transactional ids to add partitions to their transactions.
    AddPartitionsToTxnRequest {
        /// The transactions.
        transactions: Vec<AddPartitionsToTxnTransaction> [4+],
        /// Transactional id of the one transaction.
        v3_and_below_transactional_id: KafkaString [0-3],
        /// Its producer id.
        v3_and_below_producer_id: i64 [0-3],
        /// Its producer epoch.
        v3_and_below_producer_epoch: i16 [0-3],
        /// The partitions to add to it.
        v3_and_below_topics: Vec<AddPartitionsToTxnTopic> [0-3],
    }

    /// A transaction.
    AddPartitionsToTxnTransaction {
        /// Its transactional id.
        transactional_id: KafkaString [4+],
        /// Its producer id.
        producer_id: i64 [4+],
        /// Its producer epoch.
        producer_epoch: i16 [4+],
        /// Set to ask whether the partitions are part of the transaction, and add none.
        verify_only: bool [4+],
        /// The partitions.
        topics: Vec<AddPartitionsToTxnTopic> [4+],
    }

    /// Partitions of a topic.
    AddPartitionsToTxnTopic {
        /// Name of the topic.
        name: KafkaString [0+],
        /// Numbers of the partitions.
        partitions: Vec<i32> [0+],
    }

    /// Says what became of each partition.
    AddPartitionsToTxnResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// Error of the whole request.
        error_code: ErrorCode [4+] = ErrorCode::None,
        /// The transactions of the request.
        results_by_transaction: Vec<AddPartitionsToTxnResult> [4+],
        /// The topics of the one transaction.
        results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult> [0-3],
    }

    /// A transaction of the request.
    AddPartitionsToTxnResult {
        /// Its transactional id.
        transactional_id: KafkaString [4+],
        /// Its topics.
        topic_results: Vec<AddPartitionsToTxnTopicResult> [4+],
    }

    /// A topic of a transaction.
    AddPartitionsToTxnTopicResult {
        /// Name of the topic.
        name: KafkaString [0+],
        /// The partitions.
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult> [0+],
    }

    /// A partition of a transaction.
    AddPartitionsToTxnPartitionResult {
        /// Number of the partition.
        partition_index: i32 [0+],
        /// Error of this partition; where one has an error, the others are not added.
        partition_error_code: ErrorCode [0+] = ErrorCode::None,
    }
}
