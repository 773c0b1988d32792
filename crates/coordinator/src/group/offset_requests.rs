//! Requests about committed offsets: `offsets` decides, the group writes what it says and takes it in. What a transaction commits waits until the log has taken it.

use model::ErrorCode;

use super::classic_group::Group;
use super::mutation::{self, Mutation};
use super::offsets::{self, Decision};
use super::request::{
    CommitOffsets, CommitTransactionalOffsets, DeleteOffsets, FetchOffsets, MemberRef,
};
use super::response::Response;
use super::turn::Turn;

/// Answers an OffsetCommit. It is a sign of life of the member that commits.
pub(super) fn commit(
    group: &mut Group,
    turn: &mut Turn<'_>,
    mut request: CommitOffsets,
) -> Response {
    let member_id = request.member.member_id.clone();
    let membership = group.check_member(&member_id, request.member.group_instance_id.as_ref());
    if mutation::is_active(Mutation::CommitOfAnyGeneration) {
        request.member.generation_id = Some(group.generation);
    }
    let facts = group.facts();
    let known = group.is_known().then_some(&facts);
    let decision = offsets::commit(turn.config, turn.now.wall, known, membership, request);
    if membership.is_ok() && is_accepted(&decision.response) {
        group.touch(&member_id, turn.now);
    }
    if mutation::is_active(Mutation::CommitNotWritten) {
        group.take_in_offsets(&decision.records, turn);
    } else {
        group.write_offsets(decision.records, turn);
    }
    decision.response
}

/// Decides about a TxnOffsetCommit. It is no sign of life of a member, as in Kafka.
pub(super) fn commit_transactional(
    group: &Group,
    turn: &Turn<'_>,
    request: CommitTransactionalOffsets,
) -> Decision {
    let MemberRef { member_id, group_instance_id, .. } = &request.member;
    let membership = group.check_member(member_id, group_instance_id.as_ref());
    let facts = group.facts();
    let known = group.is_known().then_some(&facts);
    offsets::commit_transactional(turn.config, turn.now.wall, known, membership, request)
}

/// Says whether the one who commits was recognised, whatever became of single offsets.
fn is_accepted(response: &Response) -> bool {
    let Response::CommitOffsets(codes) = response else { return false };
    codes.iter().all(|code| matches!(code, ErrorCode::None | ErrorCode::OffsetMetadataTooLarge))
}

/// Answers an OffsetFetch.
pub(super) fn fetch(group: &Group, request: FetchOffsets) -> Response {
    offsets::fetch(group.is_known().then_some(group.stored()), request)
}

/// Answers an OffsetDelete.
pub(super) fn delete(group: &mut Group, turn: &mut Turn<'_>, request: &DeleteOffsets) -> Response {
    let facts = group.facts();
    let known = group.is_known().then_some((&facts, group.stored()));
    let decision = offsets::delete(known, request);
    group.write_offsets(decision.records, turn);
    decision.response
}
