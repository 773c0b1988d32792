//! Loads: what they wait for, what cancels them, what they try again.

use std::time::Duration;

use coordinator::config::CoordinatorConfig;
use coordinator::group::ids::TopicName;
use coordinator::runtime::{Leadership, Refusal};
use model::LeaderEpoch;
use model::record_batch::{BatchBuilder, BatchOptions, NewRecord};

use super::memory_log::{MemoryLog, Replication};
use super::support::{Broker, PARTITION, commit, settle, until};

#[tokio::test(start_paused = true)]
async fn a_shard_serves_only_when_the_log_end_at_its_election_is_committed() {
    let log = MemoryLog::new();
    let first = Broker::leading(&log, 0).await;
    first.commit("readers", 5).await.unwrap();
    log.set_replication(PARTITION, Replication::Held);
    first.send(commit("readers", "orders", 0, 6)).await;

    let second = Broker::start(&log);
    second.coordinator.elected(log.elect(PARTITION, 1));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(second.committed("readers").await, Err(Refusal::LoadInProgress));
    log.set_replication(PARTITION, Replication::Immediate);
    second.loaded(PARTITION).await;
    assert_eq!(second.committed("readers").await, Ok(Some(6)));
}

#[tokio::test(start_paused = true)]
async fn an_election_that_the_replica_has_not_heard_of_yet_is_waited_for() {
    let log = MemoryLog::new();
    let broker = Broker::start(&log);
    broker.coordinator.elected(Leadership { partition: PARTITION, leader_epoch: LeaderEpoch(3) });
    settle().await;
    assert_eq!(broker.committed("readers").await, Err(Refusal::LoadInProgress));
    log.elect(PARTITION, 3);
    broker.loaded(PARTITION).await;
    broker.commit("readers", 5).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_load_of_an_older_epoch_is_never_published() {
    let log = MemoryLog::new();
    let first = Broker::leading(&log, 0).await;
    first.commit("readers", 5).await.unwrap();
    log.set_replication(PARTITION, Replication::Held);
    first.send(commit("readers", "orders", 0, 6)).await;
    let broker = Broker::start(&log);
    broker.coordinator.elected(log.elect(PARTITION, 1));
    settle().await;
    // Two elections later its tail is gone, and the load of epoch 1 must not come back with it.
    broker.coordinator.resigned(Leadership { partition: PARTITION, leader_epoch: LeaderEpoch(2) });
    assert_eq!(broker.committed("readers").await, Err(Refusal::NotCoordinator));
    log.truncate(PARTITION);
    broker.coordinator.elected(log.elect(PARTITION, 3));
    broker.coordinator.elected(Leadership { partition: PARTITION, leader_epoch: LeaderEpoch(1) });
    log.set_replication(PARTITION, Replication::Immediate);
    broker.loaded(PARTITION).await;
    assert_eq!(broker.committed("readers").await, Ok(Some(5)));
    broker.commit("readers", 7).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_resignation_cancels_a_load() {
    let log = MemoryLog::new();
    let broker = Broker::start(&log);
    broker.coordinator.elected(Leadership { partition: PARTITION, leader_epoch: LeaderEpoch(1) });
    settle().await;
    broker.coordinator.resigned(Leadership { partition: PARTITION, leader_epoch: LeaderEpoch(2) });
    log.elect(PARTITION, 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(broker.committed("readers").await, Err(Refusal::NotCoordinator));
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_of_many_chunks_is_replayed_in_order() {
    let log = MemoryLog::new();
    let first = Broker::leading(&log, 0).await;
    for offset in 0..500 {
        first.commit(&format!("group-{}", offset % 7), offset).await.unwrap();
    }
    // A buffer that is smaller than a batch still gets each batch whole.
    let config = CoordinatorConfig { load_buffer_bytes: 1, ..CoordinatorConfig::default() };
    let second = Broker::with_config(&log, config);
    second.lead(&log, 1).await;
    for group in 0..7 {
        let last = (0..500).filter(|offset| offset % 7 == group).max();
        assert_eq!(second.committed(&format!("group-{group}")).await, Ok(last));
    }
}

#[tokio::test(start_paused = true)]
async fn loads_go_on_while_others_wait_for_replicas() {
    let log = MemoryLog::new();
    let first = Broker::start(&log);
    for partition in 0..50 {
        first.coordinator.elected(log.elect(partition, 0));
        first.loaded(partition).await;
        log.set_replication(partition, Replication::Held);
        let commit = commit("readers", "orders", 0, 5);
        first.coordinator.handle(partition, commit).await.unwrap_err();
    }
    let second = Broker::start(&log);
    for partition in 0..50 {
        second.coordinator.elected(log.elect(partition, 1));
    }
    settle().await;
    log.set_replication(49, Replication::Immediate);
    second.loaded(49).await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_log_is_not_served_and_tried_again() {
    let log = MemoryLog::new();
    let first = Broker::leading(&log, 0).await;
    first.commit("readers", 5).await.unwrap();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    // A key of a known kind that ends before its group.
    let record = NewRecord { key: Some(&[0, 1, 0]), value: Some(&[]), ..NewRecord::default() };
    builder.append(&record).unwrap();
    let before = log.range(PARTITION);
    log.append_raw(PARTITION, builder.build().unwrap());
    let second = Broker::start(&log);
    second.coordinator.elected(log.elect(PARTITION, 1));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(second.committed("readers").await, Err(Refusal::LoadInProgress));
    log.cut_back(PARTITION, before.log_end_offset);
    second.loaded(PARTITION).await;
    assert_eq!(second.committed("readers").await, Ok(Some(5)));
}

#[tokio::test(start_paused = true)]
async fn offsets_of_topics_that_went_away_unseen_go_after_the_load() {
    let log = MemoryLog::new();
    let first = Broker::leading(&log, 0).await;
    first.handle(commit("readers", "orders", 0, 5)).await.unwrap();
    first.handle(commit("readers", "payments", 0, 6)).await.unwrap();
    log.forget_topic("orders");
    let second = Broker::leading(&log, 1).await;
    assert_eq!(second.committed("readers").await, Ok(None));
    assert_eq!(second.coordinator.counts().offset_count, 1);
}

#[tokio::test(start_paused = true)]
async fn topics_that_are_deleted_during_a_load_are_not_forgotten() {
    let log = MemoryLog::new();
    let first = Broker::leading(&log, 0).await;
    first.commit("readers", 5).await.unwrap();
    let second = Broker::start(&log);
    let leadership = Leadership { partition: PARTITION, leader_epoch: LeaderEpoch(1) };
    second.coordinator.elected(leadership);
    second.coordinator.topics_deleted(vec![TopicName::from("orders")]);
    settle().await;
    log.elect(PARTITION, 1);
    second.loaded(PARTITION).await;
    until("the offset is gone", async || second.committed("readers").await == Ok(None)).await;
}
