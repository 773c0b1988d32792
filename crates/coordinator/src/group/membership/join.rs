//! JoinGroup: who may join, as whom, and whether that disturbs the group (Kafka's `classicGroupJoin`).

use std::time::Duration;

use bytes::Bytes;
use model::{ErrorCode, Timestamp};

use super::{answers, rebalance, static_members};
use crate::group::GroupConfig;
use crate::group::classic_group::{
    Group, JoinWait, JoinWaitKind, Member, Newcomers, Phase, Standing, protocols,
};
use crate::group::ids::MemberId;
use crate::group::record_size::MAX_TEXT_BYTES;
use crate::group::request::{FirstJoin, JoinGroup, JoinProtocol, RequestId};
use crate::group::response::{JoinAnswer, Response};
use crate::group::turn::Turn;

/// Handles a JoinGroup.
pub(in crate::group) fn join(
    group: &mut Group,
    turn: &mut Turn<'_>,
    id: RequestId,
    request: JoinGroup,
) {
    if let Err(error) = check(group, turn.config, &request) {
        let told = if error == ErrorCode::GroupMaxSizeReached {
            expel(group, turn, &request.member_id);
            MemberId::from("")
        } else {
            request.member_id
        };
        turn.reply(id, Response::Join(JoinAnswer::error(error, told)));
    } else if request.member_id.as_str().is_empty() {
        join_new(group, turn, id, request);
    } else if group.remove_pending(&request.member_id, turn) {
        let member_id = request.member_id.clone();
        add(group, turn, id, member_id, &request);
    } else {
        rejoin(group, turn, id, &request);
    }
}

