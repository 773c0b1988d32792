//! Thousands of seeded runs of the partition and metadata machines under faults.
//!
//! `SEED=7` runs one seed and prints its log; `SEED=0..100000` runs a range. Without it a fixed range runs, the same everywhere. A failure prints its
//! seed and what happened last.

use std::ops::Range;

use cluster_tests::simulation::{Failure, Lines, simulate};

/// Seeds of the usual run: as many as take some twenty seconds.
const USUAL: Range<u64> = 0..5000;

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

#[test]
fn one_seed_after_another_loses_nothing_acknowledged_and_converges() {
    let seeds = seeds();
    let is_single = seeds.end - seeds.start == 1;
    for seed in seeds {
        match simulate(seed, if is_single { Lines::On } else { Lines::Off }) {
            Ok(report) if is_single => {
                println!("{}\n{:?}", report.lines.join("\n"), report.statistics);
            }
            Ok(_) => {}
            Err(failure) => panic!("{}", describe(&failure)),
        }
    }
}

#[test]
fn the_same_seed_twice_gives_the_same_log() {
    for seed in [1, 42, 977] {
        let (first, second) = (simulate(seed, Lines::On), simulate(seed, Lines::On));
        assert_eq!(first, second, "seed {seed}");
        assert!(first.is_ok_and(|report| report.lines.len() > 1000), "seed {seed} does something");
    }
}
