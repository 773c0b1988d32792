//! One broker on a temporary directory, for tests of what only the inside shows.

use std::sync::Arc;

use log_storage::{FatalHandler, Flusher, FlusherOptions, LogConfig, OsFileSystem};
use model::{
    BrokerEpoch, BrokerId, Clock, ClusterId, DirectoryId, LeaderEpoch, PartitionEpoch, TopicId,
    TopicIdPartition,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ReplicationConfig;
use crate::image_update::{
    AssignedPartition, ImageUpdate, PartitionChange, RegisteredBroker, Registration,
};
use crate::metrics::ReplicationMetrics;
use crate::partition::{
    Assignment, Durability, Fencing, FlushPolicy, PartitionMetadata, ReplicaMetadata,
};
use crate::partition_handle::PartitionHandle;
use crate::replicas::{Replicas, ReplicasOptions};

/// The broker under test: broker 1 of the cluster `ours`, registered under epoch 1.
pub(crate) struct TestBroker {
    pub(crate) replicas: Arc<Replicas>,
    flusher: Flusher,
    tasks: TaskTracker,
    stop: CancellationToken,
    _data_dir: tempfile::TempDir,
}

impl TestBroker {
    /// Starts it with an image of itself and others.
    pub(crate) async fn start(others: Vec<RegisteredBroker>) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let options = FlusherOptions::new(data_dir.path().to_owned(), FatalHandler::ignore());
        let flusher = Flusher::start(options).unwrap();
        let (replicas, _) = Replicas::open(ReplicasOptions {
            broker_id: BrokerId(1),
            directory_id: directory(1),
            data_dir: data_dir.path().to_owned(),
            recovery_threads: 1,
            fs: Arc::new(OsFileSystem),
            flusher: flusher.clone(),
            fatal: FatalHandler::ignore(),
            clock: Clock::start(),
            config: ReplicationConfig::default(),
            metrics: ReplicationMetrics::default(),
        })
        .unwrap();
        let registration =
            Registration { cluster_id: ClusterId("ours".to_owned()), broker_epoch: BrokerEpoch(1) };
        let image = ImageUpdate { brokers: others, partitions: Vec::new() };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        replicas.start(registration, image, &tasks, stop.clone());
        Self { replicas, flusher, tasks, stop, _data_dir: data_dir }
    }

    /// Shows it an image of a partition, and waits until the replica is there.
    pub(crate) async fn show(&self, assigned: AssignedPartition) -> Arc<PartitionHandle> {
        let id = assigned.id;
        let partitions = vec![PartitionChange::Assigned(assigned)];
        self.replicas.apply(ImageUpdate { brokers: Vec::new(), partitions });
        self.replicas.settled().await;
        self.replicas.get(&id).unwrap()
    }

    /// Stops it.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.replicas.close().unwrap();
        self.flusher.stop();
    }
}

/// The log directory of a broker.
pub(crate) fn directory(number: u8) -> DirectoryId {
    DirectoryId::from_bytes([number; 16])
}

/// A partition whose replicas are all in sync, broker N registered under epoch N, led by the first of them in epoch 0.
pub(crate) fn assigned(replicas: &[i32]) -> AssignedPartition {
    let replica = |id: &i32| {
        let replica = ReplicaMetadata {
            broker_epoch: Some(BrokerEpoch(i64::from(*id))),
            fencing: Fencing::Unfenced,
            assignment: Assignment::Target,
        };
        (BrokerId(*id), replica)
    };
    AssignedPartition {
        id: TopicIdPartition { topic_id: TopicId::from_bytes([1; 16]), partition: 0 },
        topic: Arc::from("topic"),
        metadata: PartitionMetadata {
            leader: Some(BrokerId(replicas[0])),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            isr: replicas.iter().map(|id| BrokerId(*id)).collect(),
            replicas: replicas.iter().map(replica).collect(),
            effective_min_isr: 1,
            durability: Durability::Durable,
            flush_policy: FlushPolicy::EachMessage,
        },
        config: Arc::new(LogConfig::default()),
    }
}
