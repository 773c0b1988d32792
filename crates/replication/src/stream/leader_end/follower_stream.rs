//! The leader's end of one replication stream: which partitions have something new for the follower, and the messages that carry it.
//!
//! An appender marks a session and wakes the stream, once however many batches follow before the stream is polled. HTTP/2 polls the stream when the
//! follower has granted room, and only then are bytes read: the queue holds sessions, never batches.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::task::AtomicWaker;
use log_storage::{Minimum, ReadError, ReadPlan};
use model::record_batch::{BatchError, Batches, verify_crc};
use model::{BrokerEpoch, BrokerId, Offset};
use tonic::Status;

use crate::context::Context;
use crate::partition::LeaderAnswer;
use crate::partition_handle::{PartitionHandle, SendState, Trust, Turn};
use crate::stream::leader_end::service::Sessions;
use crate::stream::proto;
use crate::stream::wire;

/// One follower's stream, as this leader sees it.
#[derive(Debug)]
pub(crate) struct FollowerStream {
    context: Arc<Context>,
    follower: BrokerId,
    broker_epoch: BrokerEpoch,
    queues: Mutex<Queues>,
    sessions: Mutex<Sessions>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queues {
    /// Marked sessions of partitions in whose ISR the follower is; acks wait for them.
    in_sync: VecDeque<Arc<Session>>,
    /// Marked sessions of partitions that the follower catches up on.
    others: VecDeque<Arc<Session>>,
    /// Reads on storage threads that are under way or whose bytes have not been sent; at most [`MAX_COLD_READS`].
    cold_reads: usize,
    /// Sessions that wait for one of these reads to end.
    waiting: VecDeque<Arc<Session>>,
    is_closed: bool,
}

/// One partition on one stream.
#[derive(Debug)]
pub(crate) struct Session {
    stream: Arc<FollowerStream>,
    partition: Arc<PartitionHandle>,
    is_queued: AtomicBool,
    /// Whether it stands in the queue for a cold read.
    is_waiting: AtomicBool,
    is_in_sync: AtomicBool,
    sending: Mutex<Sending>,
}

#[derive(Debug, Default)]
struct Sending {
    state: SendState,
    cold: Cold,
}

/// A read that a storage thread does because the bytes are not in the page cache.
#[derive(Debug, Default)]
enum Cold {
    #[default]
    None,
    Reading,
    Read(SendState, LeaderAnswer, Result<Bytes, ReadError>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    InSync,
    Others,
}

impl FollowerStream {
    pub(crate) fn new(
        context: &Arc<Context>,
        follower: BrokerId,
        broker_epoch: BrokerEpoch,
    ) -> Arc<Self> {
        Arc::new(Self {
            context: Arc::clone(context),
            follower,
            broker_epoch,
            queues: Mutex::default(),
            sessions: Mutex::default(),
            waker: AtomicWaker::new(),
        })
    }

    /// The follower.
    pub(crate) fn follower(&self) -> BrokerId {
        self.follower
    }

    /// The follower's incarnation.
    pub(crate) fn broker_epoch(&self) -> BrokerEpoch {
        self.broker_epoch
    }

    /// Makes the session of a partition on this stream.
    pub(crate) fn session(self: &Arc<Self>, partition: Arc<PartitionHandle>) -> Arc<Session> {
        Arc::new(Session {
            stream: Arc::clone(self),
            partition,
            is_queued: AtomicBool::new(false),
            is_waiting: AtomicBool::new(false),
            is_in_sync: AtomicBool::new(false),
            sending: Mutex::default(),
        })
    }

    /// The stream's sessions. Locked without any partition's lock.
    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }

    /// Ends the stream of messages.
    pub(crate) fn close(&self) {
        let mut queues = self.lock();
        queues.is_closed = true;
        queues.in_sync.clear();
        queues.others.clear();
        queues.waiting.clear();
        drop(queues);
        self.waker.wake();
    }

    /// Takes one of the stream's cold reads; without one the session waits for it.
    fn begin_cold_read(&self, session: &Arc<Session>) -> bool {
        let mut queues = self.lock();
        if queues.cold_reads < MAX_COLD_READS {
            queues.cold_reads += 1;
            return true;
        }
        if !session.is_waiting.swap(true, Ordering::SeqCst) {
            queues.waiting.push_back(Arc::clone(session));
        }
        false
    }

