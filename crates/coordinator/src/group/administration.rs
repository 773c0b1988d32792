//! What operators ask of groups: DescribeGroups, ListGroups, DeleteGroups. And the end of a group that holds nothing any more.

use bytes::Bytes;
use model::ErrorCode;

use super::classic_group::{Group, Phase};
use super::offsets;
use super::record::GroupRecord;
use super::request::ListGroups;
use super::response::{GroupDescription, ListedGroup, MemberDescription};
use super::turn::Turn;

/// Describes a group; `None` when it does not exist.
pub(super) fn describe(group: &Group) -> Option<GroupDescription> {
    if !group.is_known() {
        return None;
    }
    let protocol_name = match group.phase {
        Phase::Stable => group.protocol_name.clone().unwrap_or_default(),
        Phase::Empty | Phase::Preparing(_) | Phase::Completing => String::new(),
    };
    let members = group.members.iter().map(|(member_id, member)| MemberDescription {
        member_id: member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        metadata: if group.phase == Phase::Stable {
            member.metadata(&protocol_name)
        } else {
            Bytes::new()
        },
        assignment: member.assignment.clone(),
    });
    Some(GroupDescription {
        group_id: group.id.clone(),
        state: group.state(),
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        members: members.collect(),
        protocol_name,
    })
}

/// Lists groups, in ascending order of their ids.
pub(super) fn list<'a>(
    groups: impl Iterator<Item = &'a Group>,
    request: &ListGroups,
) -> Vec<ListedGroup> {
    groups
        .filter(|group| request.states.is_empty() || request.states.contains(&group.state()))
        .map(|group| ListedGroup {
            group_id: group.id.clone(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state(),
        })
        .collect()
}

/// Answers a DeleteGroups for this group.
pub(super) fn delete(group: &mut Group, turn: &mut Turn<'_>) -> ErrorCode {
    if !group.is_known() {
        return ErrorCode::GroupIdNotFound;
    }
    if group.phase != Phase::Empty {
        return ErrorCode::NonEmptyGroup;
    }
    remove(group, turn);
    ErrorCode::None
}

/// Removes a group without members and offsets, pending ones included. Whoever was given an id may still come.
pub(super) fn delete_if_idle(group: &mut Group, turn: &mut Turn<'_>) {
    if group.phase == Phase::Empty
        && group.pending.is_empty()
        && group.offsets.is_empty()
        && group.pending_offsets.is_empty()
    {
        remove(group, turn);
    }
}

/// Writes the tombstones of all that the log holds of the group, and has it removed: one append, however many offsets it has. (As Kafka. There are at most as many as the
/// cluster has partitions, some 60 bytes and a microsecond each.)
fn remove(group: &mut Group, turn: &mut Turn<'_>) {
    let mut tombstones = group.offsets.tombstones(&group.id);
    // What a transaction was to commit goes too (as in Kafka): its marker brings nothing back.
    let only_pending = group.pending_offsets.partitions();
    let only_pending =
        only_pending.filter(|(topic, partition)| !group.offsets.contains(topic, *partition));
    tombstones.extend(
        only_pending.map(|(topic, partition)| offsets::tombstone(&group.id, topic, partition)),
    );
    group.write_offsets(tombstones, turn);
    if group.logged.is_some() {
        group.set_logged(None, turn.totals);
        turn.append(GroupRecord::Group { group_id: group.id.clone(), value: None });
    }
    turn.remove_group();
}
