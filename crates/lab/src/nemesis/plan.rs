//! From a step of the schedule to deeds: which nodes, which amounts.
//!
//! Decides only, and does nothing: all that it draws comes from the step, all else from the cluster as it is now. Keeps the limits: no
//! majority out unless the fault's name says so, and no second disk harmed.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};

use super::Cluster;
use super::deed::Deed;
use super::fault::Fault;
use super::heirs::Disk;
use super::schedule::Step;
use crate::target::{BrokenLink, LinkFault, NodeId, SyncFault, Target};

/// How long a node that was restarted on purpose must be in sync before the next one goes.
const SETTLED: Duration = Duration::from_secs(2);
/// How long a wiped node must be in sync before it counts: longer than a cluster needs to notice that it was gone.
pub(super) const SETTLED_AFTER_WIPE: Duration = Duration::from_secs(15);

/// What a fault will do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The nodes that it hits, for the history.
    pub(super) nodes: Vec<NodeId>,
    pub(super) detail: String,
    /// Those of them that do not serve meanwhile.
    pub(super) out: Vec<NodeId>,
    pub(super) deeds: Vec<Deed>,
}

/// The cluster when a fault begins.
pub(super) struct View<'a> {
    pub(super) target: &'a dyn Target,
    pub(super) cluster: &'a dyn Cluster,
    /// Nodes that run and are not paused.
    pub(super) up: Vec<NodeId>,
    /// The one node whose disk may be harmed, once one was.
    pub(super) damaged: Option<NodeId>,
}

/// Plans a step, or says why it cannot be done now.
pub(super) fn plan(step: &Step, view: &View<'_>) -> Result<Plan, String> {
    let mut planner = Planner { view, rng: StdRng::seed_from_u64(step.draw) };
    let plan = planner.plan(step.fault)?;
    let nodes = view.target.nodes();
    let mut out: BTreeSet<NodeId> = nodes.iter().copied().collect();
    out.retain(|node| !view.up.contains(node) || plan.out.contains(node));
    let limit = (nodes.len().saturating_sub(1) / 2).max(1);
    if out.len() > limit && !plan.out.is_empty() && !step.fault.may_take_majority() {
        return Err(format!("refused: the nodes {out:?} would be out, and {limit} may be at once"));
    }
    Ok(plan)
}

pub(super) struct Planner<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) rng: StdRng,
}

