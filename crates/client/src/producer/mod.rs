//! Writes records: collects them into batches per partition and sends those to the leaders.
//!
//! [`Producer::send`] appends to a batch in memory and waits only while `buffer.memory` is full; one task sends. With
//! idempotence (the default) the brokers drop what was sent twice and refuse what comes out of order, so that neither a retry
//! nor a failover duplicates or reorders records; without it a retry may do both, as in Kafka.

mod accumulator;
mod delivery;
mod driver;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::record_batch::{BatchBuilder, Codec, Header, NewRecord};
use model::{Acks, Clock, ErrorCode, ProducerEpoch, ProducerId, TopicPartition, UnixMillis};
use tokio::sync::{Notify, Semaphore};

use crate::client::Client;
use crate::error::Error;
use crate::partitioner::partition_for_key;
use accumulator::Accumulator;
pub use delivery::{Delivered, Delivery};

/// Settings of a [`Producer`]. The names are Kafka's.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// `acks`: what a delivery waits for. All by default.
    pub acks: Acks,
    /// `enable.idempotence`. On by default; needs acks all.
    pub idempotence: Idempotence,
    /// `linger.ms`: how long a batch waits for more records. Zero by default; batches grow anyway while others are under way.
    pub linger: Duration,
    /// `batch.size`: bytes at which a batch is closed. 64 KiB by default.
    pub batch_bytes: usize,
    /// `max.request.size`: most bytes of a request, and of a record. 1 MiB by default.
    pub max_request_bytes: usize,
    /// `buffer.memory`: bytes of records that wait or are under way; beyond it [`Producer::send`] waits. 32 MiB by default.
    pub buffer_bytes: usize,
    /// `max.in.flight.requests.per.connection`: 5 by default, which is as many as brokers keep apart.
    pub max_in_flight: usize,
    /// `delivery.timeout.ms`: how long a record may take, retries included. 120 s by default.
    pub delivery_timeout: Duration,
    /// How long a broker may wait for replicas, in a request. 30 s by default, as `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `compression.type`.
    pub codec: Codec,
    /// `compression.*.level`; `None` for the codec's default.
    pub level: Option<i32>,
}

/// Whether brokers recognise what was sent twice (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotence {
    /// They do.
    Enabled,
    /// They do not.
    Disabled,
}

/// A record to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProducerRecord<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition; `None` to choose by the key, or without a key one that changes with every batch.
    pub partition: Option<i32>,
    /// The timestamp; `None` for now.
    pub timestamp: Option<UnixMillis>,
    /// The key; `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for null.
    pub value: Option<&'a [u8]>,
    /// The headers, in their order.
    pub headers: &'a [Header<'a>],
}

/// A producer. It stops with the client's token; what is not delivered then fails.
#[derive(Debug)]
pub struct Producer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    config: ProducerConfig,
    transactional_id: Option<String>,
    clock: Clock,
    accumulator: Mutex<Accumulator>,
    /// Free bytes of `buffer.memory`.
    memory: Semaphore,
    /// Wakes the driver: there is something to send.
    work: Notify,
    /// Wakes those who wait for a flush: a batch is done.
    done: Notify,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotence: Idempotence::Enabled,
            linger: Duration::ZERO,
            batch_bytes: 64 << 10,
            max_request_bytes: 1 << 20,
            buffer_bytes: 32 << 20,
            max_in_flight: 5,
            delivery_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(30),
            codec: Codec::None,
            level: None,
        }
    }
}

impl ProducerConfig {
    /// Makes the default settings for another `acks`; idempotence is off where it cannot be.
    #[must_use]
    pub fn with_acks(acks: Acks) -> Self {
        let idempotence = match acks {
            Acks::All => Idempotence::Enabled,
            Acks::None | Acks::Leader => Idempotence::Disabled,
        };
        Self { acks, idempotence, ..Self::default() }
    }
}

impl Producer {
    /// Starts a producer.
    #[must_use]
    pub fn new(client: Client, config: ProducerConfig) -> Self {
        Self::start(client, config, None)
    }

    /// Starts the producer of a transactional id; it takes records within transactions only.
    pub(crate) fn transactional(client: Client, config: ProducerConfig, id: String) -> Self {
        let needed =
            ProducerConfig { acks: Acks::All, idempotence: Idempotence::Enabled, ..config };
        Self::start(client, needed, Some(id))
    }

    fn start(client: Client, config: ProducerConfig, transactional_id: Option<String>) -> Self {
        let memory = Semaphore::new(config.buffer_bytes.min(Semaphore::MAX_PERMITS));
        let shared = Arc::new(Shared {
            accumulator: Mutex::new(Accumulator::new(&config, client.config().retry_backoff)),
            client,
            config,
            transactional_id,
            clock: Clock::start(),
            memory,
            work: Notify::new(),
            done: Notify::new(),
        });
        let tasks = shared.client.tasks();
        tasks.tracker.spawn(driver::run(shared.clone(), tasks.token.child_token()));
        Self { shared }
    }

