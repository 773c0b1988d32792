//! The batches of one partition: which may be sent when, and what an answer means for those around it.
//!
//! Rules that keep records in order and single under idempotence: a batch gets its sequence when it is first sent and keeps it in every retry; at most
//! [`MAX_UNDER_WAY`] batches are under way; a retry is under way alone; after a batch failed for good, the partition starts with a new producer id, into which
//! only batches go that are certainly not in the log; and the first batch under a producer id is under way alone.

use std::collections::VecDeque;
use std::time::Duration;

use model::{ErrorCode, ProducerEpoch, ProducerId, Timestamp, TopicPartition};

use super::batch::{Batch, Filling, Session, ToSend};
use crate::error::{Error, RequestError};
use crate::producer::delivery::Written;

/// Batches of one partition, in the order of their records: those under way, those that wait, the one that takes records.
#[derive(Debug, Default)]
pub(super) struct Queue {
    under_way: VecDeque<Batch>,
    waiting: VecDeque<Batch>,
    pub(super) filling: Option<Filling>,
    pub(super) session: Option<Session>,
    /// A batch failed for good: when nothing is under way any more, the partition starts a new session.
    is_broken: bool,
    /// Nothing is sent before.
    retry_at: Timestamp,
}

/// What became of a batch that was sent.
#[derive(Clone, Debug)]
pub(in crate::producer) enum Answer {
    /// It is written.
    Written(Written),
    /// The broker refused it.
    Refused(ErrorCode, Option<String>),
    /// No answer; it may be written.
    Unknown(RequestError),
    /// It did not leave.
    Unsent(Error),
}

/// What an answer comes to.
#[derive(Debug)]
pub(super) struct Verdict {
    /// The batch, if it is done, and what became of it.
    pub(super) done: Option<(Batch, Result<Written, Error>)>,
    /// Whether the leader should be asked for anew.
    pub(super) is_leader_stale: bool,
}

impl Verdict {
    fn done(batch: Batch, outcome: Result<Written, Error>) -> Self {
        Self { done: Some((batch, outcome)), is_leader_stale: false }
    }
}

impl Queue {
    /// Says whether the batch that takes records has no room for so many bytes more.
    pub(super) fn is_full_for(&self, size: usize, batch_bytes: usize) -> bool {
        self.filling.as_ref().is_some_and(|filling| filling.size_bytes() + size > batch_bytes)
    }

