//! One pass over a shard: under the lock the machine is stepped and its wishes are done in order; without it, whoever is concerned is woken.
//!
//! Invariant: after a failed append nothing that the machine said in the pass is told, for its state is ahead of the log: the shard is void and is loaded again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use model::{ErrorCode, Offset, Timestamp};

use super::ShardHandle;
use super::load;
use super::release::{self, Held};
use super::rewrite;
use super::state::{Answer, Loaded, Reply, ReplySender, State};
use crate::group::request::RequestId;
use crate::group::{Now, WriteId};
use crate::runtime::machine::{Asker, Batches as _, LoadNumber, Machine, Wish};
use crate::runtime::partition_writer::{TransactionWriteError, WriteError};
use crate::runtime::refusal::Refusal;

/// What a pass under the lock leaves to be done after it.
#[derive(Debug)]
pub(super) struct Effects<M: Machine> {
    pub(super) now: Now,
    answers: Vec<(ReplySender<M>, Reply<M>)>,
    /// The request of this pass.
    pub(super) own: Option<RequestId>,
    pub(super) own_answer: Option<Answer<M>>,
    /// Messages, and what must be committed before they may go.
    messages: Held<M>,
    timer: Option<Timestamp>,
    rewrite: Option<LoadNumber>,
    /// An append failed; with the state that is dropped off the lock, since it may be large.
    failed: Option<(WriteError, Box<Loaded<M>>)>,
}

impl<M: Machine> Effects<M> {
    pub(super) fn begin(now: Now) -> Self {
        Self {
            now,
            answers: Vec::new(),
            own: None,
            own_answer: None,
            messages: Held::default(),
            timer: None,
            rewrite: None,
            failed: None,
        }
    }

    /// Drops the state because of a failed append. Everyone who waits is told, in place of what the pass would have told them.
    pub(super) fn void(&mut self, state: &mut State<M>, error: WriteError) {
        let refusal = match error {
            WriteError::NotLeader => Refusal::NotCoordinator,
            _ => Refusal::LoadInProgress,
        };
        let Some(mut loaded) = state.void(refusal) else { return };
        self.messages = Held::default();
        for (_, reply) in &mut self.answers {
            *reply = Err(refusal);
        }
        let parked = std::mem::take(&mut loaded.parked);
        self.answers.extend(parked.into_values().map(|sender| (sender, Err(refusal))));
        self.failed = Some((error, loaded));
    }

    /// Returns why an append of the pass failed.
    pub(super) fn failure(&self) -> Option<WriteError> {
        self.failed.as_ref().map(|(error, _)| *error)
    }
}

impl<M: Machine> ShardHandle<M> {
    /// Changes the state under the lock, steps what is due, drains the machine, then does what is left without the lock.
    pub(super) fn pass(&self, change: impl FnOnce(&mut State<M>)) {
        let mut effects = Effects::begin(self.context.timers.now());
        {
            let mut state = self.lock();
            change(&mut state);
            self.step_what_is_due(&mut state, &mut effects);
        }
        self.finish(effects);
    }

    /// Steps timeouts and notes, if the partition takes the writes that they may lead to; else they wait.
    pub(super) fn step_what_is_due(&self, state: &mut State<M>, effects: &mut Effects<M>) {
        let State::Loaded(loaded) = state else { return };
        let now = effects.now.monotonic;
        let is_time = loaded.machine.next_timeout().is_some_and(|at| at <= now);
        if is_time || self.has_notes() {
            if self.context.writer.admits(self.leadership).is_ok() {
                loaded.refused_until = None;
                self.step_notes(loaded, effects);
                if is_time {
                    loaded.machine.step_timeout(effects.now);
                }
            } else {
                loaded.refused_until = Some(now + REFUSED_PAUSE);
            }
        }
        self.drain(state, effects);
    }

    /// Steps what was noted.
    pub(super) fn step_notes(&self, loaded: &mut Loaded<M>, effects: &Effects<M>) {
        let notes = std::mem::take(&mut *self.lock_notes());
        if !notes.is_empty() {
            loaded.machine.step_notes(effects.now, loaded.load, notes);
        }
    }

    pub(super) fn has_notes(&self) -> bool {
        !self.lock_notes().is_empty()
    }

