//! A replica that leads: followers' progress, high watermark, waiters. Who is in sync is judged in `in_sync`.
//!
//! Owns invariants 3, 7 and 8. Whatever must be safe goes by the maximal ISR; whatever must be alive goes by time. The leader proposes
//! ISR changes and believes only its image.

use std::collections::BTreeMap;

use model::{Acks, BrokerId, ErrorCode, LeaderEpoch, Offset, Timestamp};

use super::Options;
use super::action::Action;
use super::env::Env;
use super::event::{AnswerBody, FollowerFetch, LeaderAnswer, ProduceWaiter};
use super::follower_progress::{FollowerProgress, LeaderView, LogEndSamples};
use super::isr::{Isr, ProposalOutcome};
use super::metadata::FlushPolicy;
use super::mutation::{Mutation, is_active};
use super::pending_produce::PendingProduce;
use super::replica_log::ReplicaLog;

/// State of a leader, in one leader epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leader {
    epoch: LeaderEpoch,
    epoch_start_offset: Offset,
    pub(super) isr: Isr,
    pub(super) followers: BTreeMap<BrokerId, FollowerProgress>,
    samples: LogEndSamples,
    pub(super) pending: PendingProduce,
    /// No proposal before this time: the last one was refused.
    pub(super) propose_after: Timestamp,
    /// When someone's being caught up may run out.
    pub(super) next_check: Option<Timestamp>,
    /// Since when the own flushed offset stands still although the log goes on.
    stalled_since: Option<Timestamp>,
    /// When that has lasted long enough to look at the others.
    stall_check: Option<Timestamp>,
    /// No request for an election before this time.
    election_after: Timestamp,
}

impl Leader {
    /// Takes the lead: writes the epoch entry at the log's end, also without data, and forgets what followers told anyone before.
    pub(super) fn start(env: &mut Env<'_>) -> Self {
        let epoch = env.metadata.leader_epoch;
        let epoch_start_offset = env.log.end();
        env.log.assign_epoch(epoch);
        env.actions.push_back(Action::BecomeLeader { leader_epoch: epoch, epoch_start_offset });
        let mut leader = Self {
            epoch,
            epoch_start_offset,
            isr: Isr::new(env.metadata.isr.clone()),
            followers: BTreeMap::new(),
            samples: LogEndSamples::new(env.options.replica_lag_time_max),
            pending: PendingProduce::default(),
            propose_after: env.now,
            next_check: None,
            stalled_since: None,
            stall_check: None,
            election_after: env.now,
        };
        leader.watch_flushes(env);
        leader.follow_assignment(env);
        leader.check(env);
        leader.settle(env);
        leader
    }

    pub(super) fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    pub(super) fn epoch_start_offset(&self) -> Offset {
        self.epoch_start_offset
    }

    /// Takes in an image of the same leader epoch.
    pub(super) fn metadata_changed(&mut self, env: &mut Env<'_>) {
        let metadata = env.metadata;
        match self.isr.image_shows(&metadata.isr, metadata.partition_epoch) {
            // Both sides judge by the same rules but not by the same moment: a pause lets the image catch up with what the
            // controller knew, instead of a proposal per refusal.
            ProposalOutcome::Refused => self.propose_after = env.next_tick(),
            ProposalOutcome::NoneInFlight | ProposalOutcome::Pending | ProposalOutcome::Applied => {
            }
        }
        self.follow_assignment(env);
        self.check(env);
        self.settle(env);
    }

    /// Takes in an append to the own log; `was` is where it ended before.
    pub(super) fn appended(&mut self, env: &mut Env<'_>, was: Offset) {
        self.samples.before_append(env.now, was);
        if self.stalled_since.is_none() {
            self.watch_flushes(env);
        }
        self.settle(env);
    }

    /// Takes in a flush that moved the own flushed offset.
    pub(super) fn flushed(&mut self, env: &mut Env<'_>) {
        self.watch_flushes(env);
        self.settle(env);
    }

