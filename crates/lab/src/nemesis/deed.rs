//! The single deeds of a fault, and how each is undone.
//!
//! Invariant: what undoes a deed is noted before the deed is done, so that a deed that failed half-way is undone as well.

use std::collections::BTreeSet;
use std::time::Duration;

use super::pacer::{Pacer, Waited};
use super::storm::Storm;
use super::{Cluster, Step};
use crate::history::OperationId;
use crate::target::{BrokenLink, NodeId, Outcome, SyncFault, Target, TargetError};

/// How long a node may take to stop when it is asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How long the nemesis waits for full ISRs.
const SYNC_PATIENCE: Duration = Duration::from_secs(90);
/// How long a follower may lag before it leaves the ISR: Kafka's `replica.lag.time.max.ms` is 30 s.
const LAG_PATIENCE: Duration = Duration::from_secs(45);
const POLL: Duration = Duration::from_millis(200);

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Kill(NodeId),
    Terminate(NodeId),
    Start(NodeId),
    Pause(NodeId),
    Resume(NodeId),
    BreakLinks(Vec<BrokenLink>),
    LimitBandwidth(NodeId, u32),
    CutPower(Vec<NodeId>),
    FillDisk(NodeId),
    DisturbSyncs(NodeId, SyncFault),
    FlipBit {
        node: NodeId,
        topic: String,
        draw: u64,
    },
    Wipe(NodeId),
    ShiftClock(NodeId, i64),
    AddNode,
    Storm(NodeId, u64),
    /// Leaves it so for a share of the fault's time.
    Hold {
        percent: u32,
    },
    /// Waits until all ISRs are full, and stay so for a while.
    AwaitInSync {
        settled: Duration,
    },
    /// Waits until an ISR is not full.
    AwaitLag,
    /// Waits until a node has ended by itself, for as long as the fault lasts.
    AwaitEnd(NodeId),
}

/// What is to be done at the end of a fault, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Undo {
    HealLinks,
    LiftLimit(NodeId),
    FreeDisk(NodeId),
    CalmSyncs(NodeId),
    RightClock(NodeId),
    Resume(NodeId),
    /// Kills it and starts it.
    Restart(NodeId),
    /// Starts it unless it runs.
    Start(NodeId),
    RemoveNode(NodeId),
}

/// A disk that holds less or other than it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) node: NodeId,
    kind: DamageKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DamageKind {
    /// Nobody can tell whether it was found: it stays.
    Flipped,
    /// Over once the node is in sync.
    Wiped,
}

/// A fault that is on.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) step: Step,
    pub(super) op: OperationId,
    pub(super) nodes: Vec<NodeId>,
    pub(super) detail: String,
    pub(super) began: Duration,
    pub(super) until: Duration,
    pub(super) errors: Vec<String>,
    pub(super) undos: BTreeSet<Undo>,
    pub(super) storm: Option<Storm>,
}

/// Why a fault goes no further.
#[derive(Debug)]
pub(super) enum Stop {
    Cancelled,
    Failed(String),
}

impl From<TargetError> for Stop {
    fn from(error: TargetError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Does deeds with a target.
pub(super) struct Doer<'a> {
    pub(super) target: &'a dyn Target,
    pub(super) cluster: &'a dyn Cluster,
    pub(super) pacer: &'a dyn Pacer,
    /// The one disk that was harmed.
    pub(super) damage: Option<Damage>,
}

impl Doer<'_> {
    /// Does one deed of a fault.
    pub(super) fn perform(&mut self, deed: Deed, active: &mut Active) -> Result<(), Stop> {
        active.undos.extend(undos(&deed));
        let target = self.target;
        match deed {
            Deed::Kill(node) => target.kill(node)?,
            Deed::Terminate(node) => target.terminate(node, STOP_PATIENCE)?,
            Deed::Start(node) => {
                target.start(node)?;
                active.undos.remove(&Undo::Start(node));
            }
            Deed::Pause(node) => target.pause(node)?,
            Deed::Resume(node) => {
                target.resume(node)?;
                active.undos.remove(&Undo::Resume(node));
            }
            Deed::BreakLinks(links) => target.break_links(&links)?,
            Deed::LimitBandwidth(node, kilobits) => target.limit_bandwidth(node, Some(kilobits))?,
            Deed::CutPower(nodes) => target.cut_power(&nodes)?,
            Deed::FillDisk(node) => target.fill_disk(node)?,
            Deed::DisturbSyncs(node, fault) => target.disturb_syncs(node, Some(fault))?,
            Deed::FlipBit { node, topic, draw } => {
                self.damage = Some(Damage { node, kind: DamageKind::Flipped });
                let place = target.flip_bit(node, &topic, draw)?;
                active.detail += &format!(": {place}");
            }
            Deed::Wipe(node) => {
                self.damage = Some(Damage { node, kind: DamageKind::Wiped });
                target.wipe(node)?;
            }
            Deed::ShiftClock(node, seconds) => target.shift_clock(node, seconds)?,
            Deed::AddNode => {
                let node = target.add_node()?;
                active.nodes.push(node);
                active.undos.insert(Undo::RemoveNode(node));
                active.detail = format!("node {node} is added");
            }
            Deed::Storm(node, draw) => active.storm = Some(self.storm(node, draw)?),
            Deed::Hold { percent } => {
                self.wait_until(self.pacer.now() + active.step.lasting * percent / 100)?;
            }
            Deed::AwaitInSync { settled } => self.await_in_sync(settled)?,
            Deed::AwaitLag => self.await_lag(active)?,
            Deed::AwaitEnd(node) => self.await_end(node, active)?,
        }
        Ok(())
    }