    fn end_cold_read(&self) {
        let next = {
            let mut queues = self.lock();
            queues.cold_reads -= 1;
            queues.waiting.pop_front()
        };
        if let Some(session) = next {
            session.is_waiting.store(false, Ordering::SeqCst);
            session.mark();
        }
    }

    fn is_marked(&self) -> bool {
        let queues = self.lock();
        !queues.in_sync.is_empty() || !queues.others.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }

    /// Builds the next message, from what is marked.
    ///
    /// Partitions whose acks wait for this follower come first; the others get at most half of a message and at least a quarter.
    fn next_message(&self) -> Option<proto::LeaderMessage> {
        let total = self.context.config.replica_fetch_response_max_bytes;
        let others_wait = !self.lock().others.is_empty();
        let in_sync_budget = if others_wait { total - total / 4 } else { total };
        let mut message = proto::LeaderMessage::default();
        let used = self.fill(Class::InSync, in_sync_budget, &mut message);
        if others_wait {
            let budget = total.saturating_sub(used).clamp(total / 4, total / 2);
            self.fill(Class::Others, budget, &mut message);
        }
        (!message.updates.is_empty()).then_some(message)
    }

    /// Adds what the marked sessions of one class have, and returns the bytes of batches. A session that has more is marked again, at the end.
    fn fill(&self, class: Class, budget: usize, message: &mut proto::LeaderMessage) -> usize {
        let mut used = 0;
        // Each marked session has one turn per message, so that a message ends.
        let turns = self.lock().of(class).len();
        for _ in 0..turns {
            if used >= budget || message.updates.len() >= MAX_UPDATES {
                break;
            }
            let Some(session) = self.lock().of(class).pop_front() else { break };
            // Cleared before the look at the partition, so that whatever is appended after it marks the session again.
            session.is_queued.store(false, Ordering::SeqCst);
            let limit = (budget - used).min(self.context.config.replica_fetch_max_bytes);
            let minimum = if used == 0 { Minimum::OneBatch } else { Minimum::Nothing };
            let (update, has_more) = session.turn(limit, minimum);
            if let Some(update) = update {
                used += wire::batch_bytes(&update);
                message.updates.push(update);
            }
            if has_more {
                session.mark();
            }
        }
        used
    }
}

impl Queues {
    fn of(&mut self, class: Class) -> &mut VecDeque<Arc<Session>> {
        match class {
            Class::InSync => &mut self.in_sync,
            Class::Others => &mut self.others,
        }
    }
}

impl Session {
    /// The follower's incarnation.
    pub(crate) fn broker_epoch(&self) -> BrokerEpoch {
        self.stream.broker_epoch
    }

    /// The partition.
    pub(crate) fn partition(&self) -> &Arc<PartitionHandle> {
        &self.partition
    }

    pub(crate) fn set_in_sync(&self, is_in_sync: bool) {
        self.is_in_sync.store(is_in_sync, Ordering::Relaxed);
    }

    /// Notes that the partition has something new for the follower, and wakes the stream. Called without any partition's lock.
    pub(crate) fn mark(self: &Arc<Self>) {
        if self.is_queued.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut queues = self.stream.lock();
        if queues.is_closed {
            return;
        }
        let class =
            if self.is_in_sync.load(Ordering::Relaxed) { Class::InSync } else { Class::Others };
        queues.of(class).push_back(Arc::clone(self));
        drop(queues);
        self.stream.waker.wake();
    }