    /// Takes in a waiter. One that already has what it waits for is answered in this step.
    pub(super) fn produced(&mut self, env: &mut Env<'_>, waiter: &ProduceWaiter) {
        match waiter.acks {
            Acks::None => {
                env.actions.push_back(Action::CompleteProduce { id: waiter.id, result: Ok(()) });
            }
            Acks::Leader | Acks::All => {
                self.pending.add(waiter);
                self.complete(env);
            }
        }
    }

    /// Takes in a message of a follower that the image knows under this broker epoch.
    pub(super) fn fetched(&mut self, env: &mut Env<'_>, from: BrokerId, fetch: &FollowerFetch) {
        let Some(progress) = self.followers.get_mut(&from) else { return };
        if progress.generation > Some(fetch.generation) && !is_active(Mutation::OldGenerationCounts)
        {
            return;
        }
        let is_open = progress.generation == Some(fetch.generation) && progress.reported.is_some();
        if let Err(body) = check_position(env.log, fetch) {
            progress.refuse(fetch.generation);
            answer(env, from, fetch, body);
            return;
        }
        if is_open {
            progress.acknowledge(env.now, fetch);
        } else {
            progress.open(fetch);
        }
        let view = LeaderView {
            log_end_offset: env.log.end(),
            flush_policy: env.metadata.flush_policy,
            samples: &self.samples,
        };
        progress.note_caught_up(env.now, &view);
        if !is_open {
            let expiry = progress.caught_up_at.map(|at| at + env.options.replica_lag_time_max);
            self.next_check = earliest([self.next_check, expiry]);
        }
        self.settle(env);
        if !is_open {
            // After the settling, so that the first thing the follower hears is the newest.
            answer(env, from, fetch, progress_of(env.log));
        }
    }

    /// Takes in a new start of the own log: followers that stream from below it must start anew.
    pub(super) fn log_start_moved(&mut self, env: &mut Env<'_>) {
        let log_start_offset = env.log.start();
        for (follower, progress) in &mut self.followers {
            let (Some(reported), Some(generation), Some(broker_epoch)) =
                (progress.reported, progress.generation, progress.broker_epoch)
            else {
                continue;
            };
            if reported.log_end_offset < log_start_offset {
                progress.refuse(generation);
                let fetch_offset = reported.log_end_offset;
                let body = AnswerBody::OutOfRange { log_start_offset, fetch_offset };
                env.actions.push_back(Action::AnswerFetch {
                    follower: *follower,
                    follower_broker_epoch: broker_epoch,
                    fetch_offset,
                    answer: LeaderAnswer { leader_epoch: self.epoch, generation, body },
                });
            }
        }
    }

    /// Takes in that an append failed for lack of space: another should lead (rule 3a.15).
    pub(super) fn append_failed(&mut self, env: &mut Env<'_>) {
        if self.other_live_members(env).next().is_some() {
            self.request_election(env);
        }
    }

    /// Does what is due.
    pub(super) fn timeout(&mut self, env: &mut Env<'_>) {
        for id in self.pending.expired(env.now) {
            let result = Err(ErrorCode::RequestTimedOut);
            env.actions.push_back(Action::CompleteProduce { id, result });
        }
        if is_active(Mutation::ProposalForgotten)
            && self.isr.in_flight().is_some_and(|proposal| proposal.sent_at < env.now)
        {
            self.isr = Isr::new(self.isr.committed().clone());
        }
        if let Some(alter_isr) = self.isr.resend(env.now, env.now - env.options.tick()) {
            env.actions.push_back(Action::AlterIsr(alter_isr));
        }
        if self.next_check.is_some_and(|at| at <= env.now) {
            self.check(env);
        }
        // Looked at once; from then on only a follower's flush can change the answer.
        self.stall_check = self.stall_check.filter(|at| *at > env.now);
        self.settle(env);
    }

