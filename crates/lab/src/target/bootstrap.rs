//! A cluster that somebody else runs: a list of addresses, and commands for whatever may be broken in it.
//!
//! Starts and stops nothing of its own accord; each command is the user's, and bounded in time.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{BrokenLink, LinkFault, Means, NodeId, Outcome, Target, TargetError, bounded};

const DEFAULT_TIMEOUT_SECONDS: u64 = 60;
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(200);

/// The file with the commands.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// How many nodes there are: 1 to this.
    nodes: Option<NodeId>,
    /// For each command.
    timeout_seconds: Option<u64>,
    #[serde(default)]
    commands: Commands,
}

/// Run by `sh -c`; `{node}` stands for the node's number.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Commands {
    start: Option<String>,
    kill: Option<String>,
    terminate: Option<String>,
    /// Succeeds when the node runs; without it the lab trusts that its commands did what they should.
    running: Option<String>,
    pause: Option<String>,
    resume: Option<String>,
    /// Cuts a node off from all other nodes, both ways.
    isolate: Option<String>,
    /// Ends that.
    heal: Option<String>,
}

/// What was done to nodes and is not undone.
#[derive(Debug, Default)]
struct State {
    down: BTreeSet<NodeId>,
    paused: BTreeSet<NodeId>,
    isolated: BTreeSet<NodeId>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    bootstrap: String,
    nodes: BTreeSet<NodeId>,
    timeout: Duration,
    commands: Commands,
    state: Mutex<State>,
}

impl Bootstrap {
    /// A cluster at these addresses, with no means to break it unless a file gives commands.
    ///
    /// # Errors
    /// When the file cannot be read or is not what it should be.
    pub(crate) fn open(bootstrap: &str, file: Option<&Path>) -> Result<Self, TargetError> {
        let settings = match file {
            None => Settings::default(),
            Some(path) => {
                let what = format!("read the commands of {}", path.display());
                let text = std::fs::read_to_string(path)
                    .map_err(|error| TargetError::new(&what, error))?;
                toml::from_str(&text).map_err(|error| TargetError::new(&what, error))?
            }
        };
        Ok(Self::with(bootstrap, settings))
    }

    fn with(bootstrap: &str, settings: Settings) -> Self {
        let listed = NodeId::try_from(bootstrap.split(',').count()).unwrap_or(NodeId::MAX);
        let timeout = settings.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        Self {
            bootstrap: bootstrap.to_owned(),
            nodes: (1..=settings.nodes.unwrap_or(listed)).collect(),
            timeout: Duration::from_secs(timeout),
            commands: settings.commands,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, name: &str, command: Option<&String>, node: NodeId) -> Outcome {
        let what = format!("{name} node {node}");
        if !self.nodes.contains(&node) {
            return Err(TargetError::new(what, format!("the nodes are {:?}", self.nodes)));
        }
        let Some(command) = command else {
            return Err(TargetError::new(what, format!("[commands] has no {name}; add it")));
        };
        let script = command.replace("{node}", &node.to_string());
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]);
        bounded::run(&what, &mut shell, self.timeout).map(drop)
    }

    fn address(&self, node: NodeId) -> Option<SocketAddr> {
        let addresses: Vec<&str> = self.bootstrap.split(',').map(str::trim).collect();
        let place = usize::try_from(node).ok()?.checked_sub(1)?;
        let one_each = addresses.len() == self.nodes.len();
        addresses.get(place).filter(|_| one_each)?.to_socket_addrs().ok()?.next()
    }

    fn missing(needed: &[(&str, &Option<String>)]) -> Option<String> {
        let missing: Vec<&str> =
            needed.iter().filter(|(_, command)| command.is_none()).map(|(name, _)| *name).collect();
        (!missing.is_empty()).then(|| format!("no command given for {}", missing.join(", ")))
    }
}

impl Target for Bootstrap {
    fn describe(&self) -> String {
        format!("the cluster at {}", self.bootstrap)
    }

    fn nodes(&self) -> BTreeSet<NodeId> {
        self.nodes.clone()
    }

    fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    fn lacks(&self, means: Means) -> Option<String> {
        let commands = &self.commands;
        match means {
            Means::Processes => Self::missing(&[
                ("start", &commands.start),
                ("kill", &commands.kill),
                ("terminate", &commands.terminate),
            ]),
            Means::Pause => {
                Self::missing(&[("pause", &commands.pause), ("resume", &commands.resume)])
            }
            Means::Links => {
                Self::missing(&[("isolate", &commands.isolate), ("heal", &commands.heal)])
            }
            Means::Connections => {
                let near =
                    |node: &NodeId| self.address(*node).is_some_and(|a| a.ip().is_loopback());
                (!self.nodes.iter().all(near)).then(|| {
                    "only nodes on this machine, each with its own address in the list, are stormed"
                        .to_owned()
                })
            }
            _ => Some("no commands can be given for it".to_owned()),
        }
    }

    fn lacks_single_links(&self) -> Option<String> {
        Some("the command isolate cuts a whole node off".to_owned())
    }

