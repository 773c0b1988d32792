//! Chaos: clients write and read while a seeded schedule of faults goes by; then the cluster heals, everything is read, and the history judged.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::SIGINT;

use super::aftermath::{await_groups, deliveries, record_replicas};
use super::clients::{Client, check_offers, groups, plan};
use super::cluster::ObservedCluster;
use super::judge::judge;
use super::live_view::View;
use super::observer::{Until, observe};
use super::run_directory::{RunDirectory, date, wall_clock_seconds};
use super::schedule_choice::schedule;
use super::waiting::wait_until;
use super::{ExperimentError, TargetOptions, machine};
use crate::history::{Clock, Recorder};
use crate::nemesis::{Begin, ClockPacer, Cluster as _, Nemesis, NemesisReport, Pace, Schedule};
use crate::report::RunReport;
use crate::target::{Sandbox, Target};
use crate::workload::{Compression, Workload, WorkloadOptions, create_topics, final_read};

/// How long a cluster may take to start.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long it may take until all its ISRs are full again.
const SYNC_PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to answer the final read.
const READ_PATIENCE: Duration = Duration::from_secs(60);

/// How to break a cluster, and who uses it meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct ChaosOptions {
    pub(crate) target: TargetOptions,
    pub(crate) duration: Duration,
    /// Drawn when there is none.
    pub(crate) seed: Option<u64>,
    pub(crate) scenario: Option<String>,
    /// All that the target can do when empty.
    pub(crate) faults: Vec<String>,
    pub(crate) pace: Pace,
    /// When a fault begins whose time has come.
    pub(crate) begin: Begin,
    pub(crate) partitions: i32,
    /// Of all producers together.
    pub(crate) records_per_second: f64,
    pub(crate) record_bytes: usize,
    pub(crate) compression: Compression,
    pub(crate) key_skew: f64,
    pub(crate) clients: Vec<Client>,
    /// The command that was given, without a seed that it did not name.
    pub(crate) command: String,
}

/// Runs the experiment, and returns what to report and where.
///
/// # Errors
/// [`ExperimentError`]: there is no verdict then, and whatever the history holds so far can be checked by itself.
pub(crate) fn run(options: &ChaosOptions) -> Result<(RunReport, PathBuf), ExperimentError> {
    let sandbox = options.target.enter()?;
    let directory = RunDirectory::make(options.target.out.as_deref(), "chaos")?;
    let seed = options.seed.unwrap_or_else(wall_clock_seconds);
    let report = run_in(options, seed, sandbox, &directory)?;
    Ok((report, directory.path().to_owned()))
}

/// One run with one target, whose files go into `directory`.
pub(super) fn run_in(
    options: &ChaosOptions,
    seed: u64,
    sandbox: Sandbox,
    directory: &RunDirectory,
) -> Result<RunReport, ExperimentError> {
    let target = options.target.open(sandbox, directory)?;
    let mut report = RunReport {
        title: title(options, seed),
        target: target.describe(),
        machine: machine::describe(),
        date: date(),
        command: replay(&options.command, options.seed, seed),
        seed: Some(seed),
        ..RunReport::default()
    };
    let schedule = schedule(options, seed, target.as_ref(), &mut report.not_done)?;
    for reason in &report.not_done {
        eprintln!("cannot do {reason}");
    }
    eprintln!("seed {seed}; starting {}", report.target);
    target.start_all(PATIENCE)?;
    let history = directory.join("history.jsonl");
    let failed = |source| ExperimentError::Io { path: history.clone(), source };
    let recorder = Recorder::create(&history, Clock::start()).map_err(failed)?;
    let seen = clients_and_faults(options, seed, target.as_ref(), &schedule, &recorder);
    target.stop_all();
    if let Ok((nemesis, Ok(()))) = &seen
        && let Err(error) =
            record_replicas(target.as_ref(), &plan(options).topics, nemesis, &recorder)
    {
        report.not_done.push(format!("comparison of the replicas: {error}"));
    }
    // Before an error is passed on, so that what was recorded until then can be judged by itself.
    recorder.finish().map_err(failed)?;
    let (nemesis, end) = seen?;
    report.not_done.extend(left_undone(&nemesis));
    eprintln!("judging {}", history.display());
    let judgement = judge(&history, directory.path())?;
    match end {
        Ok(()) => {}
        // What was not read cannot be called whole.
        Err(error) if judgement.verdict.valid => return Err(error),
        Err(error) => report.not_done.push(error.to_string()),
    }
    // An interrupt ends a run early.
    report.duration_s = nemesis.lasted.as_secs_f64();
    report.verdict = Some(judgement.verdict);
    report.traffic = Some(judgement.traffic);
    report.faults = judgement.faults;
    Ok(report)
}

