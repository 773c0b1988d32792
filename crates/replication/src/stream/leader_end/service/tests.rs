//! Who may open a stream, and what the scrape says.

use log_storage::{FatalHandler, Flusher, FlusherOptions, LogConfig, Minimum, OsFileSystem};
use model::{Clock, ClusterId, LeaderEpoch, Offset, PartitionEpoch, TopicId};
use prometheus_client::registry::Registry;
use tokio_util::task::TaskTracker;

use super::*;
use crate::config::ReplicationConfig;
use crate::image_update::{AssignedPartition, ImageUpdate, PartitionChange};
use crate::metrics::ReplicationMetrics;
use crate::partition::{
    Assignment, Durability, Fencing, FlushPolicy, Generation, PartitionMetadata, ReplicaMetadata,
};
use crate::partition_handle::{SendState, Turn};
use crate::replicas::{Registration, ReplicasOptions};

fn directory(number: u8) -> DirectoryId {
    DirectoryId::from_bytes([number; 16])
}

/// A broker 1 whose image knows a broker 2, registered under epoch 5 with directory 2.
fn started(data_dir: &std::path::Path) -> (Arc<Replicas>, Flusher) {
    let options = FlusherOptions::new(data_dir.to_owned(), FatalHandler::ignore());
    let flusher = Flusher::start(options).unwrap();
    let (replicas, _) = Replicas::open(ReplicasOptions {
        broker_id: BrokerId(1),
        directory_id: directory(1),
        data_dir: data_dir.to_owned(),
        recovery_threads: 1,
        fs: Arc::new(OsFileSystem),
        flusher: flusher.clone(),
        fatal: FatalHandler::ignore(),
        clock: Clock::start(),
        config: ReplicationConfig::default(),
        metrics: ReplicationMetrics::default(),
    })
    .unwrap();
    let known = RegisteredBroker {
        broker_id: BrokerId(2),
        broker_epoch: BrokerEpoch(5),
        directory_id: directory(2),
        replication_host: "localhost".to_owned(),
        replication_port: 1,
    };
    let registration =
        Registration { cluster_id: ClusterId("ours".to_owned()), broker_epoch: BrokerEpoch(4) };
    let image = ImageUpdate { brokers: vec![known], partitions: Vec::new() };
    let stop = CancellationToken::new();
    replicas.start(registration, image, &TaskTracker::new(), stop.clone());
    stop.cancel();
    (replicas, flusher)
}

fn hello() -> proto::Hello {
    proto::Hello {
        cluster_id: "ours".to_owned(),
        broker_id: 2,
        directory_id: vec![2; 16].into(),
        broker_epoch: 5,
        leader_id: 1,
    }
}

#[tokio::test]
async fn a_stream_is_refused_when_anything_of_its_hello_does_not_fit() {
    let data_dir = tempfile::tempdir().unwrap();
    let (replicas, flusher) = started(data_dir.path());
    let service = replicas.service();
    let running = service.context.running.get().unwrap();
    let accepted = service.check(running, &hello()).unwrap();
    assert_eq!(accepted, (BrokerId(2), BrokerEpoch(5)));
    let newer = proto::Hello { broker_epoch: 9, directory_id: vec![7; 16].into(), ..hello() };
    assert!(service.check(running, &newer).is_ok(), "the image may be behind");
    for (refused, why) in [
        (proto::Hello { cluster_id: "theirs".to_owned(), ..hello() }, "another cluster"),
        (proto::Hello { leader_id: 3, ..hello() }, "another broker was meant"),
        (proto::Hello { broker_epoch: 4, ..hello() }, "a later registration exists"),
        (proto::Hello { broker_epoch: -1, ..hello() }, "no broker epoch"),
        (
            proto::Hello { directory_id: vec![7; 16].into(), ..hello() },
            "another log directory is registered",
        ),
        (proto::Hello { directory_id: vec![2; 15].into(), ..hello() }, "no directory id"),
    ] {
        let status = service.check(running, &refused).unwrap_err();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition);
        assert_eq!(status.message(), why);
    }
    flusher.stop();
}

#[tokio::test]
async fn the_scrape_has_counters_and_gauges() {
    let data_dir = tempfile::tempdir().unwrap();
    let (replicas, flusher) = started(data_dir.path());
    let mut registry = Registry::default();
    replicas.register_metrics(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "steadfast_partitions 0",
        "steadfast_under_replicated_partitions 0",
        "steadfast_isr_shrinks_total 0",
        "steadfast_flush_seconds_count 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    flusher.stop();
}

/// A partition that broker 1 leads and broker 2 follows.
fn led_here(id: TopicIdPartition) -> ImageUpdate {
    let replica = |epoch| ReplicaMetadata {
        broker_epoch: Some(BrokerEpoch(epoch)),
        fencing: Fencing::Unfenced,
        assignment: Assignment::Target,
    };
    let assigned = AssignedPartition {
        id,
        topic: Arc::from("topic"),
        metadata: PartitionMetadata {
            leader: Some(BrokerId(1)),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            isr: [BrokerId(1), BrokerId(2)].into(),
            replicas: [(BrokerId(1), replica(4)), (BrokerId(2), replica(5))].into(),
            effective_min_isr: 1,
            durability: Durability::Durable,
            flush_policy: FlushPolicy::EachMessage,
        },
        config: Arc::new(LogConfig::default()),
    };
    ImageUpdate { brokers: Vec::new(), partitions: vec![PartitionChange::Assigned(assigned)] }
}

fn position(generation: u64) -> FollowerFetch {
    FollowerFetch {
        broker_epoch: BrokerEpoch(5),
        leader_epoch: LeaderEpoch(0),
        generation: Generation(generation),
        fetch_offset: Offset(0),
        last_fetched_epoch: None,
        flushed_offset: Offset(0),
        log_start_offset: Offset(0),
    }
}

#[tokio::test]
async fn what_an_ended_stream_had_in_flight_does_not_stop_the_flow_on_the_next_one() {
    let data_dir = tempfile::tempdir().unwrap();
    let (replicas, flusher) = started(data_dir.path());
    let id = TopicIdPartition { topic_id: TopicId::from_bytes([1; 16]), partition: 0 };
    replicas.apply(led_here(id));
    replicas.settled().await;
    let partition = replicas.get(&id).unwrap();
    let service = replicas.service();
    let stream = || FollowerStream::new(&service.context, BrokerId(2), BrokerEpoch(5));
    let (before, present) = (stream(), stream());
    before.fetched(&service.context, id, position(1));
    present.fetched(&service.context, id, position(2));
    // Read late: the reader of the ended stream was held up.
    before.fetched(&service.context, id, position(1));
    present.fetched(&service.context, id, position(2));

    let session = present.session_of(Arc::clone(&partition));
    let mut sent = SendState::default();
    let turn = partition.follower_turn(&session, &mut sent, 1_000, Minimum::OneBatch);
    assert!(matches!(turn, Turn::Answer(answer) if answer.generation == Generation(2)), "{turn:?}");
    flusher.stop();
}
