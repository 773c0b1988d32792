//! A cluster that the lab starts itself: processes described by a target file, in a sandbox.
//!
//! Owns the nodes, their network and their disks; all end with it. What the machine cannot do is known when it is made, see
//! [`super::Target::lacks`]. Locks: the map of nodes, then one node; the network's lock is taken last and alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{NodeId, TargetError, bit_flip};

mod as_target;
mod clock;
mod controller;
mod description;
mod disk;
mod network;
mod node;
mod power;
mod sandbox;
mod sync_fault;
mod tools;

#[cfg(test)]
mod tests;

pub(crate) use description::Description;
pub(crate) use sandbox::{Sandbox, SandboxError, enter};

use description::{Recipients, fill_in};
use disk::Disk;
use network::Network;
use node::{Commands, Node};

/// Whether nodes are started so that their clocks can be shifted; that costs each reading of a clock some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clocks {
    True,
    Shiftable,
}

/// How a described cluster is made.
#[derive(Clone, Debug)]
pub(crate) struct ProcessesOptions {
    /// How many nodes it begins with, at least one.
    pub(crate) nodes: u32,
    /// Holds `node-N/` for each: configuration, output, disk. Made when it is not there.
    pub(crate) directory: PathBuf,
    /// Size of each node's disk.
    pub(crate) disk_mebibytes: u32,
    /// The user's values for the target file's variables.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) clocks: Clocks,
}

/// A cluster of processes.
#[derive(Debug)]
pub(crate) struct Processes {
    description: Description,
    options: ProcessesOptions,
    /// With defaults put in for what the user did not say.
    variables: BTreeMap<String, String>,
    version: String,
    /// The third byte of the addresses on loopback, so that two labs beside each other do not meet.
    loopback: u8,
    nodes: Mutex<BTreeMap<NodeId, Arc<Mutex<Node>>>>,
    network: Result<Mutex<Network>, String>,
    /// Why there are no disks.
    lacks_disks: Option<String>,
    clock_library: Result<PathBuf, String>,
}

impl Processes {
    /// Makes the nodes' directories, networks and disks; starts nothing.
    pub(crate) fn new(
        description: Description,
        options: ProcessesOptions,
        sandbox: Sandbox,
    ) -> Result<Self, TargetError> {
        let variables = description.settle(&options.variables)?;
        let what = format!("make a cluster in {}", options.directory.display());
        let wrong = |reason: &dyn std::fmt::Display| TargetError::new(what.clone(), reason);
        if !(1..=network::MAX_NODES).contains(&options.nodes) {
            return Err(wrong(&format!("it needs 1 to {} nodes", network::MAX_NODES)));
        }
        std::fs::create_dir_all(&options.directory).map_err(|error| wrong(&error))?;
        // Absolute, since nodes are told paths in it.
        let directory = options.directory.canonicalize().map_err(|error| wrong(&error))?;
        let options = ProcessesOptions { directory, ..options };
        let (network, lacks_disks) = match sandbox {
            Sandbox::Full => (Network::new().map(Mutex::new), Disk::lacks(&options.directory)),
            Sandbox::Plain(reasons) => {
                let reason = format!("no sandbox: {}", reasons.join("; "));
                (Err(reason.clone()), Some(reason))
            }
        };
        let program = fill_in(&description.start[0], &variables)?;
        if tools::find(&program).is_none() {
            return Err(wrong(&format!("there is no program {program}")));
        }
        let clock_library = match options.clocks {
            Clocks::True => Err("nodes are started with true clocks".to_owned()),
            Clocks::Shiftable => clock::library_for(&program),
        };
        let loopback = u8::try_from(std::process::id() % 250).unwrap_or(0);
        let mut processes = Self {
            version: String::new(),
            nodes: Mutex::new(BTreeMap::new()),
            description,
            variables,
            loopback,
            network,
            lacks_disks,
            clock_library,
            options,
        };
        processes.version = processes.ask_version()?;
        for id in 1..=processes.options.nodes {
            processes.make_node(id)?;
        }
        Ok(processes)
    }

    /// Where a node's output goes.
    #[cfg(test)]
    fn output_of(&self, id: NodeId) -> PathBuf {
        node::directory(&self.options.directory, id).join("out.log")
    }

    fn make_node(&self, id: NodeId) -> Result<(), TargetError> {
        let failed = |reason: String| TargetError::new(format!("make node {id}"), reason);
        let directory = node::directory(&self.options.directory, id);
        std::fs::create_dir_all(&directory).map_err(|error| failed(error.to_string()))?;
        let disk = if self.lacks_disks.is_none() {
            Disk::make(&directory, self.options.disk_mebibytes).map_err(failed)?
        } else {
            Disk::directory(&directory)
        };
        if let Ok(network) = &self.network {
            locked(network).add(id).map_err(failed)?;
        }
        if self.clock_library.is_ok() {
            clock::shift(&directory.join(CLOCK), 0).map_err(failed)?;
        }
        let commands = self.commands(id, &directory, &disk)?;
        let node = Node::new(id, directory, disk, commands);
        locked(&self.nodes).insert(id, Arc::new(Mutex::new(node)));
        Ok(())
    }

