//! One partition's replica on this broker: machine and log behind one short lock.
//!
//! Owns the order "lock, step, drain actions, unlock, then wake". Under the lock stand validation, step and `pwrite` alone: nothing that syncs, waits or takes a
//! second lock. Whatever a step asks of others is noted in [`Effects`] and done after the lock is released.

mod effects;
pub(crate) mod fetch_waiter;
mod flush;
mod follow;
mod host;
mod lead;
mod offsets;
mod produce;
mod read;
mod recompression;
mod waiters;

use std::sync::{Arc, Mutex, MutexGuard, Weak};

use arc_swap::{ArcSwap, ArcSwapOption};
use log_storage::{FlushMark, Flushable, Log, LogConfig, Recompression, Retirement};
use model::{ErrorCode, LeaderEpoch, Offset, Timestamp, TopicIdPartition, TopicPartition};

pub use fetch_waiter::FetchWaiter;
pub(crate) use follow::{LeaderMessage, Outbox, Outboxes};
pub(crate) use host::Host;
pub(crate) use lead::{Class, MarkedCount, SendQueue, Session, Update};
pub use offsets::{ListedOffset, OffsetQuery};
pub use produce::{ProduceOptions, ProduceWaiter, Produced};
pub use read::{Isolation, ReadRequest, Readable, WatchPosition};

use tokio::sync::Notify;

use self::effects::{Effects, Loss};
use self::fetch_waiter::Watchers;
use self::lead::FollowerLink;
use self::waiters::{CommitMeter, ProduceWaiters};
use crate::error::{LeaderHint, NotServed, ProduceError};
use crate::partition::{
    Action, EpochEntry, Event, FollowerFetch, LogState, OfflineReason, OpenedLog, Options,
    Partition, PartitionMetadata, ReplicaRole, TruncationGeneration,
};
use crate::requests::ReplicaRequest;
use crate::storage::partition_directory::LostMark;

/// One partition's replica on this broker.
#[derive(Debug)]
pub struct PartitionHandle {
    me: Weak<Self>,
    id: TopicIdPartition,
    name: TopicPartition,
    host: Arc<Host>,
    state: Mutex<State>,
    /// The followers' sessions, to be marked after an append without a second look under the lock.
    sessions: ArcSwap<Vec<Arc<Session>>>,
    flush_mark: FlushMark,
    /// The topic's `compression.type`, read by producers before they take the lock.
    recompression: ArcSwapOption<Recompression>,
    /// A follower's log start offset moved.
    log_starts_moved: Notify,
}

/// What the lock guards.
#[derive(Debug)]
struct State {
    machine: Partition,
    log: Log,
    waiters: ProduceWaiters,
    watchers: Watchers,
    meter: CommitMeter,
    /// When this replica's earliest entry among the timers fires.
    armed: Option<Timestamp>,
    /// Leader's side: who fetches, over which stream.
    followers: Vec<FollowerLink>,
    /// Follower's side: the newest fetch that no stream has taken yet.
    unsent_fetch: Option<FollowerFetch>,
    /// Whether a lost mark lies in the directory.
    mark: LostMark,
    /// The replica's directory is being deleted.
    is_removed: bool,
}

/// What a handle is made of.
#[derive(Debug)]
pub(crate) struct NewReplica {
    pub(crate) id: TopicIdPartition,
    pub(crate) name: TopicPartition,
    pub(crate) log: Log,
    /// The checkpointed high watermark.
    pub(crate) high_watermark: Offset,
    pub(crate) mark: LostMark,
}

/// A replica's offsets and sizes at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// What the replica does.
    pub role: ReplicaRole,
    /// The first offset kept.
    pub log_start_offset: Offset,
    /// Exclusive end of what is known to be committed.
    pub high_watermark: Offset,
    /// The next offset to be written.
    pub log_end_offset: Offset,
    /// Exclusive end of what is on the disk.
    pub flushed_offset: Offset,
    /// Size of the log in bytes.
    pub size_bytes: u64,
    /// Unfenced members of the ISR, as the image has it.
    pub isr_count: usize,
    /// Assigned replicas.
    pub replica_count: usize,
    /// The fewest in-sync replicas that `acks=all` asks for.
    pub effective_min_isr: usize,
}

