//! What each event does to the machine: which role takes it in.
//!
//! The one `match` on events. How roles change is in `role`, who cuts the log in `cut`, who gives itself up in `loss`, who waits for an image in `parking`.

use model::{BrokerId, LeaderEpoch, Offset};

use super::Partition;
use super::action::Action;
use super::event::{
    AnswerBody, Appended, Event, FollowerFetch, Generation, LeaderAnswer, ProduceWaiter,
    TruncationGeneration,
};
use super::mutation::{Mutation, is_active};
use super::parking::Relation;
use super::role::Role;

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

    pub(super) fn follower_fetched(&mut self, follower: BrokerId, fetch: &FollowerFetch) {
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
        if let Some(cut) = cut {
            self.cut_log(cut);
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

    fn timeout_reached(&mut self) {
        let is_cutting = self.is_cutting();
        match self.split() {
            Some((Role::Leader(leader), mut env)) => leader.timeout(&mut env),
            Some((Role::Follower(follower), mut env)) if !is_cutting => follower.timeout(&mut env),
            Some(_) | None => {}
        }
        self.maybe_declare_again();
    }
}
