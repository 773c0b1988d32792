//! One shard of this broker: a machine behind one short lock.
//!
//! Owns the order "lock, admit, step, drain actions, unlock, then wake". The lock comes before the partition's own, which the writer takes; it is never held across an
//! `.await`, and never with another shard's. A shard whose append failed is void: whoever waits is told, and it is loaded again from the log.

mod load;
mod log_size;
mod pass;
mod release;
mod rewrite;
mod state;
mod write_ends;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use model::{Offset, Timestamp};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::load::{Cause, Replayed};
use self::log_size::{LogSize, RewriteStart};
use self::pass::Effects;
use self::state::{Answer, Loaded, Reply, State};
use self::write_ends::WriteEnds;
use crate::group::request::RequestId;
use crate::runtime::context::Context;
use crate::runtime::machine::{LoadNumber, Machine};
use crate::runtime::partition_writer::{Leadership, LogRange, WriteError};
use crate::runtime::refusal::Refusal;

/// One leadership of this broker, from the election to its end.
#[derive(Debug)]
pub(super) struct ShardHandle<M: Machine> {
    me: Weak<Self>,
    leadership: Leadership,
    context: Arc<Context<M>>,
    /// Everything before it is known to be committed. It only grows: within a leader epoch no log goes back.
    committed: AtomicI64,
    /// Cancelled when the leadership ends.
    ended: CancellationToken,
    /// What the machine must be told and was not yet: while it loads, or the partition takes no writes. Locked after the state, and for a moment only.
    notes: Mutex<BTreeSet<M::Note>>,
    /// How often the shard was loaded.
    load_count: AtomicU64,
    state: Mutex<State<M>>,
}

/// Where a request stands after its step.
enum Submitted<M: Machine> {
    Answered(Answer<M>),
    Parked(oneshot::Receiver<Reply<M>>),
}

/// A chunk of a rewrite that was appended.
#[derive(Debug)]
struct RewrittenChunk<M: Machine> {
    /// Where the log ended before it, and how large it was.
    start: RewriteStart,
    /// Exclusive end of the log behind it.
    end_offset: Offset,
    size_bytes: usize,
    /// Where to go on; `None` when this was the last chunk.
    next: Option<M::Cursor>,
}

