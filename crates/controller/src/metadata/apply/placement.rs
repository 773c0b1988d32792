//! Where the replicas of new partitions go.
//!
//! Owns the striping (the idea of Kafka's `StripedReplicaPlacer`): leaders go round all brokers that can lead, the replicas of one partition go over
//! racks before they share one, and fenced brokers come last and never first. Deterministic: the random start is an argument.

use std::collections::{BTreeMap, BTreeSet};

use model::BrokerId;

use crate::metadata::image::Image;

/// The brokers of an image in the order in which placement goes round them.
pub(super) struct Placement<'a> {
    /// Brokers that can lead, striped over racks: neighbours lie in different racks as far as the racks go.
    active: Vec<(BrokerId, Option<&'a str>)>,
    /// The rest, striped alike.
    inactive: Vec<(BrokerId, Option<&'a str>)>,
}

impl<'a> Placement<'a> {
    pub(super) fn new(image: &'a Image) -> Self {
        let striped = |wanted: bool| {
            let brokers = image.brokers().filter(|broker| broker.is_active() == wanted);
            stripe(brokers.map(|broker| (broker.broker_id, broker.rack.as_deref())))
        };
        Self { active: striped(true), inactive: striped(false) }
    }

    /// Returns how many brokers there are, fenced ones included.
    pub(super) fn broker_count(&self) -> usize {
        self.active.len() + self.inactive.len()
    }

    /// Says whether any broker can lead.
    pub(super) fn has_leader(&self) -> bool {
        !self.active.is_empty()
    }

    /// Returns the replicas of the partition that is the `turn`-th of all: the preferred leader first. Fewer than asked when there are not as many brokers.
    pub(super) fn place(&self, turn: usize, replication_factor: usize) -> Vec<BrokerId> {
        let mut spread = Spread { replicas: Vec::new(), racks: BTreeSet::new() };
        // Fenced brokers come last even where a rack of theirs is free: an active replica is worth more than a spread one.
        spread.take(order_of(&self.active, turn), replication_factor);
        spread.take(order_of(&self.inactive, turn), replication_factor);
        spread.replicas
    }
}

/// The replicas of one partition while they are chosen.
struct Spread<'a> {
    replicas: Vec<BrokerId>,
    /// Racks taken since all candidates' racks were last taken.
    racks: BTreeSet<&'a str>,
}

impl<'a> Spread<'a> {
    /// Takes candidates in order, those in fresh racks first, until there are enough replicas.
    fn take(&mut self, mut candidates: Vec<(BrokerId, Option<&'a str>)>, enough: usize) {
        while self.replicas.len() < enough && !candidates.is_empty() {
            let is_fresh = |rack: Option<&str>| rack.is_none_or(|rack| !self.racks.contains(rack));
            let fresh = candidates.iter().position(|candidate| is_fresh(candidate.1));
            if fresh.is_none() {
                self.racks.clear();
            }
            let (broker_id, rack) = candidates.remove(fresh.unwrap_or(0));
            self.racks.extend(rack);
            self.replicas.push(broker_id);
        }
    }
}

/// Goes round the brokers from the turn's own; the order behind the first shifts with every full round, so that the followers of one leader vary.
fn order_of<'a>(
    brokers: &[(BrokerId, Option<&'a str>)],
    turn: usize,
) -> Vec<(BrokerId, Option<&'a str>)> {
    let mut order = brokers.to_vec();
    if let Some(first) = turn.checked_rem(order.len()) {
        let round = turn / order.len();
        order.rotate_left(first);
        let behind = &mut order[1..];
        if let Some(shift) = round.checked_rem(behind.len()) {
            behind.rotate_left(shift);
        }
    }
    order
}

/// Takes one broker of each rack in turn. Brokers without a rack form a rack of their own here.
fn stripe<'a>(
    brokers: impl Iterator<Item = (BrokerId, Option<&'a str>)>,
) -> Vec<(BrokerId, Option<&'a str>)> {
    let mut racks: BTreeMap<Option<&str>, Vec<BrokerId>> = BTreeMap::new();
    for (broker_id, rack) in brokers {
        racks.entry(rack).or_default().push(broker_id);
    }
    let longest = racks.values().map(Vec::len).max().unwrap_or(0);
    (0..longest)
        .flat_map(|row| {
            racks.iter().filter_map(move |(rack, members)| Some((*members.get(row)?, *rack)))
        })
        .collect()
}