impl PartitionHandle {
    /// Makes the handle of a replica whose log was opened. It serves nothing before its first metadata.
    pub(crate) fn new(host: &Arc<Host>, options: Options, replica: NewReplica) -> Arc<Self> {
        let NewReplica { id, name, log, high_watermark, mark } = replica;
        let epochs = log
            .epoch_entries()
            .iter()
            .map(|entry| EpochEntry { epoch: entry.epoch, start_offset: entry.start_offset })
            .collect();
        let opened =
            OpenedLog { log: log_state(&log), high_watermark: Some(high_watermark), epochs };
        let machine = Partition::new(options, opened);
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            id,
            name,
            host: Arc::clone(host),
            state: Mutex::new(State {
                machine,
                log,
                waiters: ProduceWaiters::default(),
                watchers: Watchers::default(),
                meter: CommitMeter::default(),
                armed: None,
                followers: Vec::new(),
                unsent_fetch: None,
                mark,
                is_removed: false,
            }),
            sessions: ArcSwap::default(),
            recompression: ArcSwapOption::default(),
            flush_mark: FlushMark::default(),
            log_starts_moved: Notify::new(),
        })
    }

    /// The partition by the id of its topic.
    #[must_use]
    pub fn id(&self) -> TopicIdPartition {
        self.id
    }

    /// The partition by the name of its topic.
    #[must_use]
    pub fn name(&self) -> &TopicPartition {
        &self.name
    }

    /// Returns the replica's offsets and sizes.
    #[must_use]
    pub fn status(&self) -> PartitionStatus {
        let state = self.lock();
        let metadata = state.machine.metadata();
        PartitionStatus {
            role: state.machine.role(),
            log_start_offset: state.log.log_start_offset(),
            high_watermark: state.machine.high_watermark(),
            log_end_offset: state.log.log_end_offset(),
            flushed_offset: state.log.flushed_offset(),
            size_bytes: state.log.size_bytes(),
            isr_count: metadata.map_or(0, |metadata| {
                metadata.isr.iter().filter(|member| metadata.is_unfenced(**member)).count()
            }),
            replica_count: metadata.map_or(0, |metadata| metadata.replicas.len()),
            effective_min_isr: metadata.map_or(1, |metadata| metadata.effective_min_isr),
        }
    }

    /// Returns the exclusive end of what is known to be committed: cheaper than [`Self::status`], and also of a replica that follows.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.lock().machine.high_watermark()
    }

    /// Returns who leads, as far as this broker knows.
    #[must_use]
    pub fn leader(&self) -> LeaderHint {
        self.lock().leader()
    }

    /// Returns what the replica does.
    #[must_use]
    pub fn role(&self) -> ReplicaRole {
        self.lock().machine.role()
    }

    /// Steps an image of the partition, and takes over the topic's configuration.
    pub(crate) fn metadata_changed(&self, metadata: PartitionMetadata, config: &LogConfig) {
        let is_member = metadata.isr.contains(&self.host.broker_id);
        let is_marked = self.with_state(|state, effects| {
            if state.log.config() != config {
                // What was left to the page cache counts only once it is flushed, if every message is to be from now on.
                effects.flush = config.flush_messages < state.log.config().flush_messages;
                state.log.set_config(config.clone());
            }
            if self.recompression.load().as_deref() != config.recompression.as_ref() {
                self.recompression.store(config.recompression.map(Arc::new));
            }
            if let Some(before) = state.machine.metadata()
                && before.leader == Some(self.host.broker_id)
            {
                self.host.metrics.isr_changed(before, &metadata);
            }
            state.machine.step(effects.now, Event::MetadataChanged(metadata));
            if let Some(metadata) = state.machine.metadata() {
                for link in &state.followers {
                    link.note_isr(metadata);
                }
            }
            // While the loss is declared and not yet applied, the image still shows a member: the mark must outlive a crash until then.
            let is_lost =
                matches!(state.machine.role(), ReplicaRole::Offline(OfflineReason::Lost(_)));
            state.mark == LostMark::Present && !is_lost
        });
        // A replica that counts again has nothing left of its loss.
        if is_marked
            && is_member
            && let Some(me) = self.me.upgrade()
        {
            self.host.storage.run_job(move || me.remove_lost_mark());
        }
    }

    /// Stops the replica for good: whoever waits is told, and nothing is written or flushed any more. Its directory may be deleted once the retirement has run.
    pub(crate) fn remove(&self) -> Retirement {
        self.with_state(|state, effects| {
            state.is_removed = true;
            let retirement = state.log.retire();
            if let Some(mut metadata) = state.machine.metadata().cloned() {
                metadata.leader = None;
                metadata.leader_epoch = metadata.leader_epoch.next();
                metadata.partition_epoch = metadata.partition_epoch.next();
                metadata.replicas.remove(&self.host.broker_id);
                metadata.isr.remove(&self.host.broker_id);
                state.machine.step(effects.now, Event::MetadataChanged(metadata));
            }
            retirement
        })
    }

    /// Steps the machine because the time that a timer was armed for has come. An entry that another one has replaced does nothing.
    pub(crate) fn timeout_reached(&self, armed_at: Timestamp) {
        self.with_state(|state, effects| {
            if state.armed == Some(armed_at) {
                state.armed = None;
                if state.machine.poll_timeout().is_some_and(|at| at <= effects.now) {
                    state.machine.step(effects.now, Event::TimeoutReached);
                }
            }
        });
    }

    /// Steps one event that needs nothing of the log.
    pub(crate) fn step(&self, event: Event) {
        self.with_state(|state, effects| state.machine.step(effects.now, event));
    }

    /// Runs a closure under the lock, then drains the machine's actions, then, without the lock, does what they ask for.
    fn with_state<T>(&self, run: impl FnOnce(&mut State, &mut Effects) -> T) -> T {
        let mut effects = Effects::default();
        let result = {
            let mut state = self.lock();
            effects.now = self.host.clock.now();
            let result = run(&mut state, &mut effects);
            self.drain(&mut state, &mut effects);
            result
        };
        self.finish(effects);
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }

    /// Drains the machine's actions and arms its timer.
    fn drain(&self, state: &mut State, effects: &mut Effects) {
        while let Some(action) = state.machine.poll_action() {
            self.act(state, action, effects);
        }
        // Only a leader has something to say to followers.
        effects.followers &= matches!(state.machine.role(), ReplicaRole::Leader(_));
        if let Some(at) = state.machine.poll_timeout()
            && state.armed.is_none_or(|armed| at < armed)
        {
            state.armed = Some(at);
            effects.timer = Some(at);
        }
    }

    fn act(&self, state: &mut State, action: Action, effects: &mut Effects) {
        match action {
            Action::BecomeLeader { leader_epoch, epoch_start_offset } => {
                state.end_flows();
                state.log.assign_epoch(leader_epoch, epoch_start_offset);
                state.unsent_fetch = None;
                tracing::debug!(partition = %self.name, %leader_epoch, %epoch_start_offset, "leads");
            }
            Action::BecomeFollower { leader, leader_epoch } => {
                state.end_flows();
                state.watchers.finish(&mut effects.polls);
                effects.follow = Some(leader);
                tracing::debug!(partition = %self.name, %leader, %leader_epoch, "follows");
            }
            Action::BecomeOffline { reason } => {
                state.end_flows();
                state.watchers.finish(&mut effects.polls);
                state.unsent_fetch = None;
                tracing::debug!(partition = %self.name, ?reason, "is offline");
            }
            Action::CompleteProduce { id, result } => {
                let result = result.map_err(|code| produce_error(code, state.leader()));
                match state.waiters.take(id) {
                    Some(sender) => effects.produced.push((sender, result)),
                    None => effects.own = Some((id, result)),
                }
            }
            Action::AdvanceHighWatermark { high_watermark } => {
                let bytes = state.meter.committed(high_watermark);
                state.watchers.add(i64::try_from(bytes).unwrap_or(i64::MAX), &mut effects.polls);
                state.log.set_high_watermark(high_watermark);
                effects.followers = true;
            }
            Action::AlterIsr(proposal) => {
                let partition = self.id;
                effects.requests.push(ReplicaRequest::AlterIsr { partition, proposal });
            }
            Action::RequestElection { leader_epoch, broker_epoch } => {
                let partition = self.id;
                let request = ReplicaRequest::GiveWay { partition, leader_epoch, broker_epoch };
                effects.requests.push(request);
            }
            Action::DeclareReplicaLost { reason, leader_epoch, broker_epoch } => {
                effects.lost = Some(Loss { reason, leader_epoch, broker_epoch });
            }
            Action::Fetch { leader, fetch } => {
                state.unsent_fetch = Some(fetch);
                effects.leader = Some(leader);
            }
            Action::AnswerFetch { follower, follower_broker_epoch, fetch_offset, answer } => {
                state.answer_follower(follower, follower_broker_epoch, fetch_offset, answer);
                effects.followers = true;
            }
            Action::Truncate { offset, high_watermark } => {
                state.log.set_high_watermark(high_watermark);
                effects.truncation = Some(state.log.begin_truncation(offset));
            }
            Action::RestartAt { offset } => {
                effects.truncation = Some(state.log.begin_restart(offset));
            }
            Action::AdvanceLogStart { offset } => {
                effects.removals.extend(state.log.advance_log_start(offset));
                let log_start_offset = state.log.log_start_offset();
                state.machine.step(effects.now, Event::LogStartMoved { log_start_offset });
            }
        }
    }

    /// Does what a step left to be done. Called without the lock.
    fn finish(&self, effects: Effects) {
        if effects.followers {
            for session in self.sessions.load().iter() {
                session.mark();
            }
        }
        if effects.flush
            && let Some(me) = self.me.upgrade()
        {
            let me: Arc<dyn Flushable> = me;
            self.host.storage.flusher.mark(&me);
        }
        if let Some(leader) = effects.leader
            && let Some(me) = self.me.upgrade()
        {
            self.host.outboxes.mark(leader, me);
        }
        for (sender, result) in effects.produced {
            // The request may have gone away meanwhile; what was appended stays.
            let _ = sender.send(result);
        }
        if effects.log_starts {
            self.log_starts_moved.notify_waiters();
        }
        for poll in effects.polls {
            poll.wake();
        }
        if let Some(at) = effects.timer {
            self.host.timers.arm(at, Weak::clone(&self.me));
        }
        for request in effects.requests {
            self.host.requests.push(request);
        }
        if let Some(leader) = effects.follow {
            self.host.outboxes.follow(leader);
        }
        if let Some(truncation) = effects.truncation {
            self.run_truncation(truncation);
        }
        for removal in effects.removals {
            self.run_removal(removal);
        }
        if effects.checkpoint
            && let Some(me) = self.me.upgrade()
        {
            // A failure is reported where it happens, and ends the process.
            self.host.storage.run_job(move || drop(me.checkpoint()));
        }
        if let Some(loss) = effects.lost {
            self.declare_lost(loss);
        }
    }
}

