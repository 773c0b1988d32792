//! DescribeTransactions (key 65): what coordinators know of transactional ids.

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks the coordinator of transactional ids for their state (KIP-664).
    DescribeTransactionsRequest {
        /// The transactional ids.
        transactional_ids: Vec<KafkaString> [0+],
    }

    /// Brings the state of each.
    DescribeTransactionsResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// The transactional ids of the request.
        transaction_states: Vec<TransactionState> [0+],
    }

    /// A transactional id of the request.
    TransactionState {
        /// Error of this transactional id.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// The transactional id.
        transactional_id: KafkaString [0+],
        /// Name of its state.
        transaction_state: KafkaString [0+],
        /// Milliseconds after which its open transaction is aborted.
        transaction_timeout_ms: i32 [0+],
        /// Unix milliseconds when its open transaction began, −1 for none.
        transaction_start_time_ms: i64 [0+],
        /// Its producer id.
        producer_id: i64 [0+],
        /// Its producer epoch.
        producer_epoch: i16 [0+],
        /// The partitions of its open transaction.
        topics: Vec<TopicData> [0+],
    }

    /// Partitions of a topic.
    TopicData {
        /// Name of the topic.
        topic: KafkaString [0+],
        /// Numbers of the partitions.
        partitions: Vec<i32> [0+],
    }
}