    pub(super) fn undo(&self, undo: Undo) -> Outcome {
        let target = self.target;
        match undo {
            Undo::HealLinks => target.break_links(&[]),
            Undo::LiftLimit(node) => target.limit_bandwidth(node, None),
            Undo::FreeDisk(node) => target.free_disk(node),
            Undo::CalmSyncs(node) => target.disturb_syncs(node, None),
            Undo::RightClock(node) => target.shift_clock(node, 0),
            Undo::Resume(node) => target.resume(node),
            Undo::Restart(node) => target.kill(node).and_then(|()| target.start(node)),
            Undo::Start(node) if target.is_running(node) => Ok(()),
            Undo::Start(node) => target.start(node),
            Undo::RemoveNode(node) => target.remove_node(node),
        }
    }

    fn storm(&self, node: NodeId, draw: u64) -> Result<Storm, Stop> {
        let address = self.target.client_address(node);
        let address = address.ok_or_else(|| {
            Stop::Failed(format!("nobody tells the address of node {node} for clients"))
        })?;
        Storm::begin(address, draw)
            .map_err(|error| Stop::Failed(format!("no thread for connections: {error}")))
    }

    fn wait_until(&self, time: Duration) -> Result<(), Stop> {
        match self.pacer.wait_until(time) {
            Waited::Elapsed => Ok(()),
            Waited::Cancelled => Err(Stop::Cancelled),
        }
    }

    pub(super) fn await_in_sync(&mut self, settled: Duration) -> Result<(), Stop> {
        let deadline = self.pacer.now() + SYNC_PATIENCE + settled;
        let mut since = None;
        loop {
            let now = self.pacer.now();
            since = self.cluster.in_sync().then(|| since.unwrap_or(now));
            if since.is_some_and(|since| now >= since + settled) {
                // A wiped node that is in sync has all that it lost, and whatever was flipped is gone.
                self.damage = self.damage.filter(|damage| damage.kind != DamageKind::Wiped);
                return Ok(());
            }
            if now >= deadline {
                let patience = SYNC_PATIENCE.as_secs();
                return Err(Stop::Failed(format!("the ISRs were not full within {patience} s")));
            }
            self.wait_until(now + POLL)?;
        }
    }

    fn await_lag(&self, active: &mut Active) -> Result<(), Stop> {
        let deadline = self.pacer.now() + LAG_PATIENCE;
        while self.cluster.in_sync() {
            let now = self.pacer.now();
            if now >= deadline {
                active.detail += ", though all ISRs stayed full";
                return Ok(());
            }
            self.wait_until(now + POLL)?;
        }
        Ok(())
    }

    fn await_end(&self, node: NodeId, active: &mut Active) -> Result<(), Stop> {
        while self.target.is_running(node) {
            let now = self.pacer.now();
            if now >= active.until {
                active.detail += ", which did not end";
                return Ok(());
            }
            self.wait_until((now + POLL).min(active.until))?;
        }
        let seconds = self.pacer.now().saturating_sub(active.began).as_secs_f64();
        active.detail += &format!(", which ended within {seconds:.1} s");
        Ok(())
    }
}

/// What undoes a deed, as far as that is known before it is done.
fn undos(deed: &Deed) -> Vec<Undo> {
    match deed {
        Deed::Kill(node) | Deed::Terminate(node) | Deed::Wipe(node) => vec![Undo::Start(*node)],
        Deed::Pause(node) => vec![Undo::Resume(*node)],
        Deed::BreakLinks(_) => vec![Undo::HealLinks],
        Deed::LimitBandwidth(node, _) => vec![Undo::LiftLimit(*node)],
        Deed::CutPower(nodes) => nodes.iter().copied().map(Undo::Start).collect(),
        Deed::FillDisk(node) => vec![Undo::FreeDisk(*node)],
        Deed::DisturbSyncs(node, SyncFault::Slow(_)) => vec![Undo::CalmSyncs(*node)],
        // It may have ended, or go on with files of which nobody knows what is in them.
        Deed::DisturbSyncs(node, SyncFault::Fail) => {
            vec![Undo::CalmSyncs(*node), Undo::Restart(*node)]
        }
        // Its recovery shall read what was flipped.
        Deed::FlipBit { node, .. } => vec![Undo::Restart(*node)],
        Deed::ShiftClock(node, _) => vec![Undo::RightClock(*node)],
        Deed::Start(_) | Deed::Resume(_) | Deed::AddNode | Deed::Storm(..) => Vec::new(),
        Deed::Hold { .. } | Deed::AwaitInSync { .. } => Vec::new(),
        Deed::AwaitLag | Deed::AwaitEnd(_) => Vec::new(),
    }
}
