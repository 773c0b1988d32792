//! InitProducerId (key 22): identities of idempotent and transactional producers.

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks for a producer id and epoch.
    InitProducerIdRequest {
        /// Transactional id, null for a producer that is idempotent only.
        transactional_id: Option<KafkaString> [0+],
        /// Milliseconds after which an idle transaction is aborted.
        transaction_timeout_ms: i32 [0+],
        /// Producer id that the client has, −1 for none (KIP-360).
        producer_id: i64 [3+] = -1,
        /// Producer epoch that the client has, −1 for none (KIP-360).
        producer_epoch: i16 [3+] = -1,
    }

    /// Brings a producer id and epoch.
    InitProducerIdResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// What went wrong.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// Producer id, −1 with an error.
        producer_id: i64 [0+] = -1,
        /// Producer epoch.
        producer_epoch: i16 [0+],
    }
}
