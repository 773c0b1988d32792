//! OffsetCommit: who may commit, and what is written.

use std::time::Duration;

use model::{ErrorCode, UnixMillis};

use super::super::GroupConfig;
use super::super::record::{GroupRecord, OffsetRecord};
use super::super::request::{CommitOffsets, MemberRef, OffsetToCommit};
use super::super::response::Response;
use super::super::state::GroupState;
use super::{Decision, GroupFacts};

/// Decides about a commit. `group` is absent when there is no such group; `membership` is what the group says of the one who commits (`Ok` for a member that is not
/// fenced), and is looked at only where membership matters.
///
/// Records for a group that does not exist create it: a group of offsets alone. A group that nothing was written for is not created (Kafka creates it in memory, where a
/// failover forgets it).
pub(in crate::group) fn commit(
    config: &GroupConfig,
    wall: UnixMillis,
    group: Option<&GroupFacts<'_>>,
    membership: Result<(), ErrorCode>,
    request: CommitOffsets,
) -> Decision {
    let CommitOffsets { member, offsets, retention } = request;
    if let Err(error) = check(group, &member, membership) {
        return Decision::answer(Response::CommitOffsets(vec![error; offsets.len()]));
    }
    let expire_time = retention.map(|retention| later(wall, retention));
    let mut records = Vec::with_capacity(offsets.len());
    let mut codes = Vec::with_capacity(offsets.len());
    for offset in offsets {
        if is_too_large(config, &offset.metadata) {
            codes.push(ErrorCode::OffsetMetadataTooLarge);
            continue;
        }
        codes.push(ErrorCode::None);
        let OffsetToCommit { topic, partition, offset, leader_epoch, metadata } = offset;
        records.push(GroupRecord::Offset {
            group_id: member.group_id.clone(),
            topic,
            partition,
            // Whatever it is: Kafka's broker keeps a negative offset too.
            value: Some(OffsetRecord {
                offset,
                leader_epoch,
                metadata,
                commit_time: wall,
                expire_time,
            }),
        });
    }
    Decision { records, response: Response::CommitOffsets(codes) }
}

/// Kafka's `validateOffsetCommit`. GROUP_ID_NOT_FOUND is for clients of version 9 and later; older ones are told ILLEGAL_GENERATION by the handler.
fn check(
    group: Option<&GroupFacts<'_>>,
    member: &MemberRef,
    membership: Result<(), ErrorCode>,
) -> Result<(), ErrorCode> {
    let Some(group) = group else {
        return match member.generation_id {
            // An operator, or a consumer that assigns partitions to itself.
            None => Ok(()),
            Some(_) => Err(ErrorCode::GroupIdNotFound),
        };
    };
    if group.state == GroupState::Dead {
        return Err(ErrorCode::CoordinatorNotAvailable);
    }
    if member.generation_id.is_none() && group.state == GroupState::Empty {
        return Ok(());
    }
    let claims_membership = member.generation_id.is_some()
        || !member.member_id.as_str().is_empty()
        || member.group_instance_id.is_some();
    if !claims_membership {
        return Err(ErrorCode::UnknownMemberId);
    }
    membership?;
    if member.generation_id != Some(group.generation_id) {
        return Err(ErrorCode::IllegalGeneration);
    }
    match group.state {
        // The member has its generation from the join, but no assignment yet: what it read before may be another's by now.
        GroupState::CompletingRebalance => Err(ErrorCode::RebalanceInProgress),
        GroupState::Empty
        | GroupState::PreparingRebalance
        | GroupState::Stable
        | GroupState::Dead => Ok(()),
    }
}

/// Kafka counts UTF-16 units, whatever the key's name says. What a record's value cannot hold is too large in any case.
fn is_too_large(config: &GroupConfig, metadata: &str) -> bool {
    let max = config.offset_metadata_max_bytes;
    metadata.len() > MAX_METADATA_BYTES
        || (metadata.len() > max && metadata.encode_utf16().count() > max)
}

fn later(wall: UnixMillis, by: Duration) -> UnixMillis {
    UnixMillis(wall.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

/// Greatest length of a string in a record's value: a positive 16-bit number.
const MAX_METADATA_BYTES: usize = 32_767;
