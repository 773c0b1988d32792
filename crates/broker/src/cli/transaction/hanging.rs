//! `steadfast transaction find-hanging`: transactions that are open in a partition although no coordinator will end them.
//!
//! A candidate is open for longer than any transaction may be. It hangs when its producer id belongs to no transactional id, or to one whose transaction does
//! not have the partition. Candidates are looked for first: a transaction that ends meanwhile is then none, and one that begins is too young.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::transactions::{
    ActiveProducer, TransactionDescription, TransactionFilter, is_unknown_id,
};
use client::{Client, Topics};
use model::{BrokerId, Clock, ProducerId, TopicPartition};
use serde_json::{Value, json};

use super::{list, or_dash};
use crate::cli::failure::Failure;
use crate::cli::options::Options;
use crate::cli::partitions;
use crate::cli::values::parse_duration;

#[derive(Debug, clap::Args)]
pub(super) struct FindHanging {
    /// The topic to look into [default: all].
    topic: Option<String>,
    /// This partition only.
    #[arg(long, short = 'p', requires = "topic", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Look at the replicas of this broker [default: at the leaders].
    #[arg(long, value_name = "ID")]
    broker: Option<i32>,
    /// The longest that a transaction may take: transaction.max.timeout.ms of the brokers.
    #[arg(long, value_parser = parse_duration, default_value = "15m", value_name = "TIME")]
    max_transaction_timeout: Duration,
    #[command(flatten)]
    options: Options,
}

/// An open transaction of a partition.
type Open = (TopicPartition, ActiveProducer);

impl FindHanging {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.options.client()?;
        let partitions = self.partitions(&client).await?;
        let now = Clock::start().wall().0;
        let candidates = self.candidates(&client, &partitions, now).await?;
        let hanging = hanging(candidates, &transactions(&client).await?);
        let mut output = self.options.output();
        let duration =
            |producer: &ActiveProducer| producer.last_timestamp.map(|time| (now - time.0).max(0));
        let value = || -> Value {
            let hanging = hanging.iter().map(|(at, producer)| {
                json!({
                    "topic": at.topic,
                    "partition": at.partition,
                    "producer_id": producer.producer_id.0,
                    "producer_epoch": producer.producer_epoch,
                    "coordinator_epoch": producer.coordinator_epoch,
                    "start_offset": producer.transaction_start_offset,
                    "last_timestamp": producer.last_timestamp.map(|time| time.0),
                    "duration_ms": duration(producer),
                })
            });
            hanging.collect()
        };
        output.answer(value, |output| {
            let rows = hanging.iter().map(|(at, producer)| {
                vec![
                    at.topic.clone(),
                    at.partition.to_string(),
                    producer.producer_id.to_string(),
                    producer.producer_epoch.to_string(),
                    or_dash(producer.coordinator_epoch),
                    or_dash(producer.transaction_start_offset),
                    or_dash(producer.last_timestamp.map(|time| time.0)),
                    or_dash(duration(producer).map(|millis| millis / 60_000)),
                ]
            });
            let head = [
                "TOPIC",
                "PARTITION",
                "PRODUCER-ID",
                "EPOCH",
                "COORDINATOR-EPOCH",
                "START-OFFSET",
                "LAST-TIMESTAMP",
                "MINUTES",
            ];
            output.table(&head, &rows.collect::<Vec<_>>())
        })?;
        output.flush()
    }

    async fn partitions(&self, client: &Client) -> Result<Vec<TopicPartition>, Failure> {
        let what = "cannot find the partitions to look into";
        if let Some(topic) = &self.topic {
            let mut known = partitions::of_topic(client, topic, what).await?;
            known.retain(|at| self.partition.is_none_or(|wanted| at.partition == wanted));
            if known.is_empty() {
                let wanted = or_dash(self.partition);
                return Err(Failure::Failed(format!("topic {topic} has no partition {wanted}")));
            }
            return Ok(known);
        }
        let metadata = client
            .retry(|| client.refresh_metadata(Topics::All))
            .await
            .map_err(Failure::cluster(what))?;
        let broker = self.broker.map(BrokerId);
        let all = metadata.topics.iter().flat_map(|(topic, known)| {
            let wanted = known.partitions.iter().filter(move |(_, partition)| {
                broker.is_none_or(|broker| partition.replicas.contains(&broker))
            });
            wanted.map(|(number, _)| TopicPartition { topic: topic.clone(), partition: *number })
        });
        Ok(all.collect())
    }

    async fn candidates(
        &self,
        client: &Client,
        partitions: &[TopicPartition],
        now: i64,
    ) -> Result<Vec<Open>, Failure> {
        let answers = match self.broker {
            None => client.describe_producers(partitions).await,
            Some(broker) => client.describe_producers_at(BrokerId(broker), partitions).await,
        };
        let longest = i64::try_from(self.max_transaction_timeout.as_millis()).unwrap_or(i64::MAX);
        let mut found = Vec::new();
        for (at, answer) in answers {
            let what = format!("cannot describe the producers of {at}");
            let producers = answer.map_err(Failure::cluster(what))?;
            let old = producers.into_iter().filter(|producer| {
                producer.transaction_start_offset.is_some()
                    && producer.last_timestamp.is_none_or(|time| now - time.0 > longest)
            });
            found.extend(old.map(|producer| (at.clone(), producer)));
        }
        Ok(found)
    }
}

/// Returns the transactions of all producer ids that have one.
async fn transactions(
    client: &Client,
) -> Result<BTreeMap<ProducerId, BTreeSet<TopicPartition>>, Failure> {
    let listed = list(client, &TransactionFilter::default()).await?;
    let ids: Vec<_> = listed.into_iter().map(|listing| listing.transactional_id).collect();
    let mut found = BTreeMap::new();
    for (id, answer) in client.describe_transactions(&ids).await {
        match answer {
            Ok(TransactionDescription { producer_id, partitions, .. }) => {
                found.insert(producer_id, partitions.into_iter().collect());
            }
            // It expired since it was listed.
            Err(error) if is_unknown_id(&error) => {}
            Err(error) => {
                let what = format!("cannot describe transactional id {id}");
                return Err(Failure::cluster(what)(error));
            }
        }
    }
    Ok(found)
}

/// Returns those candidates that no transaction is known of.
fn hanging(
    candidates: Vec<Open>,
    known: &BTreeMap<ProducerId, BTreeSet<TopicPartition>>,
) -> Vec<Open> {
    let is_known = |(at, producer): &Open| {
        known.get(&producer.producer_id).is_some_and(|partitions| partitions.contains(at))
    };
    candidates.into_iter().filter(|candidate| !is_known(candidate)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_hangs_when_no_coordinator_has_the_partition_under_its_producer_id() {
        let at = |partition| TopicPartition { topic: "t".to_owned(), partition };
        let open = |partition, id| {
            let producer = ActiveProducer {
                producer_id: ProducerId(id),
                producer_epoch: 0,
                last_sequence: None,
                last_timestamp: None,
                coordinator_epoch: None,
                transaction_start_offset: Some(5),
            };
            (at(partition), producer)
        };
        let known = BTreeMap::from([
            (ProducerId(1), BTreeSet::from([at(0)])),
            (ProducerId(2), BTreeSet::new()),
        ]);
        let found = hanging(vec![open(0, 1), open(1, 1), open(0, 2), open(0, 3)], &known);
        assert_eq!(found, [open(1, 1), open(0, 2), open(0, 3)]);
    }
}
