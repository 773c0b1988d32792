//! Heartbeat (key 12): a member lives.

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Says that a member lives.
    HeartbeatRequest {
        /// Id of the group.
        group_id: KafkaString [0+],
        /// Generation of the member.
        generation_id: i32 [0+],
        /// Id of the member.
        member_id: KafkaString [0+],
        /// Instance id of a static member (KIP-345).
        group_instance_id: Option<KafkaString> [3+],
    }

    /// Says whether the member shall go on.
    HeartbeatResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [1+],
        /// Error of the request; REBALANCE_IN_PROGRESS asks to join again.
        error_code: ErrorCode [0+] = ErrorCode::None,
    }
}
