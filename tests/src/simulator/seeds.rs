//! Runs of many seeds on all processors, for the tests.
//!
//! `SEED=7` runs one seed and prints its log; `SEED=0..100000` runs a range. Without it a fixed range runs, the same everywhere. A failure tells its
//! seed and what happened last.

use std::fmt::Debug;
use std::io::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::{Failure, Lines, Report};

/// How many lines before a failure are told.
const LAST_LINES: usize = 120;

/// Simulates one seed.
pub type Simulate<S> = fn(u64, Lines) -> Result<Report<S>, Box<Failure>>;

/// What happened over many seeds.
#[derive(Clone, Debug)]
pub struct Sum<S> {
    /// Number of seeds.
    pub runs: u64,
    /// What happened in each.
    pub statistics: Vec<S>,
}

impl<S> Sum<S> {
    /// Adds one of the figures up.
    pub fn of(&self, figure: fn(&S) -> u64) -> u64 {
        self.statistics.iter().map(figure).sum()
    }
}

/// Runs the seeds that `SEED` names, else the usual ones. Returns what happened over the usual ones; `None` when `SEED` chose others, of which nothing can be expected.
///
/// # Panics
/// When a seed fails: the message tells the lowest one that is known and what it did last.
#[must_use]
pub fn run<S: Debug + Send>(usual: Range<u64>, simulate: Simulate<S>) -> Option<Sum<S>> {
    let chosen = std::env::var("SEED").ok().map(|text| parse(&text));
    match chosen {
        None => Some(run_range(usual, simulate)),
        Some(seeds) if seeds.end - seeds.start == 1 => {
            show(seeds.start, simulate);
            None
        }
        Some(seeds) => {
            let _sum = run_range(seeds, simulate);
            None
        }
    }
}

/// Asserts that a seed means the same run each time, and that something happens in it.
///
/// # Panics
/// When it does not.
pub fn assert_repeatable<S: Debug + PartialEq>(simulate: Simulate<S>, least_lines: usize) {
    for seed in [1, 42, 977] {
        let (first, second) = (simulate(seed, Lines::On), simulate(seed, Lines::On));
        assert_eq!(first, second, "seed {seed}");
        let lines = first.map_or(0, |report| report.lines.len());
        assert!(lines > least_lines, "seed {seed} does nothing: {lines} lines");
    }
}

/// Does the same work on every processor at once; each worker takes its next piece when it is done with the last.
///
/// # Panics
/// When a worker does.
pub fn on_all_processors<T: Send>(work: impl Fn() -> T + Sync) -> Vec<T> {
    let count = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(&work)).collect();
        let results = workers.into_iter().map(|worker| worker.join());
        results
            .map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn run_range<S: Debug + Send>(seeds: Range<u64>, simulate: Simulate<S>) -> Sum<S> {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut statistics = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return Ok(statistics);
            }
            match simulate(seed, Lines::Off) {
                Ok(report) => statistics.push(report.statistics),
                Err(failure) => {
                    // Nobody begins another one.
                    next.store(seeds.end, Ordering::Relaxed);
                    return Err(failure);
                }
            }
        }
    };
    let (mut statistics, mut failures) = (Vec::new(), Vec::new());
    for result in on_all_processors(work) {
        match result {
            Ok(some) => statistics.extend(some),
            Err(failure) => failures.push(failure),
        }
    }
    if let Some(first) = failures.iter().min_by_key(|failure| failure.seed) {
        panic!("{}", describe(first, simulate));
    }
    Sum { runs: seeds.end - seeds.start, statistics }
}

/// Prints what a seed does.
fn show<S: Debug>(seed: u64, simulate: Simulate<S>) {
    match simulate(seed, Lines::On) {
        Ok(report) => {
            let text = format!("{}\n{:?}\n", report.lines.join("\n"), report.statistics);
            // Past the test harness, which would keep the words of a test that passes.
            let _shown = std::io::stdout().write_all(text.as_bytes());
        }
        Err(failure) => panic!("{}", describe(&failure, simulate)),
    }
}

/// Says what a failing seed did last.
fn describe<S: Debug>(failure: &Failure, simulate: Simulate<S>) -> String {
    let seed = failure.seed;
    let traced = simulate(seed, Lines::On).expect_err("a seed fails as it failed before");
    let last = traced.lines.len().saturating_sub(LAST_LINES);
    let lines = traced.lines[last..].join("\n");
    format!("seed {seed}: {}\nits last lines:\n{lines}\nrepeat it with SEED={seed}", traced.what)
}

fn parse(text: &str) -> Range<u64> {
    let number = |text: &str| text.trim().parse::<u64>().expect("SEED is N or N..M");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(text)..number(text) + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odd_ones_fail(seed: u64, _lines: Lines) -> Result<Report<u64>, Box<Failure>> {
        if seed % 2 == 1 {
            return Err(Box::new(Failure {
                seed,
                what: "it is odd".to_owned(),
                lines: Vec::new(),
            }));
        }
        Ok(Report { digest: 0, statistics: seed, lines: Vec::new() })
    }

    #[test]
    fn every_seed_of_a_range_runs_once() {
        let sum = run_range(2..3, odd_ones_fail);
        assert_eq!((sum.runs, sum.statistics), (1, vec![2]));
        let doubled = run_range(0..100, |seed, lines| odd_ones_fail(seed * 2, lines));
        assert_eq!((doubled.runs, doubled.of(|seed| *seed)), (100, 9_900));
    }

    #[test]
    #[should_panic(expected = "it is odd")]
    fn a_seed_that_fails_is_told() {
        let _sum = run_range(0..10, odd_ones_fail);
    }

    #[test]
    fn a_range_is_one_seed_or_from_and_to() {
        assert_eq!((parse("7"), parse("0..9")), (7..8, 0..9));
    }
}
