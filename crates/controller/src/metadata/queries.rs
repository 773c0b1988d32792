//! Questions that the controller's driver, `topic describe` and metrics ask of an image.
//!
//! Owns no state; each answer is a scan of the partitions.

use model::{BrokerId, TopicId, TopicIdPartition};

use super::apply::election;
use super::command::LiveSet;
use super::image::Image;
use super::image::partition::{Durability, FlushPolicy, PartitionState};

/// Why a partition has no leader, for `topic describe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaCondition {
    /// In the ISR and unfenced.
    InSync,
    /// In the ISR and fenced: it holds every committed record and may lead once it is back.
    InSyncFenced,
    /// Assigned, unfenced, not in the ISR: it catches up from the leader.
    OutOfSync,
    /// Assigned, fenced, not in the ISR.
    OutOfSyncFenced,
    /// Assigned, but not registered.
    NotRegistered,
    /// The last member of an ISR that loss emptied: the directory it was on would be the ISR again.
    LostLastMember,
}

impl Image {
    /// Returns the partitions that have no leader, or a fenced one: those at which a controller looks again.
    #[must_use]
    pub fn leaderless_partitions(&self) -> Vec<TopicIdPartition> {
        self.select(|_, state| state.leader.is_none_or(|leader| !self.is_unfenced(leader)))
    }

    /// Returns the leaderless partitions for which an election among `live` would find a leader now.
    #[must_use]
    pub fn electable_partitions(&self, live: &LiveSet) -> Vec<TopicIdPartition> {
        let candidates = election::candidates(self, live);
        self.select(|_, state| {
            state.leader.is_none_or(|leader| !self.is_unfenced(leader))
                && (state.isr.iter().any(|member| candidates.contains(member))
                    || election::restore_lossy_leader(self, &mut state.clone(), live))
        })
    }

    /// Returns the partitions that a broker leads.
    #[must_use]
    pub fn partitions_led_by(&self, broker_id: BrokerId) -> Vec<TopicIdPartition> {
        self.select(|_, state| state.leader == Some(broker_id))
    }

    /// Returns the partitions of which a broker holds a replica.
    #[must_use]
    pub fn partitions_held_by(&self, broker_id: BrokerId) -> Vec<TopicIdPartition> {
        self.select(|_, state| state.is_replica(broker_id))
    }

    /// Returns the partitions with fewer unfenced ISR members than replicas.
    #[must_use]
    pub fn under_replicated_partitions(&self) -> Vec<TopicIdPartition> {
        self.select(|_, state| self.unfenced_isr(state).count() < state.replicas.len())
    }

    /// Returns the partitions with fewer unfenced ISR members than their effective min ISR: they refuse acks=all.
    #[must_use]
    pub fn under_min_isr_partitions(&self) -> Vec<TopicIdPartition> {
        self.select(|partition, state| {
            self.unfenced_isr(state).count() < self.effective_min_isr(partition)
        })
    }

    /// Returns the partitions whose preferred replica could lead, were it elected now, and does not.
    #[must_use]
    pub fn imbalanced_partitions(&self, live: &LiveSet) -> Vec<TopicIdPartition> {
        let candidates = election::candidates(self, live);
        self.select(|_, state| {
            state.preferred_leader().is_some_and(|preferred| {
                state.leader != Some(preferred)
                    && state.is_in_sync(preferred)
                    && candidates.contains(&preferred)
            })
        })
    }

    /// Iterates over the ISR as clients see it: the unfenced members.
    pub fn unfenced_isr<'a>(
        &'a self,
        state: &'a PartitionState,
    ) -> impl Iterator<Item = BrokerId> + 'a {
        state.isr.iter().copied().filter(|member| self.is_unfenced(*member))
    }

    /// Iterates over the fenced ISR members, which clients see as `eligible_leader_replicas`.
    pub fn fenced_isr<'a>(
        &'a self,
        state: &'a PartitionState,
    ) -> impl Iterator<Item = BrokerId> + 'a {
        state.isr.iter().copied().filter(|member| !self.is_unfenced(*member))
    }

    /// Says of each replica how it stands, in assignment order.
    #[must_use]
    pub fn replica_conditions(&self, state: &PartitionState) -> Vec<(BrokerId, ReplicaCondition)> {
        let condition = |broker_id: BrokerId| {
            if state.lost_members.iter().any(|member| member.broker_id == broker_id) {
                return ReplicaCondition::LostLastMember;
            }
            match (self.broker(broker_id), state.is_in_sync(broker_id)) {
                (None, _) => ReplicaCondition::NotRegistered,
                (Some(broker), true) if broker.is_fenced() => ReplicaCondition::InSyncFenced,
                (Some(_), true) => ReplicaCondition::InSync,
                (Some(broker), false) if broker.is_fenced() => ReplicaCondition::OutOfSyncFenced,
                (Some(_), false) => ReplicaCondition::OutOfSync,
            }
        };
        state.replicas.iter().map(|broker_id| (*broker_id, condition(*broker_id))).collect()
    }

    /// Says whether a topic flushes every message now although its partitions are lossy from an earlier time.
    #[must_use]
    pub fn has_lossy_history(&self, topic_id: TopicId) -> bool {
        self.flush_policy(topic_id) == FlushPolicy::EveryMessage
            && self.partitions_of(topic_id).any(|(_, state)| state.durability == Durability::Lossy)
    }

    fn select(
        &self,
        matches: impl Fn(TopicIdPartition, &PartitionState) -> bool,
    ) -> Vec<TopicIdPartition> {
        self.partitions()
            .filter(|(partition, state)| matches(*partition, state))
            .map(|(partition, _)| partition)
            .collect()
    }
}
