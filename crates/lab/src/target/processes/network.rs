//! A network of the lab's own: a bridge, and on it a namespace with an address for each node.
//!
//! Owns the bridge, the namespaces and what is broken on the way; the lab itself has an address on the bridge, from which every node is
//! reached always: only what goes from node to node crosses the bridge, and only there it is dropped.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::process::Command;

use super::tools::{feed, run};
use crate::target::{BrokenLink, LinkFault, NodeId};

/// The bridge and the namespaces; gone when dropped.
#[derive(Debug)]
pub(super) struct Network {
    nodes: BTreeSet<NodeId>,
    /// Why links cannot be cut.
    pub(super) lacks_links: Option<String>,
    /// Why they cannot be slowed.
    pub(super) lacks_slow_links: Option<String>,
}

impl Network {
    /// Makes the bridge and tries what it can do. Only inside a full sandbox: the names are not unique on a machine.
    pub(super) fn new() -> Result<Self, String> {
        run(ip("link add").args([BRIDGE, "type", "bridge"]))?;
        let mut network =
            Self { nodes: BTreeSet::new(), lacks_links: None, lacks_slow_links: None };
        run(ip("address add").args([&format!("{LAB}/24"), "dev", BRIDGE]))?;
        run(ip("link set").args([BRIDGE, "up"]))?;
        network.lacks_links = network.break_links(&[]).err();
        let tried = run(shape(&mut Command::new("tc"), BRIDGE, 1_000));
        network.lacks_slow_links = tried.err();
        if network.lacks_slow_links.is_none() {
            run(Command::new("tc").args(["qdisc", "delete", "dev", BRIDGE, "root"]))?;
        }
        Ok(network)
    }

    /// Gives a node its namespace and address.
    pub(super) fn add(&mut self, node: NodeId) -> Result<(), String> {
        let (namespace, outer) = (namespace(node), format!("veth-{node}"));
        run(ip("netns add").arg(&namespace))?;
        self.nodes.insert(node);
        run(ip("link add")
            .args([&outer, "type", "veth", "peer", "name", INNER, "netns", &namespace]))?;
        run(ip("link set").args([&outer, "master", BRIDGE, "up"]))?;
        let address = format!("{}/24", address(node));
        let inside = |what: &str| {
            let mut command = Command::new("ip");
            command.args(["-n", &namespace]).args(what.split(' '));
            command
        };
        run(inside("address add").args([&address, "dev", INNER]))?;
        run(&mut inside("link set lo up"))?;
        run(inside("link set").args([INNER, "up"]))?;
        Ok(())
    }

    /// Takes a node's namespace away; its processes have ended.
    pub(super) fn remove(&mut self, node: NodeId) -> Result<(), String> {
        if self.nodes.remove(&node) {
            // The pair of interfaces lives until the kernel has buried the namespace; its name would be missing for a successor.
            run(ip("link delete").arg(format!("veth-{node}")))?;
            run(ip("netns delete").arg(namespace(node)))?;
        }
        Ok(())
    }

    /// Makes these and no other links broken, in one step.
    pub(super) fn break_links(&self, links: &[BrokenLink]) -> Result<(), String> {
        // To name a table before it is deleted makes it exist: the first time too, this is one transaction.
        let mut script = format!("add table bridge {BRIDGE}\ndelete table bridge {BRIDGE}\n");
        let _ = writeln!(script, "table bridge {BRIDGE} {{\nchain links {{");
        script.push_str("type filter hook forward priority 0; policy accept;\n");
        for link in links {
            let (from, to) = (address(link.from), address(link.to));
            let share = match link.fault {
                LinkFault::Cut => String::new(),
                LinkFault::Lossy(percent) => format!("numgen random mod 100 < {percent} "),
            };
            let _ = writeln!(script, "ip saddr {from} ip daddr {to} {share}drop");
        }
        script.push_str("}\n}\n");
        feed(Command::new("nft").args(["-f", "-"]), &script).map(drop)
    }

    /// Bounds what a node sends; `None` lifts the bound, also when there is none.
    pub(super) fn limit(&self, node: NodeId, kilobits: Option<u32>) -> Result<(), String> {
        let mut tc = Command::new("tc");
        tc.args(["-n", &namespace(node)]);
        if let Some(kilobits) = kilobits {
            return run(shape(&mut tc, INNER, kilobits)).map(drop);
        }
        match run(tc.args(["qdisc", "delete", "dev", INNER, "root"])) {
            Err(reason) if !reason.contains("handle of zero") => Err(reason),
            _ => Ok(()),
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in self.nodes.clone() {
            let _gone_with_the_sandbox = self.remove(node);
        }
        let _gone_with_the_sandbox = run(ip("link delete").arg(BRIDGE));
        if self.lacks_links.is_none() {
            let _gone_with_the_sandbox =
                run(Command::new("nft").args(["delete", "table", "bridge", BRIDGE]));
        }
    }
}

/// A node's address on the bridge.
pub(super) fn address(node: NodeId) -> Ipv4Addr {
    // Nodes are numbered from 1 and bounded by `MAX_NODES`.
    Ipv4Addr::new(10, 77, 0, u8::try_from(node).unwrap_or(u8::MAX))
}

/// Starts a program in a node's namespace; only the network is the node's own.
pub(super) fn enter(node: NodeId) -> [String; 3] {
    ["nsenter".to_owned(), format!("--net=/run/netns/{}", namespace(node)), "--".to_owned()]
}

fn namespace(node: NodeId) -> String {
    format!("node-{node}")
}

fn ip(what: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(what.split(' '));
    command
}

fn shape<'a>(tc: &'a mut Command, device: &str, kilobits: u32) -> &'a mut Command {
    // A burst smaller than one segment of the veth's offload would let nothing pass at high rates; the latency bounds the queue.
    tc.args(["qdisc", "replace", "dev", device, "root", "tbf", "rate", &format!("{kilobits}kbit")])
        .args(["burst", "32kbit", "latency", "400ms"])
}

/// As many as have an address, the lab's own apart.
pub(super) const MAX_NODES: u32 = 250;

/// The lab's address on the bridge.
const LAB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

/// The bridge, and the table of its rules.
const BRIDGE: &str = "lab";

/// A node's interface, inside its namespace.
const INNER: &str = "eth0";