    /// Drains the machine's actions, arms its timer, and looks whether the log is worth a rewrite. After a failed append the state is void.
    pub(super) fn drain(&self, state: &mut State<M>, effects: &mut Effects<M>) {
        let State::Loaded(loaded) = state else { return };
        let mut failed = None;
        while let Some(action) = loaded.machine.poll_wish() {
            match action {
                Wish::Append(write, kind, records) => {
                    match self.append(loaded, kind, &records, effects.now) {
                        Ok((end_offset, _)) => loaded.writes.appended(write, end_offset),
                        Err(error) => {
                            failed = Some(error);
                            break;
                        }
                    }
                }
                Wish::Ask(write, batch) => match self.append_asked(loaded, &batch, effects.now) {
                    Ok(result) => {
                        if result.is_ok() {
                            loaded.writes.appended(write, loaded.log.log_end_offset());
                        }
                        loaded.machine.step_asked(effects.now, result);
                    }
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                },
                Wish::Send(message, depends_on) => {
                    let asker = Asker { leadership: self.leadership, load: loaded.load };
                    effects.messages.push(asker, message, self.end_of(loaded, depends_on));
                }
                Wish::Reply(id, response, depends_on) => {
                    let depends_on = self.end_of(loaded, depends_on);
                    let answer = Answer { response, depends_on };
                    if effects.own == Some(id) {
                        effects.own_answer = Some(answer);
                    } else if let Some(sender) = loaded.parked.remove(&id) {
                        effects.answers.push((sender, Ok(answer)));
                    }
                }
            }
        }
        if let Some(error) = failed {
            return effects.void(state, error);
        }
        let notes = self.has_notes().then_some(effects.now.monotonic);
        effects.timer = loaded.arm(notes).or(effects.timer);
        if loaded.log.begin_if_due(loaded.machine.bytes_live()) {
            effects.rewrite = Some(loaded.load);
        }
    }

    /// Returns what must be committed before something that depends on a write may be told.
    fn end_of(&self, loaded: &mut Loaded<M>, depends_on: Option<WriteId>) -> Option<Offset> {
        depends_on.and_then(|write| loaded.writes.end_of(write, self.known_committed()))
    }

    /// Appends records and returns the log's end behind them and their size in the log.
    pub(super) fn append(
        &self,
        loaded: &mut Loaded<M>,
        kind: M::BatchKind,
        records: &[M::Record],
        now: Now,
    ) -> Result<(Offset, usize), WriteError> {
        let mut size_bytes = 0;
        let mut batches = M::batches(kind, records, now.wall, BATCH_BYTES);
        while let Some(batch) = batches.next_batch() {
            let key = batches.last_key();
            let mut batch = batch.map_err(|error| {
                tracing::error!(partition = %self.name(), key, %error, "a coordinator's record fits no batch, so the request is refused and the log is loaded again: a defect, report this line");
                WriteError::TooLarge
            })?;
            let appended = self.context.writer.append(self.leadership, &mut batch);
            let end_offset = appended.inspect_err(|error| {
                if *error == WriteError::TooLarge {
                    let bytes = batch.len();
                    tracing::error!(partition = %self.name(), key, bytes, "the log does not take a batch of a coordinator's records of this size: raise the topic's max.message.bytes");
                }
            })?;
            size_bytes += batch.len();
            loaded.log.appended(end_offset, batch.len());
        }
        Ok((loaded.log.log_end_offset(), size_bytes))
    }

    /// Appends a batch that the log may refuse: returns where it stands, or the answer to whoever wanted it. The machine has not changed for it, so nothing is void then.
    fn append_asked(
        &self,
        loaded: &mut Loaded<M>,
        batch: &M::AskedBatch,
        now: Now,
    ) -> Result<Result<Offset, ErrorCode>, WriteError> {
        let (mut batch, origin) = match M::asked_batch(batch, now.wall, BATCH_BYTES) {
            Ok(made) => made,
            Err(error) => {
                tracing::error!(partition = %self.name(), %error, "a batch of a transaction cannot be made, so the request is refused: a defect, report this line");
                return Ok(Err(ErrorCode::UnknownServerError));
            }
        };
        let offset = loaded.log.log_end_offset();
        let writer = &self.context.writer;
        match writer.append_of_transaction(self.leadership, &mut batch, origin) {
            Ok(end_offset) => {
                loaded.log.appended(end_offset, batch.len());
                Ok(Ok(offset))
            }
            Err(TransactionWriteError::Refused(code)) => Ok(Err(code)),
            // As Kafka's answer.
            Err(TransactionWriteError::Write(WriteError::TooLarge)) => {
                Ok(Err(ErrorCode::UnknownServerError))
            }
            Err(TransactionWriteError::Write(error)) => Err(error),
        }
    }

    /// Does what a pass left to be done. Called without the lock.
    pub(super) fn finish(&self, effects: Effects<M>) {
        for (sender, reply) in effects.answers {
            // The request may have gone away meanwhile; what it did stays.
            let _ = sender.send(reply);
        }
        if let Some(at) = effects.timer {
            self.context.timers.arm(at, Weak::clone(&self.me));
        }
        let Some(me) = self.me.upgrade() else { return };
        release::begin(&self.context, &me, effects.messages);
        if let Some(load) = effects.rewrite {
            self.context.spawn(rewrite::run(Arc::clone(&self.context), Arc::clone(&me), load));
        }
        if let Some((error, mut loaded)) = effects.failed {
            self.count(&mut loaded);
            tracing::warn!(partition = %self.name(), %error, "an append of a coordinator failed, so it is loaded again from the log");
            drop(loaded);
            self.context.spawn(load::run(Arc::clone(&self.context), me, load::Cause::FailedAppend));
        }
    }
}

/// Most bytes of one batch: the default of `max.message.bytes` that clients' batches obey.
const BATCH_BYTES: usize = 1_048_588;

/// How long timers wait before they ask again whether the partition takes writes.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
