//! Sessions: a member that is not heard from for its session timeout is removed.

use model::ErrorCode;

use super::rebalance;
use crate::group::classic_group::{Group, Phase};
use crate::group::ids::MemberId;
use crate::group::mutation::{self, Mutation};
use crate::group::turn::Turn;

/// The timer of a member, or of an id that was given out, came. It may come too early: a sign of life moves the deadline alone.
pub(in crate::group) fn timer_came(group: &mut Group, turn: &mut Turn<'_>, member_id: &MemberId) {
    let now = turn.now.monotonic;
    if let Some(until) = group.pending.get(member_id) {
        if *until <= now {
            forget_pending(group, turn, member_id);
        }
        return;
    }
    let Some(member) = group.members.get_mut(member_id) else { return };
    if member.armed_at.is_none_or(|at| at > now) {
        return;
    }
    member.armed_at = None;
    if member.is_waiting() && !mutation::is_active(Mutation::ParkedMemberExpires) {
        // Its session begins anew when it is answered, and its timer with that.
        return;
    }
    let deadline = member.deadline;
    if deadline > now {
        group.set_deadline(member_id, deadline, turn);
        return;
    }
    group.remove_member(member_id, ErrorCode::UnknownMemberId, turn);
    match group.phase {
        Phase::Completing | Phase::Stable => rebalance::prepare(group, turn),
        Phase::Preparing(_) => rebalance::complete_if_all_joined(group, turn),
        Phase::Empty => {}
    }
}

/// Forgets an id that was given out: nobody waits for it any longer.
pub(in crate::group) fn forget_pending(
    group: &mut Group,
    turn: &mut Turn<'_>,
    member_id: &MemberId,
) {
    group.remove_pending(member_id, turn);
    rebalance::complete_if_all_joined(group, turn);
    if group.is_void() {
        turn.remove_group();
    }
}
