//! Loads: what they wait for, what cancels them, what they try again.

use std::time::Duration;

use coordinator::config::CoordinatorConfig;
use coordinator::runtime::Refusal;
use model::record_batch::{BatchBuilder, BatchOptions, NewRecord};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::memory_log::{MemoryLog, Replication};
use super::support::{Broker, PARTITION, commit, commit_of, settle, topic, until};

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
    broker.coordinator.elected(log.leadership(PARTITION, 3));
    settle().await;
    assert_eq!(broker.committed("readers").await, Err(Refusal::LoadInProgress));
    log.elect(PARTITION, 3);
    broker.loaded(PARTITION).await;
    broker.commit("readers", 5).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_being_made_is_loaded_as_soon_as_it_is_there() {
    let log = MemoryLog::new();
    let broker = Broker::start(&log);
    log.set_unmade(true);
    broker.coordinator.elected(log.elect(PARTITION, 0));
    settle().await;
    assert_eq!(broker.committed("readers").await, Err(Refusal::LoadInProgress));
    let began = tokio::time::Instant::now();
    log.set_unmade(false);
    broker.loaded(PARTITION).await;
    let took = began.elapsed();
    assert!(took < Duration::from_millis(10), "an event, not a pause: {took:?}");
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
    broker.coordinator.resigned(log.leadership(PARTITION, 2));
    assert_eq!(broker.committed("readers").await, Err(Refusal::NotCoordinator));
    log.truncate(PARTITION);
    broker.coordinator.elected(log.elect(PARTITION, 3));
    broker.coordinator.elected(log.leadership(PARTITION, 1));
    log.set_replication(PARTITION, Replication::Immediate);
    broker.loaded(PARTITION).await;
    assert_eq!(broker.committed("readers").await, Ok(Some(5)));
    broker.commit("readers", 7).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_resignation_cancels_a_load() {
    let log = MemoryLog::new();
    let broker = Broker::start(&log);
    broker.coordinator.elected(log.leadership(PARTITION, 1));
    settle().await;
    broker.coordinator.resigned(log.leadership(PARTITION, 2));
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
    // One that is gone, one that was created anew, one that this broker has only not heard of yet.
    let (gone, anew, late) = (topic("orders", 1), topic("payments", 2), topic("refunds", 4));
    for topic in [&gone, &anew, &late] {
        first.handle(commit_of("readers", topic, 5)).await.unwrap();
    }
    first.handle(commit_of("others", &topic("payments", 3), 6)).await.unwrap();
    for topic in [gone, anew, late.clone()] {
        log.forget_topic(topic);
    }
    let second = Broker::leading(&log, 1).await;
    assert_eq!(second.committed("readers").await, Ok(Some(5)), "it may be news");
    log.learn_topic(&late);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(second.committed("readers").await, Ok(None));
    let mut left = Vec::new();
    second.coordinator.for_each_committed(10, |committed| {
        left.push((committed.topic.to_string(), committed.offset.0));
    });
    assert_eq!(left, [("payments".to_owned(), 6), ("refunds".to_owned(), 5)]);
}

#[tokio::test(start_paused = true)]
async fn topics_that_are_deleted_during_a_load_are_not_forgotten() {
    let log = MemoryLog::new();
    let first = Broker::leading(&log, 0).await;
    first.commit("readers", 5).await.unwrap();
    let second = Broker::start(&log);
    let leadership = log.leadership(PARTITION, 1);
    second.coordinator.elected(leadership);
    second.coordinator.topics_deleted(&[topic("orders", 1)]);
    settle().await;
    log.elect(PARTITION, 1);
    second.loaded(PARTITION).await;
    until("the offset is gone", async || second.committed("readers").await == Ok(None)).await;
}

#[tokio::test(start_paused = true)]
async fn records_of_somebody_elses_are_left_out_of_the_load() {
    let log = MemoryLog::new();
    let first = Broker::leading(&log, 0).await;
    first.commit("readers", 5).await.unwrap();
    let key: &[u8] = b"\0\x01\0\x07readers\0\x06orders\0\0\0\0";
    for (key, value) in [(None, &b"words"[..]), (Some(key), &b"\0\x63of a newer broker"[..])] {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        let record = NewRecord { key, value: Some(value), ..NewRecord::default() };
        builder.append(&record).unwrap();
        log.append_raw(PARTITION, builder.build().unwrap());
    }
    first.commit("others", 6).await.unwrap();
    let second = Broker::leading(&log, 1).await;
    assert_eq!(second.committed("readers").await, Ok(Some(5)));
    assert_eq!(second.committed("others").await, Ok(Some(6)));
    let mut registry = Registry::default();
    second.metrics.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let shown = "steadfast_group_skipped_records_total 2";
    assert!(text.lines().any(|line| line == shown), "{text}");
}
