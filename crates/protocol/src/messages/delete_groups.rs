//! DeleteGroups (key 42): forgets groups and their committed offsets.

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks the coordinator to forget groups.
    DeleteGroupsRequest {
        /// Ids of the groups.
        groups_names: Vec<KafkaString> [0+],
    }

    /// Says what became of the groups.
    DeleteGroupsResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// The groups of the request.
        results: Vec<DeletableGroupResult> [0+],
    }

    /// A group of the request.
    DeletableGroupResult {
        /// Id of the group.
        group_id: KafkaString [0+],
        /// Error of this group.
        error_code: ErrorCode [0+] = ErrorCode::None,
    }
}
