//! The rewrite that bounds the load: the log stays small, and a load after it gives the same state.

use coordinator::group::request::{CommitOffsets, MemberRef, OffsetToCommit, Request};
use coordinator::group::response::Response;
use coordinator::runtime::{Refusal, WriteError};
use model::{ErrorCode, Offset};

use super::memory_log::{MemoryLog, Replication};
use super::support::{Broker, PARTITION, fetch, join, until};

/// Commits many offsets of a group at once.
fn commit_many(group: &str, offset: i64) -> Request {
    let offsets = (0..500).map(|partition| OffsetToCommit {
        topic: "orders".into(),
        topic_id: None,
        partition,
        offset: Offset(offset),
        leader_epoch: None,
        metadata: "as far as we got".to_owned(),
    });
    Request::CommitOffsets(CommitOffsets {
        member: MemberRef {
            group_id: group.into(),
            member_id: "".into(),
            group_instance_id: None,
            generation_id: None,
        },
        offsets: offsets.collect(),
        retention: None,
    })
}

/// Commits until the log is larger than what is rewritten: about 4 MiB, of a few groups' offsets.
async fn fill(broker: &Broker, log: &MemoryLog, partition: i32) {
    let mut offset = 0;
    while log.size_bytes(partition) < (4 << 20) - (256 << 10) {
        offset += 1;
        let answer = broker
            .coordinator
            .handle(partition, commit_many(&format!("group-{}", offset % 4), offset))
            .await;
        let Ok(Response::CommitOffsets(codes)) = answer else { panic!("not committed") };
        assert!(codes.iter().all(|code| *code == ErrorCode::None));
    }
}

/// All that clients can see of the groups.
async fn seen(broker: &Broker) -> Vec<Result<Response, Refusal>> {
    let mut seen = Vec::new();
    for group in ["group-0", "group-1", "group-2", "group-3", "members", "gone"] {
        seen.push(broker.handle(fetch(group)).await);
        seen.push(broker.handle(Request::Describe(group.into())).await);
    }
    assert!(seen.iter().all(Result::is_ok));
    seen
}

