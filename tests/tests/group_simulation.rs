//! Thousands of seeded runs of the group machine under faults.
//!
//! `SEED=7` runs one seed and prints its log; `SEED=0..100000` runs a range. Without it a fixed range runs, the same everywhere. A failure prints its
//! seed and what happened last.

use std::ops::Range;

use cluster_tests::group_simulation::{Statistics, simulate};
use cluster_tests::simulation::{Failure, Lines};

/// Seeds of the usual run.
const USUAL: Range<u64> = 0..2000;

/// How many lines before a failure are printed.
const LAST_LINES: usize = 120;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("SEED") else { return USUAL };
    let number = |text: &str| text.trim().parse::<u64>().expect("SEED is N or N..M");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&text)..number(&text) + 1,
    }
}

/// Says what a failing seed did last.
fn describe(failure: &Failure) -> String {
    let traced = simulate(failure.seed, Lines::On).expect_err("a seed fails as it failed before");
    let last = traced.lines.len().saturating_sub(LAST_LINES);
    format!(
        "seed {}: {}\nits last lines:\n{}\nrepeat it with SEED={}",
        failure.seed,
        traced.what,
        traced.lines[last..].join("\n"),
        failure.seed
    )
}

fn add(sum: &mut Statistics, one: Statistics) {
    sum.loads += one.loads;
    sum.rewrites += one.rewrites;
    sum.assignments += one.assignments;
    sum.acknowledged += one.acknowledged;
}

#[test]
fn one_seed_after_another_keeps_commits_owners_and_generations_and_converges() {
    let seeds = seeds();
    let is_single = seeds.end - seeds.start == 1;
    let mut sum = Statistics::default();
    for seed in seeds.clone() {
        match simulate(seed, if is_single { Lines::On } else { Lines::Off }) {
            Ok(report) if is_single => {
                println!("{}\n{:?}", report.lines.join("\n"), report.statistics);
            }
            Ok(report) => add(&mut sum, report.statistics),
            Err(failure) => panic!("{}", describe(&failure)),
        }
    }
    if !is_single {
        // A simulation in which nothing happens proves nothing.
        let runs = seeds.end - seeds.start;
        assert!(sum.loads > 2 * runs, "coordinators move: {sum:?}");
        assert!(sum.assignments > 5 * runs, "groups rebalance: {sum:?}");
        assert!(sum.acknowledged > 10 * runs, "offsets are committed: {sum:?}");
        assert!(sum.rewrites > runs / 4, "logs are rewritten: {sum:?}");
    }
}

#[test]
fn the_same_seed_twice_gives_the_same_log() {
    for seed in [1, 42, 977] {
        let (first, second) = (simulate(seed, Lines::On), simulate(seed, Lines::On));
        assert_eq!(first, second, "seed {seed}");
        assert!(first.is_ok_and(|report| report.lines.len() > 200), "seed {seed} does something");
    }
}
