//! What every strategy is given and makes: the members as the leader sees them, and the partitions of each.

use std::collections::{BTreeMap, BTreeSet};

use model::TopicPartition;

/// A member as the leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Participant {
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) topics: Vec<String>,
    /// What it owns, and since which generation; other strategies than the sticky one do not look at them.
    pub(crate) owned: Vec<TopicPartition>,
    pub(crate) generation: Option<i32>,
}

/// Partitions by member id; each member has an entry.
pub(crate) type Plan = BTreeMap<String, Vec<TopicPartition>>;

/// Returns the topics that exist and have subscribers, in the order of their names, with their subscribers in the order of the members.
pub(super) fn subscribers<'a>(
    members: &[&'a Participant],
    partition_counts: &'a BTreeMap<String, i32>,
) -> Vec<(&'a String, i32, Vec<usize>)> {
    let wanted: Vec<BTreeSet<_>> =
        members.iter().map(|member| member.topics.iter().collect()).collect();
    let subscribed = |topic: &String| -> Vec<usize> {
        (0..members.len()).filter(|member| wanted[*member].contains(topic)).collect()
    };
    partition_counts
        .iter()
        .map(|(topic, count)| (topic, *count, subscribed(topic)))
        .filter(|(_, _, subscribers)| !subscribers.is_empty())
        .collect()
}

/// Returns a plan in which nobody has anything.
pub(super) fn empty_plan(members: &[&Participant]) -> Plan {
    members.iter().map(|member| (member.member_id.clone(), Vec::new())).collect()
}
