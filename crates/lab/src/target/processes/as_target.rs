//! What a cluster of processes offers as a [`Target`].
//!
//! Owns nothing: each method does one thing to nodes, network or disks, and says in whose name it failed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::description::ControllerRule;
use super::{
    CLOCK, Processes, bit_flip, clock, controller, fill_in, locked, network, power, tools,
};
use crate::target::replica_logs::{self, ReplicaDigest};
use crate::target::{BrokenLink, Means, NodeId, Outcome, SyncFault, Target, TargetError};

impl Target for Processes {
    fn describe(&self) -> String {
        let count = self.ids().len();
        format!("{}, {count} process{}", self.version, if count == 1 { "" } else { "es" })
    }

    fn nodes(&self) -> BTreeSet<NodeId> {
        self.ids()
    }

    fn bootstrap(&self) -> String {
        let addresses: Vec<String> =
            self.ids().into_iter().map(|id| self.address(id).to_string()).collect();
        addresses.join(",")
    }

    fn lacks(&self, means: Means) -> Option<String> {
        let link = |of: fn(&network::Network) -> &Option<String>| match &self.network {
            Ok(network) => of(&locked(network)).clone(),
            Err(reason) => Some(reason.clone()),
        };
        match means {
            Means::Processes
            | Means::Pause
            | Means::Files
            | Means::Membership
            | Means::Connections => None,
            Means::Links => link(|network| &network.lacks_links),
            Means::SlowLinks => link(|network| &network.lacks_slow_links),
            Means::Power | Means::FullDisk => self.lacks_disks.clone(),
            Means::DiskErrors => {
                tools::find("strace").is_none().then(|| "strace is not installed".to_owned())
            }
            Means::Clock => self.clock_library.as_ref().err().cloned(),
        }
    }

    fn start_all(&self, patience: Duration) -> Outcome {
        let began = Instant::now();
        for id in self.ids() {
            self.start(id)?;
        }
        for id in self.ids() {
            self.wait_ready(id, patience.saturating_sub(began.elapsed()))?;
        }
        Ok(())
    }

    fn start(&self, id: NodeId) -> Outcome {
        self.with(id, "start", super::node::Node::start)
    }

    fn kill(&self, id: NodeId) -> Outcome {
        self.with(id, "kill", super::node::Node::kill)
    }

    fn terminate(&self, id: NodeId, patience: Duration) -> Outcome {
        self.with(id, "terminate", |node| node.terminate(patience))
    }

    fn is_running(&self, id: NodeId) -> bool {
        self.node(id).is_ok_and(|node| locked(&node).is_running())
    }

    fn pause(&self, id: NodeId) -> Outcome {
        self.with(id, "pause", super::node::Node::pause)
    }

    fn resume(&self, id: NodeId) -> Outcome {
        self.with(id, "resume", super::node::Node::resume)
    }

    fn break_links(&self, links: &[BrokenLink]) -> Outcome {
        self.network()?
            .break_links(links)
            .map_err(|reason| TargetError::new(format!("break {} links", links.len()), reason))
    }

    fn limit_bandwidth(&self, id: NodeId, kilobits: Option<u32>) -> Outcome {
        self.with(id, "limit", |node| {
            self.network().map_err(|error| error.reason)?.limit(id, kilobits)?;
            node.is_bounded = kilobits.is_some();
            Ok(())
        })
    }

    fn cut_power(&self, ids: &[NodeId]) -> Outcome {
        let what = format!("cut the power of nodes {ids:?}");
        let failed = |reason: &dyn std::fmt::Display| TargetError::new(what.clone(), reason);
        // In the order of the numbers, as everybody who takes several locks does.
        let ids: BTreeSet<NodeId> = ids.iter().copied().collect();
        let nodes: Vec<_> = ids.iter().map(|id| self.node(*id)).collect::<Result<_, _>>()?;
        let mut nodes: Vec<_> = nodes.iter().map(|node| locked(node)).collect();
        let mut switches = Vec::new();
        for node in &mut nodes {
            node.disk.mount().map_err(|reason| failed(&reason))?;
            switches.push(node.disk.open().map_err(|reason| failed(&reason))?);
        }
        // All at once: what one writes after another is dead would be a loss that no power failure makes.
        for switch in &switches {
            power::cut(switch).map_err(|error| failed(&error))?;
        }
        drop(switches);
        for node in &mut nodes {
            node.kill().map_err(|reason| failed(&reason))?;
            node.disk.unmount().map_err(|reason| failed(&reason))?;
        }
        Ok(())
    }

    fn fill_disk(&self, id: NodeId) -> Outcome {
        self.with(id, "fill the disk of", |node| node.disk.fill())
    }

    fn free_disk(&self, id: NodeId) -> Outcome {
        self.with(id, "free the disk of", |node| node.disk.mount().and_then(|()| node.disk.free()))
    }

    fn disturb_syncs(&self, id: NodeId, fault: Option<SyncFault>) -> Outcome {
        self.with(id, "disturb the syncs of", |node| node.disturb(fault))
    }

    fn flip_bit(&self, id: NodeId, topic: &str, draw: u64) -> Result<String, TargetError> {
        self.with(id, "flip a bit on", |node| {
            node.disk.mount()?;
            bit_flip::flip(&node.disk.data(), topic, draw)
        })
    }

