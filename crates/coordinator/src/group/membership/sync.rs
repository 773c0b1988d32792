//! SyncGroup: the leader brings the assignment, the others wait for it (Kafka's `classicGroupSync`).
//!
//! Invariant: nobody is told of an assignment that is not in the log.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::ErrorCode;

use super::{answers, rebalance};
use crate::group::classic_group::{Group, Phase};
use crate::group::ids::MemberId;
use crate::group::mutation::{self, Mutation};
use crate::group::request::{RequestId, SyncGroup};
use crate::group::response::{Response, SyncAnswer};
use crate::group::turn::Turn;

/// Handles a SyncGroup.
pub(in crate::group) fn sync(
    group: &mut Group,
    turn: &mut Turn<'_>,
    id: RequestId,
    request: SyncGroup,
) {
    let member_id = request.member.member_id.clone();
    if let Err(error) = check(group, &request) {
        return turn.reply(id, Response::Sync(SyncAnswer::error(error)));
    }
    group.touch(&member_id, turn.now);
    if group.phase == Phase::Completing && is_of_another_life(group, &request) {
        let answer = SyncAnswer::error(ErrorCode::IllegalGeneration);
        return turn.reply(id, Response::Sync(answer));
    }
    match group.phase {
        // The check let nobody through: an empty group has no members.
        Phase::Empty | Phase::Preparing(_) => {
            let answer = SyncAnswer::error(ErrorCode::RebalanceInProgress);
            turn.reply(id, Response::Sync(answer));
        }
        Phase::Completing => {
            group.forget_missing_sync(&member_id, turn);
            park(group, turn, id, &member_id);
            if group.is_leader(&member_id) {
                assign(group, turn, request.assignments);
            }
        }
        Phase::Stable => {
            group.forget_missing_sync(&member_id, turn);
            let answer = answers::synced(group, &member_id);
            turn.reply(id, Response::Sync(answer));
        }
    }
}

fn check(group: &Group, request: &SyncGroup) -> Result<(), ErrorCode> {
    let member = &request.member;
    if member.group_id.as_str().is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    if group.phase == Phase::Empty {
        return Err(ErrorCode::UnknownMemberId);
    }
    group.check_member(&member.member_id, member.group_instance_id.as_ref())?;
    group.check_generation(member.generation_id)?;
    let differs = |said: &Option<String>, known: &Option<String>| matches!((said, known), (Some(said), Some(known)) if said != known);
    if differs(&request.protocol_type, &group.protocol_type)
        || differs(&request.protocol_name, &group.protocol_name)
    {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    Ok(())
}

/// Says whether a leader's assignment was made for other members than those of this generation.
///
/// A generation counts before it is written, so a coordinator that dies before the assignment takes its number along, and the next coordinator gives the same number to
/// other members. A late SyncGroup of the former would then leave partitions with members that are gone. (Kafka takes it; found by the simulator.)
fn is_of_another_life(group: &Group, request: &SyncGroup) -> bool {
    group.is_leader(&request.member.member_id)
        && request.assignments.iter().any(|(member_id, _)| !group.members.contains(member_id))
}

/// Parks a member's SyncGroup. As with JoinGroup, an older one is answered with REBALANCE_IN_PROGRESS.
fn park(group: &mut Group, turn: &mut Turn<'_>, id: RequestId, member_id: &MemberId) {
    let member = group.members.get_mut(member_id);
    if let Some(older) = member.and_then(|member| member.parked_sync.replace(id)) {
        let answer = SyncAnswer::error(ErrorCode::RebalanceInProgress);
        turn.reply(older, Response::Sync(answer));
    }
}

/// Takes the leader's assignment in: it is written, and everyone who waits for it is answered.
fn assign(group: &mut Group, turn: &mut Turn<'_>, assignments: Vec<(MemberId, Bytes)>) {
    let bytes: usize = assignments.iter().map(|(_, assignment)| assignment.len()).sum();
    if bytes > turn.config.max_record_bytes {
        return refuse_assignment(group, turn);
    }
    let mut assignments: BTreeMap<MemberId, Bytes> = assignments.into_iter().collect();
    for (member_id, member) in group.members.iter_mut() {
        // What the leader does not mention is empty. A copy: it outlives the request, whose frame must not be kept for it.
        let assignment = assignments.remove(member_id).unwrap_or_default();
        member.assignment = Bytes::copy_from_slice(&assignment);
    }
    if !group.fits_a_record(turn) {
        return refuse_assignment(group, turn);
    }
    group.enter(Phase::Stable, turn.now);
    if !mutation::is_active(Mutation::AssignmentNotWritten) {
        group.write_metadata(turn);
    }
    turn.note_completed_rebalance();
    let waiting: Vec<(MemberId, RequestId)> = group
        .members
        .iter_mut()
        .filter_map(|(member_id, member)| Some((member_id.clone(), member.parked_sync.take()?)))
        .collect();
    for (member_id, id) in waiting {
        turn.reply(id, Response::Sync(answers::synced(group, &member_id)));
        group.restart_session(&member_id, turn);
    }
}

/// Refuses an assignment that no batch would hold. As Kafka: all are told, and join again.
fn refuse_assignment(group: &mut Group, turn: &mut Turn<'_>) {
    rebalance::abandon_assignment(group, turn, ErrorCode::UnknownServerError);
    rebalance::prepare(group, turn);
}

/// The timer of the wait for members to sync came: those who did not are removed.
pub(in crate::group) fn wait_ended(group: &mut Group, turn: &mut Turn<'_>) {
    let Some(missing) = group.missing_sync.take_if(|missing| missing.until <= turn.now.monotonic)
    else {
        return;
    };
    for member_id in &missing.members {
        group.remove_member(member_id, ErrorCode::UnknownMemberId, turn);
    }
    rebalance::prepare(group, turn);
}
