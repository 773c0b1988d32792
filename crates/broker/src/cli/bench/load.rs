//! The generator of `bench produce`: batches that were encoded once, sent over plain connections.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use client::connection::{Connection, Pending};
use client::{Client, Error, RequestError};
use futures_util::future::{LocalBoxFuture, try_join_all};
use futures_util::stream::{FuturesOrdered, StreamExt};
use model::record_batch::{BatchBuilder, BatchOptions, NewRecord};
use model::{Acks, Clock, UnixMillis};
use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::messages::{ProduceRequest, ProduceResponse};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::processes::{Processes, Reading};
use super::report::{Latencies, Report};
use super::{Failure, Produce, prepare_topic};
use crate::cli::progress::Progress;
use crate::cli::values::acks_name;

/// Runs `bench produce`.
pub(super) async fn run(arguments: Produce, processes: Processes) -> Result<Report, Failure> {
    let client = arguments.common.options.client()?;
    prepare_topic(&client, &arguments).await?;
    let (batch, records_per_batch) = encode_batch(&arguments)?;
    let mut workers = connect(&client, &arguments).await?;
    let batch_rate = arguments.rate.map(|rate| rate / f64::from(records_per_batch));
    let worker_count = workers.len();
    let started = Instant::now();
    let state = Rc::new(State {
        measure_from: started + arguments.warmup,
        measure_until: arguments
            .common
            .records
            .is_none()
            .then(|| started + arguments.warmup + arguments.common.duration),
        batches_left: Cell::new(
            arguments
                .common
                .records
                .map(|records| records.div_ceil(u64::from(records_per_batch.unsigned_abs()))),
        ),
        requests: Cell::new(0),
        last_answer: Cell::new(None),
        first_reading: Cell::new(None),
    });
    for (index, worker) in (0_u32..).zip(&mut workers) {
        worker.batch = batch.clone();
        worker.interval = batch_rate.map(|rate| {
            Duration::from_secs_f64(f64::from(u32::try_from(worker_count).unwrap_or(1)) / rate)
        });
        // Spread over the interval, so that the connections do not send all at once.
        let phase =
            worker.interval.unwrap_or_default() * index / u32::try_from(worker_count).unwrap_or(1);
        worker.next_start = started + phase;
    }
    let runs = workers.into_iter().map(|worker| worker.run(state.clone(), &arguments, &processes));
    let mut latencies = Latencies::new();
    for worker in try_join_all(runs).await? {
        latencies.add(&worker);
    }
    let first = state.first_reading.take().unwrap_or_default();
    let (brokers, own_cpu_seconds) = processes.read().since(&first);
    let end = state.last_answer.get().unwrap_or(started);
    let requests = state.requests.get();
    let records = requests * u64::from(records_per_batch.unsigned_abs());
    let value_bytes = u64::try_from(arguments.record_size).unwrap_or_default();
    Ok(Report {
        workload: describe(&arguments, worker_count),
        parameters: parameters(&arguments, worker_count, batch.len()),
        records,
        bytes: records * value_bytes,
        requests,
        elapsed: end.saturating_duration_since(state.measure_from),
        latencies,
        latency_of: "request, from its intended start",
        brokers,
        own_cpu_seconds,
    })
}

/// What the workers share; they run on one thread.
struct State {
    measure_from: Instant,
    /// `None` when a number of records is measured.
    measure_until: Option<Instant>,
    /// `None` when a time is measured.
    batches_left: Cell<Option<u64>>,
    /// Requests that were answered while measuring.
    requests: Cell<u64>,
    last_answer: Cell<Option<Instant>>,
    /// The processes' reading at the start of the measurement.
    first_reading: Cell<Option<Reading>>,
}

impl State {
    /// Says whether one more batch is to be sent. Batches of the warm-up are not counted.
    fn takes_another(&self, now: Instant) -> bool {
        match self.batches_left.get() {
            Some(0) => false,
            Some(left) => {
                if now >= self.measure_from {
                    self.batches_left.set(Some(left - 1));
                }
                true
            }
            None => self.measure_until.is_none_or(|until| now < until),
        }
    }

    fn begin(&self, now: Instant, processes: &Processes) {
        if now < self.measure_from {
            return;
        }
        let reading = self.first_reading.take();
        self.first_reading.set(Some(reading.unwrap_or_else(|| processes.read())));
    }

