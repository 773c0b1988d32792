//! The durability matrix: for each acks, flush and fault, how many acknowledged records are lost.
//!
//! All cells of one fault share its rounds: a topic, a producer and a history for each acks and flush, all led by the same node, and one fault
//! for all of them. The rounds differ in who leads. A cell's histories are judged by the same checker as a chaos run's.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::cluster::ObservedCluster;
use super::judge::verdict_of;
use super::run_directory::{RunDirectory, date};
use super::waiting::wait_until;
use super::{ExperimentError, TargetOptions, machine};
use crate::history::{Acks, Clock, Recorder};
use crate::nemesis::Cluster as _;
use crate::report::{Anomaly, Cell, Matrix, RunReport, Tally, Verdict};
use crate::target::{Means, NodeId, Target};
use crate::workload::{
    ProducerPlan, TopicPlan, Workload, WorkloadOptions, create_topics, delete_topics, final_read,
};

/// How long a cluster may take to start, to heal, and to answer the final read.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between the fault and the start of what it stopped, so that the cluster notices and clients fail over.
const OUTAGE: Duration = Duration::from_millis(500);
/// Longest time that a producer waits for an acknowledgement, as a client's `delivery.timeout.ms`.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// A column of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Loss {
    /// The leader's process is killed
    LeaderKilled,
    /// All processes are killed at once
    AllKilled,
    /// The leader's node loses power
    LeaderPower,
    /// All nodes lose power at once
    AllPower,
    /// The leader's process is killed and its disk is lost
    LeaderDisk,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeaderKilled => "leader killed",
            Self::AllKilled => "all killed",
            Self::LeaderPower => "leader loses power",
            Self::AllPower => "all lose power",
            Self::LeaderDisk => "leader's disk lost",
        })
    }
}

impl Loss {
    fn needs(self) -> Means {
        match self {
            Self::LeaderKilled | Self::AllKilled => Means::Processes,
            Self::LeaderPower | Self::AllPower => Means::Power,
            Self::LeaderDisk => Means::Files,
        }
    }

    /// Breaks the cluster, and lets it come back.
    fn happen(self, target: &dyn Target, leader: NodeId) -> Result<(), ExperimentError> {
        let all: Vec<NodeId> = target.nodes().into_iter().collect();
        let struck = match self {
            Self::LeaderKilled | Self::LeaderPower | Self::LeaderDisk => vec![leader],
            Self::AllKilled | Self::AllPower => all,
        };
        match self {
            Self::LeaderKilled | Self::AllKilled | Self::LeaderDisk => {
                struck.iter().try_for_each(|node| target.kill(*node))?;
            }
            Self::LeaderPower | Self::AllPower => target.cut_power(&struck)?,
        }
        sleep(OUTAGE);
        if self == Self::LeaderDisk {
            target.wipe(leader)?;
        }
        struck.iter().try_for_each(|node| target.start(*node))?;
        Ok(())
    }
}

/// A row of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    acks: Acks,
    flush: Flush,
}

/// When a topic's records are synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Flush {
    /// `flush.messages` is 1.
    EachMessage,
    /// Whenever the operating system likes.
    PageCache,
}

impl Flush {
    fn config(self) -> (String, String) {
        let value = match self {
            Self::EachMessage => "1",
            Self::PageCache => "9223372036854775807",
        };
        ("flush.messages".to_owned(), value.to_owned())
    }
}

impl fmt::Display for Flush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EachMessage => "each message",
            Self::PageCache => "page cache",
        })
    }
}

fn acks_name(acks: Acks) -> &'static str {
    match acks {
        Acks::Zero => "0",
        Acks::One => "1",
        Acks::All => "all",
    }
}

/// What to count.
#[derive(Clone, Debug)]
pub(crate) struct DurabilityOptions {
    pub(crate) target: TargetOptions,
    pub(crate) rounds: u32,
    pub(crate) acks: Vec<Acks>,
    /// All of them when empty.
    pub(crate) faults: Vec<Loss>,
    pub(crate) records_per_second: f64,
    pub(crate) write_for: Duration,
    /// The command that replays the run.
    pub(crate) command: String,
}

