//! OffsetCommit: who may commit, and what is written.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use model::{ErrorCode, UnixMillis};

use super::{Decision, GroupFacts};
use crate::group::GroupConfig;
use crate::group::ids::TopicName;
use crate::group::record::{GroupRecord, OffsetRecord};
use crate::group::record_size::{self, MAX_TEXT_BYTES};
use crate::group::request::{CommitOffsets, MemberRef, OffsetToCommit};
use crate::group::response::Response;
use crate::group::state::GroupState;

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
        return Decision::answer(refusal(error, offsets.len()));
    }
    let expire_time = retention.map(|retention| later(wall, retention));
    let mut records = Vec::with_capacity(offsets.len());
    let mut places: BTreeMap<(TopicName, i32), usize> = BTreeMap::new();
    let mut codes = Vec::with_capacity(offsets.len());
    for offset in offsets {
        if is_too_large(config, &offset.metadata) {
            codes.push(ErrorCode::OffsetMetadataTooLarge);
            continue;
        }
        codes.push(ErrorCode::None);
        let OffsetToCommit { topic, topic_id, partition, offset, leader_epoch, metadata } = offset;
        let record = GroupRecord::Offset {
            group_id: member.group_id.clone(),
            topic: topic.clone(),
            partition,
            // Whatever it is: Kafka's broker keeps a negative offset too.
            value: Some(OffsetRecord {
                offset,
                leader_epoch,
                metadata,
                topic_id,
                commit_time: wall,
                expire_time,
            }),
        };
        // Of two offsets for one partition the last counts. (Kafka writes both.)
        match places.entry((topic, partition)) {
            Entry::Occupied(place) => records[*place.get()] = record,
            Entry::Vacant(place) => {
                place.insert(records.len());
                records.push(record);
            }
        }
    }
    if bytes_at_most(&records) > config.max_record_bytes {
        // No batch would hold them all, and a commit is written whole or not at all. As Kafka's answer.
        return Decision::answer(refusal(ErrorCode::UnknownServerError, codes.len()));
    }
    Decision { records, response: Response::CommitOffsets(codes) }
}

fn refusal(error: ErrorCode, count: usize) -> Response {
    Response::CommitOffsets(vec![error; count])
}

/// Returns how many bytes records of offsets take in a batch, or some more.
fn bytes_at_most(records: &[GroupRecord]) -> usize {
    let bytes = records.iter().map(|record| match record {
        GroupRecord::Offset { group_id, topic, value: Some(value), .. } => {
            record_size::of_offset_at_most(group_id, topic, &value.metadata)
        }
        GroupRecord::Offset { value: None, .. } | GroupRecord::Group { .. } => 0,
    });
    bytes.sum()
}

/// Kafka's `validateOffsetCommit`. GROUP_ID_NOT_FOUND is for clients of version 9 and later; older ones are told ILLEGAL_GENERATION by the handler.
fn check(
    group: Option<&GroupFacts<'_>>,
    member: &MemberRef,
    membership: Result<(), ErrorCode>,
) -> Result<(), ErrorCode> {
    if member.group_id.as_str().len() > MAX_TEXT_BYTES {
        return Err(ErrorCode::InvalidGroupId);
    }
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
    metadata.len() > MAX_TEXT_BYTES
        || (metadata.len() > max && metadata.encode_utf16().count() > max)
}

fn later(wall: UnixMillis, by: Duration) -> UnixMillis {
    UnixMillis(wall.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}