impl State {
    fn leader(&self) -> LeaderHint {
        let metadata = self.machine.metadata();
        LeaderHint {
            leader: metadata.and_then(|metadata| metadata.leader),
            leader_epoch: metadata
                .map_or_else(LeaderEpoch::default, |metadata| metadata.leader_epoch),
        }
    }

    /// Checks that this replica leads, in the epoch that a request names if it names one.
    fn check_leads(&self, current: Option<LeaderEpoch>) -> Result<(), NotServed> {
        match self.machine.check_leader_epoch(current) {
            Ok(()) => {}
            Err(ErrorCode::UnknownLeaderEpoch) => return Err(NotServed::UnknownLeaderEpoch),
            Err(_) => return Err(NotServed::FencedLeaderEpoch(self.leader())),
        }
        match self.machine.role() {
            ReplicaRole::Leader(_) => Ok(()),
            ReplicaRole::Follower(..) | ReplicaRole::Offline(_) => {
                Err(NotServed::NotLeader(self.leader()))
            }
        }
    }

    fn truncation_generation(&self) -> TruncationGeneration {
        TruncationGeneration(self.log.truncation_generation().0)
    }
}

/// Returns the log's offsets in the machine's words.
fn log_state(log: &Log) -> LogState {
    LogState {
        log_start_offset: log.log_start_offset(),
        log_end_offset: log.log_end_offset(),
        flushed_offset: log.flushed_offset(),
        truncation_generation: TruncationGeneration(log.truncation_generation().0),
    }
}

/// Maps the machine's code of a waiter that failed.
fn produce_error(code: ErrorCode, leader: LeaderHint) -> ProduceError {
    match code {
        ErrorCode::NotEnoughReplicasAfterAppend => ProduceError::NotEnoughReplicasAfterAppend,
        ErrorCode::RequestTimedOut => ProduceError::TimedOut,
        _ => ProduceError::LeadershipLost(leader),
    }
}
