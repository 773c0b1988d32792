//! A cluster of Docker containers, as a compose file describes it: the services are the nodes, in the order of their numbers.
//!
//! Owns what it started: a project without containers is made and, at the end, taken away again. A cluster that ran before is the user's:
//! it is broken and healed, never deleted. Volumes that were there before the lab are never deleted.

mod engine;
mod links;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{BrokenLink, Means, NodeId, Outcome, Target, TargetError, bit_flip};
use engine::{Container, Engine, docker, docker_for, inspect};
use links::{Firewall, Rule};

const POLL: Duration = Duration::from_millis(200);
/// The exit code of a process that SIGKILL ended, as the engine tells it.
const KILLED: i32 = 137;
/// Only these are created, nothing that exists is replaced.
const CREATE: [&str; 3] = ["up", "--no-start", "--no-recreate"];

/// To whom the cluster belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// The lab made the containers; the volumes were there.
    LabWithUsersVolumes,
    /// The lab made all of it.
    Lab,
    User,
}

#[derive(Debug, Default)]
struct Faults {
    /// A cluster that the lab only looked at is not healed at the end: what does not run may be meant so.
    is_begun: bool,
    links: Vec<BrokenLink>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Compose {
    engine: Engine,
    owner: Owner,
    /// Node 1 is the first.
    services: Vec<String>,
    ports: Vec<u16>,
    /// Held while rules are changed: a node that starts and links that break at the same time must not miss each other.
    faults: Mutex<Faults>,
}

impl Compose {
    /// Attaches to the project's containers, or creates them; without a project's name it is the one that compose itself would take.
    ///
    /// # Errors
    /// When Docker or the image are not there, or a service publishes no fixed port.
    pub(crate) fn open(file: &Path, project: Option<&str>) -> Result<Self, TargetError> {
        let engine = Engine::find(file, project)?;
        let services = engine.services()?;
        let what = format!("open the project {}", engine.project);
        if let Some(image) = engine.missing_image()? {
            let reason = format!("there is no image {image}; build it with `make cluster`");
            return Err(TargetError::new(what, reason));
        }
        let mut exist = BTreeSet::new();
        for service in &services {
            exist.insert(engine.container(service)?.is_some());
        }
        let owner = match (exist.contains(&true), engine.has_volumes()?) {
            (true, _) => Owner::User,
            (false, true) => Owner::LabWithUsersVolumes,
            (false, false) => Owner::Lab,
        };
        let faults = Mutex::default();
        let mut target = Self { engine, owner, services, ports: Vec::new(), faults };
        if exist.contains(&false) {
            target.engine.compose("create the containers", &CREATE)?;
        }
        for node in target.nodes() {
            let port = target.container(&what, node)?.published_port();
            target.ports.push(port.ok_or_else(|| {
                let service = target.service(node).unwrap_or_default();
                TargetError::new(&what, format!("{service} publishes no port; add a fixed one"))
            })?);
        }
        Ok(target)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(node: NodeId) -> Option<usize> {
        usize::try_from(node).ok()?.checked_sub(1)
    }

    fn service(&self, node: NodeId) -> Option<&str> {
        self.services.get(Self::place(node)?).map(String::as_str)
    }

    fn container(&self, what: &str, node: NodeId) -> Result<Container, TargetError> {
        let Some(service) = self.service(node) else {
            return Err(TargetError::new(what, format!("the nodes are {:?}", self.nodes())));
        };
        let Some(id) = self.engine.container(service)? else {
            let reason = format!("{service} has no container; did somebody else remove it?");
            return Err(TargetError::new(what, reason));
        };
        inspect(what, &id)
    }

    fn containers(&self, what: &str) -> Result<Vec<(NodeId, Container)>, TargetError> {
        let nodes = self.nodes().into_iter();
        nodes.map(|node| Ok((node, self.container(what, node)?))).collect()
    }

    /// Puts the rules for these links into all containers that run: anew, since addresses and namespaces change with each start.
    fn apply(&self, what: &str, links: &[BrokenLink]) -> Outcome {
        let firewall = Firewall::find().map_err(|reason| TargetError::new(what, reason))?;
        let containers = self.containers(what)?;
        let addresses = |node| {
            let of_node = containers.iter().filter(move |(other, _)| *other == node);
            of_node.flat_map(|(_, container)| container.addresses())
        };
        for (node, container) in containers.iter().filter(|(_, one)| one.state.running) {
            let arriving = links.iter().filter(|link| link.to == *node);
            let rules: Vec<Rule> = arriving
                .flat_map(|link| addresses(link.from).map(|from| Rule { from, fault: link.fault }))
                .collect();
            firewall.apply(what, container.namespace(), &rules)?;
        }
        Ok(())
    }

    /// Why nothing in a node's volume may be changed.
    fn lacks_files(&self) -> Option<String> {
        if self.owner != Owner::Lab {
            let reason = "it would destroy data that was there before the lab; take a project that the lab makes itself";
            return Some(reason.to_owned());
        }
        let containers = match self.containers("look at the volumes") {
            Ok(containers) => containers,
            Err(error) => return Some(error.to_string()),
        };
        let (_, unfit) = containers.iter().find(|(_, container)| volume(container).is_err())?;
        volume(unfit).err()
    }

    fn wait_until_it_serves(&self, patience: Duration) -> Outcome {
        let deadline = Instant::now() + patience;
        for node in self.nodes() {
            let what = format!("wait for node {node}");
            loop {
                let container = self.container(&what, node)?;
                if container.serves() {
                    break;
                }
                if Instant::now() >= deadline {
                    let (health, id) = (container.health(), &container.id);
                    let seconds = patience.as_secs();
                    let reason = format!("{health} after {seconds} s; see docker logs {id}");
                    return Err(TargetError::new(what, reason));
                }
                std::thread::sleep(POLL);
            }
        }
        Ok(())
    }
}

/// The one volume with a node's data, as a directory of this machine.
fn volume(container: &Container) -> Result<(&str, &Path), String> {
    let [mount] = &container.mounts[..] else {
        return Err("a node whose data is not in exactly one volume is not changed".to_owned());
    };
    match &mount.name {
        Some(name) if mount.kind == "volume" && mount.source.is_dir() => Ok((name, &mount.source)),
        _ => Err(format!("{} is no volume that the lab can open here", mount.source.display())),
    }
}

impl Target for Compose {
    fn describe(&self) -> String {
        format!(
            "docker compose project {}, {} containers",
            self.engine.project,
            self.services.len()
        )
    }

