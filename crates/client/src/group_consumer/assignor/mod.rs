//! Who of a group's members reads which partitions: what the leader computes. Pure functions of the members and the partition counts.
//!
//! The names are Kafka's, so that members of other clients may lead or follow.
//! Invariant: a partition goes to at most one member, and only to one that subscribes to its topic.

mod in_turn;
mod plan;
mod sticky;

use std::collections::BTreeMap;

pub(super) use self::plan::{Participant, Plan};

/// A strategy of assignment (`partition.assignment.strategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// `range`: of each topic, a run of consecutive partitions to each member. Eager: a rebalance takes everything from everyone first.
    Range,
    /// `roundrobin`: all partitions of all topics dealt out in turn. Eager.
    RoundRobin,
    /// `cooperative-sticky`: balanced, with as few moves as that takes; members keep reading what they keep (KIP-429).
    CooperativeSticky,
}

impl Assignor {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Range, Self::RoundRobin, Self::CooperativeSticky];

    /// Returns the name in the group protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Reads a name of the group protocol.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// Says whether members keep reading what they keep while a rebalance is under way.
    #[must_use]
    pub fn is_cooperative(self) -> bool {
        self == Self::CooperativeSticky
    }

    /// Deals out the partitions of the topics that exist. A topic that is not in `partition_counts` is left out.
    pub(crate) fn assign(
        self,
        participants: &[Participant],
        partition_counts: &BTreeMap<String, i32>,
    ) -> Plan {
        let mut members: Vec<_> = participants.iter().collect();
        // Static members first, by their own names, so that a new member id does not change who gets what (KIP-345).
        members.sort_by_key(|member| {
            let is_dynamic = member.group_instance_id.is_none();
            (is_dynamic, member.group_instance_id.as_ref(), &member.member_id)
        });
        match self {
            Self::Range => in_turn::range(&members, partition_counts),
            Self::RoundRobin => in_turn::round_robin(&members, partition_counts),
            Self::CooperativeSticky => sticky::assign(&members, partition_counts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn member(id: &str, topics: &[&str]) -> Participant {
        Participant {
            member_id: id.to_owned(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            ..Participant::default()
        }
    }

    fn counts(topics: &[(&str, i32)]) -> BTreeMap<String, i32> {
        topics.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
    }

    /// Writes a plan as `a: t-0 t-1 / b: t-2`.
    fn written(plan: &Plan) -> String {
        let members: Vec<_> = plan
            .iter()
            .map(|(member, partitions)| {
                let partitions: Vec<_> = partitions.iter().map(ToString::to_string).collect();
                format!("{member}: {}", partitions.join(" "))
            })
            .collect();
        members.join(" / ")
    }

    #[test]
    fn range_gives_runs_of_each_topic_and_the_first_members_one_more() {
        let members = [member("b", &["t", "u"]), member("a", &["t"]), member("c", &["t"])];
        let plan = Assignor::Range.assign(&members, &counts(&[("t", 7), ("u", 2)]));
        assert_eq!(written(&plan), "a: t-0 t-1 t-2 / b: t-3 t-4 u-0 u-1 / c: t-5 t-6");
    }

    #[test]
    fn range_leaves_members_without_when_there_are_too_few_partitions() {
        let members = [member("a", &["t"]), member("b", &["t"]), member("c", &["gone"])];
        let plan = Assignor::Range.assign(&members, &counts(&[("t", 1)]));
        assert_eq!(written(&plan), "a: t-0 / b:  / c: ");
    }

    #[test]
    fn roundrobin_deals_over_all_topics_and_skips_who_does_not_subscribe() {
        let members = [member("a", &["t"]), member("b", &["t", "u"]), member("c", &["t", "u"])];
        let plan = Assignor::RoundRobin.assign(&members, &counts(&[("t", 2), ("u", 3)]));
        assert_eq!(written(&plan), "a: t-0 / b: t-1 u-1 / c: u-0 u-2");
    }

    #[test]
    fn static_members_come_first_and_by_their_names_whatever_their_ids() {
        let named = |id: &str, instance: &str| Participant {
            group_instance_id: Some(instance.to_owned()),
            ..member(id, &["t"])
        };
        let members = [member("a", &["t"]), named("z", "one"), named("y", "two")];
        let plan = Assignor::Range.assign(&members, &counts(&[("t", 3)]));
        assert_eq!(written(&plan), "a: t-2 / y: t-1 / z: t-0");
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for assignor in Assignor::ALL {
            assert_eq!(Assignor::from_name(assignor.name()), Some(assignor));
        }
        assert_eq!(Assignor::from_name("sticky"), None);
    }
}
