//! The cooperative sticky assignment: balanced, with as few moves as that takes, and nothing given away before its owner let go (KIP-429).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use model::TopicPartition;

use super::plan::{Participant, Plan, empty_plan, subscribers};

/// Deals out the partitions. A partition that has to move is left out of the plan while somebody else still owns it: its owner sees it missing,
/// gives it up and joins again, and the next plan has it.
pub(super) fn assign(members: &[&Participant], partition_counts: &BTreeMap<String, i32>) -> Plan {
    let claims = Claims::of(members);
    let mut dealing = Dealing::new(members, partition_counts);
    dealing.keep(&claims);
    dealing.deal();
    dealing.balance();
    let mut plan = empty_plan(members);
    for (partition, seat) in dealing.partitions.iter().zip(&dealing.seats) {
        let Some(member) = seat.owner else { continue };
        if !claims.is_owned_by_another(partition, member) {
            plan.entry(members[member].member_id.clone()).or_default().push(partition.clone());
        }
    }
    plan
}

/// Who says that it owns what.
struct Claims<'a> {
    by_partition: BTreeMap<&'a TopicPartition, Vec<(Option<i32>, usize)>>,
}

impl<'a> Claims<'a> {
    fn of(members: &[&'a Participant]) -> Self {
        let mut by_partition = BTreeMap::<_, Vec<_>>::new();
        for (index, member) in members.iter().enumerate() {
            for partition in &member.owned {
                by_partition.entry(partition).or_default().push((member.generation, index));
            }
        }
        Self { by_partition }
    }

    /// Returns whose claim is the newest; nobody's when two are equally new, since one of them must be wrong.
    fn winner(&self, partition: &TopicPartition) -> Option<usize> {
        let claims = self.by_partition.get(partition)?;
        let newest = claims.iter().map(|(generation, _)| *generation).max()?;
        let mut winners = claims.iter().filter(|(generation, _)| *generation == newest);
        let (_, winner) = winners.next()?;
        winners.next().is_none().then_some(*winner)
    }

    fn is_owned_by_another(&self, partition: &TopicPartition, member: usize) -> bool {
        let claims = self.by_partition.get(partition);
        claims.is_some_and(|claims| claims.iter().any(|(_, owner)| *owner != member))
    }
}

/// The partitions on their way to members.
struct Dealing {
    partitions: Vec<TopicPartition>,
    seats: Vec<Seat>,
    /// Subscribers of each topic, once for all of its partitions.
    candidates: Vec<Vec<usize>>,
    /// Which seats each member has.
    held: Vec<Vec<usize>>,
}

#[derive(Clone, Copy)]
struct Seat {
    owner: Option<usize>,
    /// Index into the candidates.
    topic: usize,
}

impl Dealing {
    fn new(members: &[&Participant], partition_counts: &BTreeMap<String, i32>) -> Self {
        let mut dealing = Self {
            partitions: Vec::new(),
            seats: Vec::new(),
            candidates: Vec::new(),
            held: vec![Vec::new(); members.len()],
        };
        for (topic, count, subscribers) in subscribers(members, partition_counts) {
            for partition in 0..count {
                dealing.partitions.push(TopicPartition { topic: topic.clone(), partition });
                dealing.seats.push(Seat { owner: None, topic: dealing.candidates.len() });
            }
            dealing.candidates.push(subscribers);
        }
        dealing
    }

    /// Leaves everything where it is, where its owner still subscribes to it.
    fn keep(&mut self, claims: &Claims<'_>) {
        for seat in 0..self.seats.len() {
            if let Some(owner) = claims.winner(&self.partitions[seat])
                && self.candidates[self.seats[seat].topic].contains(&owner)
            {
                self.give(seat, owner);
            }
        }
    }

    /// Gives what nobody has to whoever has least, those partitions first that fewest may have.
    fn deal(&mut self) {
        let mut free: Vec<_> =
            (0..self.seats.len()).filter(|seat| self.seats[*seat].owner.is_none()).collect();
        free.sort_by_key(|seat| self.candidates[self.seats[*seat].topic].len());
        for seat in free {
            if let Some(member) = self.poorest(seat) {
                self.give(seat, member);
            }
        }
    }

    /// Moves partitions from those who have most to those who have two less or fewer, until there is nobody like that. Ends: each move makes the sum of
    /// the squares of the counts smaller.
    fn balance(&mut self) {
        let mut richest: Vec<_> = (0..self.held.len()).collect();
        loop {
            richest.sort_by_key(|member| Reverse(self.held[*member].len()));
            let found = richest.iter().find_map(|owner| self.best_move(*owner));
            let Some((seat, to)) = found else { return };
            if let Some(from) = self.seats[seat].owner {
                self.held[from].retain(|held| *held != seat);
            }
            self.give(seat, to);
        }
    }

    /// Returns the member's partition, its last first, whose next owner has least, if that makes the counts more equal.
    fn best_move(&self, owner: usize) -> Option<(usize, usize)> {
        let held = &self.held[owner];
        let poorest_of = |seat: &usize| self.poorest(*seat).map(|to| (*seat, to));
        let (seat, to) = held
            .iter()
            .rev()
            .filter_map(poorest_of)
            .min_by_key(|(_, member)| self.held[*member].len())?;
        (self.held[to].len() + 1 < held.len()).then_some((seat, to))
    }

    fn poorest(&self, seat: usize) -> Option<usize> {
        let candidates = &self.candidates[self.seats[seat].topic];
        candidates.iter().copied().min_by_key(|member| self.held[*member].len())
    }

