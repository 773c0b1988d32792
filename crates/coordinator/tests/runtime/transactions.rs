//! Offsets of transactions: nothing of them is told before it is committed, the log's refusals cost nothing, and neither a failover nor a rewrite loses or duplicates one.

use coordinator::group::request::{
    CommitOffsets, CommitTransactionalOffsets, CompleteTransaction, Request, VerificationGuard,
};
use coordinator::group::response::Response;
use coordinator::runtime::TransactionOrigin;
use model::record_batch::{EndTransactionMarker, TransactionResult};
use model::{ErrorCode, Offset, ProducerEpoch, ProducerId};

use super::memory_log::{MemoryLog, Replication};
use super::support::{Broker, PARTITION, commit, settle, until};

const PRODUCER: ProducerId = ProducerId(7);

fn commit_in_transaction(group: &str, topic: &str, partition: i32, offset: i64) -> Request {
    let Request::CommitOffsets(CommitOffsets { member, offsets, .. }) =
        commit(group, topic, partition, offset)
    else {
        unreachable!("it is a commit")
    };
    Request::CommitTransactionalOffsets(CommitTransactionalOffsets {
        member,
        producer_id: PRODUCER,
        producer_epoch: ProducerEpoch(1),
        guard: Some(VerificationGuard(3)),
        offsets,
    })
}

fn complete(result: TransactionResult) -> Request {
    Request::CompleteTransaction(CompleteTransaction {
        producer_id: PRODUCER,
        producer_epoch: ProducerEpoch(1),
        marker: EndTransactionMarker { result, coordinator_epoch: 5 },
        transaction_version: 2,
    })
}

const DONE: Response = Response::CompleteTransaction(ErrorCode::None);

fn taken() -> Response {
    Response::CommitTransactionalOffsets(vec![ErrorCode::None])
}

#[tokio::test(start_paused = true)]
async fn a_marker_is_told_of_when_it_is_committed() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    let answer = broker.handle(commit_in_transaction("g", "orders", 0, 5)).await;
    assert_eq!(answer, Ok(taken()));
    log.set_replication(PARTITION, Replication::Held);
    let marked = broker.send(complete(TransactionResult::Commit)).await;
    let fetched = broker.send(super::support::fetch("g")).await;
    settle().await;
    assert!(!marked.is_finished() && !fetched.is_finished());
    log.set_replication(PARTITION, Replication::Immediate);
    assert_eq!(marked.await.unwrap(), Ok(DONE));
    assert_eq!(broker.committed("g").await, Ok(Some(5)));
    let guard = Some(VerificationGuard(3));
    let marker = TransactionOrigin::Marker { transaction_version: 2 };
    assert_eq!(log.origins(PARTITION), [TransactionOrigin::Offsets(guard), marker]);
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_log_refuses_costs_nobody_anything() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    let member = broker.form_group("members").await;
    broker.commit("g", 3).await.unwrap();
    log.refuse_next_of_transaction(PARTITION, ErrorCode::InvalidProducerEpoch);
    let answer = broker.handle(commit_in_transaction("g", "orders", 0, 5)).await;
    let refused = Response::CommitTransactionalOffsets(vec![ErrorCode::InvalidProducerEpoch]);
    assert_eq!(answer, Ok(refused));
    log.refuse_next_of_transaction(PARTITION, ErrorCode::TransactionCoordinatorFenced);
    let answer = broker.handle(complete(TransactionResult::Commit)).await;
    let fenced = Response::CompleteTransaction(ErrorCode::TransactionCoordinatorFenced);
    assert_eq!(answer, Ok(fenced));
    // The shard was not loaded again: what no record tells is still known.
    let Ok(Response::Describe(Some(group))) =
        broker.handle(Request::Describe("members".into())).await
    else {
        panic!("the group is gone")
    };
    assert_eq!(group.members[0].member_id, member.member_id);
    assert_eq!(broker.committed("g").await, Ok(Some(3)));
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failover_between_commit_and_marker_keeps_the_offset_pending() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    broker.commit("g", 3).await.unwrap();
    broker.handle(commit_in_transaction("g", "orders", 0, 5)).await.unwrap();
    let second = Broker::leading(&log, 1).await;
    assert_eq!(second.committed("g").await, Ok(Some(3)));
    assert_eq!(second.coordinator.counts().pending_offset_count, 1);
    assert_eq!(second.handle(complete(TransactionResult::Commit)).await, Ok(DONE));
    assert_eq!(second.committed("g").await, Ok(Some(5)));
    let third = Broker::leading(&log, 2).await;
    assert_eq!(third.committed("g").await, Ok(Some(5)));
    assert_eq!(third.coordinator.counts().pending_offset_count, 0);
    for broker in [broker, second, third] {
        broker.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rewrite_keeps_what_is_pending_and_is_not_done_before_the_transaction() {
    for result in [TransactionResult::Commit, TransactionResult::Abort] {
        let log = MemoryLog::new();
        let broker = Broker::leading(&log, 0).await;
        broker.commit("g", 3).await.unwrap();
        let open_from = log.range(PARTITION).log_end_offset;
        broker.handle(commit_in_transaction("g", "orders", 0, 5)).await.unwrap();
        let mut number = 0;
        while log.size_bytes(PARTITION) < 5 << 20 {
            number += 1;
            let Request::CommitOffsets(mut many) = commit("other", "orders", 0, number) else {
                unreachable!("it is a commit")
            };
            many.offsets[0].metadata = "m".repeat(4_000);
            broker.handle(Request::CommitOffsets(many)).await.unwrap();
        }
        settle().await;
        assert_eq!(log.range(PARTITION).log_start_offset, Offset(0), "it waits");
        assert_eq!(broker.handle(complete(result)).await, Ok(DONE));
        until("the log is cut", async || log.range(PARTITION).log_start_offset > Offset(0)).await;
        assert_eq!(log.range(PARTITION).log_start_offset, open_from);
        let expected = if result.is_commit() { 5 } else { 3 };
        let second = Broker::leading(&log, 1).await;
        assert_eq!(second.committed("g").await, Ok(Some(expected)));
        broker.stop().await;
        second.stop().await;
    }
}