/// From the first record to the last one read: what the nemesis did, and whether the cluster came back so that all could be read.
fn clients_and_faults(
    options: &ChaosOptions,
    seed: u64,
    target: &dyn Target,
    schedule: &Schedule,
    recorder: &Recorder,
) -> Result<(NemesisReport, Result<(), ExperimentError>), ExperimentError> {
    let bootstrap = target.bootstrap();
    let plan = WorkloadOptions { bootstrap: bootstrap.clone(), seed, ..plan(options) };
    create_topics(&bootstrap, &plan.topics, PATIENCE)?;
    check_offers(options, &bootstrap)?;
    let cluster = ObservedCluster::new(&bootstrap, &plan.topics, groups(options))?;
    let (topics, deliveries) = (plan.topics.clone(), deliveries(&plan));
    let mut workload = Workload::start(plan, recorder.clone())?;
    let pacer = ClockPacer::start();
    let nemesis = Nemesis::new(target, &cluster, recorder, &pacer, options.begin);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _observed_until_here = Until(&is_over);
        scope.spawn(|| observe(&cluster, recorder, &is_over));
        let report = break_it(options, target, &workload, (nemesis, schedule, &pacer))?;
        workload.stop_producing();
        let what = "all replicas are in sync after the last fault";
        let in_sync = wait_until(what, SYNC_PATIENCE, || cluster.in_sync());
        // What can be read is worth reading even so.
        let mut end = final_read(&bootstrap, &topics, recorder, READ_PATIENCE);
        if in_sync.is_ok() && end.is_ok() {
            end = await_groups(&bootstrap, &deliveries, recorder);
        }
        workload.stop();
        Ok((report, in_sync.and_then(|()| Ok(end?))))
    })
}

/// Lets the nemesis do its work, and shows it.
fn break_it(
    options: &ChaosOptions,
    target: &dyn Target,
    workload: &Workload,
    (nemesis, schedule, pacer): (Nemesis<'_>, &Schedule, &ClockPacer),
) -> Result<NemesisReport, ExperimentError> {
    let interrupted = Arc::new(AtomicBool::new(false));
    // Without it an interrupt ends the run without a verdict, and the history stays.
    let _ = signal_hook::flag::register(SIGINT, Arc::clone(&interrupted));
    let running = nemesis.running();
    let report = thread::scope(|scope| {
        let faults = scope.spawn(|| nemesis.run(schedule));
        let view = View { duration: options.duration, target, workload, running };
        view.show_until(|| {
            if interrupted.load(Ordering::Relaxed) {
                // The faults end, the cluster heals, and what was seen so far is judged.
                pacer.cancel();
            }
            faults.is_finished()
        });
        faults.join()
    });
    report.map_err(|_| {
        let what = "the nemesis panicked: what it broke may still be broken";
        ExperimentError::Waited(what.to_owned())
    })
}

pub(super) fn title(options: &ChaosOptions, seed: u64) -> String {
    match &options.scenario {
        Some(scenario) => format!("Scenario {scenario}"),
        None => format!("Random chaos, seed {seed}"),
    }
}

/// The command that was given, with the seed that it lacked.
pub(super) fn replay(command: &str, given: Option<u64>, seed: u64) -> String {
    match given {
        Some(_) => command.to_owned(),
        None => format!("{command} --seed {seed}"),
    }
}

/// What the nemesis could not do, or found: a sentence each.
fn left_undone(nemesis: &NemesisReport) -> Vec<String> {
    let late = nemesis.left_out.iter().map(|step| format!("{}: no time was left", step.fault));
    let healing = nemesis.not_healed.iter().map(|error| format!("the healing at the end: {error}"));
    nemesis.problems.iter().cloned().chain(late).chain(healing).collect()
}
