//! The rebalance: it begins, waits for the members to join, and ends in the next generation.
//!
//! Invariant: a member's JoinGroup is parked only while the group prepares a rebalance, and answered when that ends, at the latest.

use std::time::Duration;

use bytes::Bytes;
use model::ErrorCode;

use super::answers;
use crate::group::classic_group::{
    Group, JoinWait, JoinWaitKind, MissingSync, Newcomers, Phase, protocols,
};
use crate::group::ids::MemberId;
use crate::group::request::{JoinGroup, RequestId};
use crate::group::response::{JoinAnswer, Response, SyncAnswer};
use crate::group::turn::{Timer, Turn};

/// Takes in what a member says of itself now and parks its JoinGroup. An older one that is still parked was sent on a connection that is gone, most likely;
/// it is answered with REBALANCE_IN_PROGRESS, on which a client joins again and nothing is lost. (Kafka never answers it.)
pub(super) fn park(
    group: &mut Group,
    turn: &mut Turn<'_>,
    id: RequestId,
    member_id: &MemberId,
    request: &JoinGroup,
) {
    group.members.set_protocols(member_id, protocols::keep(&request.protocols));
    if let Some(member) = group.members.get_mut(member_id) {
        member.rebalance_timeout = request.rebalance_timeout;
        member.session_timeout = request.session_timeout;
    }
    if let Some(older) = group.members.park_join(member_id, id) {
        let answer = JoinAnswer::error(ErrorCode::RebalanceInProgress, member_id.clone());
        turn.reply(older, Response::Join(answer));
    }
}

/// Begins a rebalance, or ends the one that is being prepared if all have joined.
pub(in crate::group) fn prepare_or_complete(group: &mut Group, turn: &mut Turn<'_>) {
    match group.phase {
        Phase::Preparing(_) => complete_if_all_joined(group, turn),
        Phase::Empty | Phase::Completing | Phase::Stable => prepare(group, turn),
    }
}

/// Begins a rebalance.
pub(in crate::group) fn prepare(group: &mut Group, turn: &mut Turn<'_>) {
    if group.phase == Phase::Completing {
        abandon_assignment(group, turn, ErrorCode::RebalanceInProgress);
    }
    group.clear_missing_sync(turn);
    let wait = if group.phase == Phase::Empty {
        let delay = turn.config.initial_rebalance_delay;
        let remaining = group.members.rebalance_timeout().saturating_sub(delay);
        let kind = JoinWaitKind::Initial { delay, remaining, newcomers: Newcomers::None };
        JoinWait { until: turn.now.monotonic + delay, kind }
    } else {
        let timeout = group.members.rebalance_timeout();
        JoinWait { until: turn.now.monotonic + timeout, kind: JoinWaitKind::Rebalance }
    };
    turn.arm(&group.id, Timer::Join, wait.until);
    group.enter(Phase::Preparing(wait), turn.now);
    complete_if_all_joined(group, turn);
}

/// Ends the wait of those who have asked for an assignment that will not come.
pub(in crate::group) fn abandon_assignment(
    group: &mut Group,
    turn: &mut Turn<'_>,
    error: ErrorCode,
) {
    let ids: Vec<MemberId> = group.members.iter().map(|(id, _)| id.clone()).collect();
    for member_id in ids {
        let Some(member) = group.members.get_mut(&member_id) else { continue };
        member.assignment = Bytes::new();
        if let Some(id) = member.parked_sync.take() {
            turn.reply(id, Response::Sync(SyncAnswer::error(error)));
            group.restart_session(&member_id, turn);
        }
    }
}

/// Ends a rebalance for which nobody need be waited for. The wait for an empty group's first members ends with time alone.
pub(in crate::group) fn complete_if_all_joined(group: &mut Group, turn: &mut Turn<'_>) {
    if let Phase::Preparing(JoinWait { kind: JoinWaitKind::Rebalance, .. }) = group.phase
        && group.have_all_joined()
    {
        complete(group, turn);
    }
}