/// Runs the experiment and returns what to report. A round that a cluster does not survive ends the run with an error.
///
/// # Errors
/// [`ExperimentError`].
pub(crate) fn run(options: &DurabilityOptions) -> Result<(RunReport, PathBuf), ExperimentError> {
    let sandbox = options.target.enter()?;
    let directory = RunDirectory::make(options.target.out.as_deref(), "durability")?;
    let target = options.target.open(sandbox, &directory)?;
    let mut report = RunReport {
        title: "What acks really buys you".to_owned(),
        target: target.describe(),
        machine: machine::describe(),
        date: date(),
        command: options.command.clone(),
        ..RunReport::default()
    };
    let wanted =
        if options.faults.is_empty() { Loss::value_variants() } else { options.faults.as_slice() };
    let mut faults = Vec::new();
    for fault in wanted {
        match target.lacks(fault.needs()) {
            None => faults.push(*fault),
            Some(reason) => {
                eprintln!("cannot do {fault}: {reason}");
                report.not_done.push(format!("{fault}: {reason}"));
            }
        }
    }
    let begun = Instant::now();
    target.start_all(PATIENCE)?;
    let mut bench = Bench {
        options,
        target: target.as_ref(),
        directory: &directory,
        cells: BTreeMap::new(),
        anomalies: BTreeMap::new(),
    };
    'faults: for fault in faults {
        for round in 0..options.rounds {
            // A cluster that does not come back is a result as well: of this fault, not of the next.
            let Err(error) = bench.round(fault, round) else { continue };
            let mut what = vec![format!("{fault}, round {} and later: {error}", round + 1)];
            let healed = target.heal();
            if let Err(error) = &healed {
                what.push(format!("all that was to follow: {error}"));
            }
            what.iter().for_each(|what| eprintln!("cannot do {what}"));
            report.not_done.append(&mut what);
            match healed {
                Ok(()) => break,
                // What was counted before is worth a report all the same.
                Err(_) => break 'faults,
            }
        }
    }
    report.matrix = Some(bench.matrix());
    report.verdict = Some(bench.verdict());
    report.duration_s = begun.elapsed().as_secs_f64();
    target.stop_all();
    Ok((report, directory.path().to_owned()))
}

/// What goes on from round to round.
struct Bench<'a> {
    options: &'a DurabilityOptions,
    target: &'a dyn Target,
    directory: &'a RunDirectory,
    cells: BTreeMap<(Row, Loss), Cell>,
    anomalies: BTreeMap<String, Anomaly>,
}

/// A row's clients in one round.
struct Stand {
    row: Row,
    topic: TopicPlan,
    history: PathBuf,
    recorder: Recorder,
    workload: Workload,
}

/// What a row's history of one round says.
struct Judged {
    row: Row,
    history: PathBuf,
    verdict: Verdict,
}

impl Stand {
    /// Ends the producer, reads the topic, and judges.
    fn finish(mut self, bootstrap: &str) -> Result<Judged, ExperimentError> {
        self.workload.stop_producing();
        final_read(bootstrap, &[self.topic], &self.recorder, PATIENCE)?;
        self.workload.stop();
        let history = self.history;
        let failed = |source| ExperimentError::Io { path: history.clone(), source };
        self.recorder.finish().map_err(failed)?;
        let verdict = verdict_of(&history)?;
        Ok(Judged { row: self.row, history, verdict })
    }
}

