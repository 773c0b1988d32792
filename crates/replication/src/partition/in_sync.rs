//! Who is in sync, as a leader judges it: by countable offset to join, by time to leave.
//!
//! Owns the proposals, one in flight at most (invariant 5). The floor is respected here already, so that no proposal asks for what the controller must refuse.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{BrokerId, Timestamp};

use super::Options;
use super::action::{Action, AlterIsr};
use super::env::Env;
use super::follower_progress::FollowerProgress;
use super::isr::Proposal;
use super::leader::{Leader, earliest};
use super::metadata::{Fencing, PartitionMetadata};

impl Leader {
    /// Counts the committed members that are unfenced and caught up, the leader included.
    pub(super) fn in_sync_count(
        &self,
        now: Timestamp,
        options: &Options,
        metadata: &PartitionMetadata,
    ) -> usize {
        let counts = |member: &&BrokerId| {
            metadata.is_unfenced(**member)
                && (**member == options.broker_id || self.is_caught_up(now, options, **member))
        };
        self.isr.committed().iter().filter(counts).count()
    }

    fn is_caught_up(&self, now: Timestamp, options: &Options, follower: BrokerId) -> bool {
        let progress = self.followers.get(&follower);
        progress.is_some_and(|progress| progress.is_caught_up(now, options.replica_lag_time_max))
    }

    /// Keeps one progress per assigned follower, and drops what an earlier registration of its broker reported.
    pub(super) fn follow_assignment(&mut self, env: &Env<'_>) {
        let metadata = env.metadata;
        self.followers.retain(|broker, _| metadata.replicas.contains_key(broker));
        for (broker, replica) in &metadata.replicas {
            if *broker == env.options.broker_id {
                continue;
            }
            let progress = self.followers.entry(*broker).or_insert_with(|| {
                let grace = metadata.isr.contains(broker).then_some(env.now);
                FollowerProgress::new(replica.broker_epoch, grace)
            });
            if progress.broker_epoch != replica.broker_epoch {
                progress.reset(replica.broker_epoch);
            }
        }
    }

    /// Judges by time: proposes that laggards leave, and notes when to look again.
    pub(super) fn check(&mut self, env: &mut Env<'_>) {
        self.maybe_shrink(env);
        let lag = env.options.replica_lag_time_max;
        let expiry = |progress: &FollowerProgress| {
            // One nanosecond past the last moment at which it still counts as caught up.
            progress.caught_up_at.map(|at| at + lag + Duration::from_nanos(1))
        };
        let expiries = self.followers.values().filter_map(expiry).filter(|at| *at > env.now);
        // A laggard that the floor keeps may go as soon as others are back, which no expiry announces.
        let again = self.laggards(env).next().map(|_| env.next_tick());
        let paused = (self.propose_after > env.now).then_some(self.propose_after);
        self.next_check = earliest([expiries.min(), again, paused]);
    }

    /// Proposes that eligible followers join. Their countable offset has reached the high watermark and the start of this epoch, by a fetch in this epoch.
    pub(super) fn maybe_expand(&mut self, env: &mut Env<'_>) {
        if self.isr.in_flight().is_some() || env.now < self.propose_after {
            return;
        }
        let least = env.log.high_watermark().max(self.epoch_start_offset());
        let policy = env.metadata.flush_policy;
        // Caught up by time, too: one that is not would be proposed out again by the next check, back and forth.
        let lag = env.options.replica_lag_time_max;
        let joining: BTreeSet<_> = self
            .outsiders(env)
            .filter(|(_, progress)| {
                progress.is_caught_up(env.now, lag)
                    && progress.reported.is_some_and(|reported| reported.countable(policy) >= least)
            })
            .map(|(broker, _)| broker)
            .collect();
        if joining.is_empty() {
            return;
        }
        let isr = self.isr.committed().union(&joining).copied().collect();
        if let Some(proposal) = self.propose(env, &isr) {
            self.isr.propose_join(joining, proposal);
        }
    }

    /// Iterates over the followers that are not members and that the controller would let in.
    pub(super) fn outsiders<'a>(
        &'a self,
        env: &Env<'a>,
    ) -> impl Iterator<Item = (BrokerId, &'a FollowerProgress)> {
        let metadata = env.metadata;
        self.followers.iter().filter_map(move |(broker, progress)| {
            let replica = metadata.replica(*broker)?;
            let eligible = !self.isr.maximal_contains(*broker)
                && replica.fencing == Fencing::Unfenced
                && replica.broker_epoch.is_some()
                && replica.broker_epoch == progress.broker_epoch
                && progress.reported.is_some();
            eligible.then_some((*broker, progress))
        })
    }

    /// Iterates over the committed members that have not been caught up for the lag time.
    fn laggards<'a>(&'a self, env: &Env<'a>) -> impl Iterator<Item = BrokerId> + 'a {
        let (now, options) = (env.now, env.options);
        let members = self.isr.committed().iter().copied();
        members.filter(move |member| {
            *member != options.broker_id && !self.is_caught_up(now, options, *member)
        })
    }

    /// Proposes that laggards leave, all or none: those who stay must be enough (the floor), and a laggard counts on neither side.
    fn maybe_shrink(&mut self, env: &mut Env<'_>) {
        if self.isr.in_flight().is_some() || env.now < self.propose_after {
            return;
        }
        let laggards: BTreeSet<_> = self.laggards(env).collect();
        let remaining: BTreeSet<_> = self.isr.committed().difference(&laggards).copied().collect();
        let live = remaining.iter().filter(|member| env.metadata.is_unfenced(**member)).count();
        if laggards.is_empty() || live < env.metadata.effective_min_isr.max(1) {
            return;
        }
        if let Some(proposal) = self.propose(env, &remaining) {
            self.isr.propose_leave(proposal);
        }
    }

    /// Sends a proposal. `None` when a member is not registered, which no controller would accept.
    fn propose(&self, env: &mut Env<'_>, isr: &BTreeSet<BrokerId>) -> Option<Proposal> {
        let registered = |broker: &BrokerId| {
            let epoch = env.metadata.replica(*broker)?.broker_epoch?;
            Some((*broker, epoch))
        };
        let alter_isr = AlterIsr {
            leader: env.options.broker_id,
            broker_epoch: env.options.broker_epoch,
            leader_epoch: self.epoch(),
            partition_epoch: env.metadata.partition_epoch,
            new_isr: isr.iter().map(registered).collect::<Option<_>>()?,
        };
        env.actions.push_back(Action::AlterIsr(alter_isr.clone()));
        Some(Proposal { alter_isr, sent_at: env.now })
    }
}
