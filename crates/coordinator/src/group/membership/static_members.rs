//! A static member that comes back (KIP-345): it takes the place of its predecessor, which is fenced from then on.

use model::ErrorCode;

use super::{answers, rebalance};
use crate::group::classic_group::{Group, Member, Phase, Standing};
use crate::group::ids::MemberId;
use crate::group::mutation::{self, Mutation};
use crate::group::request::{JoinGroup, RequestId, SkipAssignment};
use crate::group::response::{JoinAnswer, Response};
use crate::group::turn::Turn;

/// Gives the place of the member `present` to the one who joins under its static name and a new id.
///
/// In a stable group whose strategy stays what it is nothing is rebalanced: the successor has the assignment. Whatever the member subscribes to now, its client compares
/// with the assignment and asks for a rebalance if it must.
pub(in crate::group) fn replace(
    group: &mut Group,
    turn: &mut Turn<'_>,
    id: RequestId,
    present: &MemberId,
    request: &JoinGroup,
) {
    let successor = &request.drawn_member_id;
    let old_leader = group.leader.clone();
    let Some(mut member) = group.members.remove(present) else { return };
    group.dismiss(present, &member, ErrorCode::FencedInstanceId, turn);
    group.forget_missing_sync(present, turn);
    member.parked_join = None;
    member.parked_sync = None;
    member.armed_at = None;
    // Its name is known, so it need not be doubted as a new member is: it does not expire while it waits.
    member.standing = Standing::Established;
    member.client_id.clone_from(&request.client_id);
    member.client_host.clone_from(&request.client_host);
    if mutation::is_active(Mutation::NoFencing) {
        let kept = Member { group_instance_id: None, ..member.clone() };
        group.members.insert(present.clone(), kept);
        group.restart_session(present, turn);
    }
    group.members.insert(successor.clone(), member);
    if group.is_leader(present) {
        group.leader = Some(successor.clone());
    }
    rebalance::park(group, turn, id, successor, request);
    group.restart_session(successor, turn);
    match group.phase {
        Phase::Stable
            if group.members.elect_protocol() == group.protocol_name
                && group.fits_a_record(turn) =>
        {
            answer_at_once(group, turn, successor, request.skip_assignment, old_leader);
        }
        // The leader may have been told of the old id already; an assignment for it would reach nobody.
        Phase::Completing | Phase::Stable => rebalance::prepare(group, turn),
        Phase::Preparing(_) => rebalance::complete_if_all_joined(group, turn),
        // A group with a member is not empty.
        Phase::Empty => {}
    }
}

/// Answers the successor with the present generation. Its id is in the log by then: a failover must not bring the predecessor back.
fn answer_at_once(
    group: &mut Group,
    turn: &mut Turn<'_>,
    successor: &MemberId,
    skip_assignment: SkipAssignment,
    old_leader: Option<MemberId>,
) {
    let Some(id) = group.members.take_join(successor) else { return };
    if !mutation::is_active(Mutation::ReplacementNotWritten) {
        group.write_metadata(turn);
    }
    group.establish(successor);
    group.note_subscriptions();
    let answer = match skip_assignment {
        SkipAssignment::Understood => JoinAnswer {
            skip_assignment: group.is_leader(successor),
            ..answers::joined(group, successor)
        },
        // A leader would compute an assignment that nobody waits for, so it is told that its old self leads.
        SkipAssignment::Unknown => JoinAnswer {
            leader: old_leader.unwrap_or_else(|| "".into()),
            members: Vec::new(),
            ..answers::joined(group, successor)
        },
    };
    turn.reply(id, Response::Join(answer));
}
