//! The cluster under test: where it is, and by which means it can be broken.
//!
//! A target offers *means* (kill this node, cut these links); what a fault does with them and when is the nemesis' business.

mod bit_flip;
mod bootstrap;
mod bounded;
mod compose;
mod processes;
mod replica_logs;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) use bootstrap::Bootstrap;
pub(crate) use compose::Compose;
pub(crate) use processes::{
    Clocks, Description, Processes, ProcessesOptions, Sandbox, SandboxError, enter,
};
pub(crate) use replica_logs::ReplicaDigest;

/// A node's number, from 1; the broker id of the Kafka protocol.
pub(crate) type NodeId = u32;

/// By which means a target can be broken or mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Means {
    /// Start, kill and terminate single nodes.
    Processes,
    /// Stop and continue processes without their knowledge.
    Pause,
    /// Drop what passes between nodes, all of it or a share.
    Links,
    /// Bound a node's bandwidth.
    SlowLinks,
    /// Lose what was not synced, as a power failure does.
    Power,
    /// Fill a node's disk.
    FullDisk,
    /// Delay or fail a node's fsync.
    DiskErrors,
    /// Change bytes in a node's files, or delete them all.
    Files,
    /// Shift a node's wall clock.
    Clock,
    /// Add nodes, and remove what was added.
    Membership,
    /// Reach each node's client port alone.
    Connections,
}

/// Why a target did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {reason}")]
pub(crate) struct TargetError {
    /// What was asked, such as `kill node 2`.
    pub(crate) what: String,
    /// What the system said, and what to do.
    pub(crate) reason: String,
}

impl TargetError {
    pub(crate) fn new(what: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self { what: what.into(), reason: reason.to_string() }
    }

    /// The answer of a target that lacks the means.
    pub(crate) fn lacks(means: Means) -> Self {
        Self::new(format!("{means:?}"), "this target has no means for it")
    }
}

pub(crate) type Outcome = Result<(), TargetError>;

/// What happens to that which one node sends to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkFault {
    /// Nothing arrives.
    Cut,
    /// This share of the packets is lost, in percent (1 to 99).
    Lossy(u8),
}

/// A broken direction between two nodes. Clients reach both all the same, unless the target isolates whole nodes only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BrokenLink {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) fault: LinkFault,
}

/// What happens to a node's calls of fsync and fdatasync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncFault {
    /// Each takes this much longer.
    Slow(Duration),
    /// Each fails with EIO from now on; a node that handles it well ends.
    Fail,
}

/// A cluster. All methods block until done; nodes are those of [`Target::nodes`], others are an error.
///
/// Implementations are shared by the threads of the nemesis and of the workload.
pub(crate) trait Target: Send + Sync {
    /// What it is, for reports: `steadfast 0.1.0, three processes`.
    fn describe(&self) -> String;

    /// All nodes that belong to the cluster, running or not.
    fn nodes(&self) -> BTreeSet<NodeId>;

    /// Addresses for clients, separated by commas.
    fn bootstrap(&self) -> String;

    /// Why a means is not there; `None` when it is. Asked before a run, never guessed from a failure in it.
    fn lacks(&self, means: Means) -> Option<String>;

    /// Why [`Means::Links`], where it is there, isolates whole nodes only; `None` when single directions can be broken.
    fn lacks_single_links(&self) -> Option<String> {
        None
    }

    /// Starts every node and waits until the cluster serves, for at most so long.
    fn start_all(&self, patience: Duration) -> Outcome;

    /// Starts a node that does not run, after a kill, a stop, a wipe or a loss of power. Returns when its process exists, not when it serves.
    fn start(&self, node: NodeId) -> Outcome;

    /// Kills a node at once (SIGKILL); nothing when it does not run.
    fn kill(&self, node: NodeId) -> Outcome;

    /// Asks a node to stop (SIGTERM), and waits until it has, for at most so long; then kills it and says so.
    fn terminate(&self, node: NodeId, patience: Duration) -> Outcome;

    /// Whether a node's process exists.
    fn is_running(&self, node: NodeId) -> bool;

    /// Stops a node's process without its knowledge (SIGSTOP), or lets it go on.
    fn pause(&self, _node: NodeId) -> Outcome {
        Err(TargetError::lacks(Means::Pause))
    }
    fn resume(&self, _node: NodeId) -> Outcome {
        Err(TargetError::lacks(Means::Pause))
    }

    /// Makes these and no other links broken; none heals all.
    fn break_links(&self, _links: &[BrokenLink]) -> Outcome {
        Err(TargetError::lacks(Means::Links))
    }

    /// Bounds what a node sends, in kilobits per second; `None` lifts the bound.
    fn limit_bandwidth(&self, _node: NodeId, _kilobits: Option<u32>) -> Outcome {
        Err(TargetError::lacks(Means::SlowLinks))
    }

    /// Cuts the power of these nodes at the same moment: their processes end, and what they had not synced is lost. They stay down until
    /// [`Target::start`].
    fn cut_power(&self, _nodes: &[NodeId]) -> Outcome {
        Err(TargetError::lacks(Means::Power))
    }

    /// Fills a node's disk to the last byte, or frees what filled it.
    fn fill_disk(&self, _node: NodeId) -> Outcome {
        Err(TargetError::lacks(Means::FullDisk))
    }
    fn free_disk(&self, _node: NodeId) -> Outcome {
        Err(TargetError::lacks(Means::FullDisk))
    }

    /// Disturbs a running node's syncs; `None` ends that.
    fn disturb_syncs(&self, _node: NodeId, _fault: Option<SyncFault>) -> Outcome {
        Err(TargetError::lacks(Means::DiskErrors))
    }

    /// Flips one bit in a segment of this topic on a node, at a place drawn by `draw` (any number); returns where, for the report.
    fn flip_bit(&self, _node: NodeId, _topic: &str, _draw: u64) -> Result<String, TargetError> {
        Err(TargetError::lacks(Means::Files))
    }

    /// Reads the logs of a topic from the disks of all nodes, which do not run, but of those that are left out.
    fn replicas(
        &self,
        _topic: &str,
        _left_out: &BTreeSet<NodeId>,
    ) -> Result<Vec<ReplicaDigest>, TargetError> {
        Err(TargetError::lacks(Means::Files))
    }

    /// Deletes all data of a node that does not run, as if it had got a new disk.
    fn wipe(&self, _node: NodeId) -> Outcome {
        Err(TargetError::lacks(Means::Files))
    }

    /// Shifts a node's wall clock by so many seconds against the machine's; 0 puts it right.
    fn shift_clock(&self, _node: NodeId, _seconds: i64) -> Outcome {
        Err(TargetError::lacks(Means::Clock))
    }

    /// Adds a node and starts it.
    fn add_node(&self) -> Result<NodeId, TargetError> {
        Err(TargetError::lacks(Means::Membership))
    }

    /// Stops a node that [`Target::add_node`] added, for good.
    fn remove_node(&self, _node: NodeId) -> Outcome {
        Err(TargetError::lacks(Means::Membership))
    }

    /// Where clients reach this node alone.
    fn client_address(&self, _node: NodeId) -> Option<SocketAddr> {
        None
    }

    /// Which node leads the metadata quorum, where the target can tell.
    fn controller(&self) -> Option<NodeId> {
        None
    }

    /// Mends everything: links, bandwidth, disks, clocks, paused nodes; starts what does not run. After it the cluster should serve.
    fn heal(&self) -> Outcome;

    /// Stops all that the target started. Also done when it is dropped.
    fn stop_all(&self);
}