    fn give(&mut self, seat: usize, member: usize) {
        self.seats[seat].owner = Some(member);
        self.held[member].push(seat);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Assignor;
    use super::*;

    fn member(id: &str, topics: &[&str], owned: &[TopicPartition], generation: i32) -> Participant {
        Participant {
            member_id: id.to_owned(),
            group_instance_id: None,
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            owned: owned.to_vec(),
            generation: Some(generation),
        }
    }

    fn plan(members: &[Participant], counts: &[(&str, i32)]) -> Plan {
        let counts = counts.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect();
        Assignor::CooperativeSticky.assign(members, &counts)
    }

    fn t(partition: i32) -> TopicPartition {
        TopicPartition { topic: "t".to_owned(), partition }
    }

    /// Plays rounds as real members do until nothing moves any more: everyone gives up what the plan does not leave it, and owns what it adds.
    /// Returns how many partitions changed hands.
    fn settle(members: &mut [Participant], counts: &[(&str, i32)]) -> usize {
        let before: Vec<BTreeSet<_>> =
            members.iter().map(|member| member.owned.iter().cloned().collect()).collect();
        for round in 0.. {
            assert!(round < 3, "a third round must not be needed");
            let plan = plan(members, counts);
            let mut is_revoked = false;
            for member in &mut *members {
                let new = &plan[&member.member_id];
                is_revoked |= member.owned.iter().any(|owned| !new.contains(owned));
                member.owned.clone_from(new);
                member.generation = Some(member.generation.unwrap_or(0) + 1);
            }
            let all: Vec<_> = plan.values().flatten().collect();
            let distinct: BTreeSet<_> = all.iter().collect();
            assert_eq!(all.len(), distinct.len(), "a partition has two owners: {plan:?}");
            if !is_revoked {
                break;
            }
        }
        let gained = members.iter().zip(before);
        gained.map(|(now, old)| now.owned.iter().filter(|at| !old.contains(at)).count()).sum()
    }

    fn sizes(members: &[Participant]) -> Vec<usize> {
        members.iter().map(|member| member.owned.len()).collect()
    }

    #[test]
    fn a_member_that_comes_takes_its_share_and_no_more_moves() {
        let mut members = vec![member("a", &["t"], &[], 0), member("b", &["t"], &[], 0)];
        settle(&mut members, &[("t", 12)]);
        assert_eq!(sizes(&members), [6, 6]);
        members.push(member("c", &["t"], &[], 0));
        assert_eq!(settle(&mut members, &[("t", 12)]), 4);
        assert_eq!(sizes(&members), [4, 4, 4]);
    }

    #[test]
    fn a_member_that_goes_leaves_the_others_what_they_had() {
        let mut members: Vec<_> = ["a", "b", "c"].map(|id| member(id, &["t"], &[], 0)).into();
        settle(&mut members, &[("t", 9)]);
        members.remove(0);
        assert_eq!(settle(&mut members, &[("t", 9)]), 3);
        assert_eq!(sizes(&members), [5, 4]);
    }

    #[test]
    fn what_moves_is_withheld_until_its_owner_lets_go() {
        let members = [member("a", &["t"], &[t(0), t(1)], 3), member("b", &["t"], &[], 3)];
        let first = plan(&members, &[("t", 2)]);
        assert_eq!((first["a"].clone(), first["b"].clone()), (vec![t(0)], vec![]));
        let members = [member("a", &["t"], &[t(0)], 4), member("b", &["t"], &[], 4)];
        assert_eq!(plan(&members, &[("t", 2)])["b"], [t(1)]);
    }

    #[test]
    fn the_newer_claim_wins_and_of_two_equal_ones_neither() {
        let members = [member("a", &["t"], &[t(0)], 2), member("b", &["t"], &[t(0), t(1)], 3)];
        let plan = plan(&members, &[("t", 2)]);
        // One of b's two goes to a; nothing is given to anyone while the other one claims it.
        let given: BTreeSet<_> = plan.values().flatten().collect();
        assert!(!given.contains(&t(0)), "{plan:?}");
        let equal = [member("a", &["t"], &[t(0)], 3), member("b", &["t"], &[t(0)], 3)];
        let plan = self::plan(&equal, &[("t", 1)]);
        assert!(plan.values().all(Vec::is_empty), "{plan:?}");
    }

    #[test]
    fn unequal_subscriptions_are_balanced_as_far_as_they_allow() {
        let u = |partition| TopicPartition { topic: "u".to_owned(), partition };
        let mut members = vec![
            member("a", &["t", "u"], &[t(0), t(1), u(0), u(1)], 1),
            member("b", &["u"], &[], 1),
            member("c", &["t"], &[], 1),
        ];
        settle(&mut members, &[("t", 2), ("u", 4)]);
        let mut sizes = sizes(&members);
        sizes.sort_unstable();
        assert_eq!(sizes, [2, 2, 2]);
        assert!(members[1].owned.iter().all(|at| at.topic == "u"));
        assert!(members[2].owned.iter().all(|at| at.topic == "t"));
    }

    #[test]
    fn five_hundred_partitions_go_to_fifty_members_at_once() {
        let mut members: Vec<_> =
            (0..50).map(|number| member(&format!("m{number:02}"), &["t"], &[], 0)).collect();
        members[0].owned = (0..500).map(t).collect();
        assert_eq!(settle(&mut members, &[("t", 500)]), 490);
        assert!(sizes(&members).iter().all(|size| *size == 10));
    }
}
