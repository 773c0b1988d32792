//! A deterministic simulation of transactions: the transaction machine on three brokers that take turns as its coordinator, partitions that take batches and markers, and copiers,
//! which read numbers, write each to a partition and commit how far they have read, all in transactions; on a network that delays, loses, duplicates and reorders.
//!
//! The machine is the real one (`coordinator::transaction`); the shell around it, the partitions and the copiers are models on one thread, driven by one seed. The offsets that copiers
//! commit are one more partition. What a reader of committed records sees is held against what copiers were told, by the `checker`; then the faults stop, and everything must come to
//! rest: each number is there exactly once, no transaction is torn, and none is left open.
//!
//! Some copiers are of before version 2. Their protocol cannot tell a late message from one of the next transaction, so theirs are not duplicated, and one that waits too long for an
//! answer begins anew: that is as much as it promises.

mod checker;
mod coordinator;
mod copier;
mod log;
mod partition;
mod world;

use self::world::World;
use crate::simulator::trace::Trace;
use crate::simulator::{Failure, Lines, Report, conclude};

/// What happened in a run, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Occurrences that were dispatched.
    pub occurrences: u64,
    /// Transactions whose commit was told to their copier.
    pub commits: u64,
    /// Transactions whose abort was told to their copier.
    pub aborts: u64,
    /// Markers that partitions took.
    pub markers: u64,
    /// Copiers that were told that another has their place.
    pub fenced: u64,
    /// Times a coordinator loaded its shard.
    pub loads: u64,
    /// Coordinators that died between a decision and its completion.
    pub deaths_between: u64,
}

/// Runs one seed.
///
/// # Errors
/// [`Failure`] names what did not hold.
pub fn simulate(seed: u64, lines: Lines) -> Result<Report<Statistics>, Box<Failure>> {
    conclude(seed, World::new(seed, Trace::new(lines)), World::run, |world| world.trace)
}
