//! What the metadata holds of a partition.
//!
//! Owns the record; every change of it passes through `transition`, which keeps the epochs.
//! Invariants: the leader is in the ISR and unfenced, the ISR is a subset of the replicas, no epoch falls.

use model::{BrokerId, DirectoryId, LeaderEpoch, PartitionEpoch};

/// State of one partition: who holds it, who leads, who is in sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Assigned replicas in order of preference, without duplicates; during a reassignment the target first, then what will be removed.
    pub replicas: Vec<BrokerId>,
    /// Replicas that a running reassignment adds.
    pub adding_replicas: Vec<BrokerId>,
    /// Replicas that a running reassignment removes.
    pub removing_replicas: Vec<BrokerId>,
    /// In-sync replicas, fenced ones included, ascending: each holds every committed record.
    pub isr: Vec<BrokerId>,
    /// The leader: in the ISR, registered and unfenced.
    pub leader: Option<BrokerId>,
    /// Grows by one with every change of leader, to none included, and whenever a running replica says that it lost data.
    pub leader_epoch: LeaderEpoch,
    /// Grows by one with every command that changes this state, and with every refused ISR proposal that matched it.
    pub partition_epoch: PartitionEpoch,
    /// Whether an acknowledged record survives a power loss of all replicas. Decided at creation; lost for good when the topic leaves `flush.messages=1`.
    pub durability: Durability,
    /// When loss has emptied the ISR: the last members and the directories that still hold their data, if these come back. Empty while the ISR is not.
    pub lost_members: Vec<Replica>,
    /// The last leader and the directory it led from.
    pub last_known_leader: Option<Replica>,
}

/// A broker's copy of a partition, on one directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replica {
    /// The broker.
    pub broker_id: BrokerId,
    /// The directory.
    pub directory_id: DirectoryId,
}

/// Whether a replica's acknowledged records survive an unclean restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Flushed before they counted, since the partition's creation.
    Durable,
    /// There was a time in which they counted while in the page cache: an unclean restart takes a replica out of the ISR.
    Lossy,
}

/// What counts on a replica, from the topic's present configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlushPolicy {
    /// `flush.messages=1`: the flushed offset counts.
    EveryMessage,
    /// Any other value: the log end offset counts.
    PageCache,
}

impl PartitionState {
    /// Says whether the broker is assigned.
    #[must_use]
    pub fn is_replica(&self, broker_id: BrokerId) -> bool {
        self.replicas.contains(&broker_id)
    }

    /// Says whether the broker is in the ISR, fenced or not.
    #[must_use]
    pub fn is_in_sync(&self, broker_id: BrokerId) -> bool {
        self.isr.contains(&broker_id)
    }

    /// Returns the replica that should lead when it can.
    #[must_use]
    pub fn preferred_leader(&self) -> Option<BrokerId> {
        self.replicas.first().copied()
    }

    /// Returns the effective min ISR: `min_insync_replicas`, but no more than the replicas without those that are being added and have not yet joined the ISR; at least 1.
    #[must_use]
    pub fn effective_min_isr(&self, min_insync_replicas: usize) -> usize {
        let joining = self.adding_replicas.iter().filter(|adding| !self.isr.contains(adding));
        let assigned = self.replicas.len().saturating_sub(joining.count());
        min_insync_replicas.min(assigned).max(1)
    }

    /// Says whether a reassignment is running.
    #[must_use]
    pub fn is_reassigning(&self) -> bool {
        !self.adding_replicas.is_empty() || !self.removing_replicas.is_empty()
    }
}
