//! When what falls due: one ordered set for all groups of a shard.
//!
//! A member's entry is lazy: a heartbeat moves the member's deadline alone, and an entry that comes due too early is put back at the deadline. So a heartbeat costs
//! nothing here, and the set holds at most one entry for each member, each id that was given out, and two for each group.

use std::collections::BTreeSet;

use model::Timestamp;

use super::pending_ids::PendingIds;
use crate::group::ids::{GroupId, MemberId};

/// What falls due in a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::group) enum Timer {
    /// The wait for members to join ends.
    Join,
    /// The wait for members to sync ends.
    Sync,
    /// A member, or one that was given an id and has not joined yet, may have been silent for too long.
    Session(MemberId),
}

/// The entries, the earliest first.
#[derive(Clone, Debug, Default)]
pub(in crate::group) struct Timers {
    entries: BTreeSet<(Timestamp, GroupId, Timer)>,
    /// Those of the entries that are ids that were given out.
    pub(in crate::group) pending: PendingIds,
}

impl Timers {
    pub(in crate::group) fn insert(&mut self, at: Timestamp, group_id: GroupId, timer: Timer) {
        self.entries.insert((at, group_id, timer));
    }

    pub(in crate::group) fn remove(&mut self, at: Timestamp, group_id: GroupId, timer: Timer) {
        self.entries.remove(&(at, group_id, timer));
    }

    /// Returns when the earliest entry falls due.
    pub(in crate::group) fn next(&self) -> Option<Timestamp> {
        self.entries.first().map(|(at, _, _)| *at)
    }

    /// Takes the earliest entry if it is due.
    pub(in crate::group) fn take_due(&mut self, now: Timestamp) -> Option<(GroupId, Timer)> {
        let (at, _, _) = self.entries.first()?;
        if *at > now {
            return None;
        }
        self.entries.pop_first().map(|(_, group_id, timer)| (group_id, timer))
    }

    /// Says whether an entry is there.
    pub(in crate::group) fn contains(
        &self,
        at: Timestamp,
        group_id: &GroupId,
        timer: Timer,
    ) -> bool {
        self.entries.contains(&(at, group_id.clone(), timer))
    }
}
