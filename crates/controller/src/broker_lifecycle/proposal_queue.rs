//! Commands that this broker wants proposed, until they are answered.
//!
//! Owns the queue between the handle (any thread) and the session with the active controller (the control thread). Bounded in number and in
//! time. Invariant: a command that may have been written is proposed again only if applying it twice does no harm.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use model::{Clock, Timestamp};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::active::service::MAX_PROPOSALS;
use crate::error::ProposeError;
use crate::metadata::{Command, Outcome, Repetition};

/// Most commands that wait for an answer; beyond it proposing fails at once.
const MAX_PENDING: usize = 4096;
/// Time that a proposal which was handed over may go unanswered before its outcome counts as unknown.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Pause before a proposal that the controller could not take is offered again: a new leader may write after its first round of heartbeats.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// Where the answer goes.
pub(crate) type Answer = Result<Applied, ProposeError>;

/// The queue.
pub(crate) struct ProposalQueue {
    inner: Mutex<Inner>,
    /// Rung for the session when something may have to be sent.
    to_send: Notify,
    /// Rung for the keeper of deadlines when there is one before its next look.
    new_deadline: Notify,
}

#[derive(Default)]
struct Inner {
    next_id: u64,
    pending: BTreeMap<u64, Pending>,
    /// When the keeper of deadlines looks next by itself.
    next_look: Option<Timestamp>,
    is_closed: bool,
}

struct Pending {
    command: Bytes,
    repetition: Repetition,
    state: State,
    deadline: Timestamp,
    reply: oneshot::Sender<Answer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not handed over; not to be before this time.
    Waiting(Timestamp),
    /// Handed over to the present controller.
    Sent,
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The command's place in the metadata log. This broker's image may not have reached it yet: see [`crate::Controller::wait_for`].
    pub index: u64,
    /// What `apply` answered.
    pub outcome: Outcome,
}