    fn answered(&self, now: Instant) {
        self.requests.set(self.requests.get() + 1);
        self.last_answer.set(Some(now));
    }
}

/// One connection and the partitions that it writes, in turn.
struct Worker {
    connection: Connection,
    partitions: Vec<i32>,
    batch: Bytes,
    /// Time between two requests; `None` for as fast as they go.
    interval: Option<Duration>,
    next_start: Instant,
    turn: usize,
}

type Answer = (Instant, Result<Option<ProduceResponse>, RequestError>);

impl Worker {
    async fn run(
        mut self,
        state: Rc<State>,
        arguments: &Produce,
        processes: &Processes,
    ) -> Result<Latencies, Failure> {
        let mut latencies = Latencies::new();
        let mut under_way: FuturesOrdered<LocalBoxFuture<'static, Answer>> = FuturesOrdered::new();
        let window = usize::from(arguments.in_flight);
        let mut progress = Progress::new();
        let mut was_full = false;
        let mut is_sending = true;
        loop {
            let now = Instant::now();
            state.begin(now, processes);
            while is_sending && under_way.len() < window && self.is_due(now) {
                if !state.takes_another(now) {
                    is_sending = false;
                    break;
                }
                let start = self.start_of_next(now, was_full);
                under_way.push_back(self.send(start, arguments).await?);
            }
            was_full = under_way.len() >= window;
            if !is_sending && under_way.is_empty() {
                return Ok(latencies);
            }
            let next_start = self.next_start;
            let waits_for_start = is_sending && !was_full;
            tokio::select! {
                Some((start, result)) = under_way.next(), if !under_way.is_empty() => {
                    let now = Instant::now();
                    let is_measured = start >= state.measure_from;
                    match check(&result, &arguments.common.topic) {
                        Ok(()) => {}
                        // The brokers may hear of a new topic a moment after its creator.
                        Err(error) if !is_measured && error.is_retriable() => {
                            sleep(RETRY_WAIT).await;
                            continue;
                        }
                        Err(error) => {
                            let what = "the benchmark stops at the first failure";
                            return Err(Failure::cluster(what)(error));
                        }
                    }
                    if is_measured {
                        latencies.record(now - start);
                        state.answered(now);
                    }
                    let (requests, elapsed) = (state.requests.get(), progress.elapsed());
                    progress.show(|| format!("{requests} requests, {:.0} s", elapsed.as_secs_f64()));
                }
                () = sleep_until(next_start), if waits_for_start => {}
            }
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.interval.is_none() || now >= self.next_start
    }

    /// Returns the time that the next request's latency counts from. With a rate it is the intended start when the cluster held the request up, and now when only
    /// our timer did, whose steps of a millisecond are not the cluster's.
    fn start_of_next(&mut self, now: Instant, was_full: bool) -> Instant {
        let Some(interval) = self.interval else { return now };
        let intended = self.next_start;
        self.next_start += interval;
        let is_behind = was_full || self.next_start <= now;
        if is_behind { intended } else { now }
    }

    async fn send(
        &mut self,
        start: Instant,
        arguments: &Produce,
    ) -> Result<LocalBoxFuture<'static, Answer>, Failure> {
        let partition = self.partitions[self.turn % self.partitions.len()];
        self.turn += 1;
        let request = ProduceRequest {
            transactional_id: None,
            acks: arguments.acks.to_wire(),
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: arguments.common.topic.as_str().into(),
                partition_data: vec![PartitionProduceData {
                    index: partition,
                    records: Some(self.batch.clone()),
                }],
                ..TopicProduceData::default()
            }],
        };
        let what = "cannot send";
        let failed = |error: RequestError| Failure::cluster(what)(Error::from(error));
        if arguments.acks == Acks::None {
            self.connection.send_unanswered(&request).await.map_err(failed)?;
            return Ok(Box::pin(async move { (start, Ok(None)) }));
        }
        let pending: Pending<ProduceRequest> =
            self.connection.submit(&request, Duration::ZERO).await.map_err(failed)?;
        Ok(Box::pin(async move { (start, pending.response().await.map(Some)) }))
    }
}

