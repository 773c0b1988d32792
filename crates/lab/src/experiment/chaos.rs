//! Chaos: clients write and read while a seeded schedule of faults goes by; then the cluster heals, everything is read, and the history judged.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::clients::{Client, plan};
use super::judge::judge;
use super::run_directory::{RunDirectory, date, wall_clock_seconds};
use super::waiting::wait_until;
use super::{ExperimentError, TargetOptions, machine};
use crate::history::{Clock, Recorder};
use crate::nemesis::{Fault, Nemesis, NemesisReport, Pace, Schedule, available, scenario};
use crate::report::{Live, LiveState, RunReport};
use crate::target::Target;
use crate::workload::{
    ClusterView, Compression, Workload, WorkloadOptions, create_topics, final_read, offers,
};

/// How long a cluster may take to start, to heal, and to answer the final read.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two pictures of the live view.
const PICTURE: Duration = Duration::from_millis(250);
/// Seconds of throughput that the live view shows.
const SHOWN_SECONDS: usize = 60;

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
    let target = options.target.open(sandbox, &directory)?;
    let seed = options.seed.unwrap_or_else(wall_clock_seconds);
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
    let nemesis = clients_and_faults(options, seed, target.as_ref(), schedule, &recorder)?;
    recorder.finish().map_err(failed)?;
    report.not_done.extend(nemesis.errors);
    target.stop_all();
    eprintln!("judging {}", history.display());
    let judgement = judge(&history, directory.path())?;
    report.duration_s = options.duration.as_secs_f64();
    report.verdict = Some(judgement.verdict);
    report.traffic = Some(judgement.traffic);
    report.faults = judgement.faults;
    Ok((report, directory.path().to_owned()))
}

/// From the first record to the last one read.
fn clients_and_faults(
    options: &ChaosOptions,
    seed: u64,
    target: &dyn Target,
    schedule: Schedule,
    recorder: &Recorder,
) -> Result<NemesisReport, ExperimentError> {
    let bootstrap = target.bootstrap();
    let offers = offers(&bootstrap)?;
    let plan = plan(options, &offers)?;
    create_topics(&bootstrap, &plan.topics, PATIENCE)?;
    let view = ClusterView::new(&bootstrap, &plan.topics)?;
    let topics = plan.topics.clone();
    let workload = Workload::start(
        WorkloadOptions { bootstrap: bootstrap.clone(), seed, ..plan },
        recorder.clone(),
    )?;
    let nemesis = Nemesis::new(schedule, target, &view, recorder);
    let is_over = AtomicBool::new(false);
    let report = thread::scope(|scope| {
        let faults = scope.spawn(|| {
            let report = nemesis.run();
            is_over.store(true, Ordering::Release);
            report
        });
        show(options, target, &workload, &nemesis, &is_over);
        faults.join().unwrap_or_else(|_| NemesisReport::panicked())
    });
    workload.stop_producing();
    target.heal()?;
    wait_until("all replicas are in sync after the last fault", PATIENCE, || view.in_sync())?;
    final_read(&bootstrap, &topics, recorder, PATIENCE)?;
    workload.stop();
    Ok(report)
}

/// Shows what goes on until the faults are over.
fn show(
    options: &ChaosOptions,
    target: &dyn Target,
    workload: &Workload,
    nemesis: &Nemesis<'_>,
    is_over: &AtomicBool,
) {
    let mut live = Live::new();
    let begun = Instant::now();
    let mut rates = VecDeque::new();
    let mut second = (begun, 0);
    while !is_over.load(Ordering::Acquire) {
        let counts = workload.counts();
        if second.0.elapsed() >= Duration::from_secs(1) {
            rates.push_back(counts.acked.saturating_sub(second.1));
            second = (second.0 + Duration::from_secs(1), counts.acked);
            if rates.len() > SHOWN_SECONDS {
                rates.pop_front();
            }
        }
        let state = |node| if target.is_running(node) { "up" } else { "down" }.to_owned();
        live.show(&LiveState {
            elapsed: begun.elapsed(),
            duration: options.duration,
            acked: counts.acked,
            failed: counts.failed,
            unknown: counts.unknown,
            polled: counts.polled,
            rates: rates.iter().copied().collect(),
            faults: nemesis.current(),
            nodes: target.nodes().into_iter().map(|node| (node, state(node))).collect(),
            longest_gap_ms: counts.longest_gap_ms,
        });
        thread::sleep(PICTURE);
    }
    live.finish();
}

fn schedule(
    options: &ChaosOptions,
    seed: u64,
    target: &dyn Target,
    not_done: &mut Vec<String>,
) -> Result<Schedule, ExperimentError> {
    let (can, cannot) = available(target);
    let wanted: Vec<Fault> = options
        .faults
        .iter()
        .map(|name| name.parse())
        .collect::<Result<_, String>>()
        .map_err(ExperimentError::Usage)?;
    let is_wanted = |fault: &Fault| wanted.is_empty() || wanted.contains(fault);
    if let Some(name) = &options.scenario {
        return scenario(name, seed, options.duration, &can).map_err(ExperimentError::Usage);
    }
    not_done.extend(
        cannot
            .into_iter()
            .filter(|(fault, _)| is_wanted(fault))
            .map(|(fault, reason)| format!("{fault}: {reason}")),
    );
    let can: Vec<Fault> = can.into_iter().filter(is_wanted).collect();
    if can.is_empty() && !wanted.is_empty() {
        return Err(ExperimentError::Usage("this target can do none of these faults".to_owned()));
    }
    Ok(Schedule::random(seed, options.duration, &can, &Pace::default()))
}

fn title(options: &ChaosOptions, seed: u64) -> String {
    match &options.scenario {
        Some(scenario) => format!("Scenario {scenario}"),
        None => format!("Random chaos, seed {seed}"),
    }
}

/// The command that was given, with the seed that it lacked.
fn replay(command: &str, given: Option<u64>, seed: u64) -> String {
    match given {
        Some(_) => command.to_owned(),
        None => format!("{command} --seed {seed}"),
    }
}
