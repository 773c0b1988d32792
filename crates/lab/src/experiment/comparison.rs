//! The same chaos with several targets, one after the other: the same seed, schedule and clients, and one report that shows them side by side.

use std::path::PathBuf;

use super::chaos::{ChaosOptions, replay, run_in, title};
use super::run_directory::{RunDirectory, wall_clock_seconds};
use super::{ExperimentError, TargetOptions};
use crate::report::{Comparison, write_all};
use crate::target::Sandbox;

/// Runs the experiment with its own target and then with each of the others. Each run's own report lies in a folder of its own.
///
/// # Errors
/// [`ExperimentError`]: of the first run that came to no verdict.
pub(crate) fn run(
    options: &ChaosOptions,
    beside: &[TargetOptions],
) -> Result<(Comparison, PathBuf), ExperimentError> {
    let targets: Vec<&TargetOptions> = std::iter::once(&options.target).chain(beside).collect();
    let sandbox = enter(&targets)?;
    let directory = RunDirectory::make(options.target.out.as_deref(), "chaos")?;
    let seed = options.seed.unwrap_or_else(wall_clock_seconds);
    let mut runs = Vec::new();
    for (number, target) in (1..).zip(targets) {
        let own = directory.join(&format!("target-{number}"));
        let own = RunDirectory::make(Some(&own), "chaos")?;
        let options = ChaosOptions { target: target.clone(), ..options.clone() };
        let report = run_in(&options, seed, sandbox.clone(), &own)?;
        let failed = |source| ExperimentError::Io { path: own.path().to_owned(), source };
        write_all(own.path(), &report).map_err(failed)?;
        runs.push(report);
    }
    let comparison = Comparison {
        title: format!("{}, side by side", title(options, seed)),
        command: replay(&options.command, options.seed, seed),
        runs,
    };
    Ok((comparison, directory.path().to_owned()))
}

/// Inside a sandbox nothing but its own processes is reached, so all targets must be of one kind.
fn enter(targets: &[&TargetOptions]) -> Result<Sandbox, ExperimentError> {
    let own = targets.iter().filter(|target| target.is_made_of_processes()).count();
    if own != 0 && own != targets.len() {
        let usage = "a cluster of the lab's own processes cannot be compared with another kind";
        return Err(ExperimentError::Usage(usage.to_owned()));
    }
    targets[0].enter()
}
