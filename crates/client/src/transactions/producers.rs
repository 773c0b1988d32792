//! What partitions know of producers, and the marker that an operator writes into one.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use model::{BrokerId, ProducerId, TopicPartition, UnixMillis};
use protocol::messages::describe_producers::{ProducerState, TopicRequest};
use protocol::messages::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic};
use protocol::messages::{
    DescribeProducersRequest, DescribeProducersResponse, WriteTxnMarkersRequest,
};

use super::{AbortedByHand, ActiveProducer};
use crate::client::Client;
use crate::error::Error;
use crate::metadata::Topics;
use crate::wire::{numbers_by_topic, partition};

/// One result for each partition that was asked about.
type ByPartition = BTreeMap<TopicPartition, Result<Vec<ActiveProducer>, Error>>;

impl Client {
    /// Returns the producers that partitions know, as their leaders say: a result for each partition.
    pub async fn describe_producers(&self, partitions: &[TopicPartition]) -> ByPartition {
        let mut backoff = self.backoff();
        let mut done = ByPartition::new();
        let mut open: BTreeSet<TopicPartition> = partitions.iter().cloned().collect();
        while !open.is_empty() {
            let mut last = None;
            for (partition, answer) in self.describe_producers_once(&open).await {
                match answer {
                    Err(failure) if failure.is_retriable() => last = Some(failure),
                    answer => {
                        open.remove(&partition);
                        done.insert(partition, answer);
                    }
                }
            }
            let Some(failure) = last else { continue };
            if let Err(failure) = backoff.after(failure).await {
                done.extend(open.iter().map(|at| (at.clone(), Err(failure.clone()))));
                break;
            }
            let topics: BTreeSet<_> = open.iter().map(|at| at.topic.clone()).collect();
            let topics: Vec<_> = topics.into_iter().collect();
            // When this fails too, the next round says why.
            let _ = self.refresh_metadata(Topics::Named(&topics)).await;
        }
        done
    }

    /// Returns the producers that a broker's own replicas of partitions know, whoever leads them.
    pub async fn describe_producers_at(
        &self,
        broker: BrokerId,
        partitions: &[TopicPartition],
    ) -> ByPartition {
        self.ask_producers(broker, partitions).await
    }

    async fn describe_producers_once(&self, partitions: &BTreeSet<TopicPartition>) -> ByPartition {
        let mut answers = ByPartition::new();
        let mut leaders = BTreeMap::<BrokerId, Vec<TopicPartition>>::new();
        for partition in partitions {
            match self.leader(partition).await {
                Ok(leader) => leaders.entry(leader).or_default().push(partition.clone()),
                Err(failure) => {
                    answers.insert(partition.clone(), Err(failure));
                }
            }
        }
        let asked = leaders.iter().map(|(leader, asked)| self.ask_producers(*leader, asked));
        answers.extend(join_all(asked).await.into_iter().flatten());
        answers
    }

    async fn ask_producers(&self, broker: BrokerId, partitions: &[TopicPartition]) -> ByPartition {
        let topics = numbers_by_topic(partitions).into_iter();
        let request = DescribeProducersRequest {
            topics: topics
                .map(|(name, partition_indexes)| TopicRequest {
                    name: name.into(),
                    partition_indexes,
                })
                .collect(),
        };
        let answer = match self.connection(broker).await {
            Ok(connection) => connection.request(&request).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(response) => take_producers(partitions, &response),
            Err(error) => {
                let failure = Error::from(error);
                partitions.iter().map(|at| (at.clone(), Err(failure.clone()))).collect()
            }
        }
    }

    /// Writes the marker that aborts a transaction in one partition (Java's `abortTransaction`). For a transaction that hangs: the coordinator of one that is
    /// really open is not asked.
    ///
    /// # Errors
    /// [`Error::Broker`] with the code of the partition, `INVALID_PRODUCER_EPOCH` or `TRANSACTION_COORDINATOR_FENCED` where the epochs are not its own;
    /// [`Error::GaveUp`].
    pub async fn abort_transaction(&self, aborted: &AbortedByHand) -> Result<(), Error> {
        let at = &aborted.partition;
        let topic = WritableTxnMarkerTopic {
            name: (&at.topic).into(),
            partition_indexes: vec![at.partition],
        };
        let marker = WritableTxnMarker {
            producer_id: aborted.producer_id.0,
            producer_epoch: aborted.producer_epoch.0,
            transaction_result: false,
            topics: vec![topic],
            coordinator_epoch: aborted.coordinator_epoch,
            // The epoch is the one that the transaction was written with, and not the next one.
            transaction_version: 0,
        };
        let request = &WriteTxnMarkersRequest { markers: vec![marker] };
        let attempt = || async move {
            let answer = async {
                let leader = self.leader(at).await?;
                let response = self.connection(leader).await?.request(request).await?;
                let markers = response.markers.iter();
                let topics = markers.flat_map(|marker| &marker.topics);
                let mut results = topics.flat_map(|topic| &topic.partitions);
                let result = results.next().ok_or_else(|| Error::unnamed(at.to_string()))?;
                Error::check(at.to_string(), result.error_code, None)
            };
            let answer = answer.await;
            if answer.as_ref().is_err_and(Error::is_retriable) {
                // When this fails too, the next attempt says why.
                let topics = [at.topic.clone()];
                let _ = self.refresh_metadata(Topics::Named(&topics)).await;
            }
            answer
        };
        self.backoff().run(Error::is_retriable, attempt).await
    }
}

fn take_producers(
    partitions: &[TopicPartition],
    response: &DescribeProducersResponse,
) -> ByPartition {
    let mut answers = ByPartition::new();
    for topic in &response.topics {
        for result in &topic.partitions {
            let at = partition(&topic.name, result.partition_index);
            let message = result.error_message.as_deref();
            let answer = Error::check(at.to_string(), result.error_code, message)
                .map(|()| result.active_producers.iter().map(producer).collect());
            answers.insert(at, answer);
        }
    }
    let unnamed = |at: &TopicPartition| Err(Error::unnamed(at.to_string()));
    partitions
        .iter()
        .map(|at| (at.clone(), answers.remove(at).unwrap_or_else(|| unnamed(at))))
        .collect()
}

fn producer(state: &ProducerState) -> ActiveProducer {
    let start = state.current_txn_start_offset;
    ActiveProducer {
        producer_id: ProducerId(state.producer_id),
        producer_epoch: state.producer_epoch,
        last_sequence: (state.last_sequence >= 0).then_some(state.last_sequence),
        last_timestamp: (state.last_timestamp >= 0).then_some(UnixMillis(state.last_timestamp)),
        coordinator_epoch: (state.coordinator_epoch >= 0).then_some(state.coordinator_epoch),
        transaction_start_offset: (start >= 0).then_some(start),
    }
}