    /// Returns when something is due.
    pub(super) fn poll_timeout(&self, options: &Options) -> Option<Timestamp> {
        earliest([
            self.pending.next_deadline(),
            self.isr.in_flight().map(|proposal| proposal.sent_at + options.tick()),
            self.next_check,
            self.stall_check,
        ])
    }

    /// Fails all that wait, as the leadership ends.
    pub(super) fn resign(&mut self, env: &mut Env<'_>) {
        for id in self.pending.drain() {
            let result = Err(ErrorCode::NotLeaderOrFollower);
            env.actions.push_back(Action::CompleteProduce { id, result });
        }
    }

    /// Does what follows from any change: proposals to join, high watermark, waiters, a request to be replaced.
    fn settle(&mut self, env: &mut Env<'_>) {
        self.maybe_expand(env);
        self.maybe_advance_high_watermark(env);
        self.complete(env);
        self.maybe_give_way(env);
    }

    /// Notes since when the own disk owes a flush.
    fn watch_flushes(&mut self, env: &Env<'_>) {
        self.stalled_since = (env.log.flushed() < env.log.end()).then_some(env.now);
        self.stall_check = self.stalled_since.map(|at| at + env.options.broker_session_timeout);
    }

    /// Moves the high watermark to what every maximal member has, and what joiners-to-be that keep up have.
    fn maybe_advance_high_watermark(&self, env: &mut Env<'_>) {
        let metadata = env.metadata;
        let live = self.isr.committed().iter().filter(|member| metadata.is_unfenced(**member));
        if live.count() < metadata.effective_min_isr && !is_active(Mutation::NoStrictMinIsr) {
            return;
        }
        let policy = countable_policy(metadata.flush_policy);
        let mut bound = env.countable();
        for member in self.isr.maximal().filter(|member| *member != env.options.broker_id) {
            if is_active(Mutation::HighWatermarkFromCommittedIsr)
                && !self.isr.committed().contains(&member)
            {
                continue;
            }
            // A member not heard from in this epoch holds the high watermark where it is.
            let Some(reported) = self.followers.get(&member).and_then(|known| known.reported)
            else {
                return;
            };
            bound = bound.min(reported.countable(policy));
        }
        let lag = env.options.replica_lag_time_max;
        let high_watermark = env.log.high_watermark();
        for (_, progress) in self.outsiders(env) {
            // Its log end, not yet its flushed offset: else a slower disk could never join under load; and only once it has reached
            // the high watermark, else each returning broker would freeze all acks until it has fetched what it missed.
            if let Some(reported) = progress.reported
                && progress.is_caught_up(env.now, lag)
                && reported.log_end_offset >= high_watermark
            {
                bound = bound.min(reported.countable(policy));
            }
        }
        env.raise_high_watermark(bound);
    }

    /// Completes the waiters whose offset is reached; `acks=all` needs the effective min ISR still to be in sync.
    fn complete(&mut self, env: &mut Env<'_>) {
        if self.pending.is_empty() {
            return;
        }
        for (_, id) in self.pending.reached(Acks::Leader, env.countable()) {
            env.actions.push_back(Action::CompleteProduce { id, result: Ok(()) });
        }
        let high_watermark = if is_active(Mutation::AcksAllOnLeaderAlone) {
            env.countable()
        } else {
            env.log.high_watermark()
        };
        let reached = self.pending.reached(Acks::All, high_watermark);
        if reached.is_empty() {
            return;
        }
        let in_sync = self.in_sync_count(env.now, env.options, env.metadata);
        let result = if in_sync < env.metadata.effective_min_isr {
            Err(ErrorCode::NotEnoughReplicasAfterAppend)
        } else {
            Ok(())
        };
        for (_, id) in reached {
            env.actions.push_back(Action::CompleteProduce { id, result });
        }
    }

