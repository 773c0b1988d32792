//! Transactions by the same shell: when markers are let go, and who is told that they were written.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coordinator::runtime::{
    Asker, PartitionWriter, Refusal, TransactionCoordinator, TransactionCoordinatorParts,
    TransactionMetrics, TransactionOutlet, WriteError,
};
use coordinator::transaction::config::TransactionCoordinatorConfig;
use coordinator::transaction::ids::{ProducerIdAndEpoch, TransactionVersion};
use coordinator::transaction::request::{
    AddPartitions, EndTransaction, InitProducerId, Request, TwoPhaseCommit,
};
use coordinator::transaction::response::Response;
use coordinator::transaction::state::{TransactionResult, TransactionState};
use coordinator::transaction::{MarkersToWrite, WrittenMarkers};
use model::{ErrorCode, ProducerId, TopicPartition};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::memory_log::{MemoryLog, Replication};
use super::support::{PARTITION, settle, until};

/// Keeps the markers that it was asked for.
#[derive(Debug, Default)]
struct Asked {
    markers: Mutex<Vec<(Asker, MarkersToWrite)>>,
}

impl Asked {
    fn take(&self) -> Vec<(Asker, MarkersToWrite)> {
        std::mem::take(&mut *self.markers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TransactionOutlet for Asked {
    fn write_markers(&self, asker: Asker, markers: Vec<MarkersToWrite>) {
        let mut asked = self.markers.lock().unwrap_or_else(PoisonError::into_inner);
        asked.extend(markers.into_iter().map(|markers| (asker, markers)));
    }

    fn draw_producer_id(&self, _asker: Asker) {}
}

/// One broker's coordinator of transactions.
struct Broker {
    coordinator: Arc<TransactionCoordinator>,
    asked: Arc<Asked>,
    tasks: TaskTracker,
}

impl Broker {
    fn start(log: &Arc<MemoryLog>) -> Self {
        let (asked, tasks) = (Arc::<Asked>::default(), TaskTracker::new());
        let writer: Arc<dyn PartitionWriter> = Arc::<MemoryLog>::clone(log);
        let coordinator = TransactionCoordinator::start(TransactionCoordinatorParts {
            writer,
            outlet: Arc::<Asked>::clone(&asked),
            config: TransactionCoordinatorConfig::default(),
            commit_timeout: Duration::from_secs(5),
            metrics: TransactionMetrics::default(),
            tasks: tasks.clone(),
            runtime: Handle::current(),
        });
        Self { coordinator, asked, tasks }
    }

    async fn leading(log: &Arc<MemoryLog>, leader_epoch: i32) -> Self {
        let broker = Self::start(log);
        broker.coordinator.elected(log.elect(PARTITION, leader_epoch));
        broker.loaded().await;
        broker
    }

    async fn loaded(&self) {
        until("the shard is loaded", async || self.state().await.is_ok()).await;
    }

    async fn handle(&self, request: Request) -> Result<Response, Refusal> {
        self.coordinator.handle(PARTITION, request).await
    }

    async fn state(&self) -> Result<Option<TransactionState>, Refusal> {
        match self.handle(Request::Describe("copier".into())).await? {
            Response::Describe(found) => Ok(found.map(|found| found.state)),
            other => panic!("not the answer to a description: {other:?}"),
        }
    }

    /// Opens a transaction over two partitions.
    async fn open(&self) -> ProducerIdAndEpoch {
        assert_eq!(self.handle(init(None)).await, Ok(Response::NeedsProducerId));
        let answer = self.handle(init(Some(ProducerId(7)))).await;
        let Ok(Response::InitProducerId(Ok(producer))) = answer else { panic!("{answer:?}") };
        assert_eq!(producer.id, ProducerId(7));
        let request = Request::AddPartitions(AddPartitions {
            transactional_id: "copier".into(),
            producer,
            partitions: partitions().into(),
            client_version: TransactionVersion::V2,
        });
        let added = Response::AddPartitions(ErrorCode::None);
        assert_eq!(self.handle(request).await, Ok(added));
        producer
    }

    fn written(&self, asker: Asker, markers: &MarkersToWrite, partitions: &[TopicPartition]) {
        self.coordinator.markers_written(
            asker,
            WrittenMarkers {
                transactional_id: markers.transactional_id.clone(),
                decision: markers.decision,
                partitions: partitions.to_vec(),
            },
        );
    }

    async fn stop(self) {
        self.coordinator.stop();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn partitions() -> [TopicPartition; 2] {
    [0, 1].map(|partition| TopicPartition { topic: "orders".to_owned(), partition })
}

fn init(spare_producer_id: Option<ProducerId>) -> Request {
    Request::InitProducerId(InitProducerId {
        transactional_id: "copier".into(),
        transaction_timeout: Duration::from_secs(60),
        two_phase_commit: TwoPhaseCommit::Disabled,
        expected: None,
        spare_producer_id,
    })
}

fn commit(producer: ProducerIdAndEpoch) -> Request {
    Request::End(EndTransaction {
        transactional_id: "copier".into(),
        producer,
        result: TransactionResult::Commit,
        client_version: TransactionVersion::V2,
        spare_producer_id: None,
    })
}

#[tokio::test(start_paused = true)]
async fn markers_are_let_go_when_the_decision_is_committed_and_the_transaction_is_complete_when_all_are_written()
 {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    let producer = broker.open().await;
    log.set_replication(PARTITION, Replication::Held);
    let coordinator = Arc::clone(&broker.coordinator);
    let end =
        broker.tasks.spawn(async move { coordinator.handle(PARTITION, commit(producer)).await });
    settle().await;
    assert!(broker.asked.take().is_empty(), "a failover would take the decision back");
    log.set_replication(PARTITION, Replication::Immediate);
    assert!(matches!(end.await, Ok(Ok(Response::End(Ok(_))))));
    settle().await;
    let asked = broker.asked.take();
    let [(asker, markers)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(markers.partitions, partitions().into());
    broker.written(*asker, markers, &partitions()[..1]);
    assert_eq!(broker.state().await, Ok(Some(TransactionState::PrepareCommit)));
    broker.written(*asker, markers, &partitions()[1..]);
    assert_eq!(broker.state().await, Ok(Some(TransactionState::CompleteCommit)));
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_next_coordinator_asks_again_for_the_markers_of_what_was_decided() {
    let log = MemoryLog::new();
    let first = Broker::leading(&log, 0).await;
    let producer = first.open().await;
    first.handle(commit(producer)).await.unwrap();
    settle().await;
    let asked = first.asked.take();
    let second = Broker::leading(&log, 1).await;
    settle().await;
    let again = second.asked.take();
    let [(asker, markers)] = &again[..] else { panic!("{again:?}") };
    assert_eq!(markers.partitions, partitions().into());
    assert_eq!(asker.leadership().leader_epoch.0, 1);
    // What the first one's carrier brings is not for the second.
    let (stale, of_first) = &asked[0];
    second.written(*stale, of_first, &partitions());
    assert_eq!(second.state().await, Ok(Some(TransactionState::PrepareCommit)));
    second.written(*asker, markers, &partitions());
    assert_eq!(second.state().await, Ok(Some(TransactionState::CompleteCommit)));
    first.stop().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn written_markers_wait_until_the_partition_takes_writes() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    let producer = broker.open().await;
    broker.handle(commit(producer)).await.unwrap();
    settle().await;
    let asked = broker.asked.take();
    let (asker, markers) = &asked[0];
    log.set_refusal(PARTITION, Some(WriteError::NotEnoughReplicas));
    broker.written(*asker, markers, &partitions());
    assert_eq!(broker.state().await, Ok(Some(TransactionState::PrepareCommit)));
    log.set_refusal(PARTITION, None);
    until("the transaction is complete", async || {
        broker.state().await == Ok(Some(TransactionState::CompleteCommit))
    })
    .await;
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_load_that_was_thrown_away_is_told_nothing_and_the_next_asks_anew() {
    let log = MemoryLog::new();
    let broker = Broker::leading(&log, 0).await;
    let producer = broker.open().await;
    broker.handle(commit(producer)).await.unwrap();
    settle().await;
    let before = broker.asked.take();
    log.fail_next_append(PARTITION, WriteError::Storage);
    broker.written(before[0].0, &before[0].1, &partitions());
    broker.loaded().await;
    settle().await;
    let after = broker.asked.take();
    assert_eq!(after.len(), 1, "{after:?}");
    assert_eq!(broker.state().await, Ok(Some(TransactionState::PrepareCommit)));
    broker.written(before[0].0, &before[0].1, &partitions());
    assert_eq!(broker.state().await, Ok(Some(TransactionState::PrepareCommit)));
    broker.written(after[0].0, &after[0].1, &partitions());
    assert_eq!(broker.state().await, Ok(Some(TransactionState::CompleteCommit)));
    broker.stop().await;
}
