//! Topics that are gone, and how far the groups have been gone through for their offsets.
//!
//! A pass goes over the groups in parts, as the cleanup does: a topic of a thousand partitions that a thousand groups read is a million records. What is committed
//! meanwhile for a successor of the same name is safe, for its topic has another id.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::Shard;
use super::cleanup::PART;
use crate::group::Now;
use crate::group::ids::{GroupId, TopicIdentity};
use crate::group::offsets::{self, OfGoneTopics};

/// What is still to be done about topics that are gone.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicDeletions {
    running: Option<TopicPass>,
    /// Of which no pass has begun.
    waiting: BTreeSet<TopicIdentity>,
    /// Looked at again when a transaction has ended.
    undecided: BTreeSet<TopicIdentity>,
}

/// One pass over all groups.
#[derive(Clone, Debug)]
struct TopicPass {
    topics: Vec<TopicIdentity>,
    /// Where to go on.
    from: Bound<GroupId>,
}

impl TopicDeletions {
    pub(super) fn add(&mut self, topics: Vec<TopicIdentity>) {
        self.waiting.extend(topics);
    }

    pub(super) fn is_due(&self) -> bool {
        self.running.is_some() || !self.waiting.is_empty()
    }

    /// Takes the pass that runs, or the next one; `None` when all is done.
    fn take(&mut self) -> Option<TopicPass> {
        if let Some(pass) = self.running.take() {
            return Some(pass);
        }
        let mut topics = Vec::new();
        while topics.len() < MAX_TOPICS_PER_PASS
            && let Some(topic) = self.waiting.pop_first()
        {
            topics.push(topic);
        }
        (!topics.is_empty()).then_some(TopicPass { topics, from: Bound::Unbounded })
    }

    /// Has those looked at again that an open transaction left undecided: one has ended.
    pub(super) fn transaction_ended(&mut self) {
        self.waiting.append(&mut self.undecided);
    }

    /// Puts a pass back that is not at its end.
    fn pause(&mut self, pass: TopicPass) {
        self.running = Some(pass);
    }
}

impl TopicPass {
    /// What it costs to look at a group, in units of [`PART`].
    fn group_cost(&self) -> usize {
        1 + self.topics.len() / TOPICS_PER_UNIT
    }
}

impl Shard {
    /// Goes on with topics that are gone, up to a bound: more than that waits for the next step, at once.
    pub(super) fn delete_topics(&mut self, now: Now) {
        let mut left = PART;
        while let Some(mut pass) = self.deletions.take() {
            self.pass_groups(now, &mut pass, &mut left);
            if left == 0 {
                return self.deletions.pause(pass);
            }
        }
    }

    /// Takes a pass on, to its end or until nothing of `left` is left.
    fn pass_groups(&mut self, now: Now, pass: &mut TopicPass, left: &mut usize) {
        let mut undecided_of_pass = Vec::new();
        while *left > 0 {
            let from = (pass.from.clone(), Bound::Unbounded);
            let Some((group_id, _)) = self.groups.range(from).next() else { break };
            let group_id = group_id.clone();
            let written = self.with_group(now, &group_id, |group, turn| {
                let topics = &pass.topics;
                let OfGoneTopics { records, undecided } =
                    offsets::delete_topics(&group.id, group.stored(), topics, *left);
                undecided_of_pass.extend(undecided);
                let count = records.len();
                group.write_offsets(records, turn);
                count
            });
            let may_have_more = written == *left;
            pass.from = if may_have_more { Bound::Included } else { Bound::Excluded }(group_id);
            *left = left.saturating_sub(pass.group_cost() + written);
        }
        self.deletions.undecided.extend(undecided_of_pass);
    }
}

/// How many topics a pass looks for in each group: one group is looked at in one step.
const MAX_TOPICS_PER_PASS: usize = 1_000;

/// To look for a topic costs so much less than to write a record.
const TOPICS_PER_UNIT: usize = 20;
