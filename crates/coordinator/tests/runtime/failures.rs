//! Partitions that take no writes, and appends that fail.

use coordinator::group::ids::TopicName;
use coordinator::group::request::Request;
use coordinator::group::response::Response;
use coordinator::runtime::{Refusal, WriteError};
use model::ErrorCode;

use super::memory_log::MemoryLog;
use super::support::{Broker, PARTITION, commit, join, joined, settle, until};

#[tokio::test(start_paused = true)]
async fn a_refusal_before_the_write_changes_nothing() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    broker.commit("readers", 5).await.unwrap();
    let waiting = broker.send(join("members", "")).await;
    let before = log.range(PARTITION);

    log.set_refusal(PARTITION, Some(WriteError::NotEnoughReplicas));
    assert_eq!(broker.commit("readers", 6).await, Err(Refusal::NotAvailable));
    assert_eq!(broker.handle(join("members", "")).await, Err(Refusal::NotAvailable));
    assert_eq!(broker.handle(Request::Delete("readers".into())).await, Err(Refusal::NotAvailable));
    assert_eq!(broker.committed("readers").await, Ok(Some(5)), "reads are served");
    assert_eq!(log.range(PARTITION), before);

    log.set_refusal(PARTITION, None);
    assert_eq!(broker.committed("readers").await, Ok(Some(5)));
    let answer = joined(waiting.await.unwrap().unwrap());
    assert_eq!(answer.members.len(), 1, "the refused member is not in the group");
    broker.commit("readers", 7).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failed_append_takes_back_what_it_was_to_write() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    broker.commit("readers", 5).await.unwrap();
    let waiting = broker.send(join("members", "")).await;

    log.fail_next_append(PARTITION, WriteError::Storage);
    assert_eq!(broker.commit("readers", 6).await, Err(Refusal::NotCoordinator));
    assert_eq!(waiting.await.unwrap(), Err(Refusal::LoadInProgress));
    assert_eq!(broker.committed("readers").await, Err(Refusal::LoadInProgress));

    broker.loaded(PARTITION).await;
    assert_eq!(broker.committed("readers").await, Ok(Some(5)));
    broker.commit("readers", 7).await.unwrap();
    assert_eq!(broker.committed("readers").await, Ok(Some(7)));
}

#[tokio::test(start_paused = true)]
async fn an_append_under_a_lost_leadership_is_no_coordinators() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    let waiting = broker.send(join("members", "")).await;
    // The epoch ends between admission and append.
    log.fail_next_append(PARTITION, WriteError::NotLeader);
    assert_eq!(broker.commit("readers", 6).await, Err(Refusal::NotCoordinator));
    assert_eq!(waiting.await.unwrap(), Err(Refusal::NotCoordinator));
    assert_eq!(broker.committed("readers").await, Err(Refusal::NotCoordinator));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_the_log_does_not_take_is_the_requests_own_fault() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    log.fail_next_append(PARTITION, WriteError::TooLarge);
    assert_eq!(broker.commit("readers", 6).await, Err(Refusal::TooLarge));
    broker.loaded(PARTITION).await;
    assert_eq!(broker.committed("readers").await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn offsets_of_deleted_topics_go_as_soon_as_the_partition_takes_writes() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    broker.handle(commit("readers", "orders", 0, 5)).await.unwrap();
    broker.handle(commit("readers", "payments", 0, 6)).await.unwrap();
    log.set_refusal(PARTITION, Some(WriteError::NotEnoughReplicas));
    let before = log.range(PARTITION);
    broker.coordinator.topics_deleted(vec![TopicName::from("orders")]);
    settle().await;
    assert_eq!(log.range(PARTITION), before);
    assert_eq!(broker.committed("readers").await, Ok(Some(5)));

    log.set_refusal(PARTITION, None);
    until("the offset is gone", async || broker.committed("readers").await == Ok(None)).await;
    let Ok(Response::FetchOffsets(answer)) = broker.handle(super::support::fetch("readers")).await
    else {
        panic!("no offsets")
    };
    assert_eq!(answer.error, ErrorCode::None);
    assert_eq!(answer.offsets.len(), 1);
    assert_eq!(answer.offsets[0].topic.as_str(), "payments");
}
