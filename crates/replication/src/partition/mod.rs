//! The partition replica as a pure state machine: who has what, what is committed, who is in sync.
//!
//! It owns the protocol between one partition's replicas (design: sections 3, 3a, 3b). It has no clock, files, sockets, tasks or randomness;
//! record bytes never enter it. The driver keeps machine and log behind one lock and, under it, does one synchronous pass:
//!
//! * produce: [`Partition::admit_produce`], append, [`Event::Appended`], [`Event::Produced`] (a duplicate: only the latter), drain actions;
//! * batches from the leader: [`Partition::admit_batches`], append, [`Event::Appended`] per run of equal epochs, [`Event::LeaderAnswered`], drain actions;
//! * anything else: [`Partition::step`], drain [`Partition::poll_action`], arm one timer from [`Partition::poll_timeout`].
//!
//! The high watermark is the promise: what lies below it is on every member of the maximal ISR, durably unless the topic asked otherwise,
//! so any of them may lead next. `invariants` states what holds after every step.
//!
//! `event` and `action` are the two doors, `steps` has the one `match` on events, `role` the transitions. A leader is `leader` (high watermark, waiters) with `in_sync`
//! (who is in sync), `isr`, `follower_progress` and `pending_produce`; a follower is `follower`. Who may truncate is in `cut`, who gives itself up in `loss`, what
//! waits for an image in `parking`, what is asked before an append in `admission`.

mod action;
mod admission;
mod cut;
mod env;
mod event;
mod follower;
mod follower_progress;
mod in_sync;
mod invariants;
mod isr;
mod leader;
mod loss;
mod metadata;
#[cfg(not(feature = "mutations"))]
pub(crate) mod mutation;
#[cfg(feature = "mutations")]
pub mod mutation;
mod parking;
mod pending_produce;
mod replica_log;
mod role;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset, Timestamp};

pub use action::{Action, AlterIsr, LossReason, OfflineReason};
pub use admission::{AdmissionError, BatchesRefused};
pub use event::{
    AnswerBody, Appended, Event, FollowerFetch, Generation, LeaderAnswer, LogState, ProduceWaiter,
    TruncationGeneration, WaiterId,
};
pub use metadata::{
    Assignment, Durability, Fencing, FlushPolicy, PartitionMetadata, ReplicaMetadata,
};

use cut::CutState;
use invariants::Witness;
#[cfg(test)]
use isr::Isr;
use loss::Loss;
use replica_log::ReplicaLog;
use role::Role;

/// What a machine is made with; constant for its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The own broker.
    pub broker_id: BrokerId,
    /// Epoch of the own, present registration. A new registration means a new machine.
    pub broker_epoch: BrokerEpoch,
    /// Kafka's `replica.lag.time.max.ms`; a tenth of it is the pace of samples, keep-alives and repeats.
    pub replica_lag_time_max: Duration,
    /// `broker.session.timeout.ms`: how long an own flush may stand still before rule 3a.15 looks at the others.
    pub broker_session_timeout: Duration,
    /// First generation to use; greater than any that an earlier machine of this partition used under the same broker epoch.
    pub first_generation: Generation,
}

impl Options {
    fn tick(&self) -> Duration {
        self.replica_lag_time_max / follower_progress::TICKS_PER_LAG
    }
}

/// What recovery found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedLog {
    /// The log's offsets. A log that ends below its start (the start is checkpointed apart) asks at once to restart there.
    pub log: LogState,
    /// The checkpointed high watermark, a hint; `None` when there is none.
    pub high_watermark: Option<Offset>,
    /// The leader epoch cache: strictly ascending in epoch and start offset.
    pub epochs: Vec<EpochEntry>,
}

/// One entry of the leader epoch cache (KIP-101).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// A leader epoch.
    pub epoch: LeaderEpoch,
    /// The log end offset when it began.
    pub start_offset: Offset,
}

/// What a replica does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaRole {
    /// It leads in this epoch.
    Leader(LeaderEpoch),
    /// It follows that broker in this epoch.
    Follower(BrokerId, LeaderEpoch),
    /// Neither.
    Offline(OfflineReason),
}

/// One replica of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    options: Options,
    now: Timestamp,
    log: ReplicaLog,
    /// The last image that was acted upon: one that has applied the own, present registration (rule 3a.6).
    metadata: Option<PartitionMetadata>,
    role: Role,
    /// The last generation that was used; the next position takes the next.
    generation: Generation,
    /// Whether the log is being cut: a new image then waits until it is done.
    cut: CutState,
    /// Set once the replica gave itself up.
    loss: Option<Loss>,
    /// Per follower, the newest message that the image does not know enough for (design 3b.1). Nobody else would send it again soon.
    parked: BTreeMap<BrokerId, FollowerFetch>,
    actions: VecDeque<Action>,
    witness: Witness,
}