    fn nodes(&self) -> BTreeSet<NodeId> {
        (1..).take(self.services.len()).collect()
    }

    fn bootstrap(&self) -> String {
        let addresses: Vec<String> =
            self.ports.iter().map(|port| format!("localhost:{port}")).collect();
        addresses.join(",")
    }

    fn lacks(&self, means: Means) -> Option<String> {
        let reason = match means {
            Means::Processes | Means::Pause | Means::Connections => return None,
            Means::Links => {
                // Also tried: the tools may be there and the engine elsewhere.
                let faults = self.faults();
                return self.apply("break links", &faults.links).err().map(|error| error.reason);
            }
            Means::Files => return self.lacks_files(),
            Means::SlowLinks => "the lab does not shape the traffic of containers",
            Means::Power | Means::FullDisk => "the containers share the disk of the machine",
            Means::DiskErrors => "the lab does not trace processes in containers",
            Means::Clock => "the containers share the clock of the machine",
            Means::Membership => "the compose file says which nodes there are",
        };
        Some(format!("{reason}; the lab's own processes have this means"))
    }

    fn start_all(&self, patience: Duration) -> Outcome {
        self.faults().is_begun = true;
        self.heal()?;
        self.wait_until_it_serves(patience)
    }

    fn start(&self, node: NodeId) -> Outcome {
        let what = format!("start node {node}");
        let container = self.container(&what, node)?;
        let faults = self.faults();
        docker(&what, &["start", &container.id])?;
        if faults.links.is_empty() {
            return Ok(());
        }
        self.apply(&what, &faults.links)
    }

    fn kill(&self, node: NodeId) -> Outcome {
        let what = format!("kill node {node}");
        let container = self.container(&what, node)?;
        if !container.state.running {
            return Ok(());
        }
        let killed = docker(&what, &["kill", "-s", "KILL", &container.id]);
        // It may have ended by itself in between.
        if killed.is_err() && !self.is_running(node) { Ok(()) } else { killed.map(drop) }
    }

