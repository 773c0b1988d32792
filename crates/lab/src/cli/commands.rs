//! What each command does, and its exit code.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use super::arguments::{Arguments, ChaosArguments, Command, DurabilityArguments, TargetArguments};
use crate::experiment::{
    ChaosOptions, DurabilityOptions, ExperimentError, TargetOptions, chaos, comparison, durability,
    judge,
};
use crate::nemesis::{Begin, Fault, Pace, Scenario};
use crate::report::{
    Comparison, RunReport, summary, summary_of_comparison, write_all, write_comparison,
};
use crate::target::Clocks;

/// Runs a command.
///
/// # Errors
/// [`ExperimentError`]; an invalid verdict is none.
pub(super) fn run(arguments: Arguments) -> Result<ExitCode, ExperimentError> {
    match arguments.command {
        Command::Chaos(arguments) => {
            let beside = beside(&arguments)?;
            let options = chaos_options(arguments)?;
            if beside.is_empty() {
                let (report, directory) = chaos(&options)?;
                return conclude(&report, Some(&directory));
            }
            let (found, directory) = comparison(&options, &beside)?;
            conclude_comparison(&found, &directory)
        }
        Command::Durability(arguments) => {
            let (report, directory) = durability(&durability_options(arguments)?)?;
            conclude(&report, Some(&directory))
        }
        Command::Check { history, out } => {
            let scratch = history.parent().unwrap_or_else(|| Path::new("."));
            let judgement = judge(&history, scratch)?;
            let report = RunReport {
                title: format!("Check of {}", history.display()),
                command: command_line(),
                verdict: Some(judgement.verdict),
                traffic: Some(judgement.traffic),
                faults: judgement.faults,
                ..RunReport::default()
            };
            conclude(&report, out.as_deref())
        }
        Command::Report { report: path } => {
            let failed = |source| ExperimentError::Io { path: path.clone(), source };
            let text = std::fs::read_to_string(&path).map_err(failed)?;
            let directory = path.parent().unwrap_or_else(|| Path::new("."));
            if let Ok(found) = serde_json::from_str::<Comparison>(&text) {
                return conclude_comparison(&found, directory);
            }
            let report: RunReport = serde_json::from_str(&text).map_err(|error| {
                ExperimentError::Usage(format!("{} is no report: {error}", path.display()))
            })?;
            conclude(&report, Some(directory))
        }
        Command::List => {
            list();
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Writes the pages, says what was found, and chooses the exit code.
fn conclude(report: &RunReport, directory: Option<&Path>) -> Result<ExitCode, ExperimentError> {
    say(&summary(report));
    if let Some(directory) = directory {
        let failed = |source| ExperimentError::Io { path: directory.to_owned(), source };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let pages = write_all(directory, report).map_err(failed)?;
        say(&format!("\nreport: {}", pages.html.display()));
    }
    let is_valid = report.verdict.as_ref().is_none_or(|verdict| verdict.valid);
    Ok(if is_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The same of several runs.
fn conclude_comparison(
    comparison: &Comparison,
    directory: &Path,
) -> Result<ExitCode, ExperimentError> {
    say(&summary_of_comparison(comparison));
    let failed = |source| ExperimentError::Io { path: directory.to_owned(), source };
    let pages = write_comparison(directory, comparison).map_err(failed)?;
    say(&format!("\nreport: {}", pages.html.display()));
    let verdicts = comparison.runs.iter().filter_map(|run| run.verdict.as_ref());
    let are_valid = verdicts.into_iter().all(|verdict| verdict.valid);
    Ok(if are_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list() {
    say("faults:");
    for fault in Fault::all() {
        say(&format!("  {:<20} {}", fault.to_string(), fault.describe()));
    }
    say("scenarios:");
    for scenario in Scenario::all() {
        say(&format!("  {:<20} {}", scenario.name, scenario.describe));
    }
    say("targets: steadfast, kafka, compose, bootstrap, or the path of a target file");
}

#[expect(clippy::print_stdout, reason = "what a command was asked for goes to standard output")]
fn say(line: &str) {
    println!("{line}");
}

fn target_options(
    arguments: TargetArguments,
    clocks: Clocks,
) -> Result<TargetOptions, ExperimentError> {
    Ok(TargetOptions {
        name: arguments.target,
        variables: variables(&arguments.variables)?,
        nodes: arguments.nodes,
        bootstrap: arguments.bootstrap,
        commands: arguments.commands,
        compose_file: arguments.compose_file,
        disk_mebibytes: arguments.disk,
        clocks,
        out: arguments.out,
    })
}

fn variables(given: &[String]) -> Result<BTreeMap<String, String>, ExperimentError> {
    let pair = |variable: &String| match variable.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(ExperimentError::Usage(format!("--set {variable}: write NAME=VALUE"))),
    };
    given.iter().map(pair).collect()
}

/// The targets beside the first: made as it is, but for name and variables.
fn beside(arguments: &ChaosArguments) -> Result<Vec<TargetOptions>, ExperimentError> {
    let names = arguments.beside.iter();
    names
        .map(|name| {
            let own = TargetArguments {
                target: name.clone(),
                variables: arguments.variables_beside.clone(),
                ..arguments.target.clone()
            };
            target_options(own, clocks(arguments))
        })
        .collect()
}

/// A clock that can be shifted costs every reading of it: only who asked for it pays.
fn clocks(arguments: &ChaosArguments) -> Clocks {
    let shifts_clocks = arguments.faults.iter().any(|fault| fault == "clock-jump")
        || arguments.scenario.as_deref() == Some("odd-hours");
    if shifts_clocks { Clocks::Shiftable } else { Clocks::True }
}

fn chaos_options(arguments: ChaosArguments) -> Result<ChaosOptions, ExperimentError> {
    let clocks = clocks(&arguments);
    Ok(ChaosOptions {
        target: target_options(arguments.target, clocks)?,
        duration: arguments.duration,
        seed: arguments.seed,
        scenario: arguments.scenario,
        faults: arguments.faults,
        pace: Pace {
            lasting: arguments.fault_for / 2..arguments.fault_for,
            gap: arguments.quiet_for / 2..arguments.quiet_for,
            overlap_percent: arguments.overlap,
            ..Pace::default()
        },
        begin: if arguments.in_sync { Begin::InSync } else { Begin::OnTime },
        partitions: arguments.partitions,
        records_per_second: arguments.rate,
        record_bytes: arguments.record_bytes,
        compression: arguments.compression,
        key_skew: arguments.skew,
        clients: arguments.clients,
        command: command_line(),
    })
}

fn durability_options(
    arguments: DurabilityArguments,
) -> Result<DurabilityOptions, ExperimentError> {
    Ok(DurabilityOptions {
        target: target_options(arguments.target, Clocks::True)?,
        rounds: arguments.rounds,
        acks: arguments.acks,
        faults: arguments.faults,
        records_per_second: arguments.rate,
        write_for: arguments.write_for,
        command: command_line(),
    })
}

/// This process's arguments as a shell would take them, without `--out`: a replay makes a directory of its own.
fn command_line() -> String {
    let mut words = vec!["steadfast-lab".to_owned()];
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--out" {
            arguments.next();
        } else if !argument.starts_with("--out=") {
            words.push(quote(&argument));
        }
    }
    words.join(" ")
}

fn quote(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}
