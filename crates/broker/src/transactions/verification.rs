//! Verification (KIP-890): before a partition takes the first batch of a producer's transaction, the transaction's coordinator is asked whether the partition is part of it; in the name
//! of a newer client it is added on the way.
//!
//! Owns where the coordinator is, and which codes the clients of which version are told. Never asked about a partition whose transaction is open already: that is the log's to know.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use controller::Controller;
use controller::metadata::Image;
use coordinator::runtime::TransactionCoordinator;
use coordinator::transaction::ids::{ProducerIdAndEpoch, TransactionVersion, TransactionalId};
use coordinator::transaction::request::{AddPartitions, Request, VerifyPartitions};
use coordinator::transaction::response::Response;
use model::{ErrorCode, TopicIdPartition, TopicPartition};
use protocol::partition_of_transactional_id;
use tokio::time::Instant;

use super::service::MAX_PARTITIONS;
use super::{Links, proto};
use crate::error_code::ToErrorCode as _;
use crate::topics::internal::TRANSACTIONS_TOPIC;

/// What a client of a request's version can do with a transaction (Kafka's `TransactionSupportedOperation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SupportedOperation {
    /// It adds partitions itself, and knows no TRANSACTION_ABORTABLE.
    DefaultError,
    /// It adds partitions itself, and knows TRANSACTION_ABORTABLE.
    GenericError,
    /// Its partitions are added when they are written to.
    AddPartition,
}

impl SupportedOperation {
    /// Returns the rules by which the client's transactions go.
    pub(crate) fn transaction_version(self) -> model::TransactionVersion {
        match self {
            Self::DefaultError | Self::GenericError => model::TransactionVersion::V0,
            Self::AddPartition => model::TransactionVersion::V2,
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    VerifyOnly,
    Add,
}

/// A question about a transaction.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) transactional_id: TransactionalId,
    pub(super) producer: ProducerIdAndEpoch,
    pub(super) partitions: Vec<TopicPartition>,
    pub(super) mode: Mode,
}

/// Asks coordinators about transactions.
#[derive(Debug)]
pub(crate) struct Verification {
    controller: Controller,
    coordinator: Arc<TransactionCoordinator>,
    links: Arc<Links>,
}

impl Verification {
    pub(crate) fn new(
        controller: Controller,
        coordinator: Arc<TransactionCoordinator>,
        links: Arc<Links>,
    ) -> Self {
        Self { controller, coordinator, links }
    }

    /// Verifies that partitions are part of a producer's open transaction, or adds them. Returns one code for each, as the client's version knows it.
    pub(crate) async fn verify(
        &self,
        transactional_id: &str,
        producer: ProducerIdAndEpoch,
        partitions: Vec<TopicPartition>,
        operation: SupportedOperation,
    ) -> Vec<ErrorCode> {
        let mode = match operation {
            SupportedOperation::DefaultError | SupportedOperation::GenericError => Mode::VerifyOnly,
            SupportedOperation::AddPartition => Mode::Add,
        };
        let count = partitions.len();
        if count > MAX_PARTITIONS {
            return vec![ErrorCode::InvalidRequest; count];
        }
        let transactional_id = transactional_id.into();
        let question = Question { transactional_id, producer, partitions, mode };
        let mut codes = self.ask(&question).await;
        // The markers of the transaction before may still be on their way; a newer client counts on the broker's patience.
        let began = Instant::now();
        while mode == Mode::Add
            && codes.contains(&ErrorCode::ConcurrentTransactions)
            && began.elapsed() < CONCURRENT_PATIENCE
        {
            tokio::time::sleep(CONCURRENT_PAUSE).await;
            codes = self.ask(&question).await;
        }
        codes.resize(count, ErrorCode::UnknownServerError);
        codes.into_iter().map(|code| for_client(code, operation)).collect()
    }

    async fn ask(&self, question: &Question) -> Vec<ErrorCode> {
        let all = |code| vec![code; question.partitions.len()];
        let leader = {
            let image = self.controller.image();
            let partition = partition_of(&image, question.transactional_id.as_str());
            partition.and_then(|id| image.partition(id)?.leader)
        };
        let Some(leader) = leader else { return all(ErrorCode::CoordinatorNotAvailable) };
        if leader == self.controller.broker_id() {
            return self.ask_own(question).await;
        }
        let partitions = question.partitions.iter();
        let partitions = partitions.map(|one| proto::TopicPartition {
            topic: one.topic.clone(),
            partition: one.partition,
        });
        let request = proto::AddPartitionsRequest {
            hello: None,
            transactional_id: question.transactional_id.as_str().to_owned(),
            producer_id: question.producer.id.0,
            producer_epoch: i32::from(question.producer.epoch.0),
            verify_only: question.mode == Mode::VerifyOnly,
            partitions: partitions.collect(),
        };
        self.links.add_partitions(leader, request).await.unwrap_or_else(all)
    }

