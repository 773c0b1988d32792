//! JoinGroup (key 11): becomes a member of a group's next generation.

use bytes::Bytes;
use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks to be a member of the next generation.
    JoinGroupRequest {
        /// Id of the group.
        group_id: KafkaString [0+],
        /// Milliseconds without a heartbeat after which the member is taken for dead.
        session_timeout_ms: i32 [0+],
        /// Milliseconds that the members have to join again in a rebalance; version 0 means its session timeout.
        rebalance_timeout_ms: i32 [1+] = -1,
        /// Id of the member, empty when it has none yet.
        member_id: KafkaString [0+],
        /// Instance id of a static member (KIP-345).
        group_instance_id: Option<KafkaString> [5+],
        /// Class of the protocols: `consumer`, `connect`.
        protocol_type: KafkaString [0+],
        /// The protocols that the member supports, the preferred one first.
        protocols: Vec<JoinGroupRequestProtocol> [0+],
        /// Why it joins, for a reader (KIP-800).
        reason: Option<KafkaString> [8+],
    }

    /// A protocol that the member supports.
    JoinGroupRequestProtocol {
        /// Name of the protocol: for consumers, of the assignor.
        name: KafkaString [0+],
        /// What the member says to the leader; for consumers, its subscription.
        metadata: Bytes [0+],
    }

    /// Admits to a generation.
    JoinGroupResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [2+],
        /// Error of the request.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// The generation, −1 with an error.
        generation_id: i32 [0+] = -1,
        /// Class of the protocols.
        protocol_type: Option<KafkaString> [7+],
        /// The protocol that all members support, empty or null with an error.
        protocol_name: Option<KafkaString> [0+, null 7+] = Some(KafkaString::default()),
        /// Member id of the leader, who assigns.
        leader: KafkaString [0+],
        /// Whether the leader shall not assign, since the generation's assignment stands (KIP-814).
        skip_assignment: bool [9+],
        /// Id of this member.
        member_id: KafkaString [0+],
        /// All members, told to the leader only.
        members: Vec<JoinGroupResponseMember> [0+],
    }

    /// A member, as its leader sees it.
    JoinGroupResponseMember {
        /// Id of the member.
        member_id: KafkaString [0+],
        /// Instance id of a static member (KIP-345).
        group_instance_id: Option<KafkaString> [5+],
        /// What the member said with the protocol that was chosen.
        metadata: Bytes [0+],
    }
}
