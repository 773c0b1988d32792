//! The producer's state: the batches of all partitions from their first record to their outcome, and the memory that they hold.
//!
//! A plain machine: time and answers come in as arguments, batches to send go out. What may be sent when, and what an answer means, is decided by the queue of
//! each partition, which keeps its records in order and single.

mod batch;
mod queue;
mod transaction;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transaction_tests;

use std::collections::BTreeMap;
use std::time::Duration;

use model::record_batch::{BatchKind, BatchOptions, BatchProducer, NewRecord};
use model::{Acks, ErrorCode, ProducerEpoch, ProducerId, Timestamp, TopicPartition};

use self::batch::{Batch, Filling};
use self::queue::{Queue, Verdict};
use self::transaction::Transaction;
use super::delivery::{Delivery, Written};
use super::{Idempotence, ProducerConfig};
use crate::error::Error;

pub(super) use self::batch::ToSend;
pub(super) use self::queue::Answer;

/// All batches that are not done.
#[derive(Debug)]
pub(super) struct Accumulator {
    config: ProducerConfig,
    retry_backoff: Duration,
    queues: BTreeMap<TopicPartition, Queue>,
    sticky: BTreeMap<String, i32>,
    next_order: u64,
    /// The producer id that a partition takes when it has none.
    producer: Option<(ProducerId, ProducerEpoch)>,
    record_count: usize,
    is_closed: bool,
    /// Flushes that wait: while there is one, no batch lingers.
    flushes: usize,
    /// Bytes of memory that were given back and not collected.
    freed_bytes: usize,
    /// Of a transactional producer: how its transaction stands.
    transaction: Option<Transaction>,
}

#[derive(Debug)]
pub(super) struct Appended {
    pub(super) delivery: Delivery,
    /// Whether there is something new for the driver to do.
    pub(super) is_driver_needed: bool,
}

