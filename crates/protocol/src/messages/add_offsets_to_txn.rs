//! AddOffsetsToTxn (key 25): makes the offsets of a group part of a transaction.

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks the coordinator of a transactional id to add the group's partition of `__consumer_offsets` to the transaction.
    AddOffsetsToTxnRequest {
        /// Transactional id of the transaction.
        transactional_id: KafkaString [0+],
        /// Its producer id.
        producer_id: i64 [0+],
        /// Its producer epoch.
        producer_epoch: i16 [0+],
        /// Id of the group.
        group_id: KafkaString [0+],
    }

    /// Says whether it was added.
    AddOffsetsToTxnResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// What went wrong.
        error_code: ErrorCode [0+] = ErrorCode::None,
    }
}
