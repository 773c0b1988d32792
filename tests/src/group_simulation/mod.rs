//! A deterministic simulation of consumer groups: the group machine on three brokers that take turns as its coordinator, members that come, go, hang and are replaced, and
//! a network that delays, loses, duplicates and reorders requests and answers.
//!
//! The machine is the real one (`coordinator::group`); the shell around it, the partition and the members are models on one thread, driven by one seed. Whatever is told
//! to somebody is held against the log by the `checker`; then the faults stop, and each group must converge, and hold what its log says.

mod checker;
mod log;
mod member;
mod process;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::world::World;
use crate::simulation::{Failure, Lines};

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
}

/// A run that ended as it should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Depends on every occurrence: equal for equal seeds.
    pub digest: u64,
    /// What happened.
    pub statistics: Statistics,
    /// The run's lines, if they were asked for.
    pub lines: Vec<String>,
}

/// Runs one seed.
///
/// # Errors
/// [`Failure`] names what did not hold.
pub fn simulate(seed: u64, lines: Lines) -> Result<Report, Box<Failure>> {
    let mut world = World::new(seed, lines == Lines::On);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let report = std::mem::take(&mut world.report);
    match result {
        Ok(()) => Ok(report),
        Err(panic) => {
            let what = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_default();
            Err(Box::new(Failure { seed, what, lines: report.lines }))
        }
    }
}