    /// Only waits until one of the addresses takes connections: somebody else runs the cluster.
    fn start_all(&self, patience: Duration) -> Outcome {
        let deadline = Instant::now() + patience;
        let answers = |address: &str| {
            let mut addresses = address.trim().to_socket_addrs().into_iter().flatten();
            addresses.any(|address| TcpStream::connect_timeout(&address, CONNECT_PATIENCE).is_ok())
        };
        while !self.bootstrap.split(',').any(answers) {
            if Instant::now() >= deadline {
                let what = format!("connect to {}", self.bootstrap);
                return Err(TargetError::new(what, "no address answers; is the cluster running?"));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn start(&self, node: NodeId) -> Outcome {
        self.run("start", self.commands.start.as_ref(), node)?;
        self.state().down.remove(&node);
        Ok(())
    }

    fn kill(&self, node: NodeId) -> Outcome {
        if !self.is_running(node) {
            return Ok(());
        }
        self.state().down.insert(node);
        self.run("kill", self.commands.kill.as_ref(), node)
    }

    fn terminate(&self, node: NodeId, _patience: Duration) -> Outcome {
        self.state().down.insert(node);
        self.run("terminate", self.commands.terminate.as_ref(), node)
    }

    fn is_running(&self, node: NodeId) -> bool {
        match &self.commands.running {
            Some(command) => self.run("running", Some(command), node).is_ok(),
            None => !self.state().down.contains(&node),
        }
    }

    fn pause(&self, node: NodeId) -> Outcome {
        self.state().paused.insert(node);
        self.run("pause", self.commands.pause.as_ref(), node)
    }

    fn resume(&self, node: NodeId) -> Outcome {
        self.run("resume", self.commands.resume.as_ref(), node)?;
        self.state().paused.remove(&node);
        Ok(())
    }

    fn break_links(&self, links: &[BrokenLink]) -> Outcome {
        let wanted = isolated(&self.nodes, links).ok_or_else(|| {
            TargetError::new("break links", "this target isolates whole nodes only")
        })?;
        let now = self.state().isolated.clone();
        for node in now.difference(&wanted) {
            self.run("heal", self.commands.heal.as_ref(), *node)?;
            self.state().isolated.remove(node);
        }
        for node in wanted.difference(&now) {
            self.state().isolated.insert(*node);
            self.run("isolate", self.commands.isolate.as_ref(), *node)?;
        }
        Ok(())
    }

    fn client_address(&self, node: NodeId) -> Option<SocketAddr> {
        self.address(node).filter(|address| address.ip().is_loopback())
    }

    /// Undoes what it did itself, all of it, and tells the first error.
    fn heal(&self) -> Outcome {
        let paused = self.state().paused.clone();
        let down = self.state().down.clone();
        let mut outcomes = vec![self.break_links(&[])];
        outcomes.extend(paused.into_iter().map(|node| self.resume(node)));
        outcomes.extend(down.into_iter().map(|node| self.start(node)));
        outcomes.into_iter().collect()
    }

    /// Nothing: somebody else runs the cluster.
    fn stop_all(&self) {}
}

/// The nodes that these links cut off from all others; none when the links are anything else than that.
fn isolated(nodes: &BTreeSet<NodeId>, links: &[BrokenLink]) -> Option<BTreeSet<NodeId>> {
    let cut = |from, to| links.contains(&BrokenLink { from, to, fault: LinkFault::Cut });
    let alone = |node: &NodeId| {
        nodes.len() > 1
            && nodes.iter().all(|other| other == node || (cut(*node, *other) && cut(*other, *node)))
    };
    let alone: BTreeSet<NodeId> = nodes.iter().copied().filter(alone).collect();
    let covered = |link: &BrokenLink| alone.contains(&link.from) || alone.contains(&link.to);
    links.iter().all(covered).then_some(alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(bootstrap: &str, text: &str) -> Bootstrap {
        Bootstrap::with(bootstrap, toml::from_str(text).unwrap())
    }

    fn cut(from: NodeId, to: NodeId) -> BrokenLink {
        BrokenLink { from, to, fault: LinkFault::Cut }
    }

    #[test]
    fn a_bare_list_has_no_means_but_its_own_ports_on_this_machine() {
        let near = target("127.0.0.1:1,127.0.0.1:2", "");
        assert_eq!(near.nodes(), BTreeSet::from([1, 2]));
        assert_eq!(near.lacks(Means::Connections), None);
        assert!(near.lacks(Means::Processes).unwrap().contains("start, kill, terminate"));
        assert!(near.lacks(Means::Power).is_some());
        let far = target("192.0.2.1:1", "");
        assert!(far.lacks(Means::Connections).is_some());
        assert_eq!(far.client_address(1), None);
    }

    #[test]
    fn a_command_gets_the_nodes_number_and_its_failure_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let mark = scratch.path().join("mark");
        let text = format!(
            "nodes = 3\n[commands]\nkill = 'echo {{node}} > {}'\nstart = 'echo node{{node}} is gone >&2; false'",
            mark.display()
        );
        let target = target("127.0.0.1:1", &text);
        target.kill(2).unwrap();
        assert_eq!(std::fs::read_to_string(&mark).unwrap(), "2\n");
        assert!(!target.is_running(2));
        let error = target.start(2).unwrap_err().to_string();
        assert!(error.starts_with("start node 2: node2 is gone"), "{error}");
        assert!(target.heal().is_err(), "it is down still");
        assert!(target.kill(4).is_err());
    }

    #[test]
    fn whole_nodes_are_isolated_and_healed_and_nothing_less() {
        let scratch = tempfile::tempdir().unwrap();
        let log = scratch.path().join("log");
        let text = format!(
            "nodes = 3\n[commands]\nisolate = 'echo cut {{node}} >> {0}'\nheal = 'echo heal {{node}} >> {0}'",
            log.display()
        );
        let target = target("127.0.0.1:1", &text);
        target.break_links(&[cut(1, 2), cut(2, 1), cut(1, 3), cut(3, 1)]).unwrap();
        assert!(target.break_links(&[cut(1, 2)]).is_err());
        target.heal().unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "cut 1\nheal 1\n");
    }

    #[test]
    fn a_key_that_does_not_exist_is_an_error() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("commands.toml");
        std::fs::write(&path, "[commands]\nkil = 'x'\n").unwrap();
        let error = Bootstrap::open("127.0.0.1:1", Some(&path)).unwrap_err().to_string();
        assert!(error.contains("kil"), "{error}");
    }
}
