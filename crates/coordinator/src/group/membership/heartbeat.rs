//! Heartbeat: a member's sign of life, and how it learns that a rebalance has begun (Kafka's `classicGroupHeartbeat`).

use model::ErrorCode;

use crate::group::classic_group::{Group, Phase};
use crate::group::request::Heartbeat;
use crate::group::turn::Turn;

/// Answers a heartbeat.
pub(in crate::group) fn heartbeat(
    group: &mut Group,
    turn: &mut Turn<'_>,
    request: &Heartbeat,
) -> ErrorCode {
    let member = &request.member;
    if member.group_id.as_str().is_empty() {
        return ErrorCode::InvalidGroupId;
    }
    let known = group
        .check_member(&member.member_id, member.group_instance_id.as_ref())
        .and_then(|()| group.check_generation(member.generation_id));
    if let Err(error) = known {
        return error;
    }
    group.touch(&member.member_id, turn.now);
    match group.phase {
        // Members of a group that rebalances stay members while they finish what they do (KIP-429), so the session goes on.
        Phase::Preparing(_) => ErrorCode::RebalanceInProgress,
        // A client may send heartbeats as soon as it has joined.
        Phase::Completing | Phase::Stable => ErrorCode::None,
        Phase::Empty => ErrorCode::UnknownMemberId,
    }
}
