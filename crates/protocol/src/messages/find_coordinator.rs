//! FindCoordinator (key 10): which broker coordinates a group.

use model::ErrorCode;

use crate::codec::KafkaString;

/// Key type of a group's coordinator; what version 0 means without saying it.
pub const GROUP_KEY_TYPE: i8 = 0;
/// Key type of a transactional id's coordinator.
pub const TRANSACTION_KEY_TYPE: i8 = 1;
/// Key type of a share group's partition (version 6, KIP-932).
pub const SHARE_KEY_TYPE: i8 = 2;

message! {
    /// Asks for coordinators: of one key up to version 3, of several from version 4 on (KIP-699).
    FindCoordinatorRequest {
        /// Id of the group, or transactional id.
        key: KafkaString [0-3],
        /// What the keys are: one of the key types above.
        key_type: i8 [1+],
        /// Ids of groups, or transactional ids.
        coordinator_keys: Vec<KafkaString> [4+],
    }

    /// Names coordinators.
    FindCoordinatorResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [1+],
        /// Error of the request.
        error_code: ErrorCode [0-3] = ErrorCode::None,
        /// What went wrong, for a reader.
        error_message: Option<KafkaString> [1-3] = Some(KafkaString::default()),
        /// Id of the broker, −1 with an error.
        node_id: i32 [0-3] = -1,
        /// Its host, empty with an error.
        host: KafkaString [0-3],
        /// Its port, −1 with an error.
        port: i32 [0-3] = -1,
        /// A coordinator for each key.
        coordinators: Vec<Coordinator> [4+],
    }

    /// The coordinator of a key.
    Coordinator {
        /// The key.
        key: KafkaString [4+],
        /// Id of the broker, −1 with an error.
        node_id: i32 [4+] = -1,
        /// Its host, empty with an error.
        host: KafkaString [4+],
        /// Its port, −1 with an error.
        port: i32 [4+] = -1,
        /// Error of this key.
        error_code: ErrorCode [4+] = ErrorCode::None,
        /// What went wrong, for a reader.
        error_message: Option<KafkaString> [4+] = Some(KafkaString::default()),
    }
}
