//! What the replicas are told of the cluster's metadata, as values: this broker's registration, then its image, in log order.
//!
//! This crate does not know where the image comes from; the broker maps its own image to these types.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{BrokerEpoch, BrokerId, ClusterId, DirectoryId, TopicIdPartition};

use crate::partition::PartitionMetadata;

/// One step of the broker's image, as far as replicas are concerned.
#[derive(Clone, Debug, Default)]
pub struct ImageUpdate {
    /// Brokers whose registration or address changed.
    pub brokers: Vec<RegisteredBroker>,
    /// Partitions whose state, replicas' fencing, or configuration changed, each at most once.
    pub partitions: Vec<PartitionChange>,
}

/// A registered broker, as the image shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredBroker {
    /// Its id.
    pub broker_id: BrokerId,
    /// Its present registration.
    pub broker_epoch: BrokerEpoch,
    /// The log directory that the registration belongs to.
    pub directory_id: DirectoryId,
    /// Host name or address of its replication listener; resolved anew at each connect.
    pub replication_host: String,
    /// Port of its replication listener.
    pub replication_port: u16,
}

/// What changed about one partition.
#[derive(Clone, Debug)]
pub enum PartitionChange {
    /// This broker is one of the assigned replicas; the replica is created when it is not there yet.
    Assigned(AssignedPartition),
    /// The topic was deleted, or the replica moved away: the replica is stopped and its directory deleted.
    Removed(TopicIdPartition),
}

/// A partition that has a replica on this broker.
#[derive(Clone, Debug)]
pub struct AssignedPartition {
    /// The partition.
    pub id: TopicIdPartition,
    /// The topic's name, which the directory carries.
    pub topic: Arc<str>,
    /// Leader, ISR, replicas.
    pub metadata: PartitionMetadata,
    /// The topic's effective configuration.
    pub config: Arc<log_storage::LogConfig>,
}

/// Who this broker is since its registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// This broker's incarnation.
    pub broker_epoch: BrokerEpoch,
}

/// What the registration of this broker must say about its disk (design rule 3a.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectoryProof {
    /// Replicas whose log ends below its checkpointed high watermark, or whose directory a checkpoint names but the disk has not, or that carry a lost mark.
    pub lost: BTreeSet<TopicIdPartition>,
    /// All replicas that were opened.
    pub present: BTreeSet<TopicIdPartition>,
}