    /// Says whether no batch waits but the one that takes records.
    pub(super) fn has_none_waiting(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Says whether its batches are numbered under a producer id.
    pub(super) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// Begins a session unless there is one; `None` where there is no producer id for it.
    pub(super) fn begin_session(
        &mut self,
        producer: Option<(ProducerId, ProducerEpoch)>,
    ) -> Option<()> {
        if self.session.is_none() {
            let (id, epoch) = producer?;
            self.session = Some(Session { id, epoch, next_sequence: 0, is_known: false });
        }
        Some(())
    }

    /// Takes the next batch that waits, numbered, as under way.
    pub(super) fn send_next(&mut self) -> Option<ToSend> {
        let mut batch = self.waiting.pop_front()?;
        if let Some(session) = &mut self.session
            && !batch.is_numbered
        {
            batch.number(session);
        }
        let to_send = batch.to_send();
        self.under_way.push_back(batch);
        Some(to_send)
    }

    /// Takes in what became of a batch that was sent.
    pub(super) fn answered(
        &mut self,
        partition: &TopicPartition,
        order: u64,
        answer: Answer,
        retry_at: Timestamp,
    ) -> Verdict {
        let at = self.under_way.iter().position(|batch| batch.order == order);
        let Some(mut batch) = at.and_then(|at| self.under_way.remove(at)) else {
            return Verdict { done: None, is_leader_stale: false };
        };
        match answer {
            Answer::Written(written) => {
                if let Some(session) = &mut self.session {
                    session.is_known = true;
                }
                Verdict::done(batch, Ok(written))
            }
            Answer::Refused(code, message) => {
                let failure = Error::Broker { subject: partition.to_string(), code, message };
                self.refused(batch, code, failure, retry_at)
            }
            Answer::Unknown(error) => {
                batch.may_be_in_log = true;
                self.retry(batch, retry_at, error.into());
                Verdict { done: None, is_leader_stale: true }
            }
            Answer::Unsent(error) if error.is_retriable() => {
                self.retry(batch, retry_at, error);
                Verdict { done: None, is_leader_stale: true }
            }
            Answer::Unsent(error) => {
                self.is_broken |= batch.is_numbered;
                Verdict::done(batch, Err(error))
            }
        }
    }

    fn refused(
        &mut self,
        mut batch: Batch,
        code: ErrorCode,
        failure: Error,
        retry_at: Timestamp,
    ) -> Verdict {
        if code == ErrorCode::DuplicateSequenceNumber {
            // It is in the log since an earlier attempt; where, the broker does not say.
            return Verdict::done(batch, Ok(Written { base_offset: None, log_append_time: None }));
        }
        if batch.is_numbered && is_about_sequence(code) {
            // Behind a batch that is tried again, this is to be expected; otherwise the broker has lost or never had what lies before.
            let is_behind_another = self.is_before(batch.order);
            self.is_broken |= !is_behind_another;
            if !is_behind_another && batch.may_be_in_log {
                return Verdict::done(batch, Err(failure));
            }
            self.retry(batch, retry_at, failure);
            return Verdict { done: None, is_leader_stale: false };
        }
        if code.is_retriable() {
            batch.may_be_in_log |= may_have_appended(code);
            self.retry(batch, retry_at, failure);
            return Verdict { done: None, is_leader_stale: true };
        }
        self.is_broken |= batch.is_numbered;
        Verdict::done(batch, Err(failure))
    }

    /// Sends nothing before this time.
    pub(super) fn postpone(&mut self, until: Timestamp) {
        self.retry_at = self.retry_at.max(until);
    }

    /// Takes out batches that are older than `timeout` and not under way.
    pub(super) fn expire(&mut self, now: Timestamp, timeout: Duration) -> Vec<Batch> {
        let is_old = |created_at: Timestamp| now.since(created_at) >= timeout;
        if self.filling.as_ref().is_some_and(|filling| is_old(filling.created_at)) {
            self.close();
        }
        let mut expired = Vec::new();
        while self.waiting.front().is_some_and(|batch| is_old(batch.created_at)) {
            expired.extend(self.waiting.pop_front());
        }
        self.is_broken |= expired.iter().any(|batch| batch.is_numbered);
        expired
    }

    /// Ends a broken session once nothing of it is under way; returns its producer id, and the batches that no other session may send: those that may be in
    /// the log.
    pub(super) fn end_broken_session(&mut self) -> Option<(Option<ProducerId>, VecDeque<Batch>)> {
        if !self.is_broken || !self.under_way.is_empty() {
            return None;
        }
        self.is_broken = false;
        let old = self.session.take();
        let waiting = std::mem::take(&mut self.waiting);
        let (lost, kept): (VecDeque<_>, VecDeque<_>) =
            waiting.into_iter().partition(|batch| batch.may_be_in_log);
        self.waiting = kept;
        for batch in &mut self.waiting {
            batch.is_numbered = false;
        }
        Some((old.map(|old| old.id), lost))
    }

    /// Takes out what is not under way, the batch that takes records included.
    pub(super) fn take_waiting(&mut self) -> VecDeque<Batch> {
        self.close();
        std::mem::take(&mut self.waiting)
    }

    /// Takes out the batches behind one that failed for good, once nothing is under way; the session stays, and takes nothing more.
    pub(super) fn end_broken_transaction(&mut self) -> VecDeque<Batch> {
        if self.is_broken && self.under_way.is_empty() {
            self.take_waiting()
        } else {
            VecDeque::new()
        }
    }

    /// Returns all batches, the one that takes records included.
    pub(super) fn into_batches(mut self) -> impl Iterator<Item = Batch> {
        self.close();
        self.under_way.into_iter().chain(self.waiting)
    }

    /// Returns the order of the batch that may be sent now.
    pub(super) fn next_to_send(&self, now: Timestamp, linger: Duration) -> Option<u64> {
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

    /// Returns when something is due without an event.
    pub(super) fn due_at(
        &self,
        now: Timestamp,
        linger: Duration,
        timeout: Duration,
    ) -> Option<Timestamp> {
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
    pub(super) fn close(&mut self) {
        self.waiting.extend(self.filling.take().map(Filling::close));
    }

    /// Puts a batch back where its order says.
    fn retry(&mut self, mut batch: Batch, retry_at: Timestamp, failure: Error) {
        batch.is_retry = true;
        batch.last_failure = Some(failure);
        self.postpone(retry_at);
        let at = self.waiting.partition_point(|other| other.order < batch.order);
        self.waiting.insert(at, batch);
    }

    /// Says whether a batch before `order` is not done.
    fn is_before(&self, order: u64) -> bool {
        self.under_way.iter().chain(&self.waiting).any(|batch| batch.order < order)
    }

    /// Returns the order of the oldest batch.
    pub(super) fn oldest_order(&self) -> Option<u64> {
        let batches = self.under_way.iter().chain(&self.waiting).map(|batch| batch.order);
        batches.chain(self.filling.as_ref().map(|filling| filling.order)).min()
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

/// Batches of a partition that may be under way at once: as many as brokers remember per producer (Kafka's `NUM_BATCHES_TO_RETAIN`).
const MAX_UNDER_WAY: usize = 5;
