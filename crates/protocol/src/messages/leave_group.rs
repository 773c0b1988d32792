//! LeaveGroup (key 13): members leave.

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Takes members out of a group: one up to version 2, several from version 3 on (KIP-345).
    LeaveGroupRequest {
        /// Id of the group.
        group_id: KafkaString [0+],
        /// Id of the member.
        member_id: KafkaString [0-2],
        /// The members.
        members: Vec<MemberIdentity> [3+],
    }

    /// A member that leaves.
    MemberIdentity {
        /// Id of the member; empty when the instance id alone names it.
        member_id: KafkaString [3+],
        /// Instance id of a static member.
        group_instance_id: Option<KafkaString> [3+],
        /// Why it leaves, for a reader (KIP-800).
        reason: Option<KafkaString> [5+],
    }

    /// Says what became of the members.
    LeaveGroupResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [1+],
        /// Error of the whole request; up to version 2, of the member.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// The members of the request.
        members: Vec<MemberResponse> [3+],
    }

    /// A member of the request.
    MemberResponse {
        /// Id of the member, as in the request.
        member_id: KafkaString [3+],
        /// Instance id, as in the request.
        group_instance_id: Option<KafkaString> [3+],
        /// Error of this member.
        error_code: ErrorCode [3+] = ErrorCode::None,
    }
}
