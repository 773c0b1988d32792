//! The periodic look for what has expired: committed offsets, then groups that hold nothing any more.
//!
//! A pass goes over the groups in parts, so that no step writes or looks at too much: a shard may hold a million offsets.

use std::ops::Bound;
use std::time::Duration;

use model::Timestamp;

use crate::group::classic_group::Group;
use crate::group::deletion;
use crate::group::ids::GroupId;
use crate::group::offsets;
use crate::group::turn::Turn;

/// Where the look for what has expired stands.
#[derive(Clone, Debug)]
pub(in crate::group) struct Cleanup {
    interval: Duration,
    /// When to begin a pass, or to go on with it.
    due_at: Timestamp,
    /// The last group that the pass looked at; `None` between passes.
    after: Option<GroupId>,
}

impl Cleanup {
    /// `interval` is `offsets.retention.check.interval.ms`.
    pub(in crate::group) fn new(interval: Duration) -> Self {
        Self { interval, due_at: Timestamp::ZERO, after: None }
    }

    /// Waits a whole interval before the next pass.
    pub(in crate::group) fn rest(&mut self, now: Timestamp) {
        self.due_at = now + self.interval;
        self.after = None;
    }

    /// Goes on behind a group, in the next step.
    pub(in crate::group) fn pause(&mut self, now: Timestamp, after: GroupId) {
        self.due_at = now;
        self.after = Some(after);
    }

    pub(in crate::group) fn due_at(&self) -> Timestamp {
        self.due_at
    }

    /// Returns where the pass is to go on.
    pub(in crate::group) fn position(&self) -> Bound<GroupId> {
        self.after.clone().map_or(Bound::Unbounded, Bound::Excluded)
    }
}

/// Removes what of a group has expired, and the group if nothing is left. Returns how much that cost, in units of [`PART`].
pub(in crate::group) fn expire(group: &mut Group, turn: &mut Turn<'_>) -> usize {
    let looked_at = group.offsets.len();
    let retention = turn.config.offsets_retention;
    let facts = group.facts();
    let expired = offsets::expired(&group.id, &facts, &group.offsets, turn.now.wall, retention);
    let cost = 1 + looked_at / OFFSETS_PER_UNIT + expired.records.len();
    group.write_offsets(expired.records, turn);
    if expired.is_all {
        deletion::delete_if_idle(group, turn);
    }
    cost
}

/// After how much a pass lets others have their turn: a unit is a record written, a group looked at, or some offsets looked at.
pub(in crate::group) const PART: usize = 1_000;

/// To look at an offset costs so much less than to write a record.
const OFFSETS_PER_UNIT: usize = 20;