    /// Asks this broker's own coordinator. One code for each partition.
    pub(super) async fn ask_own(&self, question: &Question) -> Vec<ErrorCode> {
        let all = |code| vec![code; question.partitions.len()];
        let Question { transactional_id, producer, partitions, mode } = question;
        let partition = {
            let image = self.controller.image();
            let unknown = |one: &TopicPartition| {
                let id = image.topic_id(&one.topic);
                let id = id.map(|topic_id| TopicIdPartition { topic_id, partition: one.partition });
                id.and_then(|id| image.partition(id)).is_none()
            };
            if *mode == Mode::Add && partitions.iter().any(unknown) {
                return all(ErrorCode::UnknownTopicOrPartition);
            }
            partition_of(&image, transactional_id.as_str())
        };
        let Some(partition) = partition else { return all(ErrorCode::NotCoordinator) };
        let (transactional_id, producer) = (transactional_id.clone(), *producer);
        let request = match mode {
            Mode::VerifyOnly => {
                let partitions = partitions.clone();
                Request::VerifyPartitions(VerifyPartitions {
                    transactional_id,
                    producer,
                    partitions,
                })
            }
            Mode::Add => Request::AddPartitions(AddPartitions {
                transactional_id,
                producer,
                partitions: partitions.iter().cloned().collect(),
                client_version: TransactionVersion::V2,
            }),
        };
        match self.coordinator.handle(partition.partition, request).await {
            Ok(Response::VerifyPartitions(codes)) => codes,
            Ok(Response::AddPartitions(code)) => all(code),
            Ok(_) => all(ErrorCode::UnknownServerError),
            Err(refusal) => all(refusal.error_code()),
        }
    }
}

/// Returns the partition of the transaction topic that keeps a transactional id; `None` while there is no such topic.
pub(crate) fn partition_of(image: &Image, transactional_id: &str) -> Option<TopicIdPartition> {
    let topic = image.topic_by_name(TRANSACTIONS_TOPIC)?;
    let count = NonZeroU32::new(u32::try_from(topic.partition_count).ok()?)?;
    let partition = partition_of_transactional_id(transactional_id, count);
    Some(TopicIdPartition { topic_id: topic.topic_id, partition })
}

/// Turns a coordinator's code into one that producers know. What is worth another try becomes NOT_ENOUGH_REPLICAS: it has every client write again, and none ask for metadata.
fn for_client(code: ErrorCode, operation: SupportedOperation) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if operation == SupportedOperation::DefaultError => {
            ErrorCode::InvalidTxnState
        }
        ErrorCode::ConcurrentTransactions if operation == SupportedOperation::AddPartition => code,
        ErrorCode::ConcurrentTransactions
        | ErrorCode::NetworkException
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => ErrorCode::NotEnoughReplicas,
        other => other,
    }
}

/// How long the broker itself waits for the transaction before to be complete (Kafka's `add.partitions.to.txn.retry.backoff.max.ms`).
const CONCURRENT_PATIENCE: Duration = Duration::from_millis(100);

/// How long between two questions meanwhile (Kafka's `add.partitions.to.txn.retry.backoff.ms`).
const CONCURRENT_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_is_told_a_code_that_it_knows() {
        use SupportedOperation::{AddPartition, DefaultError, GenericError};
        let abortable = ErrorCode::TransactionAbortable;
        assert_eq!(for_client(abortable, DefaultError), ErrorCode::InvalidTxnState);
        assert_eq!(for_client(abortable, GenericError), abortable);
        let concurrent = ErrorCode::ConcurrentTransactions;
        assert_eq!(for_client(concurrent, GenericError), ErrorCode::NotEnoughReplicas);
        assert_eq!(for_client(concurrent, AddPartition), concurrent);
        let loading = ErrorCode::CoordinatorLoadInProgress;
        assert_eq!(for_client(loading, AddPartition), ErrorCode::NotEnoughReplicas);
        let fenced = for_client(ErrorCode::ProducerFenced, AddPartition);
        assert_eq!(fenced, ErrorCode::InvalidProducerEpoch);
    }
}
