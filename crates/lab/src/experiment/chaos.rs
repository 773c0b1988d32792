//! Chaos: clients write and read while a seeded schedule of faults goes by; then the cluster heals, everything is read, and the history judged.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGINT;

use super::clients::{Client, check_offers, plan};
use super::cluster::ObservedCluster;
use super::judge::judge;
use super::run_directory::{RunDirectory, date, wall_clock_seconds};
use super::waiting::wait_until;
use super::{ExperimentError, TargetOptions, machine};
use crate::history::{Clock, Recorder};
use crate::nemesis::{
    ClockPacer, Cluster as _, Fault, Nemesis, NemesisReport, Pace, Running, Scenario, Schedule,
    UnknownName, available,
};
use crate::report::{Live, LiveState, RunReport};
use crate::target::{NodeId, Target};
use crate::workload::{Compression, Workload, WorkloadOptions, create_topics, final_read};

/// How long a cluster may take to start.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long it may take until all its ISRs are full again.
const SYNC_PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to answer the final read.
const READ_PATIENCE: Duration = Duration::from_secs(60);
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
    pub(crate) pace: Pace,
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
    let seen = clients_and_faults(options, seed, target.as_ref(), &schedule, &recorder);
    // Before an error is passed on, so that what was recorded until then can be judged by itself.
    recorder.finish().map_err(failed)?;
    let (nemesis, end) = seen?;
    report.not_done.extend(left_undone(&nemesis));
    target.stop_all();
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
    Ok((report, directory.path().to_owned()))
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
    let cluster = ObservedCluster::new(&bootstrap, &plan.topics)?;
    let topics = plan.topics.clone();
    let mut workload = Workload::start(plan, recorder.clone())?;
    let interrupted = Arc::new(AtomicBool::new(false));
    // Without it an interrupt ends the run without a verdict, and the history stays.
    let _ = signal_hook::flag::register(SIGINT, Arc::clone(&interrupted));
    let pacer = ClockPacer::start();
    let nemesis = Nemesis::new(target, &cluster, recorder, &pacer);
    let running = nemesis.running();
    let report = thread::scope(|scope| {
        let faults = scope.spawn(|| nemesis.run(schedule));
        let view = View { options, target, workload: &workload, running };
        view.show_until(|| {
            if interrupted.load(Ordering::Relaxed) {
                // The faults end, the cluster heals, and what was seen so far is judged.
                pacer.cancel();
            }
            faults.is_finished()
        });
        faults.join()
    });
    let Ok(report) = report else {
        let what = "the nemesis panicked: what it broke may still be broken";
        return Err(ExperimentError::Waited(what.to_owned()));
    };
    workload.stop_producing();
    let what = "all replicas are in sync after the last fault";
    let in_sync = wait_until(what, SYNC_PATIENCE, || cluster.in_sync());
    // What can be read is worth reading even so.
    let read = final_read(&bootstrap, &topics, recorder, READ_PATIENCE);
    workload.stop();
    Ok((report, in_sync.and_then(|()| Ok(read?))))
}

/// What is shown while faults go by.
struct View<'a> {
    options: &'a ChaosOptions,
    target: &'a dyn Target,
    workload: &'a Workload,
    running: Running,
}

impl View<'_> {
    fn show_until(&self, is_over: impl Fn() -> bool) {
        let mut live = Live::stdout();
        let begun = Instant::now();
        let mut rates = VecDeque::new();
        let mut second = (begun, 0);
        // How long no send has been acknowledged, and the longest such time.
        let (mut progress, mut longest_gap) = ((begun, 0), Duration::ZERO);
        let mut faults = Vec::new();
        while !is_over() {
            let running = self.running.names();
            for fault in running.iter().filter(|fault| !faults.contains(*fault)) {
                let at = begun.elapsed().as_secs();
                let _ = live.note(&format!("{}:{:02}  {fault}", at / 60, at % 60));
            }
            faults = running;
            let counts = self.workload.counts();
            if counts.acknowledged > progress.1 {
                progress = (Instant::now(), counts.acknowledged);
            }
            longest_gap = longest_gap.max(progress.0.elapsed());
            if second.0.elapsed() >= Duration::from_secs(1) {
                rates.push_back(counts.acknowledged - second.1);
                second = (second.0 + Duration::from_secs(1), counts.acknowledged);
                if rates.len() > SHOWN_SECONDS {
                    rates.pop_front();
                }
            }
            let state = LiveState {
                elapsed: begun.elapsed(),
                duration: self.options.duration,
                acknowledged: counts.acknowledged,
                failed: counts.failed,
                unknown: counts.unknown,
                polled: counts.polled,
                rates: rates.iter().copied().collect(),
                faults: faults.clone(),
                nodes: self.nodes(),
                longest_gap_ms: longest_gap.as_secs_f64() * 1000.0,
            };
            // A terminal that is gone must not end the run.
            let _ = live.draw(&state);
            thread::sleep(PICTURE);
        }
        let _ = live.clear();
    }

    fn nodes(&self) -> Vec<(NodeId, String)> {
        let state = |node| if self.target.is_running(node) { "up" } else { "down" }.to_owned();
        self.target.nodes().into_iter().map(|node| (node, state(node))).collect()
    }
}

fn schedule(
    options: &ChaosOptions,
    seed: u64,
    target: &dyn Target,
    not_done: &mut Vec<String>,
) -> Result<Schedule, ExperimentError> {
    let (can, cannot) = available(target);
    let scenario: Option<Scenario> = match &options.scenario {
        None => None,
        Some(name) => Some(
            name.parse().map_err(|error: UnknownName| ExperimentError::Usage(error.to_string()))?,
        ),
    };
    let mut wanted: Vec<Fault> = options
        .faults
        .iter()
        .map(|name| name.parse())
        .collect::<Result<_, UnknownName>>()
        .map_err(|error| ExperimentError::Usage(error.to_string()))?;
    if let Some(scenario) = scenario {
        wanted = scenario.faults();
    }
    let is_wanted = |fault: &Fault| wanted.is_empty() || wanted.contains(fault);
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
    Ok(match scenario {
        Some(scenario) => scenario.schedule(seed, options.duration, &can, &options.pace),
        None if wanted.is_empty() => Schedule::random(seed, options.duration, &can, &options.pace),
        // Who chooses faults wants to see them.
        None => {
            let pace = Pace { quiet_percent: 0, ..options.pace.clone() };
            Schedule::random(seed, options.duration, &can, &pace)
        }
    })
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

/// What the nemesis could not do, or found: a sentence each.
fn left_undone(nemesis: &NemesisReport) -> Vec<String> {
    let late = nemesis.left_out.iter().map(|step| format!("{}: no time was left", step.fault));
    let healing = nemesis.not_healed.iter().map(|error| format!("the healing at the end: {error}"));
    nemesis.problems.iter().cloned().chain(late).chain(healing).collect()
}
