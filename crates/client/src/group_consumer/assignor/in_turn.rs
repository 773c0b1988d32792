//! The eager strategies `range` and `roundrobin`, which look at nobody's partitions: members take turns. Their results are Kafka's.

use std::collections::{BTreeMap, BTreeSet};

use model::TopicPartition;

use super::plan::{Participant, Plan, empty_plan, subscribers};

/// Of each topic, deals a run of consecutive partitions to each subscriber.
pub(super) fn range(members: &[&Participant], partition_counts: &BTreeMap<String, i32>) -> Plan {
    let mut plan = empty_plan(members);
    for (topic, count, subscribers) in subscribers(members, partition_counts) {
        let mut left = subscribers.len();
        let mut next = 0;
        for member in subscribers {
            // The first members take one more where it does not come out even.
            let rest = usize::try_from(count - next).unwrap_or(0);
            let share = i32::try_from(rest.div_ceil(left)).unwrap_or(i32::MAX);
            let run = (next..next + share)
                .map(|partition| TopicPartition { topic: topic.clone(), partition });
            plan.entry(members[member].member_id.clone()).or_default().extend(run);
            next += share;
            left -= 1;
        }
    }
    plan
}

/// Deals the partitions of all topics one by one.
pub(super) fn round_robin(
    members: &[&Participant],
    partition_counts: &BTreeMap<String, i32>,
) -> Plan {
    let mut plan = empty_plan(members);
    let mut turn = 0;
    for (topic, count, subscribers) in subscribers(members, partition_counts) {
        let is_subscriber: BTreeSet<_> = subscribers.into_iter().collect();
        for partition in 0..count {
            // Ends: the topic has a subscriber.
            while !is_subscriber.contains(&turn) {
                turn = (turn + 1) % members.len();
            }
            let partition = TopicPartition { topic: topic.clone(), partition };
            plan.entry(members[turn].member_id.clone()).or_default().push(partition);
            turn = (turn + 1) % members.len();
        }
    }
    plan
}
