//! Elections and resignations: what is kept, who is told, and that a stale coordinator writes nothing.

use coordinator::group::request::Request;
use coordinator::group::response::Response;
use coordinator::runtime::Refusal;
use model::ErrorCode;
use std::time::Duration;

use super::memory_log::{MemoryLog, Replication};
use super::support::{Broker, PARTITION, commit, fetch, join, joined, settle, until};

#[tokio::test(start_paused = true)]
async fn a_new_coordinator_knows_what_the_old_one_acknowledged() {
    let log = MemoryLog::new();
    let first = Broker::leading(&log, 0).await;
    first.commit("readers", 41).await.unwrap();
    first.commit("readers", 42).await.unwrap();
    first.commit("others", 7).await.unwrap();
    let member = first.form_group("members").await;

    let second = Broker::leading(&log, 1).await;
    first.coordinator.resigned(log.leadership(PARTITION, 1));
    assert_eq!(second.committed("readers").await, Ok(Some(42)));
    assert_eq!(second.committed("others").await, Ok(Some(7)));
    let Ok(Response::Describe(Some(group))) =
        second.handle(Request::Describe("members".into())).await
    else {
        panic!("the group is gone")
    };
    assert_eq!(group.members[0].member_id, member.member_id);
    assert_eq!(first.committed("readers").await, Err(Refusal::NotCoordinator));
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_until_what_it_tells_is_committed() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    log.set_replication(PARTITION, Replication::Held);
    let commit = broker.send(commit("readers", "orders", 0, 5)).await;
    let fetch = broker.send(fetch("readers")).await;
    assert!(!commit.is_finished(), "an uncommitted commit is not acknowledged");
    assert!(!fetch.is_finished(), "an uncommitted offset is not told");
    // Another group's state depends on nothing that is uncommitted.
    assert_eq!(broker.committed("others").await, Ok(None));

    log.set_replication(PARTITION, Replication::Immediate);
    assert_eq!(commit.await.unwrap(), Ok(Response::CommitOffsets(vec![ErrorCode::None])));
    let Ok(Response::FetchOffsets(answer)) = fetch.await.unwrap() else { panic!("no offsets") };
    assert_eq!(answer.offsets[0].committed.as_ref().unwrap().offset.0, 5);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_not_replicated_times_out() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    log.set_replication(PARTITION, Replication::Held);
    let began = tokio::time::Instant::now();
    assert_eq!(broker.commit("readers", 5).await, Err(Refusal::NotAvailable));
    assert_eq!(began.elapsed().as_secs(), 5, "offsets.commit.timeout.ms");
    // It was written all the same, and counts once it is replicated.
    log.set_replication(PARTITION, Replication::Immediate);
    assert_eq!(broker.committed("readers").await, Ok(Some(5)));
}

#[tokio::test(start_paused = true)]
async fn a_stale_coordinator_writes_nothing() {
    let log = MemoryLog::new();
    let stale = Broker::leading(&log, 0).await;
    stale.commit("readers", 5).await.unwrap();
    let waiting = stale.send(join("members", "")).await;
    // The log has a new leader; nobody told the old one.
    log.elect(PARTITION, 1);
    let before = log.range(PARTITION);
    assert_eq!(stale.commit("readers", 4).await, Err(Refusal::NotCoordinator));
    // Its timers write nothing either: the rebalance that would end now does not.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(log.range(PARTITION), before);
    stale.coordinator.resigned(log.leadership(PARTITION, 1));
    assert_eq!(waiting.await.unwrap(), Err(Refusal::NotCoordinator));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_committed_is_gone_after_a_failover_and_was_told_to_nobody() {
    let log = MemoryLog::new();
    let first = Broker::leading(&log, 0).await;
    first.commit("readers", 5).await.unwrap();
    log.set_replication(PARTITION, Replication::Held);
    let lost = first.send(commit("readers", "orders", 0, 6)).await;
    log.truncate(PARTITION);
    log.set_replication(PARTITION, Replication::Immediate);
    let second = Broker::leading(&log, 1).await;
    assert_eq!(second.committed("readers").await, Ok(Some(5)));
    assert_eq!(lost.await.unwrap(), Err(Refusal::NotCoordinator));
}

#[tokio::test(start_paused = true)]
async fn a_resignation_answers_those_who_wait() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 4).await;
    let join = broker.send(join("members", "")).await;
    log.set_replication(PARTITION, Replication::Held);
    let commit = broker.send(commit("readers", "orders", 0, 5)).await;
    // An older image changes nothing.
    broker.coordinator.resigned(log.leadership(PARTITION, 3));
    settle().await;
    assert!(!join.is_finished() && !commit.is_finished());

    broker.coordinator.resigned(log.leadership(PARTITION, 5));
    assert_eq!(join.await.unwrap(), Err(Refusal::NotCoordinator));
    assert_eq!(commit.await.unwrap(), Err(Refusal::NotCoordinator));
    assert_eq!(broker.committed("readers").await, Err(Refusal::NotCoordinator));
}