    /// Asks to be replaced when the own disk stands still while another live member's moves (rule 3a.15).
    fn maybe_give_way(&mut self, env: &mut Env<'_>) {
        let Some(since) = self.stalled_since else { return };
        if env.metadata.flush_policy == FlushPolicy::Deferred
            || env.now < since + env.options.broker_session_timeout
        {
            return;
        }
        let another_moves = self
            .other_live_members(env)
            .any(|progress| progress.flushed_at.is_some_and(|at| at > since));
        if another_moves {
            self.request_election(env);
        }
    }

    /// Iterates over the committed members that the image shows unfenced, the leader apart.
    fn other_live_members<'a>(
        &'a self,
        env: &Env<'a>,
    ) -> impl Iterator<Item = &'a FollowerProgress> {
        let metadata = env.metadata;
        self.followers
            .iter()
            .filter(move |(broker, _)| {
                self.isr.committed().contains(broker) && metadata.is_unfenced(**broker)
            })
            .map(|(_, progress)| progress)
    }

    /// At most once per lag time, so that nodes on one slow disk do not play ping-pong.
    fn request_election(&mut self, env: &mut Env<'_>) {
        if env.now < self.election_after {
            return;
        }
        self.election_after = env.now + env.options.replica_lag_time_max;
        let broker_epoch = env.options.broker_epoch;
        env.actions.push_back(Action::RequestElection { leader_epoch: self.epoch, broker_epoch });
    }
}

/// Checks a position or acknowledgement against the leader's log. `Err` is what to answer: nothing of it counts.
fn check_position(log: &ReplicaLog, fetch: &FollowerFetch) -> Result<(), AnswerBody> {
    let out_of_range =
        AnswerBody::OutOfRange { log_start_offset: log.start(), fetch_offset: fetch.fetch_offset };
    if fetch.fetch_offset < log.start() {
        return Err(out_of_range);
    }
    if is_active(Mutation::DivergenceByLength) && fetch.fetch_offset <= log.end() {
        return Ok(());
    }
    let Some(last_fetched_epoch) = fetch.last_fetched_epoch else {
        // A log without any epoch holds no data, so it can differ only in where it begins.
        return if fetch.fetch_offset > log.end() { Err(out_of_range) } else { Ok(()) };
    };
    let is_older_than_log = log.first_epoch() > Some(last_fetched_epoch);
    let is_empty = fetch.log_start_offset >= fetch.fetch_offset;
    if is_older_than_log && !is_empty {
        // The log kept nothing of that epoch, so no common record can be named: what the follower has lies below the start, or differs.
        return Err(out_of_range);
    }
    let (epoch, end_offset) = log
        .end_offset_for(last_fetched_epoch)
        .expect("a leader has written the entry of its own epoch");
    if epoch < last_fetched_epoch || end_offset < fetch.fetch_offset {
        return Err(AnswerBody::Diverging {
            epoch,
            end_offset,
            fetch_offset: fetch.fetch_offset,
            last_fetched_epoch: fetch.last_fetched_epoch,
        });
    }
    Ok(())
}

/// Returns what a leader says of itself now.
pub(super) fn progress_of(log: &ReplicaLog) -> AnswerBody {
    AnswerBody::Progress { high_watermark: log.high_watermark(), log_start_offset: log.start() }
}

fn answer(env: &mut Env<'_>, follower: BrokerId, fetch: &FollowerFetch, body: AnswerBody) {
    env.actions.push_back(Action::AnswerFetch {
        follower,
        follower_broker_epoch: fetch.broker_epoch,
        fetch_offset: fetch.fetch_offset,
        answer: LeaderAnswer {
            leader_epoch: fetch.leader_epoch,
            generation: fetch.generation,
            body,
        },
    });
}

fn countable_policy(policy: FlushPolicy) -> FlushPolicy {
    if is_active(Mutation::AckBeforeFlush) { FlushPolicy::Deferred } else { policy }
}

pub(super) fn earliest<const N: usize>(times: [Option<Timestamp>; N]) -> Option<Timestamp> {
    times.into_iter().flatten().min()
}
