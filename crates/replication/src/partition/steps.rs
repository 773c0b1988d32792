//! What each event does to the machine as a whole: which role takes it in, and how one role follows another.
//!
//! Owns the transitions: metadata is applied only forward (invariant 6), a role ends with its waiters answered (invariant 9), a log that is being
//! cut delays the next image, and a replica that lost data cuts nothing before its image shows it out of the ISR (rule 3a.7).

use model::{BrokerId, LeaderEpoch, Offset};

use super::action::{Action, LossReason, OfflineReason};
use super::event::{
    AnswerBody, Appended, Event, FollowerFetch, Generation, LeaderAnswer, LogState, ProduceWaiter,
    TruncationGeneration,
};
use super::follower::{Cut, Follower};
use super::leader::Leader;
use super::metadata::{Durability, PartitionMetadata};
use super::mutation::{Mutation, is_active};
use super::role::{Env, Role};
use super::{CutState, Loss, Partition};

/// How many brokers may have a message parked; one beyond it is dropped, and comes again with its keep-alive.
const MAX_PARKED: usize = 64;

/// How a follower's message relates to the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// Of an older leader epoch or registration, or to a replica that does not lead: dropped.
    Stale,
    /// Right for this leader.
    Present,
    /// Of a leader epoch, registration or assignment that the image has not reached: parked.
    Early,
}

impl Partition {
    pub(super) fn dispatch(&mut self, event: Event) {
        match event {
            Event::MetadataChanged(metadata) => self.metadata_changed(metadata),
            Event::Appended(appended) => self.appended(&appended),
            Event::Produced(waiter) => self.produced(&waiter),
            Event::Flushed { offset, truncation_generation } => {
                self.flushed(offset, truncation_generation);
            }
            Event::Truncated(state) => self.truncated(state),
            Event::LogStartMoved { log_start_offset } => self.log_start_moved(log_start_offset),
            Event::FollowerFetched { follower, fetch } => self.follower_fetched(follower, &fetch),
            Event::LeaderAnswered { leader, answer } => self.leader_answered(leader, &answer),
            Event::StreamOpened { leader } => self.stream_opened(leader),
            Event::FetchFailed { leader_epoch, generation } => {
                self.fetch_failed(leader_epoch, generation);
            }
            Event::AppendFailed => self.append_failed(),
            Event::CorruptionFound { offset } => self.corruption_found(offset),
            Event::TimeoutReached => self.timeout_reached(),
        }
    }

    /// Splits the machine into its role and what the role sees. `None` before the first image, when the replica is offline.
    fn split(&mut self) -> Option<(&mut Role, Env<'_>)> {
        let Self { options, now, log, metadata, role, generation, actions, .. } = self;
        let metadata = metadata.as_ref()?;
        Some((role, Env { now: *now, options, metadata, log, actions, generation }))
    }

    fn metadata_changed(&mut self, metadata: PartitionMetadata) {
        if let Some(known) = &self.metadata
            && (metadata.leader_epoch < known.leader_epoch
                || metadata.partition_epoch < known.partition_epoch)
        {
            return;
        }
        let own_epoch = Some(self.options.broker_epoch);
        match metadata.replica(self.options.broker_id) {
            // Another registration's image: an older one says nothing about this run, a newer one ended it.
            Some(replica)
                if replica.broker_epoch < own_epoch
                    && !is_active(Mutation::OldImageAfterRestart) => {}
            Some(replica) if replica.broker_epoch > own_epoch => {
                self.go_offline(OfflineReason::NotRegistered);
            }
            Some(_) | None => match &mut self.cut {
                CutState::Cutting(waiting) => *waiting = Some(Box::new(metadata)),
                CutState::None => self.apply_metadata(metadata),
            },
        }
    }

    fn apply_metadata(&mut self, metadata: PartitionMetadata) {
        let own = self.options.broker_id;
        let leader = metadata.leader;
        let leader_epoch = metadata.leader_epoch;
        let is_assigned = metadata.replicas.contains_key(&own);
        self.metadata = Some(metadata);
        if self.loss.is_some() {
            self.maybe_rebuild();
            return;
        }
        match (leader, self.split()) {
            _ if !is_assigned => self.go_offline(OfflineReason::NotAssigned),
            (Some(leader), Some((Role::Leader(role), mut env)))
                if leader == own && role.epoch() == leader_epoch =>
            {
                role.metadata_changed(&mut env);
            }
            (Some(leader), Some((Role::Follower(role), _)))
                if role.leader() == leader && role.leader_epoch() == leader_epoch => {}
            (Some(leader), _) if leader == own => self.lead(),
            (Some(leader), _) => self.follow(leader, leader_epoch),
            (None, _) => self.go_offline(OfflineReason::NoLeader),
        }
        self.unpark();
    }

