//! Transactions: what readers of committed records see, how long they wait, and that a change of leader changes none of it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use log_storage::{AppendError, VerificationGuard};
use model::record_batch::{
    BatchBuilder, BatchKind, BatchOptions, BatchProducer, Batches, EndTransactionMarker, NewRecord,
    TransactionResult,
};
use model::{Acks, BrokerId, LeaderEpoch, Offset, ProducerEpoch, ProducerId, TransactionVersion};
use replication::partition::ReplicaRole;
use replication::{
    FetchWaiter, Isolation, OffsetQuery, PartitionHandle, ProduceError, ProduceOptions,
    ReadRequest, TransactionMarker,
};

use crate::support::{Cluster, DEADLINE, Setup, batch, eventually, in_time, options, read_from};

/// A transactional producer.
#[derive(Clone, Copy)]
struct Client {
    id: i64,
    epoch: i16,
    sequence: i32,
}

impl Client {
    fn new(id: i64) -> Self {
        Self { id, epoch: 0, sequence: 0 }
    }

    fn producer(&self) -> BatchProducer {
        BatchProducer {
            id: ProducerId(self.id),
            epoch: ProducerEpoch(self.epoch),
            base_sequence: Some(self.sequence),
        }
    }

    fn batch(&self) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions {
            producer: Some(self.producer()),
            kind: BatchKind::Transactional,
            ..BatchOptions::default()
        });
        builder.append(&NewRecord { value: Some(b"in doubt"), ..NewRecord::default() }).unwrap();
        builder.build().unwrap()
    }

    /// Writes one record of the present transaction, verified if it is the first.
    async fn write(&mut self, partition: &PartitionHandle) -> Offset {
        let guard = partition.begin_verification(self.producer(), TransactionVersion::V2).unwrap();
        let produced = in_time("a record", self.produce(partition, guard)).await.unwrap();
        self.sequence += 1;
        produced
    }

    async fn produce(
        &self,
        partition: &PartitionHandle,
        verification: Option<VerificationGuard>,
    ) -> Result<Offset, ProduceError> {
        let options = ProduceOptions { verification, ..options(Acks::All) };
        partition.produce(&mut self.batch(), &options).await.map(|produced| produced.base_offset)
    }

    fn marker(&self, result: TransactionResult, coordinator_epoch: i32) -> TransactionMarker {
        TransactionMarker {
            producer_id: ProducerId(self.id),
            producer_epoch: ProducerEpoch(self.epoch + 1),
            marker: EndTransactionMarker { result, coordinator_epoch },
            version: TransactionVersion::V2,
        }
    }

    /// Ends the present transaction; the next one has the next epoch.
    async fn end(&mut self, partition: &PartitionHandle, result: TransactionResult) {
        let waiter = partition.write_marker(&self.marker(result, 0), None, DEADLINE);
        in_time("a marker", waiter).await.unwrap();
        (self.epoch, self.sequence) = (self.epoch + 1, 0);
    }
}

/// What a reader of committed records sees from an offset on: the last stable offset, the offsets that it is handed, and the aborted transactions among them.
async fn seen(partition: &PartitionHandle, offset: i64) -> (i64, Vec<i64>, Vec<(i64, i64)>) {
    let request = committed_from(offset);
    let readable = partition.read(&request).unwrap();
    let stable = readable.last_stable_offset.0;
    let fetched = partition.fetch(readable).await.unwrap();
    let batches = Batches::whole(&fetched.records).map(|batch| batch.unwrap().header);
    let aborted = fetched.aborted_transactions.iter();
    (
        stable,
        batches.map(|header| header.base_offset.0).collect(),
        aborted.map(|one| (one.producer_id.0, one.first_offset.0)).collect(),
    )
}

fn committed_from(offset: i64) -> ReadRequest {
    ReadRequest { isolation: Isolation::ReadCommitted, ..read_from(offset, 1 << 20) }
}

