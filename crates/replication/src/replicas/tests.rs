//! What only the inside shows.

use std::time::Duration;

use log_storage::config::CleanupPolicy;
use log_storage::{AppendOrigin, FlusherOptions, LogConfig, OsFileSystem};
use model::record_batch::{BatchBuilder, BatchOptions, NewRecord};
use model::{Acks, LeaderEpoch, Offset, PartitionEpoch, TopicId};

use super::*;
use crate::partition::{
    Assignment, Durability, Fencing, FlushPolicy, PartitionMetadata, ReplicaMetadata,
};
use crate::partition_handle::ProduceOptions;

fn led_here(id: TopicIdPartition) -> AssignedPartition {
    let replica = ReplicaMetadata {
        broker_epoch: Some(BrokerEpoch(1)),
        fencing: Fencing::Unfenced,
        assignment: Assignment::Target,
    };
    AssignedPartition {
        id,
        topic: Arc::from("topic"),
        metadata: PartitionMetadata {
            leader: Some(BrokerId(1)),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            isr: [BrokerId(1)].into(),
            replicas: [(BrokerId(1), replica)].into(),
            effective_min_isr: 1,
            durability: Durability::Durable,
            flush_policy: FlushPolicy::EachMessage,
        },
        config: Arc::new(LogConfig::default()),
    }
}

/// A broker of one partition, which it leads.
struct Started {
    replicas: Arc<Replicas>,
    partition: Arc<PartitionHandle>,
    flusher: Flusher,
    tasks: TaskTracker,
    stop: CancellationToken,
    _data_dir: tempfile::TempDir,
}

impl Started {
    async fn with(change: impl FnOnce(&mut AssignedPartition)) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let options = FlusherOptions::new(data_dir.path().to_owned(), FatalHandler::ignore());
        let flusher = Flusher::start(options).unwrap();
        let (replicas, _) = Replicas::open(ReplicasOptions {
            broker_id: BrokerId(1),
            directory_id: DirectoryId::default(),
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
        let id = TopicIdPartition { topic_id: TopicId::from_bytes([1; 16]), partition: 0 };
        let registration =
            Registration { cluster_id: ClusterId::default(), broker_epoch: BrokerEpoch(1) };
        let mut assigned = led_here(id);
        change(&mut assigned);
        let partitions = vec![PartitionChange::Assigned(assigned)];
        let image = ImageUpdate { brokers: Vec::new(), partitions };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        replicas.start(registration, image, &tasks, stop.clone());
        replicas.settled().await;
        let partition = replicas.get(&id).unwrap();
        Self { replicas, partition, flusher, tasks, stop, _data_dir: data_dir }
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.replicas.close().unwrap();
        self.flusher.stop();
    }
}

fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(&NewRecord::default()).unwrap();
    builder.build().unwrap()
}

#[tokio::test]
async fn a_coordinator_writes_and_trims_in_its_own_epoch_alone() {
    let compacted = LogConfig { cleanup: CleanupPolicy::Compact, ..LogConfig::default() };
    let started = Started::with(|assigned| assigned.config = Arc::new(compacted)).await;
    let partition = &started.partition;
    let (own, other) = (LeaderEpoch(0), LeaderEpoch(1));
    assert!(partition.admits(own).is_ok());
    assert!(partition.admits(other).is_err(), "an epoch that the image does not have yet");
    let options = ProduceOptions {
        acks: Acks::All,
        timeout: Duration::from_secs(10),
        expected_leader_epoch: Some(own),
        origin: AppendOrigin::Coordinator,
    };
    for _ in 0..3 {
        partition.produce(&mut batch(), &options).await.unwrap();
    }
    assert_eq!(partition.high_watermark(), Offset(3));
    let refused = ProduceOptions { expected_leader_epoch: Some(other), ..options };
    assert!(partition.produce(&mut batch(), &refused).await.is_err());
    assert!(partition.trim(Offset(2), other).is_err());
    assert!(partition.trim(Offset(4), own).is_err(), "beyond the high watermark");
    assert_eq!(partition.status().log_start_offset, Offset(0));
    // The topic is compacted: clients may not delete its records, its coordinator may.
    partition.trim(Offset(2), own).unwrap();
    assert_eq!(partition.status().log_start_offset, Offset(2));
    started.end().await;
}

#[tokio::test]
async fn entries_of_timers_do_not_multiply() {
    let started = Started::with(|_| {}).await;
    let (replicas, partition) = (&started.replicas, &started.partition);
    let batch = batch();
    for millis in (1..50).rev() {
        let options = ProduceOptions {
            acks: Acks::All,
            timeout: Duration::from_millis(millis),
            expected_leader_epoch: None,
            origin: AppendOrigin::Client,
        };
        // Acknowledged or timed out, as the disk will have it: what counts is the entry that each deadline arms.
        drop(partition.produce(&mut batch.clone(), &options));
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while replicas.context.timers.len() > 2 {
        assert!(tokio::time::Instant::now() < deadline, "{}", replicas.context.timers.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    started.end().await;
}
