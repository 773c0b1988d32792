//! One shard of this broker: a group machine behind one short lock.
//!
//! Owns the order "lock, admit, step, drain actions, unlock, then wake". The lock comes before the partition's own, which the writer takes; it is never held across an
//! `.await`, and never with another shard's. A shard whose append failed is void: whoever waits is told, and it is loaded again from the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use model::{Offset, Timestamp};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::load::{self, Replayed};
use super::log_size::{LogSize, RewriteStart};
use super::refusal::Refusal;
use super::rewrite;
use super::writer::{Leadership, WriteError};
use super::writes::Writes;
use crate::group::ids::TopicIdentity;
use crate::group::record::GroupRecord;
use crate::group::request::{Request, RequestId};
use crate::group::response::Response;
use crate::group::{Action, Event, Now, RewriteCursor, Shard, ShardCounts};
use crate::record_format;

/// One leadership of this broker, from the election to its end.
#[derive(Debug)]
pub(super) struct ShardHandle {
    me: Weak<Self>,
    leadership: Leadership,
    context: Arc<Context>,
    /// Everything before it is known to be committed. It only grows: within a leader epoch no log goes back.
    committed: AtomicI64,
    /// Cancelled when the leadership ends.
    ended: CancellationToken,
    /// Topics that are gone and that the machine was not told of yet: while it loads, or the partition takes no writes. Locked after the state, and for a moment only.
    deleted_topics: Mutex<BTreeSet<TopicIdentity>>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Not readable yet, or again: what requests are told meanwhile.
    Loading(Refusal),
    Loaded(Box<Loaded>),
    Ended,
}

/// A machine and what the driver knows about it.
#[derive(Debug)]
struct Loaded {
    machine: Shard,
    /// Which load made it; a rewrite belongs to one.
    load: LoadNumber,
    writes: Writes,
    parked: BTreeMap<RequestId, ReplySender>,
    last_request: RequestId,
    /// When the shard's earliest entry among the timers fires.
    armed: Option<Timestamp>,
    /// Timers wait until then, because the partition took no writes.
    refused_until: Option<Timestamp>,
    log: LogSize,
    /// How many of the machine's rebalances stand in the coordinator's count.
    counted_rebalances: u64,
}

/// Names one load of the process; what belongs to an earlier one of the same shard is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoadNumber(pub(super) u64);

/// An answer of the machine, and what must be committed before it may go.
#[derive(Debug)]
struct Answer {
    response: Response,
    depends_on: Option<Offset>,
}

type Reply = Result<Answer, Refusal>;
type ReplySender = oneshot::Sender<Reply>;

/// Where a request stands after its step.
enum Submitted {
    Answered(Answer),
    Parked(oneshot::Receiver<Reply>),
}

/// A chunk of a rewrite that was appended.
#[derive(Debug)]
pub(super) struct RewrittenChunk {
    /// Where the log ended before it, and how large it was.
    pub(super) start: RewriteStart,
    /// Exclusive end of the log behind it.
    pub(super) end_offset: Offset,
    pub(super) size_bytes: usize,
    /// Where to go on; `None` when this was the last chunk.
    pub(super) next: Option<RewriteCursor>,
}

/// What a pass under the lock leaves to be done after it.
#[derive(Debug)]
struct Effects {
    now: Now,
    answers: Vec<(ReplySender, Reply)>,
    /// The request of this pass.
    own: Option<RequestId>,
    own_answer: Option<Answer>,
    timer: Option<Timestamp>,
    rewrite: Option<LoadNumber>,
    /// An append failed; with the state that is dropped off the lock, since it may be large.
    void: Option<(WriteError, Box<Loaded>)>,
}