    fn replicas(
        &self,
        topic: &str,
        left_out: &BTreeSet<NodeId>,
    ) -> Result<Vec<ReplicaDigest>, TargetError> {
        let mut logs = BTreeMap::new();
        for id in self.ids().into_iter().filter(|id| !left_out.contains(id)) {
            let own = self.with(id, "read the logs of", |node| {
                if node.is_running() {
                    return Err("it runs; stop it first".to_owned());
                }
                node.disk.mount()?;
                let read = replica_logs::read(&node.disk.data(), topic);
                node.disk.unmount()?;
                read.map_err(|error| error.to_string())
            })?;
            logs.insert(id, own);
        }
        Ok(replica_logs::digests(&logs))
    }

    fn wipe(&self, id: NodeId) -> Outcome {
        self.with(id, "wipe", |node| {
            if node.is_running() {
                return Err("it runs; kill it first".to_owned());
            }
            node.disk.mount()?;
            node.disk.wipe()
        })
    }

    fn shift_clock(&self, id: NodeId, seconds: i64) -> Outcome {
        if let Err(reason) = &self.clock_library {
            return Err(TargetError::new(format!("shift the clock of node {id}"), reason));
        }
        self.with(id, "shift the clock of", |node| {
            clock::shift(&node.directory.join(CLOCK), seconds)
        })
    }

    fn add_node(&self) -> Result<NodeId, TargetError> {
        let id = self.ids().last().map_or(1, |last| last + 1);
        if id > network::MAX_NODES {
            return Err(TargetError::new("add a node", "there is no address left"));
        }
        self.make_node(id)?;
        self.start(id)?;
        Ok(id)
    }

    fn remove_node(&self, id: NodeId) -> Outcome {
        if id <= self.options.nodes {
            let reason = "it belongs to the cluster from its start";
            return Err(TargetError::new(format!("remove node {id}"), reason));
        }
        self.with(id, "remove", |node| {
            let stopped = node.terminate(REMOVAL_PATIENCE);
            node.disk.unmount()?;
            stopped
        })?;
        locked(&self.nodes).remove(&id);
        let Ok(mut network) = self.network() else { return Ok(()) };
        network.remove(id).map_err(|reason| TargetError::new(format!("remove node {id}"), reason))
    }

    fn client_address(&self, id: NodeId) -> Option<SocketAddr> {
        self.node(id).is_ok().then(|| self.address(id))
    }

    fn controller(&self) -> Option<NodeId> {
        let rule = self.description.controller.as_ref()?;
        let awake = self.all().into_iter().filter_map(|node| {
            let mut node = locked(&node);
            node.is_awake().then(|| (node.id, node.disk.data()))
        });
        match rule {
            ControllerRule::File { file, leader, epoch } => awake
                .filter_map(|(id, data)| {
                    let mut values = self.values(id);
                    values.insert("data".to_owned(), data.display().to_string());
                    let path = fill_in(file, &values).ok()?;
                    controller::leader_in(path.as_ref(), leader, epoch)
                })
                .max()
                .map(|(_, leader)| leader),
            ControllerRule::Http { http, line } => {
                let mut claims = awake.filter_map(|(id, _)| {
                    let url = fill_in(http, &self.values(id)).ok()?;
                    controller::page_has(&url, line).then_some(id)
                });
                let only = claims.next();
                if claims.next().is_some() { None } else { only }
            }
        }
    }

    fn heal(&self) -> Outcome {
        let mut result = Ok(());
        let mut note = |outcome: Outcome| {
            if result.is_ok() {
                result = outcome;
            }
        };
        if self.lacks(Means::Links).is_none() {
            note(self.break_links(&[]));
        }
        for id in self.ids() {
            if self.node(id).is_ok_and(|node| locked(&node).is_bounded) {
                note(self.limit_bandwidth(id, None));
            }
            if self.clock_library.is_ok() {
                note(self.shift_clock(id, 0));
            }
            note(self.with(id, "heal", super::node::Node::heal));
        }
        result
    }

    fn stop_all(&self) {
        let nodes = self.all();
        std::thread::scope(|scope| {
            for node in &nodes {
                scope.spawn(|| {
                    let mut node = locked(node);
                    // Whoever does not hear is killed.
                    let _killed = node.terminate(STOP_PATIENCE);
                    let _gone_with_the_sandbox = node.disk.unmount();
                });
            }
        });
    }
}

impl Processes {
    /// Waits until a node accepts clients and says that it serves; ends early when it has ended.
    pub(super) fn wait_ready(&self, id: NodeId, patience: Duration) -> Outcome {
        let node = self.node(id)?;
        let address = self.address(id);
        let mut has_ended = false;
        let serves = tools::wait_until(patience, || {
            let mut node = locked(&node);
            has_ended = !node.is_running();
            has_ended
                || (TcpStream::connect_timeout(&address, ASK_PATIENCE).is_ok()
                    && node.says_ready(READY_PATIENCE))
        });
        if serves && !has_ended {
            return Ok(());
        }
        let what = format!("start node {id}");
        let words = locked(&node).last_words();
        if has_ended {
            return Err(TargetError::new(what, format!("it ended at once; {words}")));
        }
        Err(TargetError::new(what, format!("it does not serve within {patience:?}; {words}")))
    }
}

/// A node on the same machine accepts at once or not at all.
const ASK_PATIENCE: Duration = Duration::from_millis(500);

/// For the target file's `ready`.
const READY_PATIENCE: Duration = Duration::from_secs(10);

/// A node that hands over its partitions takes a while; a run's end shall not.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// As long as an operator would wait.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(30);