#[tokio::test(start_paused = true)]
async fn a_re_election_of_the_same_broker_loads_anew() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    broker.commit("readers", 5).await.unwrap();
    let join = broker.send(join("members", "")).await;
    broker.lead(&log, 1).await;
    assert_eq!(join.await.unwrap(), Err(Refusal::NotCoordinator));
    assert_eq!(broker.committed("readers").await, Ok(Some(5)));
    // The same news again, and old news, change nothing.
    broker.coordinator.elected(log.leadership(PARTITION, 1));
    broker.coordinator.elected(log.leadership(PARTITION, 0));
    assert_eq!(broker.committed("readers").await, Ok(Some(5)));
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_of_a_deleted_topic_writes_nothing_into_the_next_of_its_name() {
    let log = MemoryLog::new();
    let stale = Broker::leading(&log, 0).await;
    let broker = Broker::leading(&log, 4).await;
    broker.commit("readers", 5).await.unwrap();
    let of_old_topic = log.leadership(PARTITION, 9);
    log.create_anew(PARTITION);
    // Its epochs begin at 0 again, and nobody has told the old coordinators yet.
    let elected = log.elect(PARTITION, 0);
    let before = log.range(PARTITION);
    assert_eq!(stale.commit("readers", 6).await, Err(Refusal::NotCoordinator));
    assert_eq!(log.range(PARTITION), before);

    broker.coordinator.elected(elected);
    broker.loaded(PARTITION).await;
    assert_eq!(broker.committed("readers").await, Ok(None));
    broker.commit("readers", 7).await.unwrap();
    broker.coordinator.resigned(of_old_topic);
    assert_eq!(broker.committed("readers").await, Ok(Some(7)));
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_connection_is_gone_leaves_the_shard_as_it_was() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    let gone = broker.send(join("members", "")).await;
    gone.abort();
    let stays = joined(broker.handle(join("members", "")).await.unwrap());
    assert_eq!(stays.error, ErrorCode::None);
    assert!(stays.generation_id.is_some());
    broker.commit("readers", 5).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_answers_those_who_wait_and_ends_all_tasks() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    let join = broker.send(join("members", "")).await;
    log.set_replication(PARTITION, Replication::Held);
    let commit = broker.send(commit("readers", "orders", 0, 5)).await;
    let coordinator = std::sync::Arc::clone(&broker.coordinator);
    broker.stop().await;
    assert_eq!(join.await.unwrap(), Err(Refusal::NotCoordinator));
    assert_eq!(commit.await.unwrap(), Err(Refusal::NotCoordinator));
    coordinator.elected(log.elect(PARTITION, 9));
    assert_eq!(coordinator.handle(PARTITION, fetch("readers")).await, Err(Refusal::NotCoordinator));
}

#[tokio::test(start_paused = true)]
async fn many_shards_are_led_and_listed_together() {
    let log = MemoryLog::new();
    let broker = Broker::start(&log);
    for partition in 0..50 {
        broker.coordinator.elected(log.elect(partition, 0));
    }
    for partition in 0..50 {
        broker.loaded(partition).await;
        let group = format!("group-{partition:02}");
        let commit = commit(&group, "orders", 0, i64::from(partition));
        broker.coordinator.handle(partition, commit).await.unwrap();
    }
    let mut listed: Vec<_> = broker
        .coordinator
        .list(Default::default())
        .await
        .unwrap()
        .into_iter()
        .map(|group| group.group_id.to_string())
        .collect();
    listed.sort();
    assert_eq!(listed, (0..50).map(|i| format!("group-{i:02}")).collect::<Vec<_>>());

    let mut visited = 0;
    broker.coordinator.for_each_committed(1_000, |committed| {
        assert_eq!(committed.group_id.as_str(), format!("group-{:02}", committed.offset.0));
        visited += 1;
    });
    assert_eq!(visited, 50);
    let mut visited = 0;
    broker.coordinator.for_each_committed(20, |_| visited += 1);
    assert_eq!(visited, 20);

    // One that loads is told, as Kafka does; the others answer on.
    log.set_replication(7, Replication::Held);
    log.elect(7, 1);
    broker.coordinator.handle(7, commit("late", "orders", 0, 1)).await.unwrap_err();
    broker.coordinator.resigned(log.leadership(7, 1));
    assert_eq!(broker.coordinator.list(Default::default()).await.unwrap().len(), 49);
    until("the rest answers", async || {
        broker.coordinator.handle(8, fetch("group-08")).await.is_ok()
    })
    .await;
}
