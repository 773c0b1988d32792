//! EndTxn (key 26): commits or aborts a transaction.

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks the coordinator of a transactional id to end its transaction.
    EndTxnRequest {
        /// Transactional id of the transaction.
        transactional_id: KafkaString [0+],
        /// Its producer id.
        producer_id: i64 [0+],
        /// Its producer epoch.
        producer_epoch: i16 [0+],
        /// Set to commit, unset to abort.
        committed: bool [0+],
    }

    /// Says whether the transaction ends so, and under which identity the next one begins.
    EndTxnResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// What went wrong.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// Producer id of the next transaction, −1 with an error (KIP-890).
        producer_id: i64 [5+] = -1,
        /// Producer epoch of the next transaction, −1 with an error (KIP-890).
        producer_epoch: i16 [5+] = -1,
    }
}
