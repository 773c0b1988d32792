//! Which partitions have something new for one follower: the queue between those who append and the stream to the follower.
//!
//! An appender marks a session and wakes the stream, once however many batches follow before the stream is polled. The queue holds sessions, never batches, so it is
//! bounded by the partitions that the follower fetches.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use model::{BrokerEpoch, BrokerId};

use super::session::Session;

/// The queue of one stream.
#[derive(Debug)]
pub(crate) struct SendQueue {
    follower: BrokerId,
    broker_epoch: BrokerEpoch,
    queues: Mutex<Queues>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queues {
    in_sync: VecDeque<Arc<Session>>,
    others: VecDeque<Arc<Session>>,
    /// Reads on storage threads that are under way or whose bytes have not been sent; at most [`MAX_COLD_READS`].
    cold_reads: usize,
    /// Sessions that wait for one of these reads to end.
    waiting: VecDeque<Arc<Session>>,
    is_closed: bool,
}

/// Who is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Partitions in whose ISR the follower is: acks wait for them.
    InSync,
    /// Partitions that the follower catches up on.
    Others,
}

/// How much is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MarkedCount {
    pub(crate) in_sync: usize,
    pub(crate) others: usize,
}

impl SendQueue {
    pub(crate) fn new(follower: BrokerId, broker_epoch: BrokerEpoch) -> Self {
        Self { follower, broker_epoch, queues: Mutex::default(), waker: AtomicWaker::new() }
    }

    /// The follower.
    pub(crate) fn follower(&self) -> BrokerId {
        self.follower
    }

    /// The follower's incarnation.
    pub(crate) fn broker_epoch(&self) -> BrokerEpoch {
        self.broker_epoch
    }

    /// Wakes this task when a session is marked or the queue is closed.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Counts the marked sessions; `None` once the queue is closed.
    pub(crate) fn marked(&self) -> Option<MarkedCount> {
        let queues = self.lock();
        let (in_sync, others) = (queues.in_sync.len(), queues.others.len());
        (!queues.is_closed).then_some(MarkedCount { in_sync, others })
    }

    /// Takes the session of a class that has waited longest.
    pub(crate) fn pop(&self, class: Class) -> Option<Arc<Session>> {
        let session = self.lock().of(class).pop_front()?;
        session.unqueued();
        Some(session)
    }

    /// Forgets what is marked, and ends the stream.
    pub(crate) fn close(&self) {
        let mut queues = self.lock();
        queues.is_closed = true;
        queues.in_sync.clear();
        queues.others.clear();
        queues.waiting.clear();
        drop(queues);
        self.waker.wake();
    }

    pub(super) fn push(&self, class: Class, session: Arc<Session>) {
        let mut queues = self.lock();
        if queues.is_closed {
            return;
        }
        queues.of(class).push_back(session);
        drop(queues);
        self.waker.wake();
    }

    /// Takes one of the stream's cold reads; without one the session waits for it.
    pub(super) fn begin_cold_read(&self, session: &Arc<Session>) -> bool {
        let mut queues = self.lock();
        if queues.cold_reads < MAX_COLD_READS {
            queues.cold_reads += 1;
            return true;
        }
        if session.begin_waiting() {
            queues.waiting.push_back(Arc::clone(session));
        }
        false
    }

    pub(super) fn end_cold_read(&self) {
        let next = {
            let mut queues = self.lock();
            queues.cold_reads -= 1;
            queues.waiting.pop_front()
        };
        if let Some(session) = next {
            session.end_waiting();
            session.mark();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().expect("a panic ends the process, so no lock is ever poisoned")
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

/// Bound of the cold reads of one stream, each of at most `replica.fetch.max.bytes`: what a follower that lags in many partitions can pin in memory.
const MAX_COLD_READS: usize = 4;
