//! What a command changed: for those who read the image, and for the store behind it.
//!
//! Owns the sets; they merge, so that a slow reader sees one change instead of many.

use std::collections::BTreeSet;

use model::{BrokerId, TopicId, TopicIdPartition};

/// What one or more commands changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Partitions that look different now: their state, their topic's configuration, or the state of a broker that holds a replica. Deleted ones included.
    pub partitions: BTreeSet<TopicIdPartition>,
    /// Topics that were created, deleted, enlarged or configured.
    pub topics: BTreeSet<TopicId>,
    /// Brokers whose registration changed, or whose own configurations did.
    pub brokers: BTreeSet<BrokerId>,
    /// Records of the image that were written or removed, for the store behind it: fewer than the above, since views depend on several records.
    pub records: BTreeSet<RecordKey>,
    /// Partitions whose last known leader leads again although it may have lost acknowledged records: each deserves one ERROR.
    pub lossy_elections: BTreeSet<TopicIdPartition>,
}

/// Names one record of the image: what the store keeps under one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKey {
    /// Identity, voters, next producer id.
    Cluster,
    /// A cluster-wide configuration, by its key.
    ClusterConfig(String),
    /// A broker's registration.
    Broker(BrokerId),
    /// A broker's own configuration, by its key.
    BrokerConfig(BrokerId, String),
    /// A topic.
    Topic(TopicId),
    /// A topic's configuration, by its key.
    TopicConfig(TopicId, String),
    /// A partition.
    Partition(TopicIdPartition),
}

impl Changes {
    /// Says whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// Adds later changes.
    pub fn merge(&mut self, later: Self) {
        self.partitions.extend(later.partitions);
        self.topics.extend(later.topics);
        self.brokers.extend(later.brokers);
        self.records.extend(later.records);
        self.lossy_elections.extend(later.lossy_elections);
    }
}
