//! What a replica does now, and how one role follows another.
//!
//! Owns the transitions: metadata is applied only forward (invariant 6), and a role ends with its waiters answered (invariant 9).
//!
//! ```text
//!                 image: another leads                image: I lead
//!            ┌──────────────────────────► Follower ──────────────────┐
//!   start    │                              │  ▲                     ▼
//!  ───────► Offline ◄───────────────────────┘  └───────────────── Leader
//!            ▲  │    no leader, lost, not assigned,  image: another   │
//!            │  │    not registered                  leads            │
//!            │  └────────────────────────────────────────────────────►│
//!            └────────────────────────────────────────────────────────┘
//! ```
//!
//! Every transition comes from an image, but for one: a replica that finds its data lost goes offline by itself.

use model::{BrokerId, LeaderEpoch};

use super::Partition;
use super::action::{Action, OfflineReason};
use super::cut::CutState;
use super::env::Env;
use super::follower::Follower;
use super::leader::Leader;
use super::metadata::PartitionMetadata;
use super::mutation::{Mutation, is_active};

/// What the replica does, with the state that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Leader(Box<Leader>),
    Follower(Follower),
    Offline(OfflineReason),
}

impl Partition {
    /// Splits the machine into its role and what the role sees. `None` before the first image, when the replica is offline.
    pub(super) fn split(&mut self) -> Option<(&mut Role, Env<'_>)> {
        let Self { options, now, log, metadata, role, generation, actions, .. } = self;
        let metadata = metadata.as_ref()?;
        Some((role, Env { now: *now, options, metadata, log, actions, generation }))
    }

    pub(super) fn metadata_changed(&mut self, metadata: PartitionMetadata) {
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

    pub(super) fn apply_metadata(&mut self, metadata: PartitionMetadata) {
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

    pub(super) fn go_offline(&mut self, reason: OfflineReason) {
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

    /// Returns the leader epoch in which the replica follows.
    pub(super) fn followed(&self) -> Option<LeaderEpoch> {
        match &self.role {
            Role::Follower(follower) => Some(follower.leader_epoch()),
            Role::Leader(_) | Role::Offline(_) => None,
        }
    }
}