fn check(result: &Result<Option<ProduceResponse>, RequestError>, topic: &str) -> Result<(), Error> {
    let response = match result {
        Ok(None) => return Ok(()),
        Ok(Some(response)) => response,
        Err(error) => return Err(Error::from(error.clone())),
    };
    for answer in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
        let subject = format!("{topic}-{}", answer.index);
        Error::check(subject, answer.error_code, answer.error_message.as_deref())?;
    }
    Ok(())
}

/// Opens the connections: as many as asked for to each leader, with the partitions that it leads.
async fn connect(client: &Client, arguments: &Produce) -> Result<Vec<Worker>, Failure> {
    let metadata = client.metadata();
    let mut leaders = BTreeMap::<_, Vec<i32>>::new();
    let topic = metadata.topics.get(&arguments.common.topic);
    for (index, partition) in topic.into_iter().flat_map(|topic| &topic.partitions) {
        if let Some(leader) = partition.leader {
            leaders.entry(leader).or_default().push(*index);
        }
    }
    let mut workers = Vec::new();
    for (leader, partitions) in leaders {
        for number in 0..usize::from(arguments.connections) {
            let Some(broker) = metadata.brokers.get(&leader) else { continue };
            let connection =
                Connection::open(&broker.address, client.config(), client.tasks()).await;
            workers.push(Worker {
                connection: connection
                    .map_err(|error| Failure::cluster("cannot connect")(Error::from(error)))?,
                // Several connections to one broker begin at different partitions.
                turn: number,
                partitions: partitions.clone(),
                batch: Bytes::new(),
                interval: None,
                next_start: Instant::now(),
            });
        }
    }
    if workers.is_empty() {
        let message =
            format!("topic {} has no partition with a live leader", arguments.common.topic);
        return Err(Failure::Failed(message));
    }
    Ok(workers)
}

/// Encodes the batch that is sent again and again, and returns it with the number of its records.
fn encode_batch(arguments: &Produce) -> Result<(Bytes, i32), Failure> {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let now = Clock::start().wall();
    let mut builder =
        BatchBuilder::new(BatchOptions { codec: arguments.compression, ..BatchOptions::default() });
    loop {
        let value = noise.text(arguments.record_size);
        let record =
            NewRecord { timestamp: UnixMillis(now.0), value: Some(&value), ..NewRecord::default() };
        let size = builder.size_bytes() + BatchBuilder::upper_bound_of(&record);
        if !builder.is_empty() && size > arguments.batch_size {
            break;
        }
        builder
            .append(&record)
            .map_err(|error| Failure::Usage(format!("--record-size or --batch-size: {error}")))?;
    }
    let record_count = builder.record_count();
    let batch = builder.build().map_err(|error| Failure::Failed(error.to_string()))?;
    Ok((Bytes::from(batch), record_count))
}

/// Bytes that look random and are the same in every run (xorshift64*), in the range of text so that codecs find something to do.
struct Noise(u64);

impl Noise {
    fn text(&mut self, length: usize) -> Vec<u8> {
        (0..length)
            .map(|_| {
                self.0 ^= self.0 >> 12;
                self.0 ^= self.0 << 25;
                self.0 ^= self.0 >> 27;
                let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 58;
                b' ' + u8::try_from(high).expect("six bits fit")
            })
            .collect()
    }
}

fn describe(arguments: &Produce, connections: usize) -> String {
    let acks = acks_name(arguments.acks);
    let rate = arguments
        .rate
        .map_or_else(|| "as fast as they go".to_owned(), |rate| format!("{rate} records/s"));
    format!(
        "produce to {}: acks {acks}, records of {} bytes, batches of {} bytes, {connections} connections, {} in flight each, {rate}",
        arguments.common.topic, arguments.record_size, arguments.batch_size, arguments.in_flight,
    )
}

fn parameters(arguments: &Produce, connections: usize, batch_bytes: usize) -> serde_json::Value {
    json!({
        "topic": arguments.common.topic,
        "acks": acks_name(arguments.acks),
        "record_size": arguments.record_size,
        "batch_size": arguments.batch_size,
        "encoded_batch_bytes": batch_bytes,
        "compression": arguments.compression.name(),
        "connections": connections,
        "in_flight": arguments.in_flight,
        "rate": arguments.rate,
        "warmup_seconds": arguments.warmup.as_secs_f64(),
    })
}

/// Wait behind an answer of the warm-up that asks for another attempt.
const RETRY_WAIT: Duration = Duration::from_millis(10);
