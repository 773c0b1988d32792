//! One pass of the driver: lock, step, drain the actions, unlock, and only then do what they ask of others.
//!
//! Owns that order, and what each action of the machine does under the lock: to the log, to who waits, and to the effects that [`effects`](super::effects) has done
//! once the lock is released.

use model::{ErrorCode, Offset, Timestamp};

use super::effects::{Effects, Loss};
use super::{PartitionHandle, State};
use crate::error::{LeaderHint, ProduceError};
use crate::partition::{Action, Event, OfflineReason, ReplicaRole};
use crate::requests::ReplicaRequest;

impl PartitionHandle {
    /// Runs a closure under the lock and drains the machine's actions; then, without the lock, does what they ask for.
    pub(super) fn with_state<T>(&self, run: impl FnOnce(&mut State, &mut Effects) -> T) -> T {
        self.with_state_then(run, |_state, _effects, result| result)
    }

    /// Like [`Self::with_state`], with a look at what the drained actions came to, under the same lock.
    pub(super) fn with_state_then<T, U>(
        &self,
        run: impl FnOnce(&mut State, &mut Effects) -> T,
        then: impl FnOnce(&mut State, &mut Effects, T) -> U,
    ) -> U {
        let mut effects = Effects::default();
        let result = {
            let mut state = self.lock();
            effects.now = self.host.clock.now();
            let result = run(&mut state, &mut effects);
            self.drain(&mut state, &mut effects);
            then(&mut state, &mut effects, result)
        };
        self.finish(effects);
        result
    }

    /// Steps one event that needs nothing of the log.
    pub(crate) fn step(&self, event: Event) {
        self.with_state(|state, effects| state.machine.step(effects.now, event));
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
                tracing::debug!(partition = %self.name, %leader_epoch, %epoch_start_offset, "this replica leads");
            }
            Action::BecomeFollower { leader, leader_epoch } => {
                state.end_flows();
                state.finish_watchers(effects);
                effects.follow = Some(leader);
                tracing::debug!(partition = %self.name, %leader, %leader_epoch, "this replica follows");
            }
            Action::BecomeOffline { reason } => self.went_offline(state, reason, effects),
            Action::CompleteProduce { id, result } => {
                let result = result.map_err(|code| produce_error(code, state.leader()));
                match state.waiters.take(id) {
                    Some(sender) => effects.produced.push((sender, result)),
                    None => effects.own = Some((id, result)),
                }
            }
            Action::AdvanceHighWatermark { high_watermark } => {
                state.log.set_high_watermark(high_watermark);
                state.count_committed(high_watermark, effects);
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
                state.unsent_fetch = Some((leader, fetch));
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

    fn went_offline(&self, state: &mut State, reason: OfflineReason, effects: &mut Effects) {
        state.end_flows();
        state.finish_watchers(effects);
        state.unsent_fetch = None;
        match reason {
            // Once per loss; its declaration is repeated until the image shows it.
            OfflineReason::Lost(reason) => {
                tracing::error!(partition = %self.name, ?reason, "this replica cannot trust its data and leaves the in-sync replicas");
            }
            OfflineReason::NotRegistered | OfflineReason::NotAssigned | OfflineReason::NoLeader => {
                tracing::debug!(partition = %self.name, ?reason, "this replica is offline");
            }
        }
    }
}

impl State {
    /// Counts what the high watermark has passed, and the last stable offset with it: that one moves only when a marker is committed, or records that no transaction
    /// holds back.
    fn count_committed(&mut self, high_watermark: Offset, effects: &mut Effects) {
        let bytes = self.meter.committed(high_watermark);
        self.watchers.add(i64::try_from(bytes).unwrap_or(i64::MAX), &mut effects.polls);
        let bytes = self.stable_meter.committed(self.log.last_stable_offset(high_watermark));
        self.stable_watchers.add(i64::try_from(bytes).unwrap_or(i64::MAX), &mut effects.polls);
    }

    fn finish_watchers(&mut self, effects: &mut Effects) {
        self.watchers.finish(&mut effects.polls);
        self.stable_watchers.finish(&mut effects.polls);
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
