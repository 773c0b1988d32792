//! ListGroups (key 16): the groups that a broker coordinates.

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks a broker for the groups that it coordinates.
    ListGroupsRequest {
        /// Names of the states that are asked for, empty for all (KIP-518).
        states_filter: Vec<KafkaString> [4+],
        /// Types of the groups that are asked for, empty for all (KIP-848).
        types_filter: Vec<KafkaString> [5+],
    }

    /// Lists groups.
    ListGroupsResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [1+],
        /// Error of the request.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// The groups.
        groups: Vec<ListedGroup> [0+],
    }

    /// A group.
    ListedGroup {
        /// Id of the group.
        group_id: KafkaString [0+],
        /// Class of its protocols, empty when it has none.
        protocol_type: KafkaString [0+],
        /// Name of its state.
        group_state: KafkaString [4+],
        /// Its type: `classic`, `consumer`.
        group_type: KafkaString [5+],
    }
}
