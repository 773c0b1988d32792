//! What a member is told of the generation that it is in.

use model::ErrorCode;

use crate::group::classic_group::Group;
use crate::group::ids::MemberId;
use crate::group::response::{JoinAnswer, JoinedMember, SyncAnswer};

/// Answers a JoinGroup with the present generation.
pub(super) fn joined(group: &Group, member_id: &MemberId) -> JoinAnswer {
    JoinAnswer {
        error: ErrorCode::None,
        generation_id: Some(group.generation),
        protocol_type: group.protocol_type.clone(),
        protocol_name: group.protocol_name.clone(),
        leader: group.leader.clone().unwrap_or_else(|| "".into()),
        skip_assignment: false,
        member_id: member_id.clone(),
        members: if group.is_leader(member_id) { joined_members(group) } else { Vec::new() },
    }
}

/// Returns all members, as the leader is told of them.
fn joined_members(group: &Group) -> Vec<JoinedMember> {
    let protocol_name = group.protocol_name.as_deref().unwrap_or_default();
    let members = group.members.iter().map(|(member_id, member)| JoinedMember {
        member_id: member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        metadata: member.metadata(protocol_name),
    });
    members.collect()
}

/// Answers a SyncGroup with the present assignment.
pub(super) fn synced(group: &Group, member_id: &MemberId) -> SyncAnswer {
    let member = group.members.get(member_id);
    SyncAnswer {
        error: ErrorCode::None,
        protocol_type: group.protocol_type.clone(),
        protocol_name: group.protocol_name.clone(),
        assignment: member.map(|member| member.assignment.clone()).unwrap_or_default(),
    }
}