impl ProposalQueue {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::default(), to_send: Notify::new(), new_deadline: Notify::new() }
    }

    /// Queues a command, to be handed over until `deadline`.
    pub(crate) fn push(
        &self,
        command: &Command,
        deadline: Timestamp,
    ) -> Result<oneshot::Receiver<Answer>, ProposeError> {
        let encoded = Bytes::from(command.encode());
        if encoded.len() > crate::raft::MAX_COMMAND_BYTES {
            let max = crate::raft::MAX_COMMAND_BYTES;
            return Err(ProposeError::TooLarge { size: encoded.len(), max });
        }
        let (reply, answer) = oneshot::channel();
        let mut inner = self.lock();
        if inner.is_closed {
            return Err(ProposeError::Stopped);
        }
        if inner.pending.len() >= MAX_PENDING {
            return Err(ProposeError::NoController);
        }
        inner.next_id += 1;
        let id = inner.next_id;
        let pending = Pending {
            command: encoded,
            repetition: command.repetition(),
            state: State::Waiting(Timestamp::ZERO),
            deadline,
            reply,
        };
        inner.pending.insert(id, pending);
        self.note_deadline(&mut inner, deadline);
        drop(inner);
        self.to_send.notify_one();
        Ok(answer)
    }

    fn note_deadline(&self, inner: &mut Inner, deadline: Timestamp) {
        if inner.next_look.is_none_or(|next_look| deadline < next_look) {
            inner.next_look = Some(deadline);
            self.new_deadline.notify_one();
        }
    }

    /// Waits until something may have to be sent.
    pub(crate) async fn to_send(&self) {
        self.to_send.notified().await;
    }

    /// Waits until there is a deadline before the time that [`Self::expire`] last returned.
    pub(crate) async fn new_deadline(&self) {
        self.new_deadline.notified().await;
    }

    /// Takes up to `count` commands that may be handed over now; they count as handed over.
    ///
    /// No more are out at a time than the controller works on: it would wait for room, read no heartbeat meanwhile, and fence this broker for its
    /// silence.
    pub(crate) fn take_unsent(&self, now: Timestamp, count: usize) -> Vec<(u64, Bytes)> {
        let mut inner = self.lock();
        let sent = inner.pending.values().filter(|pending| pending.state == State::Sent).count();
        let count = count.min(MAX_PROPOSALS.saturating_sub(sent));
        let due = inner
            .pending
            .iter_mut()
            .filter(|(_, pending)| matches!(pending.state, State::Waiting(at) if at <= now));
        due.take(count)
            .map(|(id, pending)| {
                pending.state = State::Sent;
                (*id, pending.command.clone())
            })
            .collect()
    }

    /// Answers a proposal.
    pub(crate) fn answer(&self, id: u64, answer: Answer) {
        if let Some(pending) = self.lock().pending.remove(&id) {
            // A proposer that went away does not want to know.
            let _ = pending.reply.send(answer);
        }
    }

    /// The controller did not write it: it is offered again in a moment.
    pub(crate) fn not_written(&self, id: u64, now: Timestamp) {
        let mut inner = self.lock();
        if let Some(pending) = inner.pending.get_mut(&id) {
            pending.state = State::Waiting(now + RETRY_PAUSE);
            self.note_deadline(&mut inner, now + RETRY_PAUSE);
        }
    }

    /// The controller cannot say whether it was written.
    pub(crate) fn outcome_unknown(&self, id: u64, now: Timestamp) {
        let mut inner = self.lock();
        let is_harmless = inner
            .pending
            .get(&id)
            .is_some_and(|pending| pending.repetition == Repetition::Harmless);
        if is_harmless {
            if let Some(pending) = inner.pending.get_mut(&id) {
                pending.state = State::Waiting(now + RETRY_PAUSE);
            }
            self.note_deadline(&mut inner, now + RETRY_PAUSE);
        } else if let Some(pending) = inner.pending.remove(&id) {
            let _ = pending.reply.send(Err(ProposeError::OutcomeUnknown));
        }
    }

    /// The session with the controller broke: nobody will answer what was handed over on it.
    pub(crate) fn session_lost(&self, now: Timestamp) {
        let sent: Vec<u64> = self
            .lock()
            .pending
            .iter()
            .filter(|(_, pending)| pending.state == State::Sent)
            .map(|(id, _)| *id)
            .collect();
        for id in sent {
            self.outcome_unknown(id, now);
        }
    }

    /// Fails what waited too long, rings for what may be sent again, and returns when to call again.
    pub(crate) fn expire(&self, now: Timestamp) -> Option<Timestamp> {
        let mut inner = self.lock();
        let mut next: Option<Timestamp> = None;
        let mut late = Vec::new();
        for (id, pending) in &inner.pending {
            let limit = match pending.state {
                State::Waiting(_) => pending.deadline,
                State::Sent => pending.deadline + ANSWER_TIMEOUT,
            };
            if limit <= now {
                late.push(*id);
                continue;
            }
            let due = match pending.state {
                State::Waiting(at) if at > now => at.min(limit),
                State::Waiting(_) => {
                    self.to_send.notify_one();
                    limit
                }
                State::Sent => limit,
            };
            next = Some(next.map_or(due, |next| next.min(due)));
        }
        for id in late {
            if let Some(pending) = inner.pending.remove(&id) {
                let error = match pending.state {
                    State::Waiting(_) => ProposeError::NoController,
                    State::Sent => ProposeError::OutcomeUnknown,
                };
                let _ = pending.reply.send(Err(error));
            }
        }
        inner.next_look = next;
        next
    }

    /// Fails everything, now and from here on.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.is_closed = true;
        for (_, pending) in std::mem::take(&mut inner.pending) {
            let _ = pending.reply.send(Err(ProposeError::Stopped));
        }
    }

    // Nothing panics under this lock, and a panic ends the process anyway; so a poisoned lock is used as it is.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fails proposals that waited too long, and rings for those that may be offered again, until this node stops.
