//! `steadfast transaction abort`: ends a hanging transaction in one partition.

use client::transactions::{AbortedByHand, ActiveProducer};
use model::{ProducerEpoch, ProducerId, TopicPartition};
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::options::Options;

#[derive(Debug, clap::Args)]
#[group(id = "which", required = true, multiple = true, args = ["start_offset", "producer_id"])]
pub(super) struct Abort {
    /// The topic.
    topic: String,
    /// The partition.
    #[arg(value_parser = clap::value_parser!(i32).range(0..))]
    partition: i32,
    /// The transaction that begins at this offset.
    #[arg(long, value_name = "OFFSET", conflicts_with_all = ["producer_id", "producer_epoch", "coordinator_epoch"])]
    start_offset: Option<i64>,
    /// The transaction of this producer.
    #[arg(long, value_name = "NUMBER", requires = "producer_epoch")]
    producer_id: Option<i64>,
    /// The producer's epoch, as the partition knows it.
    #[arg(long, value_name = "NUMBER", requires = "producer_id")]
    producer_epoch: Option<i16>,
    /// The coordinator's epoch, as the partition knows it [default: 0].
    #[arg(long, value_name = "NUMBER", requires = "producer_id")]
    coordinator_epoch: Option<i32>,
    #[command(flatten)]
    options: Options,
}

impl Abort {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.options.client()?;
        let partition = TopicPartition { topic: self.topic.clone(), partition: self.partition };
        let what = format!("cannot abort the transaction in {partition}");
        let names = [self.topic.clone()];
        let _known = client.topics(&names).await.map_err(Failure::cluster(what.clone()))?;
        let aborted = match (self.start_offset, self.producer_id, self.producer_epoch) {
            (None, Some(id), Some(epoch)) => AbortedByHand {
                partition: partition.clone(),
                producer_id: ProducerId(id),
                producer_epoch: ProducerEpoch(epoch),
                coordinator_epoch: self.coordinator_epoch.unwrap_or(0).max(0),
            },
            (start, ..) => {
                let mut answers = client.describe_producers(std::slice::from_ref(&partition)).await;
                let producers = answers.remove(&partition).transpose();
                let producers = producers.map_err(Failure::cluster(what.clone()))?;
                of_start(&partition, start, &producers.unwrap_or_default())?
            }
        };
        client.abort_transaction(&aborted).await.map_err(Failure::cluster(what))?;
        let mut output = self.options.output();
        output.answer(
            || {
                json!({
                    "topic": partition.topic,
                    "partition": partition.partition,
                    "producer_id": aborted.producer_id.0,
                    "producer_epoch": aborted.producer_epoch.0,
                    "coordinator_epoch": aborted.coordinator_epoch,
                    "result": "aborted",
                })
            },
            |output| {
                output.line(&format!(
                    "aborted the transaction of producer {} in {partition}",
                    aborted.producer_id
                ))
            },
        )?;
        output.flush()
    }
}

/// Returns the abort of the transaction that begins at an offset.
fn of_start(
    partition: &TopicPartition,
    start: Option<i64>,
    producers: &[ActiveProducer],
) -> Result<AbortedByHand, Failure> {
    let found = producers
        .iter()
        .find(|producer| start.is_some() && producer.transaction_start_offset == start);
    let Some(found) = found else {
        let start = super::or_dash(start);
        return Err(Failure::Failed(format!(
            "no transaction of {partition} begins at offset {start}; `steadfast transaction producers` shows where they begin"
        )));
    };
    let epoch = i16::try_from(found.producer_epoch)
        .map_err(|_| Failure::Failed(format!("producer epoch {} is none", found.producer_epoch)))?;
    Ok(AbortedByHand {
        partition: partition.clone(),
        producer_id: found.producer_id,
        producer_epoch: ProducerEpoch(epoch),
        // A producer that no marker was written for: as Kafka's tool, the oldest coordinator.
        coordinator_epoch: found.coordinator_epoch.unwrap_or(0),
    })
}