    /// Takes the partition's turn: what to send of it, and whether there is more.
    fn turn(
        self: &Arc<Self>,
        max_bytes: usize,
        minimum: Minimum,
    ) -> (Option<proto::PartitionUpdate>, bool) {
        let mut sending = self.lock();
        match std::mem::take(&mut sending.cold) {
            Cold::None => {}
            Cold::Reading => {
                sending.cold = Cold::Reading;
                return (None, false);
            }
            Cold::Read(began, answer, result) => {
                self.stream.end_cold_read();
                // Another position may have come meanwhile; what was read for the old one is void then.
                if sending.state.continues(&began) {
                    return self.read(&mut sending, answer, result);
                }
            }
        }
        match self.partition.follower_turn(self, &mut sending.state, max_bytes, minimum) {
            Turn::Nothing => (None, sending.state.has_more() && minimum == Minimum::Nothing),
            Turn::Answer(answer) => {
                let update = wire::update(self.partition.id(), answer, Bytes::new());
                (Some(update), sending.state.has_more() && minimum == Minimum::Nothing)
            }
            Turn::Batches(answer, plan) if plan.is_hot() => {
                let result = plan.execute();
                self.read(&mut sending, answer, result)
            }
            Turn::Batches(answer, plan) => {
                if !self.stream.begin_cold_read(self) {
                    return (None, false);
                }
                sending.cold = Cold::Reading;
                let began = sending.state;
                drop(sending);
                self.read_cold(began, answer, plan);
                (None, false)
            }
        }
    }

    /// Reads on a storage thread, then marks the session for the turn that sends it.
    fn read_cold(self: &Arc<Self>, began: SendState, answer: LeaderAnswer, plan: ReadPlan) {
        let me = Arc::clone(self);
        self.stream.context.run_job(move || {
            let result = plan.execute();
            me.lock().cold = Cold::Read(began, answer, result);
            me.mark();
        });
    }

    /// Turns what was read into an update.
    fn read(
        &self,
        sending: &mut Sending,
        answer: LeaderAnswer,
        result: Result<Bytes, ReadError>,
    ) -> (Option<proto::PartitionUpdate>, bool) {
        let next_offset = sending.state.next_offset();
        let checked = result.and_then(|batches| {
            check(&batches, next_offset, sending.state.trust())
                .map(|end_offset| (batches, end_offset))
        });
        match checked {
            // Fewer bytes than the plan promised: the next turn plans anew.
            Ok((_, None)) => (None, true),
            Ok((batches, Some(end_offset))) => {
                sending.state.advance(end_offset);
                self.stream.context.metrics.replicated_out(batches.len());
                let update = wire::update(self.partition.id(), answer, batches);
                (Some(update), sending.state.has_more())
            }
            Err(ReadError::Changed | ReadError::OffsetOutOfRange { .. }) => (None, true),
            Err(error) => {
                self.partition.replica_read_failed(next_offset, &error);
                (None, false)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sending> {
        self.sending.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

/// Looks through what was read for a follower and returns where the last batch ends; `None` when there is none.
fn check(batches: &[u8], from: Offset, trust: Trust) -> Result<Option<Offset>, ReadError> {
    let mut end_offset = None;
    for batch in Batches::whole(batches) {
        let offset = end_offset.unwrap_or(from);
        let corrupt = |error: BatchError| ReadError::Corrupt { offset, reason: error.to_string() };
        let batch = batch.map_err(corrupt)?;
        if trust == Trust::Doubted {
            verify_crc(batch.bytes).map_err(corrupt)?;
        }
        end_offset = Some(batch.header.next_offset());
    }
    Ok(end_offset)
}

/// The messages of one stream. Reads bytes when it is polled, and is polled when the follower has granted room.
#[derive(Debug)]
pub(crate) struct Updates {
    stream: Arc<FollowerStream>,
}

impl Updates {
    pub(crate) fn new(stream: Arc<FollowerStream>) -> Self {
        Self { stream }
    }
}

impl Stream for Updates {
    type Item = Result<proto::LeaderMessage, Status>;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.stream.waker.register(task.waker());
        match self.stream.next_message() {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None if self.stream.lock().is_closed => Poll::Ready(None),
            None => {
                if self.stream.is_marked() {
                    // Turns that had nothing to send have used the marks up; what remains is for the next poll.
                    task.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Updates {
    fn drop(&mut self) {
        self.stream.close();
    }
}

/// Bound of one message's updates, so that a message of tiny updates stays small too.
const MAX_UPDATES: usize = 10_000;

/// Bound of the cold reads of one stream, each of at most `replica.fetch.max.bytes`: what a follower that lags in many partitions can pin in memory.
const MAX_COLD_READS: usize = 4;