impl Bench<'_> {
    fn rows(&self) -> impl Iterator<Item = Row> {
        let flushes = [Flush::EachMessage, Flush::PageCache];
        let acks = self.options.acks.clone();
        acks.into_iter().flat_map(move |acks| flushes.map(|flush| Row { acks, flush }))
    }

    fn round(&mut self, fault: Loss, round: u32) -> Result<(), ExperimentError> {
        let bootstrap = self.target.bootstrap();
        let nodes: Vec<NodeId> = self.target.nodes().into_iter().collect();
        let first = usize::try_from(round).unwrap_or_default() % nodes.len();
        let leader = nodes[first];
        let mut replicas = nodes;
        replicas.rotate_left(first);
        replicas.truncate(3);
        let name = format!("{fault}-{round}").replace([' ', '\''], "-");
        let topics: Vec<(Row, TopicPlan)> =
            self.rows().map(|row| (row, topic(row, &name, &replicas))).collect();
        let plans: Vec<TopicPlan> = topics.iter().map(|(_, topic)| topic.clone()).collect();
        create_topics(&bootstrap, &plans, PATIENCE)?;
        let view = ObservedCluster::new(&bootstrap, &plans, Vec::new())?;
        wait_until("the round's topics are led by their first replica", PATIENCE, || {
            plans.iter().all(|plan| view.leader_of(&plan.name, 0) == Some(leader))
        })?;
        let stands = self.start(topics, &name)?;
        sleep(self.options.write_for);
        fault.happen(self.target, leader)?;
        wait_until("all replicas are in sync again", PATIENCE, || view.in_sync())?;
        let judged: Vec<_> = thread::scope(|scope| {
            let finish = |stand: Stand| scope.spawn(|| stand.finish(&bootstrap));
            let threads: Vec<_> = stands.into_iter().map(finish).collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        for judged in judged {
            let Ok(judged) = judged else {
                return Err(ExperimentError::Waited("the judge of a row panicked".to_owned()));
            };
            self.count(judged?, fault)?;
        }
        delete_topics(&bootstrap, &plans)?;
        eprintln!("{fault}, round {} of {}", round + 1, self.options.rounds);
        Ok(())
    }
}

impl Bench<'_> {
    fn start(
        &self,
        topics: Vec<(Row, TopicPlan)>,
        name: &str,
    ) -> Result<Vec<Stand>, ExperimentError> {
        let folder = self.directory.folder("histories")?;
        let mut stands = Vec::new();
        for (row, topic) in topics {
            let history = folder.join(format!("{}.jsonl", topic.name));
            let failed = |source| ExperimentError::Io { path: history.clone(), source };
            let recorder = Recorder::create(&history, Clock::start()).map_err(failed)?;
            let producer = ProducerPlan {
                acks: row.acks,
                records_per_second: self.options.records_per_second,
                delivery_timeout: DELIVERY_TIMEOUT,
                ..ProducerPlan::new(&format!("producer-{name}"), &topic.name)
            };
            let workload = Workload::start(
                WorkloadOptions {
                    bootstrap: self.target.bootstrap(),
                    topics: vec![topic.clone()],
                    producers: vec![producer],
                    ..WorkloadOptions::default()
                },
                recorder.clone(),
            )?;
            stands.push(Stand { row, topic, history, recorder, workload });
        }
        Ok(stands)
    }

    /// Counts what became of a row's records in one round.
    fn count(&mut self, judged: Judged, fault: Loss) -> Result<(), ExperimentError> {
        let Judged { row, history, verdict } = judged;
        let failed = |source| ExperimentError::Io { path: history.clone(), source };
        let cell = self.cells.entry((row, fault)).or_insert_with(|| Cell {
            acks: acks_name(row.acks).to_owned(),
            flush: row.flush.to_string(),
            fault: fault.to_string(),
            ..Cell::default()
        });
        let tally = verdict.sends.get(acks_name(row.acks)).copied().unwrap_or_default();
        cell.rounds += 1;
        cell.rounds_with_loss += u32::from(tally.lost > 0);
        add(&mut cell.tally, tally);
        let is_due = |anomaly: &Anomaly| {
            !is_promised(row, fault) && OF_A_LOSS.contains(&anomaly.name.as_str())
        };
        let found: Vec<Anomaly> =
            verdict.anomalies.into_iter().filter(|anomaly| !is_due(anomaly)).collect();
        if found.is_empty() {
            std::fs::remove_file(&history).map_err(failed)?;
        }
        for anomaly in found {
            let kept = self.anomalies.entry(anomaly.name.clone()).or_insert_with(|| Anomaly {
                count: 0,
                examples: Vec::new(),
                ..anomaly.clone()
            });
            kept.count += anomaly.count;
            let room = MAX_EXAMPLES.saturating_sub(kept.examples.len());
            kept.examples.extend(anomaly.examples.into_iter().take(room));
        }
        Ok(())
    }

    fn matrix(&self) -> Matrix {
        Matrix { cells: self.cells.values().cloned().collect() }
    }

    fn verdict(&self) -> Verdict {
        let mut sends: BTreeMap<String, Tally> = BTreeMap::new();
        for cell in self.cells.values() {
            add(sends.entry(cell.acks.clone()).or_default(), cell.tally);
        }
        Verdict {
            valid: self.anomalies.is_empty(),
            anomalies: self.anomalies.values().cloned().collect(),
            sends,
            ..Verdict::default()
        }
    }
}

const MAX_EXAMPLES: usize = 5;

/// What the judge sees of a loss. Where it is due it is a figure of the matrix; all else, and all of it where nothing may be lost, is a finding.
const OF_A_LOSS: [&str; 6] = [
    "inconsistent-offsets",
    "lost-write",
    "nonmonotonic-poll",
    "stale-append",
    "vanished-read",
    "watermark-regress",
];

/// Whether nothing that was acknowledged may be lost: with acks=all, unless it is in page caches only and all of them go.
fn is_promised(row: Row, fault: Loss) -> bool {
    row.acks == Acks::All && (row.flush == Flush::EachMessage || fault != Loss::AllPower)
}

fn topic(row: Row, name: &str, replicas: &[NodeId]) -> TopicPlan {
    let flush = match row.flush {
        Flush::EachMessage => "each",
        Flush::PageCache => "cache",
    };
    let assignment = replicas.iter().filter_map(|node| i32::try_from(*node).ok()).collect();
    TopicPlan {
        name: format!("{name}-acks-{}-{flush}", acks_name(row.acks)),
        partitions: 1,
        replication_factor: 3,
        assignment: vec![assignment],
        configs: vec![row.flush.config()],
    }
}

fn add(sum: &mut Tally, tally: Tally) {
    sum.sent += tally.sent;
    sum.acknowledged += tally.acknowledged;
    sum.found += tally.found;
    sum.lost += tally.lost;
    sum.duplicated += tally.duplicated;
}
