//! The machines' timeouts, fired by the one task for all shards.

use std::time::Duration;

use coordinator::group::request::{Heartbeat, Request};
use coordinator::group::response::Response;
use coordinator::group::state::GroupState;
use coordinator::runtime::WriteError;
use model::ErrorCode;
use tokio::time::Instant;

use super::memory_log::MemoryLog;
use super::support::{Broker, PARTITION, join, joined};

async fn state_of(broker: &Broker, group: &str) -> Option<GroupState> {
    match broker.handle(Request::Describe(group.into())).await {
        Ok(Response::Describe(group)) => group.map(|group| group.state),
        other => panic!("not a description: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_ends_when_its_delay_has_passed() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    let began = Instant::now();
    let answer = joined(broker.handle(join("members", "")).await.unwrap());
    assert_eq!(answer.error, ErrorCode::None);
    assert_eq!(began.elapsed().as_secs(), 3, "group.initial.rebalance.delay.ms");
    assert!(answer.member_id.as_str().starts_with("client-"));
    assert_eq!(answer.member_id.as_str().len(), "client-".len() + 36);
}

#[tokio::test(start_paused = true)]
async fn a_silent_member_is_removed_and_that_is_written() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    broker.form_group("members").await;
    let before = log.range(PARTITION);
    assert_eq!(state_of(&broker, "members").await, Some(GroupState::Stable));
    tokio::time::sleep(Duration::from_millis(9_900)).await;
    assert_eq!(state_of(&broker, "members").await, Some(GroupState::Stable));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(state_of(&broker, "members").await, Some(GroupState::Empty));
    assert!(log.range(PARTITION).log_end_offset > before.log_end_offset);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_shows_itself_stays() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    let member = broker.form_group("members").await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        let heartbeat = Request::Heartbeat(Heartbeat { member: member.clone() });
        assert_eq!(broker.handle(heartbeat).await, Ok(Response::Heartbeat(ErrorCode::None)));
    }
    assert_eq!(state_of(&broker, "members").await, Some(GroupState::Stable));
}

#[tokio::test(start_paused = true)]
async fn timeouts_wait_while_the_partition_takes_no_writes() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    broker.form_group("members").await;
    log.set_refusal(PARTITION, Some(WriteError::NotEnoughReplicas));
    let before = log.range(PARTITION);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(log.range(PARTITION), before);
    assert_eq!(state_of(&broker, "members").await, Some(GroupState::Stable));
    log.set_refusal(PARTITION, None);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(state_of(&broker, "members").await, Some(GroupState::Empty));
}

#[tokio::test(start_paused = true)]
async fn sessions_begin_anew_after_a_load() {
    let log = MemoryLog::new();
    let first = Broker::leading(&log, 0).await;
    let member = first.form_group("members").await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    let second = Broker::leading(&log, 1).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    let heartbeat = Request::Heartbeat(Heartbeat { member });
    assert_eq!(second.handle(heartbeat).await, Ok(Response::Heartbeat(ErrorCode::None)));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(state_of(&second, "members").await, Some(GroupState::Empty));
}
