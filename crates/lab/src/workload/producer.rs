//! A producer with a rate.
//!
//! Each send has a time at which it is due, whatever became of those before: a producer that fell behind sends at once and keeps the times,
//! so that a latency counts what a user would have waited (no coordinated omission). After a fatal error the producer ends and goes on
//! under another name; the schedule goes on as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};

use super::client::{self, process_name};
use super::numbers::{self, Choice};
use super::outcome::Attempts;
use super::plan::{ProducerPlan, Retries};
use super::{Shared, WorkloadError, native, outcome, record, spawn};
use crate::history::{Acks, Action, Kind, OperationId, Partition, Role, Settings};

/// Longest sleep, so that a stop is heard soon.
const NAP: Duration = Duration::from_millis(50);
/// How long a producer whose queue is full waits before it tries again.
const QUEUE_NAP: Duration = Duration::from_millis(1);
/// Beyond the delivery timeout: librdkafka looks for timed-out records once a second.
const FLUSH_MARGIN: Duration = Duration::from_secs(2);
const NOISE_BYTES: usize = 4096;

/// Starts a producer.
pub(super) fn start(
    plan: ProducerPlan,
    shared: Arc<Shared>,
    seed: u64,
) -> Result<JoinHandle<()>, WorkloadError> {
    let name = plan.name.clone();
    // Options that librdkafka refuses are heard of here and not in the middle of a run.
    let first = create(&plan, &shared, process_name(&name, 1))
        .map_err(|source| WorkloadError::Client { client: name.clone(), source })?;
    spawn(&name, move || run(&plan, &shared, seed, first))
}

/// What the delivery report of a send must know.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) op: OperationId,
    pub(super) partition: Partition,
    pub(super) value: u64,
    pub(super) transaction: Option<OperationId>,
}

impl Sent {
    /// The action of the completion.
    pub(super) fn action(&self, offset: Option<i64>) -> Action {
        Action::Send {
            partition: self.partition.clone(),
            value: self.value,
            intended: None,
            offset,
            transaction: self.transaction,
        }
    }
}

/// Completes sends.
#[derive(Debug)]
pub(super) struct Reporter {
    pub(super) shared: Arc<Shared>,
    pub(super) process: Arc<str>,
    pub(super) acks: Acks,
    pub(super) retries: Retries,
    /// Sends that did not end with `ok`.
    pub(super) not_acknowledged: AtomicU64,
}

impl Reporter {
    pub(super) fn complete(
        &self,
        sent: &Sent,
        (kind, error): (Kind, Option<String>),
        offset: Option<i64>,
    ) {
        let counters = &self.shared.counters;
        let counter = match kind {
            Kind::Ok => &counters.acknowledged,
            Kind::Fail => &counters.failed,
            Kind::Info | Kind::Invoke => &counters.unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if kind != Kind::Ok {
            self.not_acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.recorder.complete(sent.op, &self.process, (kind, error), sent.action(offset));
    }

    /// Writes a send down as begun; the caller then hands it to librdkafka.
    pub(super) fn begin(
        &self,
        partition: &Partition,
        intended: Option<u64>,
        transaction: Option<OperationId>,
    ) -> Sent {
        let value = self.shared.numbers.take(partition);
        let partition = partition.clone();
        let invocation = Action::Send {
            partition: partition.clone(),
            value,
            intended,
            offset: None,
            transaction,
        };
        self.shared.counters.sent.fetch_add(1, Ordering::Relaxed);
        let op = self.shared.recorder.invoke(&self.process, invocation);
        Sent { op, partition, value, transaction }
    }
}

impl ClientContext for Reporter {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ProducerContext for Reporter {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        match result {
            Ok(message) => {
                let offset = Some(message.offset());
                let offset = offset.filter(|offset| self.acks != Acks::Zero && *offset >= 0);
                self.complete(&sent, (Kind::Ok, None), offset);
            }
            Err((error, message)) => {
                let attempts = Attempts::of(self.acks, self.retries);
                let kind = outcome::of_send(error, native::persistence(message), attempts);
                self.complete(&sent, (kind, Some(outcome::name(error))), None);
            }
        }
    }
}

type Client = ThreadedProducer<Reporter>;

/// Why a librdkafka instance ended.
enum Ended {
    Stopped,
    Fatal,
}

fn create(plan: &ProducerPlan, shared: &Arc<Shared>, process: Arc<str>) -> KafkaResult<Client> {
    let mut config = client::sending(&shared.bootstrap, &process, plan.delivery_timeout);
    let acks = match plan.acks {
        Acks::Zero => "0",
        Acks::One => "1",
        Acks::All => "all",
    };
    let (retries, idempotence) = match plan.retries {
        Retries::Never => ("0", "false"),
        Retries::UntilTimeout => ("2147483647", "false"),
        Retries::Idempotent => ("2147483647", "true"),
    };
    config
        .set("acks", acks)
        .set("enable.idempotence", idempotence)
        .set("retries", retries)
        .set("max.in.flight.requests.per.connection", plan.max_in_flight.to_string())
        .set("linger.ms", client::millis(plan.linger))
        .set("compression.type", plan.compression.name());
    let reporter = Reporter {
        shared: Arc::clone(shared),
        process,
        acks: plan.acks,
        retries: plan.retries,
        not_acknowledged: AtomicU64::new(0),
    };
    config.create_with_context(reporter)
}

fn settings(plan: &ProducerPlan) -> Settings {
    Settings {
        role: Role::Producer,
        acks: Some(plan.acks),
        idempotent: plan.retries == Retries::Idempotent,
        retries: Attempts::of(plan.acks, plan.retries) == Attempts::Many,
        max_in_flight: plan.max_in_flight,
        read_committed: false,
        group: None,
    }
}

fn run(plan: &ProducerPlan, shared: &Arc<Shared>, seed: u64, first: Client) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut noise = vec![0; NOISE_BYTES];
    random.fill_bytes(&mut noise);
    let topics = plan.topics.iter();
    let partitions = topics.flat_map(|topic| numbers::partitions(topic, shared.partitions(topic)));
    let mut producing = Producing {
        plan,
        shared,
        choice: Choice::new(partitions.collect(), plan.key_skew),
        random,
        noise,
        begun: shared.recorder.clock().now(),
        due: 0,
        buffer: Vec::with_capacity(plan.record_bytes),
    };
    let mut generation = 1;
    let mut next = Some(first);
    while let Some(client) = next.take() {
        let process = process_name(&plan.name, generation);
        shared.recorder.mark(&process, Action::Start { settings: settings(plan) });
        let ended = producing.until_ended(&client);
        finish(client, plan, &ended);
        shared.recorder.mark(&process, Action::Stop);
        generation += 1;
        while matches!(ended, Ended::Fatal) && shared.sending() && next.is_none() {
            next = create(plan, shared, process_name(&plan.name, generation)).ok();
            if next.is_none() {
                std::thread::sleep(NAP);
            }
        }
    }
}

/// Waits for the open sends; those that are left, and all after a fatal error, are purged and so complete.
fn finish(client: Client, plan: &ProducerPlan, ended: &Ended) {
    if matches!(ended, Ended::Stopped) {
        let _ = client.flush(plan.delivery_timeout + FLUSH_MARGIN);
    }
    client.purge(PurgeConfig::default().queue().inflight());
    let _ = client.flush(FLUSH_MARGIN);
    // Dropping it joins the thread that reports deliveries: nothing is recorded for this process after that.
    drop(client);
}

/// A producer's state that outlives its librdkafka instances.
struct Producing<'a> {
    plan: &'a ProducerPlan,
    shared: &'a Shared,
    choice: Choice,
    random: StdRng,
    noise: Vec<u8>,
    /// When the first send was due.
    begun: u64,
    /// The number of the next send.
    due: u64,
    buffer: Vec<u8>,
}