pub(crate) async fn keep_deadlines(
    queue: Arc<ProposalQueue>,
    clock: Clock,
    cancel: CancellationToken,
) {
    loop {
        let next = queue.expire(clock.now());
        let timer = async {
            match next {
                Some(at) => sleep_until(Instant::from_std(clock.instant_of(at))).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = timer => {}
            () = queue.new_deadline() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::metadata::{DeleteTopics, UpdateVoters};

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    fn harmless() -> Command {
        Command::UpdateVoters(UpdateVoters { voters: BTreeMap::new() })
    }

    fn misleading() -> Command {
        Command::DeleteTopics(DeleteTopics { topics: Vec::new() })
    }

    #[test]
    fn what_may_have_been_written_is_repeated_only_when_that_does_no_harm() {
        let queue = ProposalQueue::new();
        let mut first = queue.push(&harmless(), at(1000)).unwrap();
        let mut second = queue.push(&misleading(), at(1000)).unwrap();
        assert_eq!(queue.take_unsent(at(0), 10).len(), 2);
        queue.session_lost(at(1));
        assert_eq!(second.try_recv().unwrap(), Err(ProposeError::OutcomeUnknown));
        assert!(queue.take_unsent(at(5), 10).is_empty());
        let again = queue.take_unsent(at(6), 10);
        assert_eq!(again.len(), 1);
        let applied = Applied { index: 9, outcome: Outcome::VotersUpdated };
        queue.answer(again[0].0, Ok(applied.clone()));
        assert_eq!(first.try_recv().unwrap(), Ok(applied));
    }

    #[test]
    fn a_command_that_no_controller_took_was_not_proposed() {
        let queue = ProposalQueue::new();
        let mut answer = queue.push(&misleading(), at(1000)).unwrap();
        assert_eq!(queue.expire(at(999)), Some(at(1000)));
        let sent = queue.take_unsent(at(0), 10);
        queue.not_written(sent[0].0, at(999));
        assert_eq!(queue.expire(at(1000)), None);
        assert_eq!(answer.try_recv().unwrap(), Err(ProposeError::NoController));
    }

    #[test]
    fn no_more_is_handed_over_than_the_controller_works_on_at_a_time() {
        let queue = ProposalQueue::new();
        let answers: Vec<_> =
            (0..=MAX_PROPOSALS).map(|_| queue.push(&harmless(), at(1000)).unwrap()).collect();
        let sent = queue.take_unsent(at(0), usize::MAX);
        assert_eq!(sent.len(), answers.len() - 1);
        assert!(queue.take_unsent(at(0), usize::MAX).is_empty());
        queue.answer(sent[0].0, Err(ProposeError::OutcomeUnknown));
        assert_eq!(queue.take_unsent(at(0), usize::MAX).len(), 1, "an answer makes room");
    }

    #[test]
    fn the_keeper_of_deadlines_is_woken_by_an_earlier_one_alone() {
        let queue = ProposalQueue::new();
        let is_rung = || queue.new_deadline().now_or_never().is_some();
        let _first = queue.push(&misleading(), at(1000)).unwrap();
        assert!(is_rung(), "it looked at an empty queue");
        assert_eq!(queue.expire(at(0)), Some(at(1000)));
        let _later = queue.push(&misleading(), at(2000)).unwrap();
        assert!(!is_rung(), "it looks before that by itself");
        let sent = queue.take_unsent(at(0), 1);
        queue.not_written(sent[0].0, at(10));
        assert!(is_rung(), "a proposal may be offered again in a moment");
    }

    #[test]
    fn a_closed_queue_answers_everything() {
        let queue = ProposalQueue::new();
        let mut answer = queue.push(&misleading(), at(1000)).unwrap();
        queue.close();
        assert_eq!(answer.try_recv().unwrap(), Err(ProposeError::Stopped));
        assert_eq!(queue.push(&harmless(), at(1000)).err(), Some(ProposeError::Stopped));
    }
}
