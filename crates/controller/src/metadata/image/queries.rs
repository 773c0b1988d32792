//! Questions that the console's metrics, `topic describe` and tests ask of an image.
//!
//! Owns no state; each answer is a scan of the partitions.

use model::{BrokerId, TopicIdPartition};

use super::Image;
use super::partition::PartitionState;

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

    /// Iterates over the ISR as clients see it: the unfenced members.
    pub fn unfenced_isr<'a>(
        &'a self,
        state: &'a PartitionState,
    ) -> impl Iterator<Item = BrokerId> + 'a {
        state.isr.iter().copied().filter(|member| self.is_unfenced(*member))
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

    /// Returns the partitions that match.
    pub(in crate::metadata) fn select(
        &self,
        matches: impl Fn(TopicIdPartition, &PartitionState) -> bool,
    ) -> Vec<TopicIdPartition> {
        self.partitions()
            .filter(|(partition, state)| matches(*partition, state))
            .map(|(partition, _)| partition)
            .collect()
    }
}