/// Checks what can be refused before anything changes, in Kafka's order.
fn check(group: &Group, config: &GroupConfig, request: &JoinGroup) -> Result<(), ErrorCode> {
    let member_id = &request.member_id;
    let is_first_join = member_id.as_str().is_empty();
    if request.group_id.as_str().is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    if !is_expressible(request) {
        return Err(ErrorCode::InvalidRequest);
    }
    if !(config.min_session_timeout..=config.max_session_timeout).contains(&request.session_timeout)
    {
        return Err(ErrorCode::InvalidSessionTimeout);
    }
    if !group.is_known() && !is_first_join {
        return Err(ErrorCode::UnknownMemberId);
    }
    if !has_room(group, config, request) {
        return Err(ErrorCode::GroupMaxSizeReached);
    }
    if !shares_protocols(group, &request.protocol_type, &request.protocols) {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    if !fits(group, config, request) {
        return Err(ErrorCode::UnknownServerError);
    }
    let is_pending = group.pending.contains_key(member_id) && request.group_instance_id.is_none();
    if is_first_join || is_pending {
        return Ok(());
    }
    group.check_member(member_id, request.group_instance_id.as_ref())
}

/// Says whether records and answers can hold each text. Kafka's broker does not ask, nor how many strategies there are; no client comes near.
fn is_expressible(request: &JoinGroup) -> bool {
    let texts = texts(request).all(|text| text.len() <= MAX_TEXT_BYTES);
    let is_short = |protocol: &JoinProtocol| protocol.name.len() <= MAX_TEXT_BYTES;
    texts
        && request.protocols.len() <= protocols::MAX_COUNT
        && request.protocols.iter().all(is_short)
}

fn texts(request: &JoinGroup) -> impl Iterator<Item = &str> {
    let texts = [
        request.group_id.as_str(),
        request.member_id.as_str(),
        request.drawn_member_id.as_str(),
        &request.client_id,
        &request.client_host,
        &request.protocol_type,
    ];
    texts.into_iter().chain(request.group_instance_id.as_ref().map(|name| name.as_str()))
}

/// Says whether what a member tells can ever be written with an assignment, and the group keeps no more than a few records of it. Kafka finds out when the leader syncs,
/// and answers the same; until then it keeps whatever was said.
fn fits(group: &Group, config: &GroupConfig, request: &JoinGroup) -> bool {
    let said = protocols::bytes(&request.protocols);
    let before = group.members.get(&request.member_id);
    let others = group.members.protocols().bytes()
        - before.map_or(0, |member| protocols::bytes(&member.protocols));
    let texts: usize = texts(request).map(str::len).sum();
    texts + said <= config.max_record_bytes
        && others + said <= config.max_record_bytes.saturating_mul(MAX_RECORDS_OF_PROTOCOLS)
}

/// Says whether `group.max.size` admits one.
fn has_room(group: &Group, config: &GroupConfig, request: &JoinGroup) -> bool {
    // A static member that returns takes its own place, whatever its id. (Kafka counts it as one more.)
    let instance = request.group_instance_id.as_ref();
    let member_id = match instance.and_then(|name| group.members.id_of(name)) {
        Some(present) if request.member_id.as_str().is_empty() => present,
        Some(_) | None => &request.member_id,
    };
    match group.phase {
        Phase::Empty => true,
        // Those who wait count, not those who are known: a group above a limit that was lowered, or loaded, loses whoever rejoins last.
        Phase::Preparing(_) => {
            group.members.get(member_id).is_some_and(|member| member.parked_join.is_some())
                || group.members.parked_join_count() < config.max_size
        }
        Phase::Completing | Phase::Stable => {
            group.members.contains(member_id) || group.members.len() < config.max_size
        }
    }
}

/// Says whether one of this type, with these strategies, goes together with the members.
fn shares_protocols(group: &Group, protocol_type: &str, protocols: &[JoinProtocol]) -> bool {
    if group.phase == Phase::Empty {
        return !protocol_type.is_empty() && !protocols.is_empty();
    }
    group.protocol_type.as_deref() == Some(protocol_type) && group.members.share_one_of(protocols)
}

/// Puts out one for whom the group has no room.
fn expel(group: &mut Group, turn: &mut Turn<'_>, member_id: &MemberId) {
    let was_pending = group.remove_pending(member_id, turn);
    let was_member = group.remove_member(member_id, ErrorCode::GroupMaxSizeReached, turn).is_some();
    if was_pending || was_member {
        // Kafka lets those who have joined wait until the rebalance times out; nobody is left to wait for.
        rebalance::complete_if_all_joined(group, turn);
    }
}

/// Handles the first JoinGroup of a client that has no member id yet.
fn join_new(group: &mut Group, turn: &mut Turn<'_>, id: RequestId, request: JoinGroup) {
    let drawn = request.drawn_member_id.clone();
    if drawn.as_str().is_empty()
        || group.members.contains(&drawn)
        || group.pending.contains_key(&drawn)
    {
        // An id that was drawn at random is not taken, unless the driver is at fault.
        let answer = JoinAnswer::error(ErrorCode::UnknownServerError, request.member_id);
        return turn.reply(id, Response::Join(answer));
    }
    if let Some(instance) = &request.group_instance_id {
        match group.members.id_of(instance).cloned() {
            Some(present) => static_members::replace(group, turn, id, &present, &request),
            None => add(group, turn, id, drawn, &request),
        }
        return;
    }
    match request.first_join {
        FirstJoin::Directly => add(group, turn, id, drawn, &request),
        FirstJoin::WithMemberId => {
            let until = turn.now.monotonic + request.session_timeout.min(NEW_MEMBER_JOIN_TIMEOUT);
            group.add_pending(drawn.clone(), until, turn);
            let answer = JoinAnswer::error(ErrorCode::MemberIdRequired, drawn);
            turn.reply(id, Response::Join(answer));
        }
    }
}

/// Adds a member and rebalances.
fn add(
    group: &mut Group,
    turn: &mut Turn<'_>,
    id: RequestId,
    member_id: MemberId,
    request: &JoinGroup,
) {
    if let Phase::Preparing(JoinWait { kind: JoinWaitKind::Initial { newcomers, .. }, .. }) =
        &mut group.phase
    {
        *newcomers = Newcomers::Some;
    }
    if group.members.is_empty() {
        group.protocol_type = Some(request.protocol_type.clone());
    }
    let member = Member {
        group_instance_id: request.group_instance_id.clone(),
        client_id: request.client_id.clone(),
        client_host: request.client_host.clone(),
        rebalance_timeout: request.rebalance_timeout,
        session_timeout: request.session_timeout,
        protocols: protocols::keep(&request.protocols),
        assignment: Bytes::new(),
        standing: Standing::New,
        parked_join: Some(id),
        parked_sync: None,
        deadline: Timestamp::ZERO,
        armed_at: None,
    };
    group.members.insert(member_id.clone(), member);
    group.leader.get_or_insert_with(|| member_id.clone());
    let deadline = turn.now.monotonic + NEW_MEMBER_JOIN_TIMEOUT;
    group.set_deadline(&member_id, deadline, turn);
    rebalance::prepare_or_complete(group, turn);
}

/// Handles the JoinGroup of a member.
fn rejoin(group: &mut Group, turn: &mut Turn<'_>, id: RequestId, request: &JoinGroup) {
    let member_id = &request.member_id;
    let is_unchanged = group
        .members
        .get(member_id)
        .is_some_and(|member| protocols::are_unchanged(&member.protocols, &request.protocols));
    let is_disturbed = match group.phase {
        Phase::Preparing(_) => true,
        // One that joins as it did before may only have missed the answer.
        Phase::Completing => !is_unchanged,
        // The leader joins to have the group rebalanced: it may know of more than its metadata shows, new partitions for example.
        Phase::Stable => !is_unchanged || group.is_leader(member_id),
        // There are no members in an empty group: the check let nobody through.
        Phase::Empty => return,
    };
    if is_disturbed {
        rebalance::park(group, turn, id, member_id, request);
        rebalance::prepare_or_complete(group, turn);
    } else {
        group.touch(member_id, turn.now);
        turn.reply(id, Response::Join(answers::joined(group, member_id)));
    }
}

/// How many times as much as a record holds the members of a group may tell of their strategies. A record holds one strategy's part, and clients know few.
const MAX_RECORDS_OF_PROTOCOLS: usize = 8;

/// How long the first JoinGroup of a new member stays parked (Kafka's `classicGroupNewMemberJoinTimeoutMs`). Its client may be gone without our knowing; one that is still
/// there joins again.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(5 * 60);