impl Partition {
    /// Makes a machine for a replica whose log was opened and checked. It is offline until an image arrives.
    #[must_use]
    pub fn new(options: Options, opened: OpenedLog) -> Self {
        let log = ReplicaLog::new(opened);
        let mut partition = Self {
            now: Timestamp::ZERO,
            generation: Generation(options.first_generation.0.saturating_sub(1)),
            options,
            witness: Witness::new(&log),
            log,
            metadata: None,
            role: Role::Offline(OfflineReason::NotRegistered),
            cut: CutState::None,
            loss: None,
            parked: BTreeMap::new(),
            actions: VecDeque::new(),
        };
        if partition.log.ends_below_start() {
            let offset = partition.log.start();
            partition.begin_cut(Action::RestartAt { offset });
        }
        partition
    }

    /// Takes in what happened. `now` never goes back.
    pub fn step(&mut self, now: Timestamp, event: Event) {
        self.now = self.now.max(now);
        let before = if cfg!(debug_assertions) { self.witness_step(&event) } else { None };
        self.dispatch(event);
        if cfg!(debug_assertions) && !mutation::are_invariants_silent() {
            self.check_invariants(before.as_deref());
        }
    }

    /// Returns the next wish; call until `None` after every step.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns when to step [`Event::TimeoutReached`], if ever. A time in the past means now.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let of_role = match &self.role {
            Role::Leader(leader) => leader.poll_timeout(&self.options),
            Role::Follower(follower) if !self.is_cutting() => Some(follower.send_at()),
            Role::Follower(_) | Role::Offline(_) => None,
        };
        let of_loss = self.loss.as_ref().and_then(Loss::declare_at);
        of_role.into_iter().chain(of_loss).min()
    }

    /// Returns what the replica does.
    #[must_use]
    pub fn role(&self) -> ReplicaRole {
        match &self.role {
            Role::Leader(leader) => ReplicaRole::Leader(leader.epoch()),
            Role::Follower(follower) => {
                ReplicaRole::Follower(follower.leader(), follower.leader_epoch())
            }
            Role::Offline(reason) => ReplicaRole::Offline(*reason),
        }
    }

    /// Returns the image that the machine acts upon.
    #[must_use]
    pub fn metadata(&self) -> Option<&PartitionMetadata> {
        self.metadata.as_ref()
    }

    /// Returns a leader's in-sync set with its change in flight.
    #[cfg(test)]
    fn isr(&self) -> Option<&Isr> {
        match &self.role {
            Role::Leader(leader) => Some(&leader.isr),
            Role::Follower(_) | Role::Offline(_) => None,
        }
    }

    /// Returns the high watermark: exclusive end of what is known to be committed.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.log.high_watermark()
    }

    /// Returns the log's offsets as the machine knows them.
    #[must_use]
    pub fn log(&self) -> LogState {
        self.log.state()
    }

    /// Returns what a leader says to its followers with or without batches: high watermark and log start of now.
    #[must_use]
    pub fn progress(&self) -> AnswerBody {
        leader::progress_of(&self.log)
    }

    /// Says whether a leader may answer ListOffsets (latest, by timestamp) and the last stable offset.
    ///
    /// # Errors
    /// `NOT_LEADER_OR_FOLLOWER` when the replica does not lead; `OFFSET_NOT_AVAILABLE` until the high watermark has reached the start of
    /// the leader's epoch (KIP-207).
    pub(crate) fn check_offsets_available(&self) -> Result<(), ErrorCode> {
        match &self.role {
            Role::Leader(leader) if self.log.high_watermark() < leader.epoch_start_offset() => {
                Err(ErrorCode::OffsetNotAvailable)
            }
            Role::Leader(_) => Ok(()),
            Role::Follower(_) | Role::Offline(_) => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// Checks the current leader epoch of a client's or follower's request against the replica's (KIP-320). `None` is always right.
    ///
    /// # Errors
    /// `FENCED_LEADER_EPOCH` when the request's is older, `UNKNOWN_LEADER_EPOCH` when it is newer.
    pub(crate) fn check_leader_epoch(&self, current: Option<LeaderEpoch>) -> Result<(), ErrorCode> {
        let known = self.metadata.as_ref().map(|metadata| metadata.leader_epoch);
        match current {
            Some(epoch) if Some(epoch) < known => Err(ErrorCode::FencedLeaderEpoch),
            Some(epoch) if Some(epoch) > known => Err(ErrorCode::UnknownLeaderEpoch),
            Some(_) | None => Ok(()),
        }
    }

    /// Returns the greatest epoch of the log that is at most `asked`, with its exclusive end (OffsetForLeaderEpoch).
    pub(crate) fn end_offset_for(&self, asked: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.log.end_offset_for(asked)
    }
}
