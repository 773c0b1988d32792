//! A deterministic simulation of one partition's replicas, the controller and clients, with everything that can go wrong between them.
//!
//! The machines are the real ones (`replication::partition`, `controller::metadata`); network, disks, controller log and time are models on one thread,
//! driven by one seed. Each step is held against the machines' invariants and the omniscient `checker`; then the faults stop, and everything must
//! converge with nothing acknowledged lost. A panic of any machine or check is the failure of its seed.

mod broker;
mod checker;
mod client;
mod controller;
mod faults;
mod model_log;
mod network;
mod process;
mod requests;
mod view;
mod world;

use self::world::World;
use crate::simulator::trace::Trace;
use crate::simulator::{Failure, Lines, Report, conclude};

/// What happened in a run, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Occurrences that were dispatched.
    pub occurrences: u64,
    /// Times a replica became leader.
    pub elections: u64,
    /// Processes that ended.
    pub crashes: u64,
    /// Disks wiped or found corrupt.
    pub losses: u64,
    /// Truncations and restarts of logs.
    pub cuts: u64,
    /// ISR proposals that reached the controller.
    pub proposals: u64,
    /// Acknowledgements with `acks=all`.
    pub acknowledged: u64,
    /// Exclusive end of the committed history.
    pub committed: i64,
}

/// Runs one seed.
///
/// # Errors
/// [`Failure`] names what did not hold.
pub fn simulate(seed: u64, lines: Lines) -> Result<Report<Statistics>, Box<Failure>> {
    conclude(seed, World::new(seed, Trace::new(lines)), World::run, |world| world.trace)
}
