//! A target that does nothing and keeps book, a cluster view over it, and time that passes when somebody waits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::time::Duration;

use crate::nemesis::Cluster;
use crate::nemesis::pacer::{Pacer, Waited};
use crate::target::{BrokenLink, Means, NodeId, Outcome, SyncFault, Target, TargetError};

#[derive(Debug, Default)]
pub(super) struct ManualPacer {
    now: Mutex<Duration>,
    cancelled_at: Option<Duration>,
}

impl ManualPacer {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn cancelled_at(time: Duration) -> Self {
        Self { cancelled_at: Some(time), ..Self::default() }
    }
}

impl Pacer for ManualPacer {
    fn now(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    fn wait_until(&self, time: Duration) -> Waited {
        let end = self.cancelled_at.unwrap_or(Duration::MAX);
        let mut now = self.now.lock().unwrap();
        *now = (*now).max(time.min(end));
        if *now >= end { Waited::Cancelled } else { Waited::Elapsed }
    }
}

#[derive(Debug, Default)]
struct State {
    nodes: BTreeSet<NodeId>,
    calls: Vec<String>,
    down: BTreeSet<NodeId>,
    paused: BTreeSet<NodeId>,
    /// Anything else that is broken: what, and where.
    broken: BTreeMap<String, String>,
    last_links: Vec<BrokenLink>,
    most_out: usize,
    /// Disks that were harmed; a wipe mends earlier flips of its node.
    harmed: BTreeSet<NodeId>,
    /// Two harmed disks at once.
    unsynced_harm: Option<BTreeSet<NodeId>>,
    broken_at_heal: Option<String>,
}

impl State {
    fn broken(&self) -> String {
        let mut all: Vec<String> = self.broken.iter().map(|(k, v)| format!("{k}: {v}")).collect();
        all.extend(self.down.iter().map(|node| format!("{node} is down")));
        all.extend(self.paused.iter().map(|node| format!("{node} is paused")));
        all.join(", ")
    }

    fn harm(&mut self, node: NodeId) {
        self.harmed.insert(node);
        if self.harmed.len() > 1 {
            self.unsynced_harm = Some(self.harmed.clone());
        }
    }
}

#[derive(Debug)]
pub(super) struct FakeTarget {
    state: Mutex<State>,
    failing: &'static str,
    lacking: Option<Means>,
    in_sync: InSync,
    listener: TcpListener,
}

#[derive(Debug, PartialEq, Eq)]
enum InSync {
    WhenAllRun,
    Never,
}

impl FakeTarget {
    pub(super) fn new(nodes: NodeId) -> Self {
        let nodes = (1..=nodes).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = Mutex::new(State { nodes, ..State::default() });
        Self { state, failing: "", lacking: None, in_sync: InSync::WhenAllRun, listener }
    }

    pub(super) fn failing(self, call: &'static str) -> Self {
        Self { failing: call, ..self }
    }

    pub(super) fn lacking(self, means: Means) -> Self {
        Self { lacking: Some(means), ..self }
    }

    pub(super) fn never_in_sync(self) -> Self {
        Self { in_sync: InSync::Never, ..self }
    }

