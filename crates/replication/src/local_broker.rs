//! This broker as both ends of its streams and [`Replicas`](crate::Replicas) see it: who it is, which replicas live on it, and whom it knows.
//!
//! Read by many and changed by `replicas` alone. Look-ups take no lock. A partition's driver knows nothing of it: what a driver reaches out to is its `Host`.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use model::{BrokerId, DirectoryId, TopicIdPartition};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ReplicationConfig;
use crate::image_update::{RegisteredBroker, Registration};
use crate::partition_handle::{Host, PartitionHandle};

/// This broker.
#[derive(Debug)]
pub(crate) struct LocalBroker {
    pub(crate) directory_id: DirectoryId,
    pub(crate) config: ReplicationConfig,
    /// What the replicas stand on.
    pub(crate) host: Arc<Host>,
    /// Every replica of this broker. Replaced as a whole.
    partitions: ArcSwap<HashMap<TopicIdPartition, Arc<PartitionHandle>>>,
    /// Every registered broker, by the image. Replaced as a whole.
    brokers: ArcSwap<HashMap<BrokerId, RegisteredBroker>>,
    /// Set once, when the broker was registered and begins to serve.
    running: OnceLock<Running>,
}

/// What is known once the broker is registered.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) registration: Registration,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) runtime: Handle,
}

impl LocalBroker {
    /// Makes the broker as it is before its registration: without replicas, and without knowledge of others.
    pub(crate) fn new(directory_id: DirectoryId, config: ReplicationConfig, host: Host) -> Self {
        Self {
            directory_id,
            config,
            host: Arc::new(host),
            partitions: ArcSwap::default(),
            brokers: ArcSwap::default(),
            running: OnceLock::new(),
        }
    }

    /// This broker's id.
    pub(crate) fn id(&self) -> BrokerId {
        self.host.broker_id
    }

    /// Begins to serve.
    ///
    /// # Panics
    /// When called twice.
    pub(crate) fn start(&self, running: Running) {
        assert!(self.running.set(running).is_ok(), "the replicas are started once");
    }

    /// Returns what is known since the registration; `None` before it.
    pub(crate) fn running(&self) -> Option<&Running> {
        self.running.get()
    }

    /// Returns a partition's replica on this broker.
    pub(crate) fn partition(&self, id: &TopicIdPartition) -> Option<Arc<PartitionHandle>> {
        self.partitions.load().get(id).cloned()
    }

    /// Returns all replicas of this moment.
    pub(crate) fn partitions(&self) -> Arc<HashMap<TopicIdPartition, Arc<PartitionHandle>>> {
        self.partitions.load_full()
    }

    /// Makes replicas visible.
    pub(crate) fn add_partitions(&self, partitions: &[Arc<PartitionHandle>]) {
        self.partitions.rcu(|known| {
            let mut known = HashMap::clone(known);
            known
                .extend(partitions.iter().map(|partition| (partition.id(), Arc::clone(partition))));
            known
        });
    }

    /// Makes a replica invisible.
    pub(crate) fn remove_partition(&self, id: &TopicIdPartition) {
        self.partitions.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.remove(id);
            known
        });
    }

    /// Lets go of all replicas.
    pub(crate) fn remove_all_partitions(&self) {
        self.partitions.store(Arc::default());
    }

    /// Returns what the image shows of a broker.
    pub(crate) fn registered(&self, id: BrokerId) -> Option<RegisteredBroker> {
        self.brokers.load().get(&id).cloned()
    }

    /// Takes in brokers whose registration or address changed.
    pub(crate) fn note_registered(&self, brokers: &[RegisteredBroker]) {
        self.brokers.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.extend(brokers.iter().map(|broker| (broker.broker_id, broker.clone())));
            known
        });
    }
}
