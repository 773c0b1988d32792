//! Partitions that take no writes, and appends that fail.

use std::time::Duration;

use coordinator::group::ids::TopicIdentity;
use coordinator::group::request::{FirstJoin, Heartbeat, Request};
use coordinator::group::response::Response;
use coordinator::runtime::{Refusal, WriteError};
use model::ErrorCode;

use super::memory_log::MemoryLog;
use super::support::{Broker, PARTITION, commit, commit_of, join, joined, settle, topic, until};

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
    broker.coordinator.topics_deleted(&[topic("orders", 1)]);
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

#[tokio::test(start_paused = true)]
async fn a_deletion_that_waits_does_not_reach_the_next_topic_of_the_name() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    let (old, new) = (topic("orders", 1), topic("orders", 2));
    broker.handle(commit_of("readers", &old, 5)).await.unwrap();
    log.set_refusal(PARTITION, Some(WriteError::NotEnoughReplicas));
    broker.coordinator.topics_deleted(&[old]);
    settle().await;

    log.set_refusal(PARTITION, None);
    broker.handle(commit_of("readers", &new, 6)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(broker.committed("readers").await, Ok(Some(6)));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_stepped_before_the_next_request() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    // Without ids, only the order tells which topic an offset is of.
    broker.commit("readers", 5).await.unwrap();
    broker.commit("others", 5).await.unwrap();
    for refusal in [Some(WriteError::NotEnoughReplicas), None] {
        log.set_refusal(PARTITION, refusal);
        broker.coordinator.topics_deleted(&[topic("orders", 1)]);
        if refusal.is_some() {
            settle().await;
            log.set_refusal(PARTITION, None);
        }
        broker.commit("readers", 6).await.unwrap();
        assert_eq!(broker.committed("others").await, Ok(None));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(broker.committed("readers").await, Ok(Some(6)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_whose_append_failed_is_made_up_for_after_the_load() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    broker.commit("readers", 5).await.unwrap();
    log.set_refusal(PARTITION, Some(WriteError::NotEnoughReplicas));
    broker.coordinator.topics_deleted(&[topic("orders", 1)]);
    settle().await;
    log.set_refusal(PARTITION, None);
    log.fail_next_append(PARTITION, WriteError::Storage);
    log.forget_topic(TopicIdentity { name: "orders".into(), id: None });
    // The deletion's own append fails, and the shard that was told of it is thrown away.
    broker.handle(Request::Describe("readers".into())).await.unwrap_err();
    broker.loaded(PARTITION).await;
    until("the offset is gone", async || broker.committed("readers").await == Ok(None)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_committed_is_told_however_few_replicas_are_in_sync() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    let member = broker.form_group("members").await;
    // Its expiry is written by a timer: nobody has waited for that to be committed.
    tokio::time::sleep(Duration::from_secs(11)).await;
    log.set_refusal(PARTITION, Some(WriteError::NotEnoughReplicas));
    let Ok(Response::Describe(Some(group))) =
        broker.handle(Request::Describe("members".into())).await
    else {
        panic!("no description")
    };
    assert_eq!(group.members.len(), 0);
    let heartbeat = Request::Heartbeat(Heartbeat { member });
    let answer = broker.handle(heartbeat).await;
    assert_eq!(answer, Ok(Response::Heartbeat(ErrorCode::UnknownMemberId)));
}

#[tokio::test(start_paused = true)]
async fn long_names_make_no_longer_member_ids_than_a_text_may_be() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    for (name, kept) in
        [("x".repeat(32_767), 255), ("\u{20ac}".repeat(10_000), 255), ("\u{e9}".repeat(200), 254)]
    {
        let Request::Join(mut request) = join("members", "") else { unreachable!("it is a join") };
        request.client_id = name.clone();
        request.first_join = FirstJoin::WithMemberId;
        let answer = joined(broker.handle(Request::Join(request)).await.unwrap());
        assert_eq!(answer.error, ErrorCode::MemberIdRequired);
        let (drawn, _uuid) = answer.member_id.as_str().split_once('-').unwrap();
        assert!(name.starts_with(drawn));
        assert_eq!(drawn.len(), kept);
    }
}
