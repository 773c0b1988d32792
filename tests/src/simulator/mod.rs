//! What every simulation runs on: an agenda of what happens when, seeded randomness, the trace of a run, and runs of many seeds.
//!
//! Knows no machine. A simulation is a world: it takes its next occurrence off the agenda, lets it happen, and panics when something does not hold.

pub(crate) mod agenda;
pub(crate) mod random;
pub mod seeds;
pub(crate) mod trace;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::trace::Trace;

/// Whether a run keeps its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Only the digest.
    Off,
    /// Every event and action.
    On,
}

/// A run that ended as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report<S> {
    /// Depends on every occurrence: equal for equal seeds.
    pub digest: u64,
    /// What happened, in numbers.
    pub statistics: S,
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

/// Runs a world to its end, or to the panic that is its failure.
pub(crate) fn conclude<W, S>(
    seed: u64,
    mut world: W,
    run: fn(&mut W),
    trace: fn(W) -> Trace<S>,
) -> Result<Report<S>, Box<Failure>> {
    let result = catch_unwind(AssertUnwindSafe(|| run(&mut world)));
    let Trace { digest, statistics, lines, .. } = trace(world);
    match result {
        Ok(()) => Ok(Report { digest, statistics, lines }),
        Err(panic) => {
            let what = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_default();
            Err(Box::new(Failure { seed, what, lines }))
        }
    }
}