    fn lead(&mut self) {
        self.leave_role();
        if let Some((role, mut env)) = self.split() {
            *role = Role::Leader(Box::new(Leader::start(&mut env)));
        }
    }

    fn follow(&mut self, leader: BrokerId, leader_epoch: LeaderEpoch) {
        self.leave_role();
        self.actions.push_back(Action::BecomeFollower { leader, leader_epoch });
        if let Some((role, mut env)) = self.split() {
            *role = Role::Follower(Follower::start(leader, leader_epoch, &mut env));
        }
        if is_active(Mutation::TruncateToHighWatermark) {
            self.truncate_to(self.log.high_watermark());
        }
    }

    fn go_offline(&mut self, reason: OfflineReason) {
        if self.role == Role::Offline(reason) {
            return;
        }
        self.leave_role();
        self.role = Role::Offline(reason);
        self.actions.push_back(Action::BecomeOffline { reason });
    }

    fn leave_role(&mut self) {
        if let Some((Role::Leader(leader), mut env)) = self.split() {
            leader.resign(&mut env);
        }
    }

    fn appended(&mut self, appended: &Appended) {
        let was = self.log.end();
        if !self.log.append(appended) {
            return;
        }
        let is_cutting = self.is_cutting();
        match self.split() {
            Some((Role::Leader(leader), mut env)) => leader.appended(&mut env, was),
            Some((Role::Follower(follower), mut env)) if !is_cutting => {
                follower.appended(&mut env);
            }
            Some(_) | None => {}
        }
    }

    fn produced(&mut self, waiter: &ProduceWaiter) {
        match self.split() {
            Some((Role::Leader(leader), mut env)) if leader.epoch() == waiter.leader_epoch => {
                leader.produced(&mut env, waiter);
            }
            Some(_) | None => {
                let result = Err(model::ErrorCode::NotLeaderOrFollower);
                self.actions.push_back(Action::CompleteProduce { id: waiter.id, result });
            }
        }
    }

    fn flushed(&mut self, offset: Offset, generation: TruncationGeneration) {
        if !self.log.flush(offset, generation) {
            return;
        }
        let is_cutting = self.is_cutting();
        match self.split() {
            Some((Role::Leader(leader), mut env)) => leader.flushed(&mut env),
            Some((Role::Follower(follower), mut env)) if !is_cutting => {
                follower.acknowledge(&mut env);
            }
            Some(_) | None => {}
        }
    }

    fn log_start_moved(&mut self, log_start_offset: Offset) {
        self.log.move_start(log_start_offset);
        if let Some((Role::Leader(leader), mut env)) = self.split() {
            leader.log_start_moved(&mut env);
        }
    }

    fn follower_fetched(&mut self, follower: BrokerId, fetch: &FollowerFetch) {
        match self.relation(follower, fetch) {
            Relation::Stale => {}
            Relation::Early => self.park(follower, fetch),
            Relation::Present => {
                if let Some((Role::Leader(leader), mut env)) = self.split() {
                    leader.fetched(&mut env, follower, fetch);
                }
            }
        }
    }

    fn relation(&self, follower: BrokerId, fetch: &FollowerFetch) -> Relation {
        let Some(metadata) = &self.metadata else { return Relation::Early };
        if fetch.leader_epoch > metadata.leader_epoch {
            return Relation::Early;
        }
        let leads = matches!(self.role, Role::Leader(_));
        let is_old = fetch.leader_epoch < metadata.leader_epoch
            && !is_active(Mutation::JoinWithoutFetchInEpoch);
        if is_old || !leads {
            return Relation::Stale;
        }
        match metadata.replica(follower).and_then(|replica| replica.broker_epoch) {
            Some(known) if fetch.broker_epoch < known => Relation::Stale,
            Some(known) if fetch.broker_epoch == known => Relation::Present,
            Some(_) | None => Relation::Early,
        }
    }

