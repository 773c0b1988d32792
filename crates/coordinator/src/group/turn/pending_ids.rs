//! The member ids of a shard that were given out (MEMBER_ID_REQUIRED) and have not joined yet.
//!
//! Each group has its own; here they stand in the order in which they are forgotten, with what they take, so that a flood of first JoinGroups to ever new groups
//! does not take memory without bound.

use std::collections::BTreeSet;

use model::Timestamp;

use crate::group::ids::{GroupId, MemberId};

/// All pending ids of a shard.
#[derive(Clone, Debug, Default)]
pub(in crate::group) struct PendingIds {
    /// The one that is forgotten first is the first.
    entries: BTreeSet<(Timestamp, GroupId, MemberId)>,
    bytes: usize,
}

impl PendingIds {
    pub(in crate::group) fn insert(
        &mut self,
        until: Timestamp,
        group_id: &GroupId,
        member_id: &MemberId,
    ) {
        if self.entries.insert((until, group_id.clone(), member_id.clone())) {
            self.bytes += bytes_of(group_id, member_id);
        }
    }

    pub(in crate::group) fn remove(
        &mut self,
        until: Timestamp,
        group_id: &GroupId,
        member_id: &MemberId,
    ) {
        if self.entries.remove(&(until, group_id.clone(), member_id.clone())) {
            self.bytes -= bytes_of(group_id, member_id);
        }
    }

    /// Returns the id to forget, while there are too many.
    pub(in crate::group) fn surplus(&self) -> Option<(GroupId, MemberId)> {
        if self.bytes <= MAX_BYTES {
            return None;
        }
        self.entries.first().map(|(_, group_id, member_id)| (group_id.clone(), member_id.clone()))
    }

    #[cfg(test)]
    pub(in crate::group) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn bytes_of(group_id: &GroupId, member_id: &MemberId) -> usize {
    OVERHEAD_BYTES + group_id.as_str().len() + member_id.as_str().len()
}

/// What an id and a group that holds nothing else take beside their names, about.
const OVERHEAD_BYTES: usize = 1_000;

/// The most that the pending ids of a shard may take, about: some 7,000 of them under usual names. A client comes back with its id at once.
pub(in crate::group) const MAX_BYTES: usize = 8 << 20;
