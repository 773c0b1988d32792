//! The producer's state: batches per partition, their order, their sequence numbers, and what becomes of each after an answer.
//!
//! A plain machine: time and answers come in as arguments, batches to send go out. Rules that keep records in order and single
//! under idempotence: a batch gets its sequence when it is first sent and keeps it in every retry; at most
//! [`MAX_UNDER_WAY`] batches of a partition are under way; a retry is under way alone; after a batch failed for
//! good, the partition starts with a new producer id, into which only batches go that are certainly not in the log; and the first batch
//! under a producer id is under way alone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::record_batch::{
    BatchBuilder, BatchOptions, BatchProducer, BuildError, Codec, NewRecord, set_producer,
};
use model::{Acks, ErrorCode, ProducerEpoch, ProducerId, Timestamp, TopicPartition};

use super::delivery::{BatchResult, Delivery, Written};
use super::{Idempotence, ProducerConfig};
use crate::error::{Error, RequestError};

/// All batches that are not done.
#[derive(Debug)]
pub(super) struct Accumulator {
    settings: Settings,
    queues: BTreeMap<TopicPartition, Queue>,
    sticky: BTreeMap<String, i32>,
    next_order: u64,
    /// The producer id that a partition takes when it has none.
    producer: Option<(ProducerId, ProducerEpoch)>,
    record_count: usize,
    is_closed: bool,
    /// Bytes of memory that were given back and not collected.
    freed_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    acks: Acks,
    idempotence: Idempotence,
    linger: Duration,
    batch_bytes: usize,
    delivery_timeout: Duration,
    retry_backoff: Duration,
    codec: Codec,
    level: Option<i32>,
}

#[derive(Debug)]
pub(super) struct Appended {
    pub(super) delivery: Delivery,
    /// Whether there is something new for the driver to do.
    pub(super) is_driver_needed: bool,
}

/// Batches of one partition, in the order of their records: those under way, those that wait, the one that takes records.
#[derive(Debug, Default)]
struct Queue {
    under_way: VecDeque<Batch>,
    waiting: VecDeque<Batch>,
    filling: Option<Filling>,
    session: Option<Session>,
    /// A batch failed for good: when nothing is under way any more, the partition starts a new session.
    is_broken: bool,
    /// Nothing is sent before.
    retry_at: Timestamp,
}

#[derive(Debug)]
struct Filling {
    order: u64,
    builder: BatchBuilder,
    result: Arc<BatchResult>,
    created_at: Timestamp,
    reserved_bytes: usize,
}

#[derive(Debug)]
struct Batch {
    order: u64,
    bytes: Bytes,
    result: Arc<BatchResult>,
    created_at: Timestamp,
    reserved_bytes: usize,
    record_count: i32,
    /// Whether it has its sequence number.
    is_numbered: bool,
    /// Whether it was sent before.
    is_retry: bool,
    /// Whether an earlier attempt may have put it into the log.
    may_be_in_log: bool,
    /// Why the last attempt failed.
    last_failure: Option<Error>,
}

/// The numbers of a partition under one producer id.
#[derive(Clone, Copy, Debug)]
struct Session {
    id: ProducerId,
    epoch: ProducerEpoch,
    next_sequence: i32,
    /// Whether the leader has written a batch of it. A broker takes any first number from a producer that it does not know, so until then
    /// one batch alone is under way: the second must not get in when the first is lost.
    is_known: bool,
}

/// A batch to send.
#[derive(Clone, Debug)]
pub(super) struct ToSend {
    pub(super) order: u64,
    pub(super) bytes: Bytes,
}

/// What became of a batch that was sent.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// It is written.
    Written(Written),
    /// The broker refused it.
    Refused(ErrorCode, Option<String>),
    /// No answer; it may be written.
    Unknown(RequestError),
    /// It did not leave.
    Unsent(Error),
}

