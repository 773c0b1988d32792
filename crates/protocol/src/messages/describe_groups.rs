//! DescribeGroups (key 15): state and members of groups.

use bytes::Bytes;
use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks the coordinator about groups.
    DescribeGroupsRequest {
        /// Ids of the groups.
        groups: Vec<KafkaString> [0+],
        /// Whether to say what the client may do with each group (KIP-430).
        include_authorized_operations: bool [3+],
    }

    /// Describes groups.
    DescribeGroupsResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [1+],
        /// The groups of the request.
        groups: Vec<DescribedGroup> [0+],
    }

    /// A group of the request.
    DescribedGroup {
        /// Error of this group.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// What went wrong, for a reader (KIP-1043).
        error_message: Option<KafkaString> [6+],
        /// Id of the group.
        group_id: KafkaString [0+],
        /// Name of its state, empty with an error.
        group_state: KafkaString [0+],
        /// Class of its protocols, empty when it has none.
        protocol_type: KafkaString [0+],
        /// The protocol that was chosen, empty unless the group is stable.
        protocol_data: KafkaString [0+],
        /// The members.
        members: Vec<DescribedGroupMember> [0+],
        /// Bits of what the client may do, `i32::MIN` when it was not asked for.
        authorized_operations: i32 [3+] = i32::MIN,
    }

    /// A member.
    DescribedGroupMember {
        /// Id of the member.
        member_id: KafkaString [0+],
        /// Instance id of a static member (KIP-345).
        group_instance_id: Option<KafkaString> [4+],
        /// Client id, as it was when the member joined.
        client_id: KafkaString [0+],
        /// Host of the client, with a slash in front as Java prints addresses.
        client_host: KafkaString [0+],
        /// What the member said with the protocol that was chosen, empty unless the group is stable.
        member_metadata: Bytes [0+],
        /// Its assignment, empty unless the group is stable.
        member_assignment: Bytes [0+],
    }
}