    pub(super) fn crash(&self, node: NodeId) {
        self.state().down.insert(node);
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// Whether anything was done beyond healing.
    pub(super) fn was_broken(&self) -> bool {
        self.state().calls.iter().any(|call| call != "heal")
    }

    pub(super) fn broken_at_heal(&self) -> Option<String> {
        self.state().broken_at_heal.clone()
    }

    pub(super) fn most_out(&self) -> usize {
        self.state().most_out
    }

    pub(super) fn unsynced_harm(&self) -> Option<BTreeSet<NodeId>> {
        self.state().unsynced_harm.clone()
    }

    pub(super) fn last_links(&self) -> Vec<BrokenLink> {
        self.state().last_links.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn call(&self, call: String, change: impl FnOnce(&mut State)) -> Outcome {
        let mut state = self.state();
        state.calls.push(call.clone());
        if call.split(' ').next() == Some(self.failing) {
            return Err(TargetError::new(call, "it is out of order"));
        }
        change(&mut state);
        let out = state.down.union(&state.paused).count();
        state.most_out = state.most_out.max(out);
        Ok(())
    }

    fn set(&self, what: String, value: Option<String>) -> Outcome {
        self.call(what.clone(), |state| {
            match value {
                Some(value) => state.broken.insert(what, value),
                None => state.broken.remove(&what),
            };
        })
    }
}

impl Target for FakeTarget {
    fn describe(&self) -> String {
        "nothing".to_owned()
    }
    fn nodes(&self) -> BTreeSet<NodeId> {
        self.state().nodes.clone()
    }
    fn bootstrap(&self) -> String {
        String::new()
    }
    fn lacks(&self, means: Means) -> Option<String> {
        (self.lacking == Some(means)).then(|| format!("no {means:?} here"))
    }
    fn start_all(&self, _: Duration) -> Outcome {
        Ok(())
    }
    fn start(&self, node: NodeId) -> Outcome {
        self.call(format!("start {node}"), |state| {
            assert!(state.down.remove(&node), "{node} runs already");
        })
    }
    fn kill(&self, node: NodeId) -> Outcome {
        self.call(format!("kill {node}"), |state| {
            state.down.insert(node);
        })
    }
    fn terminate(&self, node: NodeId, _: Duration) -> Outcome {
        self.kill(node)
    }
    fn is_running(&self, node: NodeId) -> bool {
        !self.state().down.contains(&node)
    }
    fn pause(&self, node: NodeId) -> Outcome {
        self.call(format!("pause {node}"), |state| {
            assert!(!state.down.contains(&node), "{node} does not run");
            state.paused.insert(node);
        })
    }
    fn resume(&self, node: NodeId) -> Outcome {
        self.call(format!("resume {node}"), |state| {
            state.paused.remove(&node);
        })
    }
    fn break_links(&self, links: &[BrokenLink]) -> Outcome {
        if !links.is_empty() {
            self.state().last_links = links.to_vec();
        }
        self.set("links".to_owned(), (!links.is_empty()).then(|| format!("{links:?}")))
    }
    fn limit_bandwidth(&self, node: NodeId, kilobits: Option<u32>) -> Outcome {
        self.set(format!("bandwidth {node}"), kilobits.map(|limit| limit.to_string()))
    }
    fn cut_power(&self, nodes: &[NodeId]) -> Outcome {
        self.call(format!("power {nodes:?}"), |state| state.down.extend(nodes))
    }
    fn fill_disk(&self, node: NodeId) -> Outcome {
        self.set(format!("disk {node}"), Some("full".to_owned()))
    }
    fn free_disk(&self, node: NodeId) -> Outcome {
        self.set(format!("disk {node}"), None)
    }
    fn disturb_syncs(&self, node: NodeId, fault: Option<SyncFault>) -> Outcome {
        if fault == Some(SyncFault::Fail) {
            self.crash(node);
        }
        self.set(format!("syncs {node}"), fault.map(|fault| format!("{fault:?}")))
    }
    fn flip_bit(&self, node: NodeId, _: &str, _: u64) -> Result<String, TargetError> {
        self.call(format!("flip {node}"), |state| state.harm(node))?;
        Ok("byte 7".to_owned())
    }
    fn wipe(&self, node: NodeId) -> Outcome {
        self.call(format!("wipe {node}"), |state| {
            assert!(state.down.contains(&node), "{node} runs");
            state.harm(node);
            // Whole again once it has copied all, for which the nemesis must wait.
            state.harmed.remove(&node);
        })
    }
    fn shift_clock(&self, node: NodeId, seconds: i64) -> Outcome {
        self.set(format!("clock {node}"), (seconds != 0).then(|| seconds.to_string()))
    }
    fn add_node(&self) -> Result<NodeId, TargetError> {
        let node = self.nodes().last().expect("there are nodes") + 1;
        self.call(format!("add {node}"), |state| {
            state.nodes.insert(node);
            state.broken.insert("added".to_owned(), node.to_string());
        })?;
        Ok(node)
    }
    fn remove_node(&self, node: NodeId) -> Outcome {
        self.call(format!("remove {node}"), |state| {
            state.nodes.remove(&node);
            state.broken.remove("added");
        })
    }
    fn client_address(&self, node: NodeId) -> Option<SocketAddr> {
        self.call(format!("address {node}"), |_| ()).ok()?;
        self.listener.local_addr().ok()
    }
    fn controller(&self) -> Option<NodeId> {
        Some(1)
    }
    fn heal(&self) -> Outcome {
        self.call("heal".to_owned(), |state| state.broken_at_heal = Some(state.broken()))
    }
    fn stop_all(&self) {}
}

impl Cluster for FakeTarget {
    fn leader_of(&self, _: &str, partition: i32) -> Option<NodeId> {
        let state = self.state();
        let place = usize::try_from(partition).unwrap() % state.nodes.len();
        state.nodes.iter().nth(place).copied()
    }
    fn replicas_of(&self, topic: &str, partition: i32) -> Vec<NodeId> {
        let leader = self.leader_of(topic, partition);
        let others = self.nodes().into_iter().filter(|node| Some(*node) != leader);
        leader.into_iter().chain(others).take(3).collect()
    }
    fn groups(&self) -> Vec<String> {
        vec!["members".to_owned()]
    }
    fn coordinator_of(&self, _: &str) -> Option<NodeId> {
        Some(2)
    }
    fn controller(&self) -> Option<NodeId> {
        None
    }
    fn in_sync(&self) -> bool {
        self.in_sync == InSync::WhenAllRun && self.state().broken().is_empty()
    }
    fn topics(&self) -> Vec<(String, i32)> {
        vec![("lab".to_owned(), 6)]
    }
}