    /// Takes a record into a batch and returns what tells its fate. Waits while the buffer is full, and for the topic's metadata the first time.
    ///
    /// Records for one partition are written in the order of the calls.
    ///
    /// # Errors
    /// [`Error::Broker`] for a topic or partition that does not exist and for a record larger than `max.request.size`; [`Error::Stopped`].
    pub async fn send(&self, record: &ProducerRecord<'_>) -> Result<Delivery, Error> {
        let shared = &self.shared;
        let new_record = NewRecord {
            timestamp: record.timestamp.unwrap_or_else(|| shared.clock.wall()),
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        let size = BatchBuilder::upper_bound_of(&new_record);
        let largest = shared.config.max_request_bytes.min(shared.config.buffer_bytes);
        let partition_count = self.partition_count(record.topic).await?;
        let permits = u32::try_from(size).ok().filter(|_| size <= largest);
        let Some(permits) = permits else {
            return Err(Error::Broker {
                subject: format!("topic {}", record.topic),
                code: ErrorCode::MessageTooLarge,
                message: Some(format!("a record of {size} bytes exceeds {largest}")),
            });
        };
        let permit = tokio::select! {
            permit = shared.memory.acquire_many(permits) => permit.map_err(|_| Error::Stopped)?,
            () = shared.client.tasks().token.cancelled() => return Err(Error::Stopped),
        };
        let mut accumulator = shared.accumulator();
        let partition = match (record.partition, record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_for_key(key, partition_count),
            (None, None) => accumulator.sticky_partition(record.topic, partition_count),
        };
        if !(0..partition_count).contains(&partition) {
            return Err(Error::Broker {
                subject: format!("{}-{partition}", record.topic),
                code: ErrorCode::UnknownTopicOrPartition,
                message: Some(format!("number of partitions: {partition_count}")),
            });
        }
        let at = TopicPartition { topic: record.topic.to_owned(), partition };
        let appended = accumulator.append(shared.clock.now(), at, &new_record, size)?;
        drop(accumulator);
        // Given back when the batch is done.
        permit.forget();
        if appended.is_driver_needed {
            shared.work.notify_one();
        }
        Ok(appended.delivery)
    }

    /// Waits until every record that was taken before the call is delivered or has failed; batches do not linger meanwhile.
    pub async fn flush(&self) {
        let shared = &self.shared;
        let last = shared.accumulator().begin_flush();
        let _flushing = Flushing(shared);
        shared.work.notify_one();
        loop {
            let done = shared.done.notified();
            if shared.accumulator().oldest_order().is_none_or(|oldest| oldest > last) {
                return;
            }
            tokio::select! {
                () = done => {}
                () = shared.client.tasks().token.cancelled() => return,
            }
        }
    }

    /// Opens a transaction; see [`Accumulator::begin_transaction`]. No batch of another one is left.
    pub(crate) fn begin_transaction(&self, id: ProducerId, epoch: ProducerEpoch, newest: i16) {
        self.shared.accumulator().begin_transaction(id, epoch, newest);
    }

    /// Waits until every record of the transaction is delivered; no more are taken.
    ///
    /// # Errors
    /// The first failure of the transaction.
    pub(crate) async fn close_transaction(&self) -> Result<(), Error> {
        let _so_far = self.shared.accumulator().close_transaction();
        self.flush().await;
        self.shared.accumulator().close_transaction()
    }

    /// Drops records that are not sent, and waits for the others.
    pub(crate) async fn abort_transaction(&self) {
        self.shared.accumulator().abort_transaction();
        self.shared.work.notify_one();
        self.flush().await;
    }

    /// Notes a failure of which the transaction cannot recover.
    pub(crate) fn fail_transaction(&self, failure: &Error) {
        self.shared.accumulator().fail_transaction(failure);
    }

    /// Returns the partition that a record goes to.
    ///
    /// # Errors
    /// [`Error::Broker`] for a topic that does not exist.
    pub(crate) async fn partition_of(&self, record: &ProducerRecord<'_>) -> Result<i32, Error> {
        let count = self.partition_count(record.topic).await?;
        Ok(match (record.partition, record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_for_key(key, count),
            (None, None) => self.shared.accumulator().sticky_partition(record.topic, count),
        })
    }

    async fn partition_count(&self, topic: &str) -> Result<i32, Error> {
        let count = |metadata: &crate::Metadata| {
            let topic = metadata.topics.get(topic).filter(|topic| !topic.error_code.is_error())?;
            i32::try_from(topic.partitions.len()).ok().filter(|count| *count > 0)
        };
        if let Some(count) = count(&self.shared.client.metadata()) {
            return Ok(count);
        }
        let metadata = self.shared.client.topics(&[topic.to_owned()]).await?;
        count(&metadata).ok_or_else(|| Error::Broker {
            subject: format!("topic {topic}"),
            code: ErrorCode::UnknownTopicOrPartition,
            message: None,
        })
    }
}

/// A flush that waits; when it is given up, batches linger again.
struct Flushing<'a>(&'a Shared);

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.0.accumulator().end_flush();
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.accumulator().close();
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn accumulator(&self) -> MutexGuard<'_, Accumulator> {
        self.accumulator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