impl Accumulator {
    pub(super) fn new(config: &ProducerConfig, retry_backoff: Duration) -> Self {
        Self {
            settings: Settings {
                acks: config.acks,
                idempotence: config.idempotence,
                linger: config.linger,
                batch_bytes: config.batch_bytes.min(config.max_request_bytes),
                delivery_timeout: config.delivery_timeout,
                retry_backoff,
                codec: config.codec,
                level: config.level,
            },
            queues: BTreeMap::new(),
            sticky: BTreeMap::new(),
            next_order: 0,
            producer: None,
            record_count: 0,
            is_closed: false,
            freed_bytes: 0,
        }
    }

    /// Puts a record into the batch of its partition.
    pub(super) fn append(
        &mut self,
        now: Timestamp,
        partition: TopicPartition,
        record: &NewRecord<'_>,
        size: usize,
    ) -> Result<Appended, Error> {
        if self.is_closed {
            return Err(Error::Stopped);
        }
        let (settings, next_order) = (self.settings, &mut self.next_order);
        let queue = self.queues.entry(partition.clone()).or_default();
        let is_full = queue
            .filling
            .as_ref()
            .is_some_and(|filling| filling.builder.size_bytes() + size > settings.batch_bytes);
        if is_full {
            queue.close();
            self.sticky.remove(&partition.topic);
        }
        let is_new = queue.filling.is_none();
        let filling = queue.filling.get_or_insert_with(|| {
            *next_order += 1;
            Filling {
                order: *next_order,
                builder: BatchBuilder::new(BatchOptions {
                    codec: settings.codec,
                    level: settings.level,
                    ..BatchOptions::default()
                }),
                result: Arc::new(BatchResult::new(partition)),
                created_at: now,
                reserved_bytes: 0,
            }
        });
        let index = i64::from(filling.builder.record_count());
        filling.builder.append(record).map_err(|error| refused(&error))?;
        filling.reserved_bytes += size;
        self.record_count += 1;
        let delivery = Delivery::new(filling.result.clone(), index);
        Ok(Appended { delivery, is_driver_needed: is_new || is_full })
    }

    /// Returns the partition that takes records without a key now: another one after each full batch.
    pub(super) fn sticky_partition(&mut self, topic: &str, partition_count: i32) -> i32 {
        if let Some(partition) = self.sticky.get(topic).filter(|at| **at < partition_count) {
            return *partition;
        }
        // Orders grow by one per batch, so consecutive batches take turns over the partitions.
        let turn = self.next_order % u64::from(partition_count.unsigned_abs().max(1));
        let partition = i32::try_from(turn).unwrap_or_default();
        self.sticky.insert(topic.to_owned(), partition);
        partition
    }

    /// Returns the partitions that have a batch to send now, the one with the oldest first. `is_flushing` ends all lingering.
    pub(super) fn ready(&self, now: Timestamp, is_flushing: bool) -> Vec<TopicPartition> {
        let mut ready: Vec<_> = self
            .queues
            .iter()
            .filter_map(|(partition, queue)| {
                let order = queue.next_to_send(now, self.linger(is_flushing))?;
                Some((order, partition))
            })
            .collect();
        ready.sort_unstable_by_key(|(order, _)| *order);
        ready.into_iter().map(|(_, partition)| partition.clone()).collect()
    }

    /// Says whether batches wait for a producer id.
    pub(super) fn needs_producer_id(&self) -> bool {
        self.settings.idempotence == Idempotence::Enabled
            && self.producer.is_none()
            && self.queues.values().any(|queue| queue.session.is_none())
    }

    /// Takes in a producer id for the partitions that have none.
    pub(super) fn set_producer_id(&mut self, id: ProducerId, epoch: ProducerEpoch) {
        self.producer = Some((id, epoch));
    }