    /// Keeps the newest message per broker until the image gets there.
    fn park(&mut self, follower: BrokerId, fetch: &FollowerFetch) {
        if is_active(Mutation::NewerPositionDropped) {
            return;
        }
        let age =
            |fetch: &FollowerFetch| (fetch.broker_epoch, fetch.leader_epoch, fetch.generation);
        let is_newest = match self.parked.get(&follower) {
            Some(parked) => age(parked) <= age(fetch),
            None => self.parked.len() < MAX_PARKED,
        };
        if is_newest {
            self.parked.insert(follower, *fetch);
        }
    }

    fn unpark(&mut self) {
        for (follower, fetch) in std::mem::take(&mut self.parked) {
            self.follower_fetched(follower, &fetch);
        }
    }

    fn leader_answered(&mut self, leader: BrokerId, answer: &LeaderAnswer) {
        // While the log is cut, nothing of the old generation counts, a high watermark least of all: it may speak of records that the cut drops.
        let is_barred = self.is_cutting()
            && !(is_active(Mutation::HighWatermarkDuringTruncation)
                && matches!(answer.body, AnswerBody::Progress { .. }));
        let cut = match self.split() {
            Some((Role::Follower(follower), mut env))
                if follower.leader() == leader
                    && follower.is_current(answer.leader_epoch, answer.generation)
                    && !is_barred =>
            {
                follower.answered(&mut env, answer)
            }
            Some(_) | None => None,
        };
        match cut {
            Some(Cut::Truncate(offset)) => self.truncate_to(offset),
            Some(Cut::Restart(offset)) => self.restart_at(offset),
            None => {}
        }
    }

    fn truncate_to(&mut self, offset: Offset) {
        if offset < self.log.start() {
            self.restart_at(offset);
        } else if self.may_lower_to(offset) {
            let high_watermark = self.log.high_watermark();
            self.begin_cut(Action::Truncate { offset, high_watermark });
        }
    }

    fn restart_at(&mut self, offset: Offset) {
        if self.may_lower_to(offset) {
            self.begin_cut(Action::RestartAt { offset });
        }
    }

    /// Lowers the high watermark ahead of a cut, or gives the replica up when the partition is durable (rule 3a.10).
    fn may_lower_to(&mut self, offset: Offset) -> bool {
        let high_watermark = self.log.high_watermark();
        if offset >= high_watermark {
            return true;
        }
        let durability = self.metadata.as_ref().map(|metadata| metadata.durability);
        if durability == Some(Durability::Durable) {
            let diverges_at = offset;
            self.lose(LossReason::DivergenceBelowHighWatermark { diverges_at, high_watermark });
            return false;
        }
        self.lower_high_watermark(offset);
        true
    }

    fn lower_high_watermark(&mut self, offset: Offset) {
        let was = self.log.high_watermark();
        self.log.lower_high_watermark(offset);
        self.witness.note_lowered();
        let high_watermark = self.log.high_watermark();
        if high_watermark != was {
            self.actions.push_back(Action::AdvanceHighWatermark { high_watermark });
        }
    }

    pub(super) fn begin_cut(&mut self, action: Action) {
        self.cut = CutState::Cutting(None);
        self.actions.push_back(action);
    }

    fn truncated(&mut self, state: LogState) {
        if !self.is_cutting() || state.truncation_generation <= self.log.generation() {
            return;
        }
        let was = self.log.high_watermark();
        self.log.truncate(state);
        let high_watermark = self.log.high_watermark();
        if high_watermark != was {
            // A restart below the old log start (lossy) lowers it once more, to where the log begins now.
            self.witness.note_lowered();
            self.actions.push_back(Action::AdvanceHighWatermark { high_watermark });
        }
        let waiting = std::mem::replace(&mut self.cut, CutState::None);
        let followed = self.followed();
        if let CutState::Cutting(Some(metadata)) = waiting {
            self.apply_metadata(*metadata);
        }
        let is_same = self.followed() == followed;
        if is_same && let Some((Role::Follower(follower), mut env)) = self.split() {
            follower.open_position(&mut env);
        }
    }

    fn followed(&self) -> Option<LeaderEpoch> {
        match &self.role {
            Role::Follower(follower) => Some(follower.leader_epoch()),
            Role::Leader(_) | Role::Offline(_) => None,
        }
    }

