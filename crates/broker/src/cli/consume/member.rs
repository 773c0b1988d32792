//! `steadfast consume --group`: reads as a member of a group.
//!
//! What is committed has been printed and flushed: a crash prints some records again and loses none. Ctrl-C and SIGTERM end the command in order: it commits
//! and leaves, so that the group need not wait for the end of the session.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::OffsetAt;
use client::consumer::{ConsumedRecord, OffsetReset};
use client::group_consumer::{GroupConsumer, GroupConsumerConfig, GroupEvent};
use client::{Client, Error};
use model::{ErrorCode, Offset, TopicPartition};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Arguments, Place, Printer};
use crate::cli::failure::Failure;
use crate::cli::progress::Progress;

/// Returns where to begin where the group has committed nothing.
pub(super) fn reset(arguments: &Arguments) -> Result<OffsetReset, Failure> {
    match arguments.from {
        None if arguments.until_end => Ok(OffsetReset::Earliest),
        None | Some(Place::At(OffsetAt::Latest)) => Ok(OffsetReset::Latest),
        Some(Place::At(OffsetAt::Earliest)) => Ok(OffsetReset::Earliest),
        Some(_) => {
            let message = "with --group, --from is earliest or latest, for where the group has committed nothing; `steadfast group reset-offsets` moves what it has";
            Err(Failure::Usage(message.to_owned()))
        }
    }
}

/// Reads until it is enough, or a signal comes.
pub(super) async fn run(
    client: Client,
    group: &str,
    offset_reset: OffsetReset,
    printer: Printer<'_>,
) -> Result<(), Failure> {
    let arguments = printer.arguments;
    let mut config = GroupConsumerConfig {
        group_instance_id: arguments.group_instance_id.clone(),
        // Commits wait for the output.
        auto_commit_interval: None,
        offset_reset,
        ..GroupConsumerConfig::new(group, vec![arguments.topic.clone()])
    };
    config.fetch.isolation_level = arguments.isolation_level;
    config.assignors = arguments.assignor.map_or(config.assignors, |assignor| vec![assignor]);
    if let Some(session_timeout) = arguments.session_timeout {
        config.session_timeout = session_timeout;
        config.heartbeat_interval = config.heartbeat_interval.min(session_timeout / 3);
    }
    let what = format!("cannot read topic {} as a member of group {group}", arguments.topic);
    let mut member = Member {
        consumer: GroupConsumer::new(client, config),
        printer,
        what,
        uncommitted: BTreeMap::new(),
        started: BTreeSet::new(),
        last_commit: Instant::now(),
        has_assignment: false,
    };
    let read = member.read().await;
    let committed = match &read {
        // What nobody reads any more must not be committed.
        Err(Failure::BrokenPipe | Failure::File { .. }) => Ok(()),
        _ => member.commit().await,
    };
    let left = timeout(LEAVE_TIME, member.consumer.leave()).await;
    read.and(committed)?;
    match left {
        Ok(Err(error)) => eprintln!(
            "steadfast: cannot leave group {group}, which goes on without this member when the session ends: {error}"
        ),
        Err(_) => eprintln!(
            "steadfast: the coordinator does not answer, so group {group} goes on without this member when the session ends"
        ),
        Ok(Ok(())) => {}
    }
    Ok(())
}

struct Member<'a> {
    consumer: GroupConsumer,
    printer: Printer<'a>,
    what: String,
    /// What was printed since the last commit.
    uncommitted: BTreeMap<TopicPartition, Offset>,
    /// Partitions of which records came: what is not printed of them must not be committed.
    started: BTreeSet<TopicPartition>,
    last_commit: Instant,
    has_assignment: bool,
}

impl Member<'_> {
    async fn read(&mut self) -> Result<(), Failure> {
        let mut signals = [listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?];
        let mut progress = Progress::new();
        let mut last_record_at = Instant::now();
        while !self.is_finished() {
            let idle_end = self.printer.arguments.idle.map(|idle| last_record_at + idle);
            let [interrupt, terminate] = &mut signals;
            let event = tokio::select! {
                biased;
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                event = self.consumer.poll() => event,
                () = sleep_until(idle_end.unwrap_or_else(Instant::now)), if idle_end.is_some() => break,
            };
            let mut is_commit_due = self.last_commit.elapsed() >= COMMIT_INTERVAL;
            match event.map_err(Failure::cluster(self.what.clone()))? {
                GroupEvent::Records(records) => {
                    if !records.is_empty() {
                        last_record_at = Instant::now();
                    }
                    self.print(&records)?;
                }
                GroupEvent::Assigned { .. } => {
                    self.has_assignment = true;
                    last_record_at = Instant::now();
                }
                GroupEvent::Revoked(partitions) => {
                    // The last moment at which this member can say what it has printed.
                    self.commit().await?;
                    is_commit_due = false;
                    self.forget(&partitions);
                }
                GroupEvent::Lost(partitions) => self.forget(&partitions),
            }
            if is_commit_due {
                self.commit().await?;
            }
            if !self.printer.ends.is_empty() {
                let printed = self.printer.printed;
                progress.show(|| format!("{printed} records"));
            }
        }
        progress.clear();
        self.printer.output.flush()
    }

    fn forget(&mut self, partitions: &[TopicPartition]) {
        self.uncommitted.retain(|partition, _| !partitions.contains(partition));
        self.started.retain(|partition| !partitions.contains(partition));
    }

    /// Prints records and flushes them; only then they may be committed.
    fn print(&mut self, records: &[ConsumedRecord]) -> Result<(), Failure> {
        let mut printed = BTreeMap::new();
        for record in records {
            if self.printer.print(record)? {
                printed.insert(&record.partition, record.offset + 1);
            }
        }
        self.printer.output.flush()?;
        for record in records {
            if !self.started.contains(&*record.partition) {
                self.started.insert(TopicPartition::clone(&record.partition));
            }
        }
        for (partition, next) in printed {
            self.uncommitted.insert(TopicPartition::clone(partition), next);
        }
        Ok(())
    }

    /// Commits what was printed. A commit that a rebalance refuses is no failure: the next one says the same, or the records are printed again.
    async fn commit(&mut self) -> Result<(), Failure> {
        self.last_commit = Instant::now();
        // Where a reset chose the place, it must hold over a restart too, or what is written meanwhile would be skipped.
        let places = self.consumer.uncommitted().into_iter();
        self.uncommitted.extend(places.filter(|(partition, _)| !self.started.contains(partition)));
        match self.consumer.commit_offsets(&self.uncommitted).await {
            Ok(()) => self.uncommitted.clear(),
            Err(error) if passes(&error) => {}
            Err(error) => {
                return Err(Failure::cluster(format!("{}: cannot commit", self.what))(error));
            }
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        let is_read = |partition: &TopicPartition| {
            let end = self.printer.ends.get(partition);
            let position = self.consumer.position(partition);
            end.is_none_or(|end| position.is_some_and(|position| position >= *end))
        };
        // Of several members each ends when its own part is read.
        let is_at_end = self.printer.arguments.until_end
            && self.has_assignment
            && self.consumer.assignment().iter().all(is_read);
        is_at_end || self.printer.is_enough()
    }
}

fn passes(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::RebalanceInProgress
                | ErrorCode::IllegalGeneration
                | ErrorCode::UnknownMemberId
        )
    )
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|source| Failure::File { path: "signals".to_owned(), source })
}

/// How often what was printed is committed.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// How long the end may take when the coordinator does not answer.
const LEAVE_TIME: Duration = Duration::from_secs(5);