    /// Takes the next batch of a ready partition, numbered, as under way; `None` when it must wait after all, for a producer id above all.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        partition: &TopicPartition,
        is_flushing: bool,
    ) -> Option<ToSend> {
        let linger = self.linger(is_flushing);
        let queue = self.queues.get_mut(partition)?;
        queue.next_to_send(now, linger)?;
        if self.settings.idempotence == Idempotence::Enabled && queue.session.is_none() {
            let (id, epoch) = self.producer?;
            queue.session = Some(Session { id, epoch, next_sequence: 0, is_known: false });
        }
        if queue.waiting.is_empty() {
            queue.close();
            self.sticky.remove(&partition.topic);
        }
        let mut batch = queue.waiting.pop_front()?;
        if let Some(session) = &mut queue.session
            && !batch.is_numbered
        {
            batch.number(session);
        }
        let to_send = ToSend { order: batch.order, bytes: batch.bytes.clone() };
        queue.under_way.push_back(batch);
        Some(to_send)
    }

    /// Takes in what became of a batch. Returns whether the leader should be asked for anew.
    pub(super) fn answered(
        &mut self,
        now: Timestamp,
        partition: &TopicPartition,
        order: u64,
        answer: Answer,
    ) -> bool {
        let retry_at = now + self.settings.retry_backoff;
        let Some(queue) = self.queues.get_mut(partition) else { return false };
        let at = queue.under_way.iter().position(|batch| batch.order == order);
        let Some(mut batch) = at.and_then(|at| queue.under_way.remove(at)) else { return false };
        let mut is_leader_stale = false;
        match answer {
            Answer::Written(written) => {
                if let Some(session) = &mut queue.session {
                    session.is_known = true;
                }
                self.finish(batch, Ok(written));
            }
            Answer::Refused(ErrorCode::DuplicateSequenceNumber, _) => {
                // It is in the log since an earlier attempt; where, the broker does not say.
                self.finish(batch, Ok(Written { base_offset: None, log_append_time: None }));
            }
            Answer::Refused(code, message) if batch.is_numbered && is_about_sequence(code) => {
                let failure = broker_error(partition, code, message);
                // Behind a batch that is tried again, this is to be expected; otherwise the broker has lost or never had what lies before.
                let is_behind_another = queue.is_before(order);
                if is_behind_another || !batch.may_be_in_log {
                    queue.is_broken |= !is_behind_another;
                    queue.retry(batch, retry_at, failure);
                } else {
                    queue.is_broken = true;
                    self.finish(batch, Err(failure));
                }
            }
            Answer::Refused(code, message) if code.is_retriable() => {
                batch.may_be_in_log |= may_have_appended(code);
                is_leader_stale = true;
                queue.retry(batch, retry_at, broker_error(partition, code, message));
            }
            Answer::Refused(code, message) => {
                queue.is_broken |= batch.is_numbered;
                self.finish(batch, Err(broker_error(partition, code, message)));
            }
            Answer::Unknown(error) => {
                batch.may_be_in_log = true;
                is_leader_stale = true;
                queue.retry(batch, retry_at, error.into());
            }
            Answer::Unsent(error) if error.is_retriable() => {
                is_leader_stale = true;
                queue.retry(batch, retry_at, error);
            }
            Answer::Unsent(error) => {
                queue.is_broken |= batch.is_numbered;
                self.finish(batch, Err(error));
            }
        }
        self.settle(partition);
        is_leader_stale
    }

    /// Puts off a partition whose leader is not known.
    pub(super) fn postpone(&mut self, now: Timestamp, partition: &TopicPartition) {
        if let Some(queue) = self.queues.get_mut(partition) {
            queue.retry_at = queue.retry_at.max(now + self.settings.retry_backoff);
        }
    }

    /// Fails batches that took longer than the delivery timeout and are not under way.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let timeout = self.settings.delivery_timeout;
        let partitions: Vec<_> = self.queues.keys().cloned().collect();
        for partition in partitions {
            let mut expired = Vec::new();
            if let Some(queue) = self.queues.get_mut(&partition) {
                let is_old = |created_at: Timestamp| now.since(created_at) >= timeout;
                if queue.filling.as_ref().is_some_and(|filling| is_old(filling.created_at)) {
                    queue.close();
                }
                while queue.waiting.front().is_some_and(|batch| is_old(batch.created_at)) {
                    expired.extend(queue.waiting.pop_front());
                }
                queue.is_broken |= expired.iter().any(|batch| batch.is_numbered);
            }
            for mut batch in expired {
                let failure = batch.last_failure.take().unwrap_or_else(|| {
                    broker_error(&partition, ErrorCode::LeaderNotAvailable, None)
                });
                let failure = Error::GaveUp { after: timeout, last: Box::new(failure) };
                self.finish(batch, Err(failure));
            }
            self.settle(&partition);
        }
    }

    /// Fails everything, what is under way included.
    pub(super) fn fail_all(&mut self, error: &Error) {
        for (_, mut queue) in std::mem::take(&mut self.queues) {
            queue.close();
            for batch in queue.under_way.into_iter().chain(queue.waiting) {
                self.finish(batch, Err(error.clone()));
            }
        }
    }

    /// Takes no more records.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Says whether no record will come and none is left.
    pub(super) fn is_finished(&self) -> bool {
        self.is_closed && self.record_count == 0
    }

    /// Returns when something is due without an event: a linger, a retry, a delivery timeout.
    pub(super) fn poll_timeout(&self, now: Timestamp, is_flushing: bool) -> Option<Timestamp> {
        let linger = self.linger(is_flushing);
        let timeout = self.settings.delivery_timeout;
        self.queues.values().filter_map(|queue| queue.due_at(now, linger, timeout)).min()
    }

    /// Returns the order of the newest batch.
    pub(super) fn last_order(&self) -> u64 {
        self.next_order
    }

    /// Returns the order of the oldest batch that is not done.
    pub(super) fn oldest_order(&self) -> Option<u64> {
        self.queues.values().filter_map(Queue::oldest_order).min()
    }

    /// Returns the number of records that are not done.
    pub(super) fn record_count(&self) -> usize {
        self.record_count
    }

    /// Returns the bytes of memory that were freed since the last call.
    pub(super) fn take_freed_bytes(&mut self) -> usize {
        std::mem::take(&mut self.freed_bytes)
    }

    fn linger(&self, is_flushing: bool) -> Duration {
        if is_flushing || self.is_closed { Duration::ZERO } else { self.settings.linger }
    }

    fn finish(&mut self, batch: Batch, outcome: Result<Written, Error>) {
        self.record_count -= usize::try_from(batch.record_count).unwrap_or_default();
        self.freed_bytes += batch.reserved_bytes;
        let outcome = match (outcome, self.settings.acks) {
            // Nobody has said that it is written, nor where.
            (Ok(_), Acks::None) => Ok(Written { base_offset: None, log_append_time: None }),
            (outcome, _) => outcome,
        };
        batch.result.decide(outcome);
    }

    /// Gives a broken partition a new session once nothing of it is under way.
    fn settle(&mut self, partition: &TopicPartition) {
        let Some(queue) = self.queues.get_mut(partition) else { return };
        if queue.is_broken && queue.under_way.is_empty() {
            queue.is_broken = false;
            // The id of the old session must not be used again here: its numbers are taken.
            let old = queue.session.take();
            if old.map(|old| old.id) == self.producer.map(|(id, _)| id) {
                self.producer = None;
            }
            let waiting = std::mem::take(&mut queue.waiting);
            let (lost, kept): (VecDeque<_>, VecDeque<_>) =
                waiting.into_iter().partition(|batch| batch.may_be_in_log);
            queue.waiting = kept;
            for batch in &mut queue.waiting {
                batch.is_numbered = false;
            }
            for batch in lost {
                let message =
                    "a batch before it failed, and whether this one is in the log is unknown";
                let failure = broker_error(
                    partition,
                    ErrorCode::OutOfOrderSequenceNumber,
                    Some(message.to_owned()),
                );
                self.finish(batch, Err(failure));
            }
        }
    }
}

