//! A producer that writes numbered records while a test breaks things, and remembers what it was told.
//!
//! Runs on a thread of its own until it is stopped or has sent what it should. Every record ends in the history, with its outcome;
//! the time between acknowledgements is taken per partition, so that one partition's leader cannot hide behind the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use client::producer::{Delivery, Idempotence, Producer, ProducerConfig, ProducerRecord};
use client::{Client, ClientConfig, Tasks};
use model::Acks;
use model::record_batch::Header;
use tokio::sync::mpsc;

use crate::content::{Content, NUMBER_HEADER};
use crate::deadline::wait_until;
use crate::history::{History, Outcome, Sent};

/// What a load sends and how.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The topic, which exists.
    pub topic: String,
    /// Its number of partitions.
    pub partitions: i32,
    /// What an acknowledgement means.
    pub acks: Acks,
    /// Whether repeated batches are recognised; needs acks all.
    pub idempotence: Idempotence,
    /// Records a second.
    pub rate: Rate,
    /// How many records; `None` until the load is stopped.
    pub records: Option<u64>,
    /// What they hold.
    pub content: Content,
    /// How long a record may take, retries included.
    pub delivery_timeout: Duration,
    /// How long a broker may take to answer before its connection is given up.
    pub request_timeout: Duration,
}

/// How fast records are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// As fast as they are taken.
    Full,
    /// So many a second, caught up with after a delay.
    PerSecond(u64),
}

impl LoadOptions {
    /// An idempotent producer with acks=all that sends 3000 records of 100 bytes a second until it is stopped.
    #[must_use]
    pub fn new(topic: &str, partitions: i32) -> Self {
        Self {
            topic: topic.to_owned(),
            partitions,
            acks: Acks::All,
            idempotence: Idempotence::Enabled,
            rate: Rate::PerSecond(3_000),
            records: None,
            content: Content::Numbers { value_bytes: 100 },
            delivery_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(30),
        }
    }

    /// The same without idempotence and with these acks.
    #[must_use]
    pub fn with_acks(self, acks: Acks) -> Self {
        Self { acks, idempotence: Idempotence::Disabled, ..self }
    }
}

/// A load that runs.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    options: LoadOptions,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    history: History,
    acked: u64,
    /// Records whose outcome is known.
    decided: u64,
    partitions: Vec<PartitionProgress>,
}

#[derive(Clone, Copy, Debug, Default)]
struct PartitionProgress {
    last_ack: Option<Instant>,
    /// Since the last [`Load::take_gaps`].
    longest_gap: Duration,
    newest_acked: Option<u64>,
}

impl Load {
    /// Starts to send.
    ///
    /// # Panics
    /// When `bootstrap` names no servers.
    #[must_use]
    pub fn start(bootstrap: &str, options: LoadOptions) -> Self {
        let partitions = usize::try_from(options.partitions).expect("a topic has partitions");
        let progress = Progress {
            partitions: vec![PartitionProgress::default(); partitions],
            history: History {
                longest_gaps: vec![Duration::ZERO; partitions],
                ..History::default()
            },
            ..Progress::default()
        };
        let shared =
            Arc::new(Shared { stop: AtomicBool::new(false), progress: Mutex::new(progress) });
        let config = ClientConfig {
            request_timeout: options.request_timeout,
            ..ClientConfig::new(bootstrap).expect("a list of servers")
        };
        let thread = std::thread::Builder::new()
            .name("load".to_owned())
            .spawn({
                let (shared, options) = (shared.clone(), options.clone());
                move || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .expect("a runtime can be made");
                    runtime.block_on(run(config, &options, &shared));
                }
            })
            .expect("a thread can be started");
        Self { shared, options, thread: Some(thread) }
    }

    /// What it was started with.
    #[must_use]
    pub fn options(&self) -> &LoadOptions {
        &self.options
    }

    /// Number of records sent so far: the number of the next one.
    #[must_use]
    pub fn sent(&self) -> u64 {
        u64::try_from(self.shared.progress().history.records.len()).expect("fits 64 bits")
    }

    /// Number of records acknowledged so far.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.shared.progress().acked
    }

    /// Whether all records were sent and have their outcome.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until each partition has acknowledged a record that is sent from now on.
    ///
    /// # Panics
    /// When one does not within `limit`.
    pub fn wait_for_new_acks(&self, limit: Duration) {
        let from = self.sent();
        wait_until("new acknowledgements of each partition", limit, || {
            let progress = self.shared.progress();
            let is_past = |partition: &PartitionProgress| {
                partition.newest_acked.is_some_and(|newest| newest >= from)
            };
            self.is_finished() || progress.partitions.iter().all(is_past)
        });
    }

    /// Returns the longest time without an acknowledgement by partition, since the start or the last call, the time that still runs included.
    #[must_use]
    pub fn take_gaps(&self) -> Vec<Duration> {
        let now = Instant::now();
        let mut progress = self.shared.progress();
        let take = |partition: &mut PartitionProgress| {
            let running = partition.last_ack.map_or(Duration::ZERO, |last| now - last);
            std::mem::take(&mut partition.longest_gap).max(running)
        };
        progress.partitions.iter_mut().map(take).collect()
    }

    /// Returns the longest of [`Load::take_gaps`].
    #[must_use]
    pub fn take_longest_gap(&self) -> Duration {
        self.take_gaps().into_iter().max().unwrap_or_default()
    }

    /// Sends nothing more, waits for the outcome of what was sent, and returns the history.
    ///
    /// # Panics
    /// When that takes longer than `limit`.
    #[must_use]
    pub fn stop(self, limit: Duration) -> History {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.finish(limit)
    }

    /// Waits until all records are sent and have their outcome, and returns the history.
    ///
    /// # Panics
    /// When that takes longer than `limit`.
    #[must_use]
    pub fn finish(mut self, limit: Duration) -> History {
        let deadline = Instant::now() + limit;
        while !self.is_finished() {
            let (sent, acked) = (self.sent(), self.acked());
            assert!(
                Instant::now() < deadline,
                "{acked} of {sent} records acknowledged in {limit:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the load does not panic");
        }
        std::mem::take(&mut self.shared.progress().history)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn is_decided(&self) -> bool {
        u64::try_from(self.history.records.len()) == Ok(self.decided)
    }

    fn decide(&mut self, partition: usize, number: u64, outcome: Result<Option<i64>, String>) {
        let index = usize::try_from(number).expect("it is the index of a record");
        self.decided += 1;
        match outcome {
            Ok(offset) => {
                self.history.records[index].outcome = Outcome::Acked(offset);
                self.acked += 1;
                let now = Instant::now();
                let progress = &mut self.partitions[partition];
                if let Some(last) = progress.last_ack.replace(now) {
                    let gap = now - last;
                    progress.longest_gap = progress.longest_gap.max(gap);
                    let longest = &mut self.history.longest_gaps[partition];
                    *longest = gap.max(*longest);
                }
                progress.newest_acked = progress.newest_acked.max(Some(number));
            }
            Err(error) => {
                self.history.records[index].outcome = Outcome::Failed;
                *self.history.errors.entry(error).or_default() += 1;
            }
        }
    }
}