#[tokio::test]
async fn readers_of_committed_records_stop_at_the_first_open_transaction() {
    let cluster = Cluster::new();
    let broker = cluster.start(1, Setup::default()).await;
    cluster.create(0, &[&broker], 1).await;
    let partition = broker.partition(0);
    let (mut first, mut second) = (Client::new(1), Client::new(2));
    broker.acknowledged(0, batch(1, 10), Acks::All).await;
    assert_eq!(first.write(&partition).await, Offset(1));
    assert_eq!(second.write(&partition).await, Offset(2));
    first.end(&partition, TransactionResult::Commit).await;
    assert_eq!(seen(&partition, 0).await, (2, vec![0, 1], vec![]));
    second.end(&partition, TransactionResult::Abort).await;
    assert_eq!(seen(&partition, 0).await, (5, vec![0, 1, 2, 3, 4], vec![(2, 2)]));
    assert_eq!(seen(&partition, 3).await, (5, vec![3, 4], vec![(2, 2)]));
    // Who reads all is told of nothing.
    let readable = partition.read(&read_from(0, 1 << 20)).unwrap();
    assert!(partition.fetch(readable).await.unwrap().aborted_transactions.is_empty());

    second.write(&partition).await;
    for (isolation, offset) in [(Isolation::ReadUncommitted, 6), (Isolation::ReadCommitted, 5)] {
        let listed = partition.list_offset(OffsetQuery::Latest, isolation, None).await.unwrap();
        assert_eq!(listed.unwrap().offset, Offset(offset), "{isolation:?}");
    }
    assert_eq!(partition.first_open_transaction(), Some(Offset(5)));
    let active = partition.active_producers().unwrap();
    let open: Vec<_> = active.iter().map(|one| (one.id.0, one.transaction_start_offset)).collect();
    assert_eq!(open, [(1, None), (2, Some(Offset(5)))]);
    cluster.stop(broker).await;
}

#[tokio::test]
async fn a_long_poll_of_committed_records_waits_for_the_marker() {
    let cluster = Cluster::new();
    let broker = cluster.start(1, Setup::default()).await;
    cluster.create(0, &[&broker], 1).await;
    let partition = broker.partition(0);
    let mut client = Client::new(1);
    client.write(&partition).await;
    let waiters = [Isolation::ReadUncommitted, Isolation::ReadCommitted].map(|isolation| {
        let waiter = FetchWaiter::new(1);
        let request = ReadRequest { isolation, ..read_from(1, 1 << 20) };
        let position = partition.read(&request).unwrap().position();
        partition.watch(&waiter, position);
        waiter
    });
    client.write(&partition).await;
    in_time("a record that is committed", waiters[0].done()).await;
    assert!(!waiters[1].is_done(), "nothing is decided");
    client.end(&partition, TransactionResult::Abort).await;
    in_time("a marker that is committed", waiters[1].done()).await;
    // What came between the read and the wait counts.
    let position = partition.read(&committed_from(3)).unwrap().position();
    client.write(&partition).await;
    client.end(&partition, TransactionResult::Commit).await;
    let waiter = FetchWaiter::new(1);
    partition.watch(&waiter, position);
    assert!(waiter.is_done());
    cluster.stop(broker).await;
}

#[tokio::test]
async fn a_late_verification_opens_no_transaction() {
    let cluster = Cluster::new();
    let broker = cluster.start(1, Setup::default()).await;
    cluster.create(0, &[&broker], 1).await;
    let partition = broker.partition(0);
    let client = Client::new(1);
    let refused = |result| match result {
        Err(ProduceError::Refused(AppendError::InvalidTransactionState { .. })) => {}
        other => panic!("{other:?}"),
    };
    refused(client.produce(&partition, None).await);
    assert!(partition.needs_verification(client.producer()));
    let guard = partition.begin_verification(client.producer(), TransactionVersion::V0).unwrap();
    let abort = TransactionMarker {
        producer_epoch: ProducerEpoch(0),
        version: TransactionVersion::V0,
        ..client.marker(TransactionResult::Abort, 0)
    };
    in_time("a marker", partition.write_marker(&abort, None, DEADLINE)).await.unwrap();
    refused(client.produce(&partition, guard).await);
    assert_eq!(seen(&partition, 0).await.0, 1);
    cluster.stop(broker).await;
}