impl<M: Machine> ShardHandle<M> {
    pub(super) fn new(context: &Arc<Context<M>>, leadership: Leadership) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            leadership,
            context: Arc::clone(context),
            committed: AtomicI64::new(0),
            ended: context.stop.child_token(),
            notes: Mutex::default(),
            load_count: AtomicU64::new(0),
            state: Mutex::new(State::Loading(Refusal::LoadInProgress)),
        })
    }

    /// Begins to load the shard of a broker that was elected.
    pub(super) fn begin_load(self: &Arc<Self>) {
        let load = load::run(Arc::clone(&self.context), Arc::clone(self), Cause::Election);
        self.context.spawn(load);
    }

    pub(super) fn leadership(&self) -> Leadership {
        self.leadership
    }

    /// Names the leadership for a reader of the log.
    fn name(&self) -> String {
        format!("{}, {}", M::TOPIC, self.leadership)
    }

    /// The token that is cancelled when the leadership ends.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Lets the machine answer, and waits until what the answer depends on is committed.
    pub(super) async fn answer(&self, request: M::Request) -> Result<M::Response, Refusal> {
        let answer = match self.submit(request)? {
            Submitted::Answered(answer) => answer,
            Submitted::Parked(reply) => reply.await.unwrap_or(Err(Refusal::NotCoordinator))?,
        };
        if let Some(end_offset) = answer.depends_on {
            self.committed(end_offset).await?;
        }
        Ok(answer.response)
    }

    /// Waits until everything before an offset is committed, for the commit timeout at most.
    async fn committed(&self, end_offset: Offset) -> Result<(), WriteError> {
        if end_offset <= self.known_committed() {
            return Ok(());
        }
        let timeout = self.context.commit_timeout;
        let committed = self.context.writer.committed(self.leadership, end_offset, timeout);
        let result = tokio::select! {
            result = committed => result,
            () = self.ended.cancelled() => Err(WriteError::NotLeader),
        };
        match result {
            // What is committed stays so, however few replicas are in sync now.
            Err(WriteError::NotEnoughReplicas) if self.is_committed(end_offset) => {}
            result => result?,
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
    fn submit(&self, request: M::Request) -> Result<Submitted<M>, Refusal> {
        let mut effects = Effects::begin(self.context.timers.now());
        let submitted = self.step_request(request, &mut effects);
        self.finish(effects);
        submitted
    }

    fn step_request(
        &self,
        request: M::Request,
        effects: &mut Effects<M>,
    ) -> Result<Submitted<M>, Refusal> {
        let mut state = self.lock();
        state.loaded()?;
        if M::request_may_write(&request) {
            self.context.writer.admits(self.leadership)?;
        }
        // What was noted comes first: a topic of the same name may have come since, and a commit of it must not be taken for one of the topic that is gone.
        if self.has_notes() && self.context.writer.admits(self.leadership).is_ok() {
            self.step_notes(state.loaded()?, effects);
            self.drain(&mut state, effects);
        }
        let loaded = state.loaded()?;
        loaded.last_request.0 += 1;
        let id = loaded.last_request;
        effects.own = Some(id);
        loaded.machine.step_request(effects.now, id, request);
        self.drain(&mut state, effects);
        match (&mut *state, effects.own_answer.take()) {
            (State::Loaded(_), Some(answer)) => Ok(Submitted::Answered(answer)),
            (State::Loaded(loaded), None) => {
                let (sender, receiver) = oneshot::channel();
                loaded.parked.insert(id, sender);
                Ok(Submitted::Parked(receiver))
            }
            (State::Loading(_) | State::Ended, _) => {
                Err(effects.failure().map_or(Refusal::NotCoordinator, Refusal::from))
            }
        }
    }

    /// Makes the shard serve what a load has read. Does nothing when the leadership has ended meanwhile.
    fn publish(&self, replayed: Replayed<M>) {
        let mut effects = Effects::begin(self.context.timers.now());
        let Replayed { mut machine, log_start_offset, log_end_offset, size_bytes } = replayed;
        machine.end_load(effects.now);
        {
            let mut state = self.lock();
            let State::Loading(_) = &*state else { return };
            self.committed.fetch_max(log_end_offset.0, Ordering::AcqRel);
            *state = State::Loaded(Box::new(Loaded {
                counted: M::Counted::default(),
                machine,
                load: LoadNumber(self.load_count.fetch_add(1, Ordering::Relaxed)),
                writes: WriteEnds::new(),
                parked: BTreeMap::new(),
                last_request: RequestId(0),
                armed: None,
                refused_until: None,
                log: LogSize::loaded(LogRange { log_start_offset, log_end_offset }, size_bytes),
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

    /// Notes what the machine must be told: before any request from now on, once the partition takes writes. Does not wait for the shard.
    pub(super) fn note(&self, notes: impl IntoIterator<Item = M::Note>) {
        self.lock_notes().extend(notes);
    }

    /// Tells the machine what was noted, even if no request comes.
    pub(super) fn step_noted(&self) {
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
    fn rewrite_chunk(
        &self,
        load: LoadNumber,
        after: Option<&M::Cursor>,
    ) -> Option<RewrittenChunk<M>> {
        let mut effects = Effects::begin(self.context.timers.now());
        let chunk = {
            let mut state = self.lock();
            let loaded = state.of_load(load)?;
            let start = loaded.log.rewrite_start(loaded.machine.log_needed_from());
            // Nothing is outstanding of a step, so the records are the log's last word on their keys at the moment in which they are appended.
            let (records, next) = loaded.machine.live_records_behind(after, rewrite::CHUNK_BYTES);
            match self.append(loaded, M::BatchKind::default(), &records, effects.now) {
                Ok((end_offset, size_bytes)) => {
                    Some(RewrittenChunk { start, end_offset, size_bytes, next })
                }
                // Nothing depends on a rewrite, so the state need not pay for it.
                Err(error @ WriteError::TooLarge) => {
                    tracing::warn!(partition = %self.name(), %error, "the log of a coordinator cannot be rewritten, so loads take longer; tried again when it has grown");
                    None
                }
                Err(error) => {
                    effects.void(&mut state, error);
                    None
                }
            }
        };
        self.finish(effects);
        chunk
    }

    /// Ends a rewrite of a load: with where it began if the log was cut there.
    fn rewrite_ended(&self, load: LoadNumber, trimmed: Option<RewriteStart>) {
        if let Some(loaded) = self.lock().of_load(load) {
            match trimmed {
                Some(start) => loaded.log.trimmed(start),
                None => loaded.log.abandoned(),
            }
        }
    }

    /// Lets somebody look at the machine; `None` unless it is loaded.
    pub(super) fn look<R>(&self, look: impl FnOnce(&M) -> R) -> Option<R> {
        match &*self.lock() {
            State::Loaded(loaded) => Some(look(&loaded.machine)),
            State::Loading(_) | State::Ended => None,
        }
    }

    /// Counts what the shard holds; `None` unless it is loaded.
    pub(super) fn counts(&self) -> Option<M::Counts> {
        match &mut *self.lock() {
            State::Loaded(loaded) => Some(self.count(loaded)),
            State::Loading(_) | State::Ended => None,
        }
    }

    /// Counts what a machine holds, and adds what is new in its counters to the coordinator's.
    fn count(&self, loaded: &mut Loaded<M>) -> M::Counts {
        loaded.machine.count(self.context.timers.now(), &mut loaded.counted, &self.context.totals)
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }

    fn lock_notes(&self) -> MutexGuard<'_, BTreeSet<M::Note>> {
        self.notes.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}
