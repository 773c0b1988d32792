//! LeaveGroup: members leave, by their ids, or are put out by their static names (Kafka's `classicGroupLeave`).

use model::ErrorCode;

use super::rebalance;
use crate::group::classic_group::Group;
use crate::group::request::{LeaveGroup, LeavingMember};
use crate::group::response::LeaveAnswer;
use crate::group::turn::Turn;

/// Answers a LeaveGroup.
pub(in crate::group) fn leave(
    group: &mut Group,
    turn: &mut Turn<'_>,
    request: &LeaveGroup,
) -> LeaveAnswer {
    if request.group_id.as_str().is_empty() {
        return LeaveAnswer { error: ErrorCode::InvalidGroupId, members: Vec::new() };
    }
    let was_count = group.members.len();
    let mut members = Vec::with_capacity(request.members.len());
    for leaving in &request.members {
        members.push(remove(group, turn, leaving).err().unwrap_or(ErrorCode::None));
    }
    if group.members.len() < was_count {
        rebalance::prepare_or_complete(group, turn);
    } else {
        // An id that was given out may be what the rebalance waited for; else it is no reason for one. (Kafka rebalances.)
        rebalance::complete_if_all_joined(group, turn);
    }
    LeaveAnswer { error: ErrorCode::None, members }
}

fn remove(
    group: &mut Group,
    turn: &mut Turn<'_>,
    leaving: &LeavingMember,
) -> Result<(), ErrorCode> {
    let instance = leaving.group_instance_id.as_ref();
    let member_id = if leaving.member_id.as_str().is_empty() {
        // An operator names static members by their names alone.
        let bearer = instance.and_then(|name| group.members.id_of(name));
        bearer.ok_or(ErrorCode::UnknownMemberId)?.clone()
    } else if group.remove_pending(&leaving.member_id, turn) {
        return Ok(());
    } else {
        group.check_member(&leaving.member_id, instance)?;
        leaving.member_id.clone()
    };
    group.remove_member(&member_id, ErrorCode::UnknownMemberId, turn);
    Ok(())
}