    /// The target file's text for one node.
    fn commands(
        &self,
        id: NodeId,
        directory: &std::path::Path,
        disk: &Disk,
    ) -> Result<Commands, TargetError> {
        let voters = self.description.voter_count(self.options.nodes);
        let addresses: Result<Vec<String>, TargetError> = (1..=voters)
            .map(|voter| fill_in(&self.description.voters.address, &self.values(voter)))
            .collect();
        let mut values = self.values(id);
        values.insert("voters".to_owned(), addresses?.join(","));
        values.insert("dir".to_owned(), directory.display().to_string());
        values.insert("data".to_owned(), disk.data().display().to_string());
        let own = if id <= voters { Recipients::Voters } else { Recipients::Others };
        let files = self.description.files.iter();
        let files: Result<Vec<(String, String)>, TargetError> = files
            .filter(|file| file.nodes == Recipients::All || file.nodes == own)
            .map(|file| Ok((file.path.clone(), fill_in(&file.text, &values)?)))
            .collect();
        let all = |words: &[String]| -> Result<Vec<String>, TargetError> {
            words.iter().map(|word| fill_in(word, &values)).collect()
        };
        let mut environment = Vec::new();
        if let Ok(library) = &self.clock_library {
            environment = clock::environment(library, &directory.join(CLOCK));
        }
        for (name, value) in &self.description.environment {
            environment.push((name.clone(), fill_in(value, &values)?));
        }
        Ok(Commands {
            files: files?,
            format: all(&self.description.format)?,
            start: all(&self.description.start)?,
            ready: all(&self.description.ready)?,
            environment,
            prefix: if self.network.is_ok() { network::enter(id).into() } else { Vec::new() },
        })
    }

    /// What placeholders stand for on a node, its directories and the voters apart.
    fn values(&self, id: NodeId) -> BTreeMap<String, String> {
        let nodes = self.options.nodes;
        let replicas = nodes.min(3);
        let mut values = self.variables.clone();
        for (name, value) in [
            ("node", id.to_string()),
            ("host", self.host(id).to_string()),
            ("client_port", self.description.client_port.to_string()),
            ("nodes", nodes.to_string()),
            ("replicas", replicas.to_string()),
            ("in_sync", replicas.min(2).to_string()),
        ] {
            values.insert(name.to_owned(), value);
        }
        values
    }

    fn host(&self, id: NodeId) -> Ipv4Addr {
        match &self.network {
            Ok(_) => network::address(id),
            Err(_) => Ipv4Addr::new(127, 77, self.loopback, network::address(id).octets()[3]),
        }
    }

    fn address(&self, id: NodeId) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.host(id)), self.description.client_port)
    }

    fn ask_version(&self) -> Result<String, TargetError> {
        let words: Result<Vec<String>, TargetError> =
            self.description.version.iter().map(|word| fill_in(word, &self.variables)).collect();
        let words = words?;
        let Some((program, arguments)) = words.split_first() else {
            return Ok(self.description.name.clone());
        };
        let output = tools::run(std::process::Command::new(program).args(arguments))
            .map_err(|reason| TargetError::new("ask for the version", reason))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = said.split_whitespace().find(|word| word.contains('.')).unwrap_or_default();
        Ok(format!("{} {version}", self.description.name).trim_end().to_owned())
    }

    fn node(&self, id: NodeId) -> Result<Arc<Mutex<Node>>, TargetError> {
        locked(&self.nodes).get(&id).cloned().ok_or_else(|| {
            TargetError::new(format!("node {id}"), "it does not belong to the cluster")
        })
    }

    /// Does something with a node while nobody else does.
    fn with<T>(
        &self,
        id: NodeId,
        what: &str,
        act: impl FnOnce(&mut Node) -> Result<T, String>,
    ) -> Result<T, TargetError> {
        let node = self.node(id)?;
        let result = act(&mut locked(&node));
        result.map_err(|reason| TargetError::new(format!("{what} node {id}"), reason))
    }

    fn all(&self) -> Vec<Arc<Mutex<Node>>> {
        locked(&self.nodes).values().cloned().collect()
    }

    fn ids(&self) -> BTreeSet<NodeId> {
        locked(&self.nodes).keys().copied().collect()
    }

    /// The network, or why there is none.
    fn network(&self) -> Result<MutexGuard<'_, Network>, TargetError> {
        match &self.network {
            Ok(network) => Ok(locked(network)),
            Err(reason) => Err(TargetError::new("network", reason)),
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for node in self.all() {
            let _reported_by_stop_all = locked(&node).kill();
        }
    }
}

/// A thread that panicked left nothing half-done that the next cannot see.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file with a node's shift, in its directory.
const CLOCK: &str = "clock";