    fn stream_opened(&mut self, leader: BrokerId) {
        let is_cutting = self.is_cutting();
        if let Some((Role::Follower(follower), mut env)) = self.split()
            && follower.leader() == leader
            && !is_cutting
        {
            follower.open_position(&mut env);
        }
    }

    fn fetch_failed(&mut self, leader_epoch: LeaderEpoch, generation: Generation) {
        let is_cutting = self.is_cutting();
        if let Some((Role::Follower(follower), env)) = self.split()
            && follower.is_current(leader_epoch, generation)
            && !is_cutting
        {
            follower.pause(&env);
        }
    }

    fn append_failed(&mut self) {
        if let Some((Role::Leader(leader), mut env)) = self.split() {
            leader.append_failed(&mut env);
        }
    }

    fn corruption_found(&mut self, offset: Offset) {
        if self.loss.is_some() || offset >= self.log.end() {
            return;
        }
        if is_active(Mutation::CutBeforeLeavingIsr) && self.followed().is_some() {
            self.lower_high_watermark(offset);
            let high_watermark = self.log.high_watermark();
            self.begin_cut(Action::Truncate { offset, high_watermark });
            return;
        }
        self.lose(LossReason::Corruption { offset });
    }

    /// Gives the replica up: nothing is cut, led or followed before the image shows it out of the ISR.
    fn lose(&mut self, reason: LossReason) {
        self.loss = Some(Loss { reason, leader_epoch: None, declare_at: None });
        self.go_offline(OfflineReason::Lost(reason));
        self.declare_loss();
    }

    /// Declares the loss in the image's leader epoch. Before the first image there is none, and nobody counts on the replica yet.
    fn declare_loss(&mut self) {
        let broker_epoch = self.options.broker_epoch;
        let again_at = self.now + self.options.tick();
        if let (Some(loss), Some(metadata)) = (&mut self.loss, &self.metadata) {
            let (reason, leader_epoch) = (loss.reason, metadata.leader_epoch);
            loss.leader_epoch = Some(leader_epoch);
            loss.declare_at = Some(again_at);
            let action = Action::DeclareReplicaLost { reason, leader_epoch, broker_epoch };
            self.actions.push_back(action);
        }
    }

    /// Goes on once the image shows that the declaration was applied: the replica is out of the ISR, and the leader epoch in which it may still have been
    /// counted, by a proposal in flight too, has ended. Corrupt bytes are then cut; a divergence below the high watermark waits for a human.
    fn maybe_rebuild(&mut self) {
        let (Some(loss), Some(metadata)) = (&mut self.loss, &self.metadata) else { return };
        let own = self.options.broker_id;
        if Some(metadata.leader_epoch) <= loss.leader_epoch {
            return;
        }
        // On a lossy partition whose ISR was emptied, the last known leader leads again, whatever it lost (rule 3a.9): nobody else would.
        let leads_alone = metadata.durability == Durability::Lossy
            && metadata.leader == Some(own)
            && metadata.isr.len() == 1;
        let is_counted = loss.leader_epoch.is_none() || metadata.isr.contains(&own);
        if is_counted && !leads_alone {
            // An election came first: what was declared is void, and this epoch's leader may count the replica.
            self.declare_loss();
            return;
        }
        loss.declare_at = None;
        let LossReason::Corruption { offset } = loss.reason else { return };
        let follows = metadata.leader.is_some_and(|leader| leader != own);
        if self.is_cutting() || !(follows || leads_alone) {
            return;
        }
        let waiting = Some(Box::new(metadata.clone()));
        self.loss = None;
        let offset = offset.clamp(self.log.start(), self.log.end());
        self.lower_high_watermark(offset);
        let high_watermark = self.log.high_watermark();
        self.begin_cut(Action::Truncate { offset, high_watermark });
        self.cut = CutState::Cutting(waiting);
    }

    fn timeout_reached(&mut self) {
        let is_cutting = self.is_cutting();
        match self.split() {
            Some((Role::Leader(leader), mut env)) => leader.timeout(&mut env),
            Some((Role::Follower(follower), mut env)) if !is_cutting => follower.timeout(&mut env),
            Some(_) | None => {}
        }
        let declare_at = self.loss.as_ref().and_then(|loss| loss.declare_at);
        if declare_at.is_some_and(|at| at <= self.now) {
            self.declare_loss();
        }
    }
}