async fn rewritten(broker: &Broker, log: &MemoryLog) {
    until("the log is rewritten", async || {
        // Requests go on meanwhile.
        broker.handle(commit_many("group-0", 1_000_000)).await.unwrap();
        log.range(PARTITION).log_start_offset > Offset(0)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_rewrite_trims_the_log_and_a_load_gives_the_same_state() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    let member = broker.form_group("members").await;
    broker.handle(commit_many("gone", 7)).await.unwrap();
    broker.handle(Request::Delete("gone".into())).await.unwrap();
    fill(&broker, &log, PARTITION).await;
    assert_eq!(log.range(PARTITION).log_start_offset, Offset(0), "not worth it yet");
    rewritten(&broker, &log).await;
    assert!(log.size_bytes(PARTITION) < 2 << 20, "{} bytes", log.size_bytes(PARTITION));

    let before = seen(&broker).await;
    let second = Broker::leading(&log, 1).await;
    assert_eq!(seen(&second).await, before);
    let Ok(Response::Describe(Some(group))) =
        second.handle(Request::Describe("members".into())).await
    else {
        panic!("the group is gone")
    };
    assert_eq!(group.members[0].member_id, member.member_id);
    let Ok(Response::Describe(gone)) = second.handle(Request::Describe("gone".into())).await else {
        panic!("no description")
    };
    assert_eq!(gone, None);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_trimmed_before_the_rewrite_is_committed() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    fill(&broker, &log, PARTITION).await;
    log.set_replication(PARTITION, Replication::Held);
    let committed = log.range(PARTITION).log_end_offset;
    for offset in 0..20 {
        broker.send(commit_many("group-0", 1_000_000 + offset)).await;
    }
    until("the rewrite is written", async || {
        log.range(PARTITION).log_end_offset > committed + 20 * 500
    })
    .await;
    assert_eq!(log.range(PARTITION).log_start_offset, Offset(0));
    log.set_replication(PARTITION, Replication::Immediate);
    until("the log is trimmed", async || log.range(PARTITION).log_start_offset > Offset(0)).await;
    let before = seen(&broker).await;
    let second = Broker::leading(&log, 1).await;
    assert_eq!(seen(&second).await, before);
}

#[tokio::test(start_paused = true)]
async fn a_rewrite_that_a_failover_interrupts_loses_nothing() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    fill(&broker, &log, PARTITION).await;
    // Half of it is written, and some of that is lost.
    log.set_replication(PARTITION, Replication::Held);
    for _ in 0..20 {
        broker.send(commit_many("group-0", 1_000_000)).await;
    }
    log.truncate(PARTITION);
    log.set_replication(PARTITION, Replication::Immediate);
    let second = Broker::leading(&log, 1).await;
    let before = seen(&second).await;
    rewritten(&second, &log).await;
    let third = Broker::leading(&log, 2).await;
    assert_eq!(seen(&third).await[2..], before[2..]);
}

#[tokio::test(start_paused = true)]
async fn a_rewrite_waits_while_the_partition_takes_no_writes() {
    let log = MemoryLog::new();
    let first = Broker::leading(&log, 0).await;
    fill(&first, &log, PARTITION).await;
    // The next leader finds a log that is worth it at once.
    log.set_replication(PARTITION, Replication::Held);
    for _ in 0..20 {
        first.send(commit_many("group-0", 1)).await;
    }
    log.set_refusal(PARTITION, Some(WriteError::NotEnoughReplicas));
    log.set_replication(PARTITION, Replication::Immediate);
    let broker = Broker::start(&log);
    broker.lead(&log, 1).await;
    let before = log.range(PARTITION);
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_eq!(log.range(PARTITION), before);
    log.set_refusal(PARTITION, None);
    until("the log is rewritten", async || {
        log.range(PARTITION).log_start_offset > before.log_start_offset
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_during_a_rewrite_does_not_come_back() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    fill(&broker, &log, PARTITION).await;
    log.set_replication(PARTITION, Replication::Held);
    for _ in 0..20 {
        broker.send(commit_many("group-3", 1_000_000)).await;
    }
    // The rewrite has passed all groups, and waits for its bytes to be committed.
    broker.send(Request::Delete("group-0".into())).await;
    log.set_replication(PARTITION, Replication::Immediate);
    until("the log is trimmed", async || log.range(PARTITION).log_start_offset > Offset(0)).await;
    let second = Broker::leading(&log, 1).await;
    assert_eq!(second.committed("group-0").await, Ok(None));
    assert_eq!(second.committed("group-3").await, Ok(Some(1_000_000)));
}

#[tokio::test(start_paused = true)]
async fn a_rewrite_that_makes_no_progress_does_not_hold_up_others() {
    const OTHER: i32 = PARTITION + 1;
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    broker.coordinator.elected(log.elect(OTHER, 0));
    broker.loaded(OTHER).await;
    fill(&broker, &log, PARTITION).await;
    fill(&broker, &log, OTHER).await;
    log.set_replication(PARTITION, Replication::Held);
    for _ in 0..20 {
        broker.send(commit_many("group-0", 1)).await;
    }
    for _ in 0..20 {
        broker.coordinator.handle(OTHER, commit_many("group-0", 1)).await.unwrap();
    }
    until("the other log is rewritten", async || log.range(OTHER).log_start_offset > Offset(0))
        .await;
    assert_eq!(log.range(PARTITION).log_start_offset, Offset(0));
}

#[tokio::test(start_paused = true)]
async fn a_rewrite_that_the_log_does_not_take_is_given_up_and_nobody_notices() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    fill(&broker, &log, PARTITION).await;
    let waiting = broker.send(join("members", "")).await;
    // Between a commit and a chunk of a rewrite.
    log.set_max_batch_bytes(PARTITION, 50_000);
    for offset in 0..20 {
        broker.handle(commit_many("group-0", 1_000_000 + offset)).await.unwrap();
    }
    assert!(log.size_bytes(PARTITION) > (4 << 20) + (128 << 10), "a rewrite was due");
    assert_eq!(log.range(PARTITION).log_start_offset, Offset(0));
    waiting.await.unwrap().unwrap();
    assert_eq!(broker.committed("group-0").await, Ok(Some(1_000_019)));
}
