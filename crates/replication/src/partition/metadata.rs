//! What the metadata image says about one partition: the machine's only source of who leads and who is in sync.
//!
//! Owns the types alone; the broker's image applier builds them, in log order, from its own image.

use std::collections::{BTreeMap, BTreeSet};

use model::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch};

/// One partition as an image of the cluster's metadata shows it.
///
/// Images are handed over in log order. One whose (leader epoch, partition epoch) is older than the last is dropped;
/// one with equal epochs may still differ in fencing, broker epochs and configuration, and is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// The leader; `None` while nobody may lead.
    pub leader: Option<BrokerId>,
    /// Grows by one with every change of leader, also to nobody.
    pub leader_epoch: LeaderEpoch,
    /// Grows by one with every change of the partition's state, a refused ISR proposal included.
    pub partition_epoch: PartitionEpoch,
    /// The in-sync set, fenced members that the floor keeps included.
    pub isr: BTreeSet<BrokerId>,
    /// Every assigned replica: targets, those being added and those being removed.
    pub replicas: BTreeMap<BrokerId, ReplicaMetadata>,
    /// min(`min.insync.replicas`, assigned replicas without the adding ones that have not yet joined the ISR). At least 1.
    pub effective_min_isr: usize,
    /// Whether the partition was never anything but flushed message by message; state of the metadata, not a config.
    pub durability: Durability,
    /// What counts towards the high watermark and the ISR now (`flush.messages` of the topic).
    pub flush_policy: FlushPolicy,
}

impl PartitionMetadata {
    /// Returns the replica's state, if it is assigned.
    #[must_use]
    pub fn replica(&self, broker: BrokerId) -> Option<&ReplicaMetadata> {
        self.replicas.get(&broker)
    }

    /// Says whether the broker is an assigned replica that the image shows unfenced (in controlled shutdown or not).
    #[must_use]
    pub fn is_unfenced(&self, broker: BrokerId) -> bool {
        self.replica(broker).is_some_and(|replica| replica.fencing != Fencing::Fenced)
    }
}

/// One assigned replica as the image shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaMetadata {
    /// Epoch of the broker's present registration; `None` when it is not registered.
    pub broker_epoch: Option<BrokerEpoch>,
    /// Whether the broker takes part.
    pub fencing: Fencing,
    /// The replica's part in a reassignment.
    pub assignment: Assignment,
}

/// Whether a broker takes part (KIP-631, KIP-841).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fencing {
    /// Registered, alive, may lead and join.
    Unfenced,
    /// Alive but leaving: may neither lead nor join an ISR, still counts as unfenced where it is a member.
    ShuttingDown,
    /// Its session ended, or it has not yet asked to be unfenced.
    Fenced,
}

/// A replica's part in a reassignment (KIP-455).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assignment {
    /// It stays.
    Target,
    /// It comes, and stays when all that come have joined the ISR.
    Adding,
    /// It goes when the reassignment completes.
    Removing,
}

/// The `durable` bit of a partition (design: rule 3a.8). Once lossy, always lossy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Every acknowledged record was fsynced: an ISR member never truncates below its own high watermark.
    Durable,
    /// `flush.messages` was something other than 1 at some time: a crash may have cost acknowledged records.
    Lossy,
}

/// What counts (the *countable offset*), by `flush.messages` in the leader's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlushPolicy {
    /// `flush.messages=1`: a record counts when it is flushed.
    EachMessage,
    /// Anything else: a record counts when it is in the page cache, as in Kafka.
    Deferred,
}
