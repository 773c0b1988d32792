//! Breaks a cluster on purpose, by a plan that a seed replays, and always heals it.
//!
//! A [`Schedule`] says which [`Fault`] begins when; which nodes it hits is decided when it begins, for only then is known who leads. The
//! nemesis never takes a majority of the nodes down unless the fault's name says so, and never harms the disks of two nodes at once: what it
//! breaks, a replicated log is meant to survive.

mod available;
mod deed;
mod fault;
mod heirs;
mod pacer;
mod plan;
mod run;
mod scenario;
mod schedule;
mod storm;
#[cfg(test)]
mod tests;

use crate::target::NodeId;

pub(crate) use available::available;
pub(crate) use fault::{Fault, UnknownName};
pub(crate) use pacer::ClockPacer;
pub(crate) use run::{Begin, Nemesis, NemesisReport, Running};
pub(crate) use scenario::Scenario;
pub(crate) use schedule::{Pace, Schedule, Step};

/// What the nemesis must know of the cluster, as a client sees it.
pub(crate) trait Cluster: Send + Sync {
    /// Who leads a partition; `None` when nobody does or nobody answers.
    fn leader_of(&self, topic: &str, partition: i32) -> Option<NodeId>;

    /// The replicas of a partition; empty when nobody answers.
    fn replicas_of(&self, topic: &str, partition: i32) -> Vec<NodeId>;

    /// The groups that are in use.
    fn groups(&self) -> Vec<String>;

    /// The coordinator of a group; `None` when it has none or nobody answers.
    fn coordinator_of(&self, group: &str) -> Option<NodeId>;

    /// Who leads the metadata quorum, as clients are told; asked only when the target cannot tell.
    fn controller(&self) -> Option<NodeId>;

    /// Whether the cluster serves and every partition of the topics under test has its full ISR.
    fn in_sync(&self) -> bool;

    /// The topics under test, each with its number of partitions.
    fn topics(&self) -> Vec<(String, i32)>;
}