impl Accumulator {
    pub(super) fn new(config: &ProducerConfig, retry_backoff: Duration) -> Self {
        let batch_bytes = config.batch_bytes.min(config.max_request_bytes);
        Self {
            config: ProducerConfig { batch_bytes, ..config.clone() },
            retry_backoff,
            queues: BTreeMap::new(),
            sticky: BTreeMap::new(),
            next_order: 0,
            producer: None,
            record_count: 0,
            is_closed: false,
            flushes: 0,
            freed_bytes: 0,
            transaction: None,
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
        let (kind, producer) = match &self.transaction {
            None => (BatchKind::Plain, None),
            Some(transaction) => {
                transaction.check()?;
                // A transactional batch is none without a producer; its number comes when it is sent.
                let producer = self.producer.map(|(id, epoch)| BatchProducer {
                    id,
                    epoch,
                    base_sequence: Some(0),
                });
                (BatchKind::Transactional, producer)
            }
        };
        let queue = self.queues.entry(partition.clone()).or_default();
        let is_full = queue.is_full_for(size, self.config.batch_bytes);
        if is_full {
            queue.close();
            self.sticky.remove(&partition.topic);
        }
        let is_new = queue.filling.is_none();
        let (config, next_order) = (&self.config, &mut self.next_order);
        let filling = queue.filling.get_or_insert_with(|| {
            *next_order += 1;
            let options = BatchOptions {
                codec: config.codec,
                level: config.level,
                kind,
                producer,
                ..BatchOptions::default()
            };
            Filling::new(*next_order, partition, options, now)
        });
        let delivery = filling.append(record, size)?;
        self.record_count += 1;
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

    /// Returns the partitions that have a batch to send now, the one with the oldest first.
    pub(super) fn ready(&self, now: Timestamp) -> Vec<TopicPartition> {
        let mut ready: Vec<_> = self
            .queues
            .iter()
            .filter_map(|(partition, queue)| {
                let order = queue.next_to_send(now, self.linger())?;
                Some((order, partition))
            })
            .collect();
        ready.sort_unstable_by_key(|(order, _)| *order);
        ready.into_iter().map(|(_, partition)| partition.clone()).collect()
    }

    /// Says whether batches wait for a producer id.
    pub(super) fn needs_producer_id(&self) -> bool {
        self.config.idempotence == Idempotence::Enabled
            && self.transaction.is_none()
            && self.producer.is_none()
            && self.queues.values().any(|queue| !queue.has_session())
    }

    /// Takes in a producer id for the partitions that have none.
    pub(super) fn set_producer_id(&mut self, id: ProducerId, epoch: ProducerEpoch) {
        self.producer = Some((id, epoch));
    }

    /// Takes the next batch of a ready partition, numbered, as under way; `None` when it must wait after all, for a producer id above all.
    pub(super) fn take(&mut self, now: Timestamp, partition: &TopicPartition) -> Option<ToSend> {
        let linger = self.linger();
        let queue = self.queues.get_mut(partition)?;
        queue.next_to_send(now, linger)?;
        if self.config.idempotence == Idempotence::Enabled {
            queue.begin_session(self.producer)?;
        }
        if queue.has_none_waiting() {
            queue.close();
            self.sticky.remove(&partition.topic);
        }
        queue.send_next()
    }

    /// Takes in what became of a batch. Returns whether the leader should be asked for anew.
    pub(super) fn answered(
        &mut self,
        now: Timestamp,
        partition: &TopicPartition,
        order: u64,
        answer: Answer,
    ) -> bool {
        let retry_at = now + self.retry_backoff;
        let Some(queue) = self.queues.get_mut(partition) else { return false };
        let Verdict { done, is_leader_stale } = queue.answered(partition, order, answer, retry_at);
        if let Some((batch, outcome)) = done {
            self.finish(batch, outcome);
        }
        self.settle(partition);
        self.drop_if_aborting();
        is_leader_stale
    }

    /// Puts off a partition whose leader is not known.
    pub(super) fn postpone(&mut self, now: Timestamp, partition: &TopicPartition) {
        if let Some(queue) = self.queues.get_mut(partition) {
            queue.postpone(now + self.retry_backoff);
        }
    }

    /// Puts off those partitions among `theirs` that have a batch, be it that it lingers.
    pub(super) fn postpone_all(
        &mut self,
        now: Timestamp,
        theirs: impl Fn(&TopicPartition) -> bool,
    ) {
        for (_, queue) in self.queues.iter_mut().filter(|(partition, _)| theirs(partition)) {
            if queue.next_to_send(now, Duration::ZERO).is_some() {
                queue.postpone(now + self.retry_backoff);
            }
        }
    }

    /// Fails batches that took longer than the delivery timeout and are not under way.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let timeout = self.config.delivery_timeout;
        let partitions: Vec<_> = self.queues.keys().cloned().collect();
        for partition in partitions {
            let Some(queue) = self.queues.get_mut(&partition) else { continue };
            for mut batch in queue.expire(now, timeout) {
                let failure = batch.last_failure.take().unwrap_or_else(|| Error::Broker {
                    subject: partition.to_string(),
                    code: ErrorCode::LeaderNotAvailable,
                    message: None,
                });
                let failure = Error::GaveUp { after: timeout, last: Box::new(failure) };
                self.finish(batch, Err(failure));
            }
            self.settle(&partition);
        }
    }

    /// Fails everything, what is under way included.
    pub(super) fn fail_all(&mut self, error: &Error) {
        for queue in std::mem::take(&mut self.queues).into_values() {
            for batch in queue.into_batches() {
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
    pub(super) fn poll_timeout(&self, now: Timestamp) -> Option<Timestamp> {
        let linger = self.linger();
        let timeout = self.config.delivery_timeout;
        self.queues.values().filter_map(|queue| queue.due_at(now, linger, timeout)).min()
    }

    /// Ends all lingering until [`Accumulator::end_flush`]. Returns the order of the newest batch.
    pub(super) fn begin_flush(&mut self) -> u64 {
        self.flushes += 1;
        self.next_order
    }

    /// A flush waits no more.
    pub(super) fn end_flush(&mut self) {
        self.flushes -= 1;
    }

    /// Returns the order of the oldest batch that is not done.
    pub(super) fn oldest_order(&self) -> Option<u64> {
        self.queues.values().filter_map(Queue::oldest_order).min()
    }

    /// Returns the bytes of memory that were freed since the last call.
    pub(super) fn take_freed_bytes(&mut self) -> usize {
        std::mem::take(&mut self.freed_bytes)
    }

    fn linger(&self) -> Duration {
        if self.flushes > 0 || self.is_closed { Duration::ZERO } else { self.config.linger }
    }

    fn finish(&mut self, batch: Batch, outcome: Result<Written, Error>) {
        self.record_count -= usize::try_from(batch.record_count).unwrap_or_default();
        self.freed_bytes += batch.reserved_bytes;
        if let (Some(transaction), Err(failure)) = (&mut self.transaction, &outcome) {
            transaction.fail(failure);
        }
        let outcome = match (outcome, self.config.acks) {
            // Nobody has said that it is written, nor where.
            (Ok(_), Acks::None) => Ok(Written { base_offset: None, log_append_time: None }),
            (outcome, _) => outcome,
        };
        batch.result.decide(outcome);
    }

    /// Gives a broken partition a new session once nothing of it is under way.
    fn settle(&mut self, partition: &TopicPartition) {
        let Some(queue) = self.queues.get_mut(partition) else { return };
        if self.transaction.is_some() {
            // Its numbers cannot be made good within the transaction.
            for batch in queue.end_broken_transaction() {
                self.finish_unsent(partition, batch);
            }
            return;
        }
        let Some((old, lost)) = queue.end_broken_session() else { return };
        // The id of the old session must not be used again here: its numbers are taken.
        if old == self.producer.map(|(id, _)| id) {
            self.producer = None;
        }
        for batch in lost {
            let message = "a batch before it failed, and whether this one is in the log is unknown";
            let failure = Error::Broker {
                subject: partition.to_string(),
                code: ErrorCode::OutOfOrderSequenceNumber,
                message: Some(message.to_owned()),
            };
            self.finish(batch, Err(failure));
        }
    }
}
