//! ListTransactions (key 66): which transactional ids a broker coordinates.

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks a broker for the transactional ids that it coordinates (KIP-664).
    ListTransactionsRequest {
        /// Names of the states to list; empty for all.
        state_filters: Vec<KafkaString> [0+],
        /// Producer ids to list; empty for all.
        producer_id_filters: Vec<i64> [0+],
        /// Milliseconds that a transaction has at least been running; −1 for all (KIP-994).
        duration_filter: i64 [1+] = -1,
        /// Regular expression that the whole transactional id has to match; null or empty for all (KIP-1152).
        transactional_id_pattern: Option<KafkaString> [2+],
    }

    /// Brings the transactional ids.
    ListTransactionsResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// What went wrong.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// Those of the request's states that are none.
        unknown_state_filters: Vec<KafkaString> [0+],
        /// The transactional ids.
        transaction_states: Vec<TransactionState> [0+],
    }

    /// A transactional id.
    TransactionState {
        /// The transactional id.
        transactional_id: KafkaString [0+],
        /// Its producer id.
        producer_id: i64 [0+],
        /// Name of its state.
        transaction_state: KafkaString [0+],
    }
}