impl Producing<'_> {
    fn until_ended(&mut self, client: &Client) -> Ended {
        loop {
            let Some(intended) = self.wait() else {
                return Ended::Stopped;
            };
            self.send(client, intended);
            if client.client().fatal_error().is_some() {
                return Ended::Fatal;
            }
        }
    }

    /// Waits until the next send is due; `None` when sends are to stop.
    fn wait(&mut self) -> Option<u64> {
        let intended = self.begun.saturating_add(due_after(self.due, self.plan.records_per_second));
        while self.shared.sending() {
            let now = self.shared.recorder.clock().now();
            if now >= intended {
                self.due += 1;
                return Some(intended);
            }
            std::thread::sleep(NAP.min(Duration::from_nanos(intended - now)));
        }
        None
    }

    fn send(&mut self, client: &Client, intended: u64) {
        let reporter = client.client().context();
        let partition = self.choice.draw(&mut self.random);
        let mut sent = Box::new(reporter.begin(partition, Some(intended), None));
        record::encode(
            &mut self.buffer,
            (&sent.partition, sent.value),
            &reporter.process,
            &self.noise,
            self.plan.record_bytes,
        );
        loop {
            let (topic, number) = (Arc::clone(&sent.partition.topic), sent.partition.number);
            let record = BaseRecord::<(), [u8], _>::with_opaque_to(&topic, sent)
                .partition(number)
                .payload(&self.buffer);
            let Err((error, record)) = client.send(record) else {
                return;
            };
            sent = record.delivery_opaque;
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !full || !self.shared.sending() || client.client().fatal_error().is_some() {
                // librdkafka never took it.
                let error = (Kind::Fail, Some(outcome::name(&error)));
                reporter.complete(&sent, error, None);
                return;
            }
            std::thread::sleep(QUEUE_NAP);
        }
    }
}

/// Nanoseconds from the first send to the one with this number.
fn due_after(number: u64, per_second: f64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 sends")]
    let seconds = number as f64 / per_second;
    let due = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    u64::try_from(due.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::due_after;

    #[test]
    fn sends_are_due_at_even_distances() {
        let due: Vec<u64> = (0..4).map(|number| due_after(number, 1_000.0)).collect();
        assert_eq!(due, [0, 1_000_000, 2_000_000, 3_000_000]);
        assert_eq!(due_after(1, 0.0), u64::MAX, "a rate of nothing never sends a second record");
    }
}