    fn terminate(&self, node: NodeId, patience: Duration) -> Outcome {
        let what = format!("terminate node {node}");
        let container = self.container(&what, node)?;
        if !container.state.running {
            return Ok(());
        }
        let seconds = patience.as_secs().max(1);
        let (limit, longer) = (seconds.to_string(), patience + Duration::from_secs(30));
        docker_for(&what, &["stop", "-t", &limit, &container.id], longer)?;
        if inspect(&what, &container.id)?.state.exit_code == KILLED {
            let reason = format!("it did not end within {seconds} s, so it was killed");
            return Err(TargetError::new(what, reason));
        }
        Ok(())
    }

    fn is_running(&self, node: NodeId) -> bool {
        self.container("look", node).is_ok_and(|container| container.state.running)
    }

    fn pause(&self, node: NodeId) -> Outcome {
        let what = format!("pause node {node}");
        let container = self.container(&what, node)?;
        if container.state.paused {
            return Ok(());
        }
        docker(&what, &["pause", &container.id]).map(drop)
    }

    fn resume(&self, node: NodeId) -> Outcome {
        let what = format!("resume node {node}");
        let container = self.container(&what, node)?;
        if !container.state.paused {
            return Ok(());
        }
        docker(&what, &["unpause", &container.id]).map(drop)
    }

    fn break_links(&self, links: &[BrokenLink]) -> Outcome {
        let mut faults = self.faults();
        links.clone_into(&mut faults.links);
        self.apply("break links", links)
    }

    fn flip_bit(&self, node: NodeId, topic: &str, draw: u64) -> Result<String, TargetError> {
        let what = format!("flip a bit on node {node}");
        if let Some(reason) = self.lacks_files() {
            return Err(TargetError::new(what, reason));
        }
        let container = self.container(&what, node)?;
        let place = volume(&container).and_then(|(_, data)| bit_flip::flip(data, topic, draw));
        place.map_err(|reason| TargetError::new(what, reason))
    }

    fn wipe(&self, node: NodeId) -> Outcome {
        let what = format!("wipe node {node}");
        if let Some(reason) = self.lacks_files() {
            return Err(TargetError::new(what, reason));
        }
        self.kill(node)?;
        let container = self.container(&what, node)?;
        let (volume, _) = volume(&container).map_err(|reason| TargetError::new(&what, reason))?;
        docker(&what, &["rm", "-f", &container.id])?;
        docker(&what, &["volume", "rm", volume])?;
        let service = self.service(node).unwrap_or_default();
        self.engine.compose(&what, &[&CREATE[..], &["--no-deps", service]].concat()).map(drop)
    }

    fn client_address(&self, node: NodeId) -> Option<SocketAddr> {
        let port = self.ports.get(Self::place(node)?)?;
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)))
    }

    /// Does all of it, and tells the first error.
    fn heal(&self) -> Outcome {
        let mut outcomes = Vec::new();
        for node in self.nodes() {
            let service = self.service(node).unwrap_or_default();
            // A wipe that failed half-way left none.
            if self.engine.container(service)?.is_none() {
                outcomes.push(self.engine.compose("create the containers", &CREATE).map(drop));
            }
            outcomes.push(self.resume(node));
        }
        // Also when no links are known to be broken: a lab that was killed may have left rules. Where there are no means, there are none.
        let are_broken = !self.faults().links.is_empty();
        let lifted = self.break_links(&[]);
        outcomes.extend(Some(lifted).filter(|outcome| are_broken || outcome.is_ok()));
        for node in self.nodes() {
            if !self.is_running(node) {
                outcomes.push(self.start(node));
            }
        }
        outcomes.into_iter().collect()
    }

    fn stop_all(&self) {
        let ended = match self.owner {
            Owner::User if !self.faults().is_begun => Ok(()),
            Owner::User => self.heal(),
            Owner::LabWithUsersVolumes => {
                self.engine.compose("take the containers away", &["down", "-t", "20"]).map(drop)
            }
            Owner::Lab => {
                self.engine.compose("take the cluster away", &["down", "-v", "-t", "1"]).map(drop)
            }
        };
        if let Err(error) = ended {
            eprintln!("steadfast-lab: {error}");
        }
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        self.stop_all();
    }
}
