//! What coordinators, timers and the scrape see of the replicas.

use std::time::Duration;

use futures_util::FutureExt as _;
use log_storage::config::CleanupPolicy;
use log_storage::{AppendOrigin, LogConfig};
use model::record_batch::{BatchBuilder, BatchOptions, NewRecord};
use model::{Acks, LeaderEpoch, Offset};

use super::*;
use crate::fixture::{TestBroker, assigned};
use crate::partition::ReplicaRole;
use crate::partition_handle::ProduceOptions;

fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(&NewRecord::default()).unwrap();
    builder.build().unwrap()
}

#[tokio::test]
async fn a_coordinator_writes_and_trims_in_its_own_epoch_alone() {
    let compacted = LogConfig { cleanup: CleanupPolicy::Compact, ..LogConfig::default() };
    let broker = TestBroker::start(Vec::new()).await;
    let assigned = AssignedPartition { config: Arc::new(compacted), ..assigned(&[1]) };
    let partition = broker.show(assigned).await;
    let (own, other) = (LeaderEpoch(0), LeaderEpoch(1));
    assert!(partition.admits(own).is_ok());
    assert!(partition.admits(other).is_err(), "an epoch that the image does not have yet");
    let options = ProduceOptions {
        acks: Acks::All,
        timeout: Duration::from_secs(10),
        expected_leader_epoch: Some(own),
        origin: AppendOrigin::Coordinator,
        verification: None,
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
    broker.stop().await;
}

#[tokio::test]
async fn a_new_leader_is_found_in_its_role_and_a_new_follower_before_it_asks_for_a_stream() {
    let broker = TestBroker::start(Vec::new()).await;
    let local = Arc::clone(&broker.replicas.local);
    let (follower, mut leader) = (assigned(&[2, 1]), assigned(&[1, 2]));
    leader.id.partition = 1;
    let (followed_id, led_id) = (follower.id, leader.id);
    // Those who open streams wait for the first wish, not for the lock that the test takes.
    tokio::task::yield_now().await;
    // Whoever asks for a stream waits for this look at the followers to end.
    let (asked, looks) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let looking = Arc::clone(&local);
    let look = std::thread::spawn(move || {
        looking.host.outboxes.retire(BrokerId(2), || {
            asked.send(()).unwrap();
            let _ = ended.recv();
            true
        })
    });
    looks.recv().unwrap();
    let partitions = vec![PartitionChange::Assigned(follower), PartitionChange::Assigned(leader)];
    broker.replicas.apply(ImageUpdate { brokers: Vec::new(), partitions });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while local.partition(&followed_id).is_none() {
        assert!(tokio::time::Instant::now() < deadline, "a stream that opens now would miss it");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let role = broker.replicas.get(&led_id).unwrap().role();
    assert_eq!(role, ReplicaRole::Leader(LeaderEpoch(0)));
    drop(end);
    assert!(!look.join().unwrap());
    broker.replicas.settled().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_any_more_is_left_out() {
    let broker = TestBroker::start(Vec::new()).await;
    let storage = &broker.replicas.local.host.storage;
    // More than there are threads: what is asked now waits behind them, as behind a slow disk.
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = Arc::new(Mutex::new(ended));
    for _ in 0..64 {
        let ended = Arc::clone(&ended);
        storage.run_job(move || {
            let _ = ended.lock().unwrap().recv();
        });
    }
    let read = Arc::new(Mutex::new(Vec::new()));
    let reading = |name: &'static str| {
        let read = Arc::clone(&read);
        storage.run_and_wait(move || read.lock().unwrap().push(name))
    };
    assert_eq!(reading("given up").now_or_never(), None);
    let waited_for = reading("waited for");
    drop(end);
    assert_eq!(waited_for.await, Some(()));
    assert_eq!(*read.lock().unwrap(), ["waited for"]);
    broker.stop().await;
}

#[tokio::test]
async fn entries_of_timers_do_not_multiply() {
    let broker = TestBroker::start(Vec::new()).await;
    let partition = broker.show(assigned(&[1])).await;
    let timers = &broker.replicas.local.host.timers;
    let batch = batch();
    for millis in (1..50).rev() {
        let options = ProduceOptions {
            acks: Acks::All,
            timeout: Duration::from_millis(millis),
            expected_leader_epoch: None,
            origin: AppendOrigin::Client,
            verification: None,
        };
        // Acknowledged or timed out, as the disk will have it: what counts is the entry that each deadline arms.
        drop(partition.produce(&mut batch.clone(), &options));
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while timers.len() > 2 {
        assert!(tokio::time::Instant::now() < deadline, "{}", timers.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn the_scrape_has_counters_and_gauges() {
    let broker = TestBroker::start(Vec::new()).await;
    let mut registry = Registry::default();
    broker.replicas.register_metrics(&mut registry);
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
    broker.stop().await;
}
