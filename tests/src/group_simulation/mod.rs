//! A deterministic simulation of consumer groups: the group machine on three brokers that take turns as its coordinator, members that come, go, hang and are replaced, and
//! a network that delays, loses, duplicates and reorders requests and answers. What members commit is now and then part of a transaction.
//!
//! The machine is the real one (`coordinator::group`); the shell around it, the partition and the members are models on one thread, driven by one seed. Whatever is told
//! to somebody is held against the log by the `checker`; then the faults stop, and each group must converge, and hold what its log says.

mod checker;
mod log;
mod member;
mod process;
mod transactions;
mod truth;
mod world;

use self::world::World;
use crate::simulator::trace::Trace;
use crate::simulator::{Failure, Lines, Report, conclude};

/// What happened in a run, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Occurrences that were dispatched.
    pub occurrences: u64,
    /// Answers that coordinators let go.
    pub answers: u64,
    /// Assignments that members took in.
    pub assignments: u64,
    /// Times a coordinator loaded its shard.
    pub loads: u64,
    /// Rewrites that ended in a trimmed log.
    pub rewrites: u64,
    /// Appends that were committed.
    pub committed: u64,
    /// Commits of offsets that were acknowledged to members.
    pub acknowledged: u64,
    /// Transactions that ended with a marker.
    pub transactions: u64,
}

/// Runs one seed.
///
/// # Errors
/// [`Failure`] names what did not hold.
pub fn simulate(seed: u64, lines: Lines) -> Result<Report<Statistics>, Box<Failure>> {
    conclude(seed, World::new(seed, Trace::new(lines)), World::run, |world| world.trace)
}
