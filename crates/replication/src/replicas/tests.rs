//! What only the inside shows.

use std::time::Duration;

use log_storage::{AppendOrigin, FlusherOptions, LogConfig, OsFileSystem};
use model::record_batch::{BatchBuilder, BatchOptions, NewRecord};
use model::{Acks, LeaderEpoch, PartitionEpoch, TopicId};

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

#[tokio::test]
async fn entries_of_timers_do_not_multiply() {
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
    let partitions = vec![PartitionChange::Assigned(led_here(id))];
    let image = ImageUpdate { brokers: Vec::new(), partitions };
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    replicas.start(registration, image, &tasks, stop.clone());
    replicas.settled().await;

    let partition = replicas.get(&id).unwrap();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(&NewRecord::default()).unwrap();
    let batch = builder.build().unwrap();
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
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    replicas.close().unwrap();
    flusher.stop();
}
