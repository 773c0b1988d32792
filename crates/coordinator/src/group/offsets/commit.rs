//! OffsetCommit and TxnOffsetCommit: who may commit, and what is written.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use model::{ErrorCode, UnixMillis};

use super::{Decision, GroupFacts};
use crate::group::GroupConfig;
use crate::group::ids::{GroupId, TopicName};
use crate::group::record::{GroupRecord, OffsetRecord};
use crate::group::record_size::{self, MAX_TEXT_BYTES};
use crate::group::request::{CommitOffsets, CommitTransactionalOffsets, MemberRef, OffsetToCommit};
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
    let count = offsets.len();
    let to_write = check(group, &member, membership).and_then(|()| {
        let expire_time = retention.map(|retention| later(wall, retention));
        ToWrite::of(config, wall, &member.group_id, offsets, expire_time)
    });
    let ToWrite { records, codes } =
        to_write.unwrap_or_else(|error| ToWrite::refused(error, count));
    Decision { records, response: Response::CommitOffsets(codes) }
}

/// Decides about a commit within a transaction, as [`commit`] does; the records wait for the transaction's marker.
pub(in crate::group) fn commit_transactional(
    config: &GroupConfig,
    wall: UnixMillis,
    group: Option<&GroupFacts<'_>>,
    membership: Result<(), ErrorCode>,
    request: CommitTransactionalOffsets,
) -> Decision {
    let CommitTransactionalOffsets { member, offsets, .. } = request;
    let count = offsets.len();
    let to_write = check_transactional(group, &member, membership)
        .and_then(|()| ToWrite::of(config, wall, &member.group_id, offsets, None));
    let ToWrite { records, codes } =
        to_write.unwrap_or_else(|error| ToWrite::refused(error, count));
    Decision { records, response: Response::CommitTransactionalOffsets(codes) }
}

/// The records of a commit, and a code for each of its offsets.
struct ToWrite {
    records: Vec<GroupRecord>,
    codes: Vec<ErrorCode>,
}

impl ToWrite {
    fn refused(error: ErrorCode, count: usize) -> Self {
        Self { records: Vec::new(), codes: vec![error; count] }
    }

    /// Makes the records. No batch would hold more than a bound, and a commit is written whole or not at all: UNKNOWN_SERVER_ERROR then, as Kafka's answer.
    fn of(
        config: &GroupConfig,
        wall: UnixMillis,
        group_id: &GroupId,
        offsets: Vec<OffsetToCommit>,
        expire_time: Option<UnixMillis>,
    ) -> Result<Self, ErrorCode> {
        let mut records = Vec::with_capacity(offsets.len());
        let mut places: BTreeMap<(TopicName, i32), usize> = BTreeMap::new();
        let mut codes = Vec::with_capacity(offsets.len());
        for offset in offsets {
            if is_too_large(config, &offset.metadata) {
                codes.push(ErrorCode::OffsetMetadataTooLarge);
                continue;
            }
            codes.push(ErrorCode::None);
            let OffsetToCommit { topic, topic_id, partition, offset, leader_epoch, metadata } =
                offset;
            let record = GroupRecord::Offset {
                group_id: group_id.clone(),
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
            return Err(ErrorCode::UnknownServerError);
        }
        Ok(Self { records, codes })
    }
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
    if !member.claims_membership() {
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

/// Kafka's `validateTransactionalOffsetCommit` (KIP-447): what a group does is not looked at, for clients before version 3 name no member.
fn check_transactional(
    group: Option<&GroupFacts<'_>>,
    member: &MemberRef,
    membership: Result<(), ErrorCode>,
) -> Result<(), ErrorCode> {
    let group_id = member.group_id.as_str();
    if group_id.is_empty() || group_id.len() > MAX_TEXT_BYTES {
        return Err(ErrorCode::InvalidGroupId);
    }
    let Some(group) = group else {
        return match member.generation_id {
            None => Ok(()),
            Some(_) => Err(ErrorCode::IllegalGeneration),
        };
    };
    if group.state == GroupState::Dead {
        return Err(ErrorCode::CoordinatorNotAvailable);
    }
    if member.generation_id.is_none() && group.state == GroupState::Empty {
        return Ok(());
    }
    if !member.claims_membership() {
        return Ok(());
    }
    membership?;
    if member.generation_id != Some(group.generation_id) {
        return Err(ErrorCode::IllegalGeneration);
    }
    Ok(())
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