impl Planner<'_> {
    fn plan(&mut self, fault: Fault) -> Result<Plan, String> {
        use Fault::*;
        Ok(match fault {
            KillLeader => takes_out(self.leader()?, Deed::Kill),
            KillController => takes_out(self.controller()?, Deed::Kill),
            KillCoordinator => takes_out(self.coordinator()?, Deed::Kill),
            KillBoth => self.kill_both()?,
            KillRandom => takes_out(self.node()?, Deed::Kill),
            Terminate => takes_out(self.node()?, Deed::Terminate),
            PauseLeader => takes_out(self.leader()?, Deed::Pause),
            PauseController => takes_out(self.controller()?, Deed::Pause),
            PauseRandom => takes_out(self.node()?, Deed::Pause),
            KillAll => self.all(|nodes| nodes.into_iter().map(Deed::Kill).collect()),
            PowerAll => self.all(|nodes| vec![Deed::CutPower(nodes)]),
            PowerLeader => takes_out(self.leader()?, |node| Deed::CutPower(vec![node])),
            PowerTwo => self.power_two()?,
            LaggingHeir => self.lagging_heir()?,
            RestartedHeir => self.returning_heir(Disk::Kept)?,
            WipedHeir => self.returning_heir(Disk::Lost)?,
            RollingRestart => self.rolling_restart(),
            Nats7567 => self.nats_7567(),
            IsolateLeader => self.isolate(Self::leader)?,
            IsolateController => self.isolate(Self::controller)?,
            IsolateCoordinator => self.isolate(Self::coordinator)?,
            OneWay => self.one_way()?,
            Ring => self.ring(),
            Halves => self.halves(),
            Loss => self.loss(),
            SlowLink | SlowDisk | ClockJump | ConnectionStorm => self.gentle(fault)?,
            DiskFull => takes_out(self.node()?, Deed::FillDisk),
            FsyncError => self.fsync_error()?,
            BitFlip => self.bit_flip()?,
            Wipe => self.wipe()?,
            Membership => {
                let detail = "a node is added".to_owned();
                Plan { detail, deeds: vec![Deed::AddNode], ..Plan::default() }
            }
        })
    }

    fn shuffled(&mut self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self.view.target.nodes().into_iter().collect();
        nodes.shuffle(&mut self.rng);
        nodes
    }

    fn drawn<T: Copy>(&mut self, choices: &[T], otherwise: T) -> T {
        choices.choose(&mut self.rng).copied().unwrap_or(otherwise)
    }

    fn node(&mut self) -> Result<Chosen, String> {
        let node = self.view.up.choose(&mut self.rng).copied().ok_or("no node runs")?;
        Ok(Chosen { node, role: String::new() })
    }

    /// The partitions under test in drawn order.
    fn partitions(&mut self) -> Vec<(String, i32)> {
        let topics = self.view.cluster.topics().into_iter();
        let mut partitions: Vec<(String, i32)> = topics
            .flat_map(|(topic, count)| (0..count).map(move |number| (topic.clone(), number)))
            .collect();
        partitions.shuffle(&mut self.rng);
        partitions
    }

    /// A drawn partition, of those whose leader runs, and that leader.
    pub(super) fn led_partition(&mut self) -> Result<((String, i32), NodeId), String> {
        let led = self.partitions().into_iter().find_map(|(topic, number)| {
            let node = self.view.cluster.leader_of(&topic, number)?;
            self.view.up.contains(&node).then_some(((topic, number), node))
        });
        led.ok_or_else(|| "no partition of the topics under test has a leader that runs".to_owned())
    }

    /// The leader of a drawn partition, of those whose leader runs.
    pub(super) fn leader(&mut self) -> Result<Chosen, String> {
        let ((topic, number), node) = self.led_partition()?;
        Ok(Chosen { node, role: format!(", leader of {topic}/{number}") })
    }

    /// The coordinator of a drawn group.
    fn coordinator(&mut self) -> Result<Chosen, String> {
        let groups = self.view.cluster.groups();
        let group = groups.choose(&mut self.rng).ok_or("no group is in use")?;
        let node = self.view.cluster.coordinator_of(group);
        let node = node.filter(|node| self.view.up.contains(node));
        let node = node.ok_or_else(|| format!("group {group} has no coordinator that runs"))?;
        Ok(Chosen { node, role: format!(", coordinator of group {group}") })
    }

    /// One node if the controller leads a partition; else two, where a majority is left without them.
    fn kill_both(&mut self) -> Result<Plan, String> {
        let controller = self.controller()?;
        let own = self.partitions().into_iter().find(|(topic, number)| {
            self.view.cluster.leader_of(topic, *number) == Some(controller.node)
        });
        if let Some((topic, number)) = own {
            let role = format!("{} and leader of {topic}/{number}", controller.role);
            return Ok(takes_out(Chosen { role, ..controller }, Deed::Kill));
        }
        let leader = self.leader()?;
        let nodes = vec![controller.node, leader.node];
        Ok(Plan {
            detail: format!("{} and {}", controller.detail(), leader.detail()),
            out: nodes.clone(),
            deeds: nodes.iter().copied().map(Deed::Kill).collect(),
            nodes,
        })
    }

    fn controller(&mut self) -> Result<Chosen, String> {
        let known = self.view.target.controller().or_else(|| self.view.cluster.controller());
        match known.filter(|node| self.view.up.contains(node)) {
            Some(node) => Ok(Chosen { node, role: ", the controller".to_owned() }),
            None => {
                let role = ", drawn since nobody tells who the controller is".to_owned();
                Ok(Chosen { role, ..self.node()? })
            }
        }
    }

    fn all(&self, deeds: impl Fn(Vec<NodeId>) -> Vec<Deed>) -> Plan {
        let nodes: Vec<NodeId> = self.view.target.nodes().into_iter().collect();
        let deeds = deeds(self.view.up.clone());
        Plan { detail: "all nodes".to_owned(), out: nodes.clone(), nodes, deeds }
    }

    fn power_two(&mut self) -> Result<Plan, String> {
        let leader = self.leader()?;
        let others: Vec<NodeId> =
            self.view.up.iter().copied().filter(|node| *node != leader.node).collect();
        let other = others.choose(&mut self.rng).ok_or("only one node runs")?;
        let nodes = vec![leader.node, *other];
        let detail = format!("{} and node {other}", leader.detail());
        Ok(Plan { detail, out: nodes.clone(), deeds: vec![Deed::CutPower(nodes.clone())], nodes })
    }

    fn rolling_restart(&mut self) -> Plan {
        let nodes = self.shuffled();
        let mut deeds = vec![Deed::AwaitInSync { settled: Duration::ZERO }];
        for node in &nodes {
            deeds.extend([Deed::Terminate(*node), Deed::Start(*node)]);
            deeds.push(Deed::AwaitInSync { settled: SETTLED });
        }
        let out = nodes.iter().copied().take(1).collect();
        Plan { detail: format!("nodes {nodes:?}, one after the other"), out, nodes, deeds }
    }

    /// A minority sleeps while the rest acknowledges; one of the rest loses power; then it and the sleepers are the majority.
    fn nats_7567(&mut self) -> Plan {
        let nodes = self.shuffled();
        let (sleepers, rest) = nodes.split_at((nodes.len() - 1) / 2);
        let (lossy, others) = (rest[0], &rest[1..]);
        let mut deeds: Vec<Deed> = sleepers.iter().copied().map(Deed::Pause).collect();
        deeds.push(Deed::Hold { percent: 50 });
        deeds.push(Deed::CutPower(vec![lossy]));
        // The others sleep before the rest is awake: nobody who remembers may tell it.
        deeds.extend(others.iter().copied().map(Deed::Pause));
        deeds.push(Deed::Start(lossy));
        deeds.extend(sleepers.iter().copied().map(Deed::Resume));
        let detail =
            format!("nodes {sleepers:?} sleep, node {lossy} loses power, then {others:?} sleep");
        Plan { detail, out: nodes.clone(), nodes, deeds }
    }

    fn isolate(
        &mut self,
        choose: impl Fn(&mut Self) -> Result<Chosen, String>,
    ) -> Result<Plan, String> {
        let chosen = choose(self)?;
        let links = self.links(|from, to| from == chosen.node || to == chosen.node);
        Ok(takes_out(chosen, |_| Deed::BreakLinks(links)))
    }

    fn one_way(&mut self) -> Result<Plan, String> {
        let mut chosen = self.node()?;
        let links = if self.rng.random() {
            chosen.role = " hears nobody".to_owned();
            self.links(|_, to| to == chosen.node)
        } else {
            chosen.role = " is heard by nobody".to_owned();
            self.links(|from, _| from == chosen.node)
        };
        Ok(takes_out(chosen, |_| Deed::BreakLinks(links)))
    }

    fn ring(&mut self) -> Plan {
        let nodes = self.shuffled();
        let count = nodes.len();
        // Neighbours on each side that make a majority together with the node itself.
        let reach = (count / 2).div_ceil(2);
        let place = |node| nodes.iter().position(|other| *other == node).unwrap_or_default();
        let links = self.links(|from, to| {
            let apart = place(from).abs_diff(place(to));
            // Three in a ring all are neighbours; then it is a line.
            if count <= 3 { apart == count - 1 } else { apart.min(count - apart) > reach }
        });
        let detail = format!("in this order: {nodes:?}");
        Plan { detail, nodes, deeds: vec![Deed::BreakLinks(links)], ..Plan::default() }
    }

    fn halves(&mut self) -> Plan {
        let nodes = self.shuffled();
        let (minor, major) = nodes.split_at(nodes.len() / 2);
        let links = self.links(|from, to| minor.contains(&from) != minor.contains(&to));
        let detail = format!("{minor:?} and {major:?}");
        // Of two equal halves none serves, and none is out: both must only not contradict each other.
        let out = if minor.len() == major.len() { Vec::new() } else { minor.to_vec() };
        Plan { detail, out, nodes, deeds: vec![Deed::BreakLinks(links)] }
    }

    fn loss(&mut self) -> Plan {
        let percent = self.drawn(&[5, 10, 20, 30], 10);
        let mut links = self.links(|_, _| true);
        links.iter_mut().for_each(|link| link.fault = LinkFault::Lossy(percent));
        let nodes = self.view.target.nodes().into_iter().collect();
        let detail = format!("{percent} % of the packets between all nodes");
        Plan { detail, nodes, deeds: vec![Deed::BreakLinks(links)], ..Plan::default() }
    }

    fn gentle(&mut self, fault: Fault) -> Result<Plan, String> {
        let node = self.node()?.node;
        let (deed, amount) = match fault {
            Fault::SlowLink => {
                let kilobits = self.drawn(&[256, 1024, 4096], 1024);
                (Deed::LimitBandwidth(node, kilobits), format!("{kilobits} kbit/s"))
            }
            Fault::SlowDisk => {
                let delay = Duration::from_millis(self.drawn(&[20, 100, 400], 100));
                let deed = Deed::DisturbSyncs(node, SyncFault::Slow(delay));
                (deed, format!("{} ms more for each fsync", delay.as_millis()))
            }
            Fault::ClockJump => {
                let seconds = self.drawn(&[-86_400, -3_600, -60, 60, 3_600, 86_400], 60);
                (Deed::ShiftClock(node, seconds), format!("{seconds:+} s"))
            }
            _ => (Deed::Storm(node, self.rng.random()), "many connections".to_owned()),
        };
        let detail = format!("node {node}: {amount}");
        Ok(Plan { detail, nodes: vec![node], deeds: vec![deed], ..Plan::default() })
    }

    fn fsync_error(&mut self) -> Result<Plan, String> {
        let mut plan = takes_out(self.node()?, |node| Deed::DisturbSyncs(node, SyncFault::Fail));
        plan.deeds.push(Deed::AwaitEnd(plan.nodes[0]));
        Ok(plan)
    }

    /// The one node whose disk may be harmed in this run.
    fn victim(&mut self) -> Result<Chosen, String> {
        match self.view.damaged {
            Some(node) if self.view.up.contains(&node) => Ok(Chosen { node, role: String::new() }),
            Some(node) => Err(format!(
                "refused: the disk of node {node} was harmed before and it does not run; no second one may be"
            )),
            None => self.node(),
        }
    }

    fn bit_flip(&mut self) -> Result<Plan, String> {
        let topics = self.view.cluster.topics();
        let (topic, _) = topics.choose(&mut self.rng).ok_or("there is no topic under test")?;
        let chosen = self.victim()?;
        let draw = self.rng.random();
        let flip = |node| Deed::FlipBit { node, topic: topic.clone(), draw };
        let mut plan = takes_out(chosen, flip);
        plan.deeds.insert(0, Deed::AwaitInSync { settled: Duration::ZERO });
        Ok(plan)
    }

    fn wipe(&mut self) -> Result<Plan, String> {
        let mut plan = takes_out(self.victim()?, Deed::Kill);
        let node = plan.nodes[0];
        // What the others lack must not be lost with this disk.
        plan.deeds.insert(0, Deed::AwaitInSync { settled: Duration::ZERO });
        // At once, the others may not even know that it was away; later, they have gone on without it.
        let percent = self.drawn(&[0, 100], 0);
        plan.deeds.extend([Deed::Hold { percent }, Deed::Wipe(node), Deed::Start(node)]);
        plan.deeds.push(Deed::AwaitInSync { settled: SETTLED_AFTER_WIPE });
        Ok(plan)
    }

    /// The directions between two nodes that are to be cut.
    pub(super) fn links(&self, broken: impl Fn(NodeId, NodeId) -> bool) -> Vec<BrokenLink> {
        let nodes = self.view.target.nodes();
        let pairs = nodes.iter().flat_map(|from| nodes.iter().map(move |to| (*from, *to)));
        pairs
            .filter(|(from, to)| from != to && broken(*from, *to))
            .map(|(from, to)| BrokenLink { from, to, fault: LinkFault::Cut })
            .collect()
    }
}

/// A node, and why it.
pub(super) struct Chosen {
    pub(super) node: NodeId,
    /// Follows the node's number in a text.
    role: String,
}

impl Chosen {
    pub(super) fn detail(&self) -> String {
        format!("node {}{}", self.node, self.role)
    }
}

fn takes_out(chosen: Chosen, deed: impl FnOnce(NodeId) -> Deed) -> Plan {
    let nodes = vec![chosen.node];
    Plan { detail: chosen.detail(), out: nodes.clone(), nodes, deeds: vec![deed(chosen.node)] }
}