impl Queue {
    /// Returns the order of the batch that may be sent now.
    fn next_to_send(&self, now: Timestamp, linger: Duration) -> Option<u64> {
        if self.is_broken || now < self.retry_at || self.under_way.len() >= MAX_UNDER_WAY {
            return None;
        }
        if self.session.is_some_and(|session| !session.is_known) && !self.under_way.is_empty() {
            return None;
        }
        // A broker recognises the last five batches: while one is repeated, none is added to those behind it.
        if self.under_way.iter().any(|batch| batch.is_retry) {
            return None;
        }
        match (self.waiting.front(), &self.filling) {
            (Some(batch), _) if batch.is_retry && !self.under_way.is_empty() => None,
            (Some(batch), _) => Some(batch.order),
            (None, Some(filling)) if now.since(filling.created_at) >= linger => Some(filling.order),
            (None, _) => None,
        }
    }

    fn due_at(&self, now: Timestamp, linger: Duration, timeout: Duration) -> Option<Timestamp> {
        let expires = self
            .waiting
            .front()
            .map(|batch| batch.created_at)
            .or_else(|| self.filling.as_ref().map(|filling| filling.created_at))
            .map(|created_at| created_at + timeout);
        let lingers = match (self.waiting.is_empty(), &self.filling) {
            (true, Some(filling)) => Some(filling.created_at + linger),
            _ => None,
        };
        let has_batch = !self.waiting.is_empty() || self.filling.is_some();
        let retries = (has_batch && now < self.retry_at).then_some(self.retry_at);
        // What is due already waits for an event instead: an answer, a leader, a producer id.
        [expires, lingers, retries].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Ends the batch that takes records.
    fn close(&mut self) {
        let Some(filling) = self.filling.take() else { return };
        let record_count = filling.builder.record_count();
        match filling.builder.build() {
            Ok(bytes) => self.waiting.push_back(Batch {
                order: filling.order,
                bytes: Bytes::from(bytes),
                result: filling.result,
                created_at: filling.created_at,
                reserved_bytes: filling.reserved_bytes,
                record_count,
                is_numbered: false,
                is_retry: false,
                may_be_in_log: false,
                last_failure: None,
            }),
            // Only a codec that runs out of memory gets here, and so does then the process.
            Err(error) => panic!("a batch within its size limit can be built: {error}"),
        }
    }

    /// Puts a batch back where its order says.
    fn retry(&mut self, mut batch: Batch, retry_at: Timestamp, failure: Error) {
        batch.is_retry = true;
        batch.last_failure = Some(failure);
        self.retry_at = self.retry_at.max(retry_at);
        let at = self.waiting.partition_point(|other| other.order < batch.order);
        self.waiting.insert(at, batch);
    }

    /// Says whether a batch before `order` is not done.
    fn is_before(&self, order: u64) -> bool {
        self.under_way.iter().chain(&self.waiting).any(|batch| batch.order < order)
    }

    fn oldest_order(&self) -> Option<u64> {
        let batches = self.under_way.iter().chain(&self.waiting).map(|batch| batch.order);
        batches.chain(self.filling.as_ref().map(|filling| filling.order)).min()
    }
}

impl Batch {
    fn number(&mut self, session: &mut Session) {
        let producer = BatchProducer {
            id: session.id,
            epoch: session.epoch,
            base_sequence: Some(session.next_sequence),
        };
        let mut bytes = Vec::from(std::mem::take(&mut self.bytes));
        set_producer(&mut bytes, producer).expect("our own batch is whole");
        self.bytes = Bytes::from(bytes);
        self.is_numbered = true;
        session.next_sequence = session.next_sequence.wrapping_add(self.record_count) & i32::MAX;
    }
}

fn is_about_sequence(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::OutOfOrderSequenceNumber
            | ErrorCode::UnknownProducerId
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::InvalidProducerIdMapping
    )
}

/// Says whether a broker that answers with this code may have the batch in its log all the same.
fn may_have_appended(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::RequestTimedOut
            | ErrorCode::NotEnoughReplicasAfterAppend
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::KafkaStorageError
            | ErrorCode::NetworkException
    )
}

fn broker_error(partition: &TopicPartition, code: ErrorCode, message: Option<String>) -> Error {
    Error::Broker { subject: partition.to_string(), code, message }
}

fn refused(error: &BuildError) -> Error {
    Error::Broker {
        subject: "record".to_owned(),
        code: ErrorCode::MessageTooLarge,
        message: Some(error.to_string()),
    }
}

/// Batches of a partition that may be under way at once: as many as brokers remember per producer (Kafka's `NUM_BATCHES_TO_RETAIN`).
pub(super) const MAX_UNDER_WAY: usize = 5;

#[cfg(test)]
mod tests;
