//! The periodic look for what has expired: committed offsets, then groups that hold nothing any more.
//!
//! A pass goes over the groups in parts, so that no step writes or looks at too much: a shard may hold a million offsets.

use std::ops::Bound;
use std::time::Duration;

use model::Timestamp;

use super::Shard;
use crate::group::classic_group::Group;
use crate::group::ids::GroupId;
use crate::group::turn::Turn;
use crate::group::{Now, administration, offsets};

/// Where the look for what has expired stands.
#[derive(Clone, Debug)]
pub(super) struct Cleanup {
    interval: Duration,
    /// When to begin a pass, or to go on with it.
    due_at: Timestamp,
    /// The last group that the pass looked at; `None` between passes.
    after: Option<GroupId>,
}

impl Cleanup {
    /// `interval` is `offsets.retention.check.interval.ms`.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, due_at: Timestamp::ZERO, after: None }
    }

    /// Waits a whole interval before the next pass.
    pub(super) fn rest(&mut self, now: Timestamp) {
        self.due_at = now + self.interval;
        self.after = None;
    }

    /// Goes on behind a group, in the next step.
    pub(super) fn pause(&mut self, now: Timestamp, after: GroupId) {
        self.due_at = now;
        self.after = Some(after);
    }

    pub(super) fn due_at(&self) -> Timestamp {
        self.due_at
    }

    /// Returns where the pass is to go on.
    pub(super) fn position(&self) -> Bound<GroupId> {
        self.after.clone().map_or(Bound::Unbounded, Bound::Excluded)
    }
}

impl Shard {
    /// Goes on with the look for what has expired if it is due, up to a bound: more than that waits for the next step, at once.
    pub(super) fn clean_up(&mut self, now: Now) {
        if self.cleanup.due_at() > now.monotonic {
            return;
        }
        let mut cost = 0;
        let mut from = self.cleanup.position();
        while let Some((group_id, _)) = self.groups.range((from, Bound::Unbounded)).next() {
            let group_id = group_id.clone();
            cost += self.with_group(now, &group_id, expire);
            if cost >= PART {
                self.cleanup.pause(now.monotonic, group_id);
                return;
            }
            from = Bound::Excluded(group_id);
        }
        self.cleanup.rest(now.monotonic);
    }
}

/// Removes what of a group has expired, and the group if nothing is left. Returns how much that cost, in units of [`PART`].
fn expire(group: &mut Group, turn: &mut Turn<'_>) -> usize {
    let looked_at = group.offsets.len() + group.pending_offsets.len();
    let retention = turn.config.offsets_retention;
    let facts = group.facts();
    let expired = offsets::expired(&group.id, &facts, group.stored(), turn.now.wall, retention);
    let cost = 1 + looked_at / OFFSETS_PER_UNIT + expired.records.len();
    group.write_offsets(expired.records, turn);
    if expired.is_all {
        administration::delete_if_idle(group, turn);
    }
    cost
}

/// After how much a pass lets others have their turn: a unit is a record written, a group looked at, or some offsets looked at.
pub(super) const PART: usize = 1_000;

/// To look at an offset costs so much less than to write a record.
const OFFSETS_PER_UNIT: usize = 20;