#[tokio::test]
async fn a_new_leader_knows_open_and_aborted_transactions_and_ends_them() {
    let cluster = Cluster::new();
    let [first, second, third] = cluster.start_three(Setup::default).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    let leader = first.partition(0);
    let (mut aborted, mut open) = (Client::new(1), Client::new(2));
    aborted.write(&leader).await;
    open.write(&leader).await;
    aborted.end(&leader, TransactionResult::Abort).await;
    open.write(&leader).await;
    let before = seen(&leader, 0).await;
    assert_eq!(before, (1, vec![0], vec![(1, 0)]));

    cluster.elect(0, 2, &[1, 2, 3]);
    let leader = second.partition(0);
    eventually("the election", || leader.role() == ReplicaRole::Leader(LeaderEpoch(1))).await;
    eventually("the high watermark", || second.high_watermark(0) == 4).await;
    assert_eq!(seen(&leader, 0).await, before);
    // Guards do not outlive a leadership elsewhere, and need not: the transaction is open here.
    assert!(!leader.needs_verification(open.producer()));
    open.write(&leader).await;
    // The old coordinator's marker comes late, and in the old leader's epoch.
    let late = leader.write_marker(
        &open.marker(TransactionResult::Commit, 0),
        Some(LeaderEpoch(0)),
        DEADLINE,
    );
    assert!(matches!(late.await, Err(ProduceError::NotServed(_))));
    let marker = open.marker(TransactionResult::Abort, 3);
    in_time("a marker", leader.write_marker(&marker, Some(LeaderEpoch(1)), DEADLINE))
        .await
        .unwrap();
    assert_eq!(seen(&leader, 0).await, (6, (0..6).collect(), vec![(1, 0), (2, 1)]));
    // The same marker again decides nothing, and a deposed coordinator's is refused.
    in_time("a retry", leader.write_marker(&marker, None, DEADLINE)).await.unwrap();
    let deposed = open.marker(TransactionResult::Abort, 2);
    match in_time("a refusal", leader.write_marker(&deposed, None, DEADLINE)).await {
        Err(ProduceError::Refused(AppendError::TransactionCoordinatorFenced { .. })) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(seen(&leader, 0).await.2, [(1, 0), (2, 1)]);
    cluster.stop_all([first, second, third]).await;
}

#[tokio::test]
async fn a_marker_that_a_failover_takes_back_leaves_its_transaction_open() {
    let cluster = Cluster::new();
    let [first, second, third] = cluster.start_three(Setup::default).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    let mut client = Client::new(1);
    let leader = first.partition(0);
    client.write(&leader).await;
    client.write(&leader).await;
    eventually("replication", || second.high_watermark(0) == 2 && third.high_watermark(0) == 2)
        .await;
    cluster.stop(second).await;
    cluster.stop(third).await;
    // This reaches nobody: it decides nothing, here or elsewhere.
    let mut waiter = pin!(leader.write_marker(
        &client.marker(TransactionResult::Commit, 0),
        None,
        Duration::from_secs(3_600)
    ));
    assert!(matches!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    assert_eq!(leader.first_open_transaction(), None);
    assert_eq!(seen(&leader, 0).await, (0, vec![], vec![]));
    drop(leader);
    cluster.stop(first).await;
    cluster.elect(0, 2, &[2, 3]);
    let second = cluster.start(2, Setup::default()).await;
    let third = cluster.start(3, Setup::default()).await;
    let leader = second.partition(0);
    eventually("the high watermark", || second.high_watermark(0) == 2).await;
    assert_eq!(seen(&leader, 0).await, (0, vec![], vec![]));
    client.end(&leader, TransactionResult::Abort).await;
    assert_eq!(seen(&leader, 0).await, (3, vec![0, 1, 2], vec![(1, 0)]));
    // The old leader cuts its marker, and comes to the same as the others.
    let first = cluster.start(1, Setup::default()).await;
    eventually("the old leader joins", || cluster.metadata(0).isr.contains(&BrokerId(1))).await;
    cluster.elect(0, 1, &[1, 2, 3]);
    let leader: Arc<PartitionHandle> = first.partition(0);
    eventually("the election", || matches!(leader.role(), ReplicaRole::Leader(_))).await;
    eventually("the high watermark", || first.high_watermark(0) == 3).await;
    assert_eq!(seen(&leader, 0).await, (3, vec![0, 1, 2], vec![(1, 0)]));
    assert!(cluster.have_same_log(&[1, 2, 3]));
    cluster.stop_all([first, second, third]).await;
}