async fn run(config: ClientConfig, options: &LoadOptions, shared: &Arc<Shared>) {
    let tasks = Tasks::default();
    let client = Client::new(config, tasks.clone());
    let producer = Producer::new(
        client,
        ProducerConfig {
            idempotence: options.idempotence,
            delivery_timeout: options.delivery_timeout,
            ..ProducerConfig::with_acks(options.acks)
        },
    );
    let mut waiting = Vec::new();
    for partition in 0..shared.progress().partitions.len() {
        let (sender, receiver) = mpsc::channel(UNDECIDED_RECORDS);
        tasks.tracker.spawn(note_outcomes(shared.clone(), partition, receiver));
        waiting.push(sender);
    }
    let started = Instant::now();
    send_all(&producer, options, shared, &waiting).await;
    drop(waiting);
    producer.flush().await;
    // The outcomes are known; the tasks that write them down end when they have.
    drop(producer);
    tasks.tracker.close();
    while !shared.progress().is_decided() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tasks.token.cancel();
    tasks.tracker.wait().await;
    shared.progress().history.elapsed = started.elapsed();
}

async fn send_all(
    producer: &Producer,
    options: &LoadOptions,
    shared: &Shared,
    waiting: &[mpsc::Sender<(u64, Delivery)>],
) {
    let started = Instant::now();
    let is_wanted = |number| options.records.is_none_or(|records| number < records);
    for number in (0..).take_while(|number| is_wanted(*number)) {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        pace(options.rate, started, number).await;
        let record = options.content.record(number);
        let partition = options.content.partition(number, options.partitions);
        let index = usize::try_from(partition).expect("partitions count from 0");
        shared.progress().history.records.push(Sent { partition, outcome: Outcome::Pending });
        let delivery = producer
            .send(&ProducerRecord {
                topic: &options.topic,
                partition: Some(partition),
                timestamp: None,
                key: record.key,
                value: Some(&record.value),
                headers: &[Header { key: NUMBER_HEADER, value: Some(&number.to_be_bytes()) }],
            })
            .await;
        match delivery {
            Ok(delivery) => {
                // Its receiver lives until the sender is dropped.
                let _noted = waiting[index].send((number, delivery)).await;
            }
            Err(error) => shared.progress().decide(index, number, Err(error.to_string())),
        }
    }
}

/// Waits until it is time for a record, and lets other tasks run now and then.
async fn pace(rate: Rate, started: Instant, number: u64) {
    match rate {
        Rate::Full => {
            if number.is_multiple_of(256) {
                tokio::task::yield_now().await;
            }
        }
        Rate::PerSecond(rate) => {
            let due = started + Duration::from_micros(number * 1_000_000 / rate.max(1));
            if due > Instant::now() {
                tokio::time::sleep_until(due.into()).await;
            }
        }
    }
}

async fn note_outcomes(
    shared: Arc<Shared>,
    partition: usize,
    mut deliveries: mpsc::Receiver<(u64, Delivery)>,
) {
    while let Some((number, delivery)) = deliveries.recv().await {
        let outcome = match delivery.now() {
            Some(outcome) => outcome,
            None => delivery.outcome().await,
        };
        let outcome = outcome
            .map(|delivered| delivered.offset.map(|offset| offset.0))
            .map_err(|error| error.to_string());
        shared.progress().decide(partition, number, outcome);
    }
}

/// Records of a partition whose outcome is not noted yet; more make the sender wait. Above what the producer's buffer holds of small records.
const UNDECIDED_RECORDS: usize = 1 << 18;
