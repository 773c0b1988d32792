//! SyncGroup (key 14): the leader hands in the assignment, each member takes its part.

use bytes::Bytes;
use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks for the member's assignment, and brings all of them if the leader asks.
    SyncGroupRequest {
        /// Id of the group.
        group_id: KafkaString [0+],
        /// Generation of the member.
        generation_id: i32 [0+],
        /// Id of the member.
        member_id: KafkaString [0+],
        /// Instance id of a static member (KIP-345).
        group_instance_id: Option<KafkaString> [3+],
        /// Class of the protocols that the member knows to be chosen (KIP-559).
        protocol_type: Option<KafkaString> [5+],
        /// The protocol that the member knows to be chosen (KIP-559).
        protocol_name: Option<KafkaString> [5+],
        /// The leader's assignments; empty from others.
        assignments: Vec<SyncGroupRequestAssignment> [0+],
    }

    /// What a member is assigned.
    SyncGroupRequestAssignment {
        /// Id of the member.
        member_id: KafkaString [0+],
        /// Its assignment, in a form that the broker does not read.
        assignment: Bytes [0+],
    }

    /// Brings the member's assignment.
    SyncGroupResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [1+],
        /// Error of the request.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// Class of the protocols.
        protocol_type: Option<KafkaString> [5+],
        /// The protocol that was chosen.
        protocol_name: Option<KafkaString> [5+],
        /// The assignment, empty with an error.
        assignment: Bytes [0+],
    }
}
