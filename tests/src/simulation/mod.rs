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
pub(crate) mod random;
mod requests;
mod trace;
mod view;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::trace::Trace;
use self::world::World;

/// Whether a run keeps its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Only the digest.
    Off,
    /// Every event and action.
    On,
}

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

/// A run that ended as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Depends on every occurrence: equal for equal seeds.
    pub digest: u64,
    /// What happened.
    pub statistics: Statistics,
    /// The run's lines, if they were asked for.
    pub lines: Vec<String>,
}

/// A run in which something did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed to repeat it with.
    pub seed: u64,
    /// What did not hold.
    pub what: String,
    /// The run's lines up to there, if they were asked for.
    pub lines: Vec<String>,
}

/// Runs one seed.
///
/// # Errors
/// [`Failure`] names what did not hold.
pub fn simulate(seed: u64, lines: Lines) -> Result<Report, Box<Failure>> {
    let mut world = World::new(seed, Trace::new(lines == Lines::On));
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let trace = std::mem::take(&mut world.trace);
    match result {
        Ok(()) => Ok(Report { digest: trace.digest, statistics: trace.stats, lines: trace.lines }),
        Err(panic) => {
            let what = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_default();
            Err(Box::new(Failure { seed, what, lines: trace.lines }))
        }
    }
}
