//! What tools and metrics ask: descriptions, lists, counts, and what is live in the log.

use std::collections::{BTreeMap, BTreeSet};

use model::Offset;

use super::classic_group::{Group, Phase};
use super::ids::{GroupId, TopicIdentity, TopicName};
use super::offsets::{LiveChunk, RewriteCursor};
use super::record::GroupRecord;
use super::request::ListGroups;
use super::response::{GroupDescription, ListedGroup, MemberDescription};
use super::shard::Shard;
use super::state::GroupState;

/// How much a shard holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardCounts {
    /// Groups by state; a state without groups is not there.
    pub groups: BTreeMap<GroupState, usize>,
    /// Members of all groups.
    pub member_count: usize,
    /// Committed offsets of all groups.
    pub offset_count: usize,
    /// Rebalances that ended in an assignment, since the shard was loaded.
    pub completed_rebalance_count: u64,
}

impl Shard {
    /// Counts what the shard holds. Takes time in proportion to the number of groups.
    #[must_use]
    pub fn counts(&self) -> ShardCounts {
        let mut counts = ShardCounts {
            offset_count: self.totals.offset_count,
            completed_rebalance_count: self.completed_rebalance_count,
            ..ShardCounts::default()
        };
        for group in self.groups.values() {
            *counts.groups.entry(group.state()).or_default() += 1;
            counts.member_count += group.members.len();
        }
        counts
    }

    /// Returns how many rebalances ended in an assignment since the shard was loaded.
    #[must_use]
    pub fn completed_rebalance_count(&self) -> u64 {
        self.completed_rebalance_count
    }

    /// Visits every committed offset, in ascending order of group, topic and partition.
    pub fn for_each_committed(&self, mut visit: impl FnMut(&GroupId, &TopicName, i32, Offset)) {
        for (group_id, group) in &self.groups {
            for (topic, partition, offset) in group.offsets.committed() {
                visit(group_id, topic, partition, offset);
            }
        }
    }

    /// Returns the topics of all committed offsets, each once for each id that offsets name (also for none). Takes time in proportion to the number of offsets; a load
    /// asks it once and tells the shard with [`super::Event::TopicsDeleted`] which of them are gone.
    #[must_use]
    pub fn committed_topics(&self) -> BTreeSet<TopicIdentity> {
        let mut topics = BTreeSet::new();
        for group in self.groups.values() {
            group.offsets.add_topics(&mut topics);
        }
        topics
    }

    /// Returns about how many bytes the last values of all keys take in the log.
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        self.totals.bytes
    }

    /// Walks over everything that is live, for the rewrite of the log: returns the next records behind `after` (from the start for `None`), about `limit_bytes` of them
    /// and one at least, and where to go on; `None` at the end.
    #[must_use]
    pub fn live_records(
        &self,
        after: Option<&RewriteCursor>,
        limit_bytes: usize,
    ) -> (Vec<GroupRecord>, Option<RewriteCursor>) {
        let mut chunk = LiveChunk::new(limit_bytes);
        let from = after.map_or(std::ops::Bound::Unbounded, |cursor| {
            std::ops::Bound::Included(cursor.group_id())
        });
        for (group_id, group) in self.groups.range::<GroupId, _>((from, std::ops::Bound::Unbounded))
        {
            if !chunk.pass(after, group_id, group.logged.as_deref(), &group.offsets) {
                return chunk.pause();
            }
        }
        chunk.end()
    }
}

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
            bytes::Bytes::new()
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
