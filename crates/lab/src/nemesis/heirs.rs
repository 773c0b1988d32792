//! The faults that make somebody lead who should not: the nodes of one partition are taken out and brought back in an order in which a
//! replica that lacks acknowledged records is the only one left.
//!
//! A whole cluster survives each without a loss: it waits for the one that has all. At most one disk is harmed.

use std::time::Duration;

use rand::seq::{IndexedRandom as _, SliceRandom as _};

use super::deed::Deed;
use super::plan::{Plan, Planner, SETTLED_AFTER_WIPE};
use crate::target::NodeId;

/// Whether the heir comes back with its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    Kept,
    Lost,
}

impl Planner<'_> {
    /// The moment at which only one of the two that are left has all that was acknowledged.
    pub(super) fn lagging_heir(&mut self) -> Result<Plan, String> {
        let leader = self.leader()?;
        let others: Vec<NodeId> =
            self.view.up.iter().copied().filter(|node| *node != leader.node).collect();
        let heir = *others.choose(&mut self.rng).ok_or("only one node runs")?;
        let detail = format!("node {heir} lags, then {} dies", leader.detail());
        let deeds = vec![
            Deed::AwaitInSync { settled: Duration::ZERO },
            // The controller still hears the heir, and could elect it.
            Deed::BreakLinks(self.between(heir, leader.node)),
            Deed::AwaitLag,
            Deed::Hold { percent: 20 },
            Deed::Kill(leader.node),
            Deed::Hold { percent: 50 },
        ];
        Ok(Plan { detail, out: vec![leader.node], nodes: vec![heir, leader.node], deeds })
    }

    /// One of three replicas dies, so that the ISR has no member to spare; the heir goes and comes back while it cannot hear the last one,
    /// which then dies too. Whoever takes the heir for in sync, or trusts what it cut off, loses what the last one has.
    pub(super) fn returning_heir(&mut self, disk: Disk) -> Result<Plan, String> {
        let (first, heir, last) = self.three_replicas(disk)?;
        let nodes = vec![first, heir, last];
        let mut deeds = vec![
            Deed::AwaitInSync { settled: Duration::ZERO },
            Deed::Kill(first),
            Deed::AwaitLag,
            Deed::Hold { percent: 20 },
            Deed::Kill(heir),
        ];
        if disk == Disk::Lost {
            deeds.push(Deed::Wipe(heir));
        }
        deeds.push(Deed::BreakLinks(self.between(heir, last)));
        // Of three nodes two must be there, and one that was wiped has no vote, for the cluster to hear of the heir at all.
        let all_are_needed = self.view.target.nodes().len() == nodes.len();
        let others = if all_are_needed { vec![last] } else { vec![first, last] };
        if all_are_needed {
            deeds.push(Deed::Start(first));
        }
        deeds.extend([Deed::Start(heir), Deed::Hold { percent: 40 }, Deed::Kill(last)]);
        deeds.extend([Deed::Hold { percent: 40 }, Deed::BreakLinks(Vec::new())]);
        deeds.extend(others.into_iter().map(Deed::Start));
        let settled = if disk == Disk::Lost { SETTLED_AFTER_WIPE } else { Duration::ZERO };
        deeds.push(Deed::AwaitInSync { settled });
        let lost = if disk == Disk::Lost { " without its data" } else { "" };
        let detail = format!(
            "node {first} dies, node {heir} comes back{lost} and cannot hear node {last}, which dies"
        );
        Ok(Plan { detail, out: nodes.clone(), nodes, deeds })
    }

    /// Three replicas of a drawn partition that run, its leader the last of them.
    fn three_replicas(&mut self, disk: Disk) -> Result<(NodeId, NodeId, NodeId), String> {
        let ((topic, number), last) = self.led_partition()?;
        let mut others = self.view.cluster.replicas_of(&topic, number);
        others.retain(|node| *node != last && self.view.up.contains(node));
        others.shuffle(&mut self.rng);
        // Only one disk of a run may be harmed.
        if let (Disk::Lost, Some(damaged)) = (disk, self.view.damaged) {
            others.sort_by_key(|node| *node != damaged);
            if others.first() != Some(&damaged) {
                return Err(format!(
                    "refused: the disk of node {damaged} was harmed before, and it is no replica here that can be wiped"
                ));
            }
        }
        match others[..] {
            [heir, first, ..] => Ok((first, heir, last)),
            _ => Err(format!("{topic}/{number} has not three replicas that run")),
        }
    }

    /// Both directions between two nodes.
    fn between(&self, one: NodeId, other: NodeId) -> Vec<crate::target::BrokenLink> {
        let pair = [one, other];
        self.links(|from, to| pair.contains(&from) && pair.contains(&to))
    }
}
