//! Topics that are gone, and how far the groups have been gone through for their offsets.
//!
//! A pass goes over the groups in parts, as the cleanup does: a topic of a thousand partitions that a thousand groups read is a million records. What is committed
//! meanwhile for a successor of the same name is safe, for its topic has another id.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::group::ids::{GroupId, TopicIdentity};

/// What is still to be done about topics that are gone.
#[derive(Clone, Debug, Default)]
pub(in crate::group) struct TopicDeletions {
    running: Option<TopicPass>,
    /// Of which no pass has begun.
    waiting: BTreeSet<TopicIdentity>,
}

/// One pass over all groups.
#[derive(Clone, Debug)]
pub(in crate::group) struct TopicPass {
    pub(in crate::group) topics: Vec<TopicIdentity>,
    /// Where to go on.
    pub(in crate::group) from: Bound<GroupId>,
}

impl TopicDeletions {
    pub(in crate::group) fn add(&mut self, topics: Vec<TopicIdentity>) {
        self.waiting.extend(topics);
    }

    pub(in crate::group) fn is_due(&self) -> bool {
        self.running.is_some() || !self.waiting.is_empty()
    }

    /// Takes the pass that runs, or the next one; `None` when all is done.
    pub(in crate::group) fn take(&mut self) -> Option<TopicPass> {
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

    /// Puts a pass back that is not at its end.
    pub(in crate::group) fn pause(&mut self, pass: TopicPass) {
        self.running = Some(pass);
    }
}

impl TopicPass {
    /// What it costs to look at a group, in units of [`super::cleanup::PART`].
    pub(in crate::group) fn group_cost(&self) -> usize {
        1 + self.topics.len() / TOPICS_PER_UNIT
    }
}

/// How many topics a pass looks for in each group: one group is looked at in one step.
const MAX_TOPICS_PER_PASS: usize = 1_000;

/// To look for a topic costs so much less than to write a record.
const TOPICS_PER_UNIT: usize = 20;