/// The timer of the wait for members to join came.
pub(in crate::group) fn join_wait_ended(group: &mut Group, turn: &mut Turn<'_>) {
    let Phase::Preparing(wait) = group.phase else { return };
    if wait.until > turn.now.monotonic {
        return;
    }
    match wait.kind {
        JoinWaitKind::Initial { delay, remaining, newcomers: Newcomers::Some }
            if !remaining.is_zero() =>
        {
            let next = turn.config.initial_rebalance_delay.min(remaining);
            let kind = JoinWaitKind::Initial {
                delay: next,
                remaining: remaining.saturating_sub(delay),
                newcomers: Newcomers::None,
            };
            wait_longer(group, turn, next, kind);
        }
        JoinWaitKind::Initial { .. } | JoinWaitKind::Rebalance => complete(group, turn),
    }
}

/// Prolongs the wait for members to join. The old timer is gone.
fn wait_longer(group: &mut Group, turn: &mut Turn<'_>, by: Duration, kind: JoinWaitKind) {
    let until = turn.now.monotonic + by;
    turn.arm(&group.id, Timer::Join, until);
    // Its state does not change, so neither does the time since when.
    group.phase = Phase::Preparing(JoinWait { until, kind });
}

/// Ends a rebalance: those who have not joined are removed, unless they are static, and those who have are told of the next generation.
fn complete(group: &mut Group, turn: &mut Turn<'_>) {
    if let Phase::Preparing(wait) = group.phase {
        turn.disarm(&group.id, Timer::Join, wait.until);
    }
    let absent: Vec<MemberId> = group
        .members
        .iter()
        .filter(|(_, member)| member.parked_join.is_none() && member.group_instance_id.is_none())
        .map(|(member_id, _)| member_id.clone())
        .collect();
    for member_id in &absent {
        group.remove_member(member_id, ErrorCode::UnknownMemberId, turn);
    }
    if group.members.is_empty() {
        group.leader = None;
        group.advance_generation();
        group.enter(Phase::Empty, turn.now);
        group.write_metadata(turn);
    } else if elect_joined_leader(group) {
        group.advance_generation();
        group.enter(Phase::Completing, turn.now);
        announce(group, turn);
    } else {
        // Static members alone, and none of them is back: their sessions will end.
        let timeout = group.members.rebalance_timeout().max(SHORTEST_SECOND_WAIT);
        wait_longer(group, turn, timeout, JoinWaitKind::Rebalance);
    }
}

/// Sees that the leader is one that has joined; `false` if nobody has.
fn elect_joined_leader(group: &mut Group) -> bool {
    let has_joined = |member_id: &MemberId| {
        group.members.get(member_id).is_some_and(|member| member.parked_join.is_some())
    };
    if group.leader.as_ref().is_some_and(has_joined) {
        return true;
    }
    let joined = group.members.iter().find(|(_, member)| member.parked_join.is_some());
    let Some(elected) = joined.map(|(member_id, _)| member_id.clone()) else { return false };
    group.leader = Some(elected);
    true
}

/// Tells all who joined of the new generation, and waits for everyone to ask for an assignment.
fn announce(group: &mut Group, turn: &mut Turn<'_>) {
    let ids: Vec<MemberId> = group.members.iter().map(|(id, _)| id.clone()).collect();
    for member_id in &ids {
        // A static member that did not come keeps the session that it has.
        let Some(id) = group.members.take_join(member_id) else { continue };
        turn.reply(id, Response::Join(answers::joined(group, member_id)));
        group.establish(member_id);
        group.restart_session(member_id, turn);
    }
    let until = turn.now.monotonic + group.members.rebalance_timeout();
    turn.arm(&group.id, Timer::Sync, until);
    group.missing_sync = Some(MissingSync { members: ids.into_iter().collect(), until });
}

/// Where a loaded group begins: with the sessions of its members, and with a rebalance if it is larger than is allowed now.
pub(in crate::group) fn begin_after_load(group: &mut Group, turn: &mut Turn<'_>) {
    let ids: Vec<MemberId> = group.members.iter().map(|(id, _)| id.clone()).collect();
    for member_id in ids {
        group.restart_session(&member_id, turn);
    }
    if group.members.len() > turn.config.max_size {
        prepare(group, turn);
    }
}

/// A rebalance for which nobody came is tried again after so long at the earliest, whatever timeout its members ask for.
const SHORTEST_SECOND_WAIT: Duration = Duration::from_secs(1);