impl ShardHandle {
    pub(super) fn new(context: &Arc<Context>, leadership: Leadership) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            leadership,
            context: Arc::clone(context),
            committed: AtomicI64::new(0),
            ended: context.stop.child_token(),
            deleted_topics: Mutex::default(),
            state: Mutex::new(State::Loading(Refusal::LoadInProgress)),
        })
    }

    pub(super) fn leadership(&self) -> Leadership {
        self.leadership
    }

    /// The token that is cancelled when the leadership ends.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Lets the machine answer, and waits until what the answer depends on is committed.
    pub(super) async fn answer(&self, request: Request) -> Result<Response, Refusal> {
        let answer = match self.submit(request)? {
            Submitted::Answered(answer) => answer,
            Submitted::Parked(reply) => reply.await.unwrap_or(Err(Refusal::NotCoordinator))?,
        };
        if let Some(end_offset) = answer.depends_on {
            self.committed(end_offset).await?;
        }
        Ok(answer.response)
    }

    /// Waits until everything before an offset is committed, for `offsets.commit.timeout.ms` at most.
    pub(super) async fn committed(&self, end_offset: Offset) -> Result<(), WriteError> {
        if end_offset <= self.known_committed() {
            return Ok(());
        }
        // What is committed stays so, however few replicas are in sync now.
        if !self.is_committed(end_offset) {
            let timeout = self.context.config.commit_timeout;
            let committed = self.context.writer.committed(self.leadership, end_offset, timeout);
            let result = tokio::select! {
                result = committed => result,
                () = self.ended.cancelled() => Err(WriteError::NotLeader),
            };
            match result {
                Err(WriteError::NotEnoughReplicas) if self.is_committed(end_offset) => {}
                result => result?,
            }
        }
        self.committed.fetch_max(end_offset.0, Ordering::AcqRel);
        Ok(())
    }

    fn is_committed(&self, end_offset: Offset) -> bool {
        let high_watermark = self.context.writer.high_watermark(self.leadership);
        high_watermark.is_some_and(|high_watermark| end_offset <= high_watermark)
    }

    fn known_committed(&self) -> Offset {
        Offset(self.committed.load(Ordering::Acquire))
    }

    /// Steps a request. A refusal has changed nothing; one after a failed append throws the state away, and of an append of several batches some may stay in the log.
    fn submit(&self, request: Request) -> Result<Submitted, Refusal> {
        let mut effects = Effects::begin(self.context.timers.now());
        let submitted = self.step_request(request, &mut effects);
        self.finish(effects);
        submitted
    }

    fn step_request(&self, request: Request, effects: &mut Effects) -> Result<Submitted, Refusal> {
        let mut state = self.lock();
        state.loaded()?;
        if Shard::may_write(&request) {
            self.context.writer.admits(self.leadership)?;
        }
        // A topic of the same name may have come since, and a commit of it must not be taken for one of the topic that is gone.
        if self.has_deleted_topics() && self.context.writer.admits(self.leadership).is_ok() {
            self.step_deleted_topics(state.loaded()?, effects);
            self.drain(&mut state, effects);
        }
        let loaded = state.loaded()?;
        loaded.last_request.0 += 1;
        let id = loaded.last_request;
        effects.own = Some(id);
        loaded.machine.step(effects.now, Event::Request(id, request));
        self.drain(&mut state, effects);
        match (&mut *state, effects.own_answer.take()) {
            (State::Loaded(_), Some(answer)) => Ok(Submitted::Answered(answer)),
            (State::Loaded(loaded), None) => {
                let (sender, receiver) = oneshot::channel();
                loaded.parked.insert(id, sender);
                Ok(Submitted::Parked(receiver))
            }
            (State::Loading(_) | State::Ended, _) => {
                let failed = effects.void.as_ref().map(|(error, _)| Refusal::from(*error));
                Err(failed.unwrap_or(Refusal::NotCoordinator))
            }
        }
    }

    /// Makes the shard serve what a load has read. Does nothing when the leadership has ended meanwhile.
    pub(super) fn publish(&self, load: LoadNumber, replayed: Replayed) {
        let mut effects = Effects::begin(self.context.timers.now());
        let Replayed { mut machine, log_end_offset, size_bytes } = replayed;
        machine.loaded(effects.now);
        {
            let mut state = self.lock();
            let State::Loading(_) = &*state else { return };
            self.committed.fetch_max(log_end_offset.0, Ordering::AcqRel);
            *state = State::Loaded(Box::new(Loaded {
                counted_rebalances: 0,
                machine,
                load,
                writes: Writes::new(),
                parked: BTreeMap::new(),
                last_request: RequestId(0),
                armed: None,
                refused_until: None,
                log: LogSize::loaded(log_end_offset, size_bytes),
            }));
            self.drain(&mut state, &mut effects);
            self.step_what_is_due(&mut state, &mut effects);
        }
        self.finish(effects);
    }

    /// Ends the leadership: whoever waits is told.
    pub(super) fn end(&self) {
        self.ended.cancel();
        let before = std::mem::replace(&mut *self.lock(), State::Ended);
        if let State::Loaded(mut loaded) = before {
            self.count(&mut loaded);
            loaded.refuse_parked(Refusal::NotCoordinator);
        }
    }

    /// Notes that topics are gone: the machine is told before any request from now on, once the partition takes writes. Does not wait for the shard.
    pub(super) fn note_deleted_topics(&self, topics: &[TopicIdentity]) {
        self.lock_deleted_topics().extend(topics.iter().cloned());
    }

    /// Tells the machine of topics that are gone, even if no request comes.
    pub(super) fn delete_noted_topics(&self) {
        self.pass(|_| {});
    }

    /// Steps the machine because the time that a timer was armed for has come. An entry that another one has replaced does nothing.
    pub(super) fn timeout_reached(&self, armed_at: Timestamp) {
        self.pass(|state| {
            if let State::Loaded(loaded) = state
                && loaded.armed == Some(armed_at)
            {
                loaded.armed = None;
            }
        });
    }

    /// Appends the next chunk of a rewrite; `None` when the state that it belongs to is gone.
    pub(super) fn rewrite_chunk(
        &self,
        load: LoadNumber,
        after: Option<&RewriteCursor>,
    ) -> Option<RewrittenChunk> {
        let mut effects = Effects::begin(self.context.timers.now());
        let chunk = {
            let mut state = self.lock();
            let loaded = state.of_load(load)?;
            let start = loaded.log.rewrite_start();
            // Nothing is outstanding of a step, so the records are the log's last word on their keys at the moment in which they are appended.
            let (records, next) = loaded.machine.live_records(after, rewrite::CHUNK_BYTES);
            match self.append(loaded, &records, effects.now) {
                Ok((end_offset, size_bytes)) => {
                    Some(RewrittenChunk { start, end_offset, size_bytes, next })
                }
                // Nothing depends on a rewrite, so the state need not pay for it.
                Err(error @ WriteError::TooLarge) => {
                    tracing::warn!(shard = %self.leadership, %error, "group log cannot be rewritten");
                    None
                }
                Err(error) => {
                    state.void(error, &mut effects);
                    None
                }
            }
        };
        self.finish(effects);
        chunk
    }

    /// Ends a rewrite of a load: with where it began if the log was cut there.
    pub(super) fn rewrite_ended(&self, load: LoadNumber, trimmed: Option<RewriteStart>) {
        if let Some(loaded) = self.lock().of_load(load) {
            match trimmed {
                Some(start) => loaded.log.trimmed(start),
                None => loaded.log.abandoned(),
            }
        }
    }

    /// Returns the live records behind a cursor, and where to go on.
    pub(super) fn live_records(
        &self,
        after: Option<&RewriteCursor>,
        limit_bytes: usize,
    ) -> (Vec<GroupRecord>, Option<RewriteCursor>) {
        match &*self.lock() {
            State::Loaded(loaded) => loaded.machine.live_records(after, limit_bytes),
            State::Loading(_) | State::Ended => (Vec::new(), None),
        }
    }

    /// Counts what the shard holds; `None` unless it is loaded.
    pub(super) fn counts(&self) -> Option<ShardCounts> {
        match &mut *self.lock() {
            State::Loaded(loaded) => Some(self.count(loaded)),
            State::Loading(_) | State::Ended => None,
        }
    }

    /// Counts what a machine holds, and adds its new rebalances to the coordinator's.
    fn count(&self, loaded: &mut Loaded) -> ShardCounts {
        let counts = loaded.machine.counts();
        let new = counts.completed_rebalance_count.saturating_sub(loaded.counted_rebalances);
        loaded.counted_rebalances = counts.completed_rebalance_count;
        self.context.completed_rebalances.fetch_add(new, Ordering::Relaxed);
        counts
    }

    /// Changes the state under the lock, steps what is due, drains the machine, then does what is left without the lock.
    fn pass(&self, change: impl FnOnce(&mut State)) {
        let mut effects = Effects::begin(self.context.timers.now());
        {
            let mut state = self.lock();
            change(&mut state);
            self.step_what_is_due(&mut state, &mut effects);
        }
        self.finish(effects);
    }

    /// Steps timeouts and deleted topics, if the partition takes the writes that they may lead to; else they wait.
    fn step_what_is_due(&self, state: &mut State, effects: &mut Effects) {
        let State::Loaded(loaded) = state else { return };
        let now = effects.now.monotonic;
        let is_time = loaded.machine.poll_timeout().is_some_and(|at| at <= now);
        if is_time || self.has_deleted_topics() {
            if self.context.writer.admits(self.leadership).is_ok() {
                loaded.refused_until = None;
                self.step_deleted_topics(loaded, effects);
                if is_time {
                    loaded.machine.step(effects.now, Event::TimeoutReached);
                }
            } else {
                loaded.refused_until = Some(now + REFUSED_PAUSE);
            }
        }
        self.drain(state, effects);
    }

    /// Steps the topics that are gone. The machine deletes their offsets in parts; the later ones come by its timer.
    fn step_deleted_topics(&self, loaded: &mut Loaded, effects: &Effects) {
        let topics = std::mem::take(&mut *self.lock_deleted_topics());
        if !topics.is_empty() {
            let topics = topics.into_iter().collect();
            loaded.machine.step(effects.now, Event::TopicsDeleted(topics));
        }
    }

    fn has_deleted_topics(&self) -> bool {
        !self.lock_deleted_topics().is_empty()
    }

    /// Drains the machine's actions, arms its timer, and looks whether the log is worth a rewrite. After a failed append the state is void.
    fn drain(&self, state: &mut State, effects: &mut Effects) {
        let State::Loaded(loaded) = state else { return };
        let mut failed = None;
        while let Some(action) = loaded.machine.poll_action() {
            match action {
                Action::Append(write, records) => {
                    match self.append(loaded, &records, effects.now) {
                        Ok((end_offset, _)) => loaded.writes.appended(write, end_offset),
                        Err(error) => {
                            failed = Some(error);
                            break;
                        }
                    }
                }
                Action::Reply(id, response, depends_on) => {
                    let committed = self.known_committed();
                    let depends_on =
                        depends_on.and_then(|write| loaded.writes.end_of(write, committed));
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
            state.void(error, effects);
            return;
        }
        loaded.arm(self.has_deleted_topics(), effects);
        if loaded.log.begin_if_due(loaded.machine.live_bytes()) {
            effects.rewrite = Some(loaded.load);
        }
    }

    /// Appends records and returns the log's end behind them and their size in the log.
    fn append(
        &self,
        loaded: &mut Loaded,
        records: &[GroupRecord],
        now: Now,
    ) -> Result<(Offset, usize), WriteError> {
        let mut size_bytes = 0;
        let mut batches = record_format::batches(records, now.wall, BATCH_BYTES);
        while let Some(batch) = batches.next() {
            let group = batches.last_record().map(|record| record.group_id().as_str());
            let mut batch = batch.map_err(|error| {
                tracing::error!(shard = %self.leadership, group, %error, "group records cannot be written");
                WriteError::TooLarge
            })?;
            let appended = self.context.writer.append(self.leadership, &mut batch);
            let end_offset = appended.inspect_err(|error| {
                if *error == WriteError::TooLarge {
                    let bytes = batch.len();
                    tracing::error!(shard = %self.leadership, group, bytes, "the log does not take a batch of group records of this size");
                }
            })?;
            size_bytes += batch.len();
            loaded.log.appended(end_offset, batch.len());
        }
        Ok((loaded.log.log_end_offset(), size_bytes))
    }

    /// Does what a pass left to be done. Called without the lock.
    fn finish(&self, effects: Effects) {
        for (sender, reply) in effects.answers {
            // The request may have gone away meanwhile; what it did stays.
            let _ = sender.send(reply);
        }
        if let Some(at) = effects.timer {
            self.context.timers.arm(at, Weak::clone(&self.me));
        }
        let Some(me) = self.me.upgrade() else { return };
        if let Some(load) = effects.rewrite {
            self.context.spawn(rewrite::run(Arc::clone(&self.context), Arc::clone(&me), load));
        }
        if let Some((error, mut loaded)) = effects.void {
            self.count(&mut loaded);
            tracing::warn!(shard = %self.leadership, %error, "append failed, loading again");
            drop(loaded);
            self.context.spawn(load::run(Arc::clone(&self.context), me, load::Cause::FailedAppend));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }

    fn lock_deleted_topics(&self) -> MutexGuard<'_, BTreeSet<TopicIdentity>> {
        self.deleted_topics.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

impl State {
    fn loaded(&mut self) -> Result<&mut Loaded, Refusal> {
        match self {
            Self::Loaded(loaded) => Ok(loaded),
            Self::Loading(refusal) => Err(*refusal),
            Self::Ended => Err(Refusal::NotCoordinator),
        }
    }

    fn of_load(&mut self, load: LoadNumber) -> Option<&mut Loaded> {
        self.loaded().ok().filter(|loaded| loaded.load == load)
    }

    /// Drops the state because of a failed append: it is ahead of the log. Everyone who waits is told.
    fn void(&mut self, error: WriteError, effects: &mut Effects) {
        let refusal = match error {
            WriteError::NotLeader => Refusal::NotCoordinator,
            _ => Refusal::LoadInProgress,
        };
        if let Self::Loaded(mut loaded) = std::mem::replace(self, Self::Loading(refusal)) {
            // Answers of the same pass may tell of the state that is not in the log.
            for (_, reply) in &mut effects.answers {
                *reply = Err(refusal);
            }
            let parked = std::mem::take(&mut loaded.parked);
            effects.answers.extend(parked.into_values().map(|sender| (sender, Err(refusal))));
            effects.void = Some((error, loaded));
        }
    }
}

impl Loaded {
    /// Arms the timer if the next time to step is earlier than the entry there is.
    fn arm(&mut self, has_deleted_topics: bool, effects: &mut Effects) {
        let deleted = has_deleted_topics.then_some(effects.now.monotonic);
        let Some(due) = [self.machine.poll_timeout(), deleted].into_iter().flatten().min() else {
            return;
        };
        let at = self.refused_until.map_or(due, |until| due.max(until));
        if self.armed.is_none_or(|armed| at < armed) {
            self.armed = Some(at);
            effects.timer = Some(at);
        }
    }

    fn refuse_parked(self, refusal: Refusal) {
        for sender in self.parked.into_values() {
            // The request may have gone away meanwhile.
            let _ = sender.send(Err(refusal));
        }
    }
}

impl Effects {
    fn begin(now: Now) -> Self {
        Self {
            now,
            answers: Vec::new(),
            own: None,
            own_answer: None,
            timer: None,
            rewrite: None,
            void: None,
        }
    }
}

/// Most bytes of one batch: the default of `max.message.bytes` that clients' batches obey.
const BATCH_BYTES: usize = 1_048_588;

/// How long timers wait before they ask again whether the partition takes writes.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
