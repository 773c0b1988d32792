//! `steadfast transaction producers`: what a partition knows of its producers.

use client::transactions::ActiveProducer;
use model::{BrokerId, TopicPartition};
use serde_json::{Value, json};

use super::or_dash;
use crate::cli::failure::Failure;
use crate::cli::options::Options;

#[derive(Debug, clap::Args)]
pub(super) struct Producers {
    /// The topic.
    topic: String,
    /// The partition.
    #[arg(value_parser = clap::value_parser!(i32).range(0..))]
    partition: i32,
    /// Ask this broker's replica [default: the leader].
    #[arg(long, value_name = "ID")]
    broker: Option<i32>,
    #[command(flatten)]
    options: Options,
}

impl Producers {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.options.client()?;
        let at = TopicPartition { topic: self.topic, partition: self.partition };
        let what = format!("cannot describe the producers of {at}");
        let asked = [at.clone()];
        let names = [at.topic.clone()];
        let _known = client.topics(&names).await.map_err(Failure::cluster(what.clone()))?;
        let mut answers = match self.broker {
            None => client.describe_producers(&asked).await,
            Some(broker) => client.describe_producers_at(BrokerId(broker), &asked).await,
        };
        let producers =
            answers.remove(&at).transpose().map_err(Failure::cluster(what))?.unwrap_or_default();
        let mut output = self.options.output();
        let value = || -> Value { producers.iter().map(json_of).collect() };
        output.answer(value, |output| {
            let head = [
                "PRODUCER-ID",
                "EPOCH",
                "COORDINATOR-EPOCH",
                "LAST-SEQUENCE",
                "LAST-TIMESTAMP",
                "TRANSACTION-START",
            ];
            output.table(&head, &producers.iter().map(row).collect::<Vec<_>>())
        })?;
        output.flush()
    }
}

fn json_of(producer: &ActiveProducer) -> Value {
    json!({
        "producer_id": producer.producer_id.0,
        "producer_epoch": producer.producer_epoch,
        "coordinator_epoch": producer.coordinator_epoch,
        "last_sequence": producer.last_sequence,
        "last_timestamp": producer.last_timestamp.map(|time| time.0),
        "transaction_start_offset": producer.transaction_start_offset,
    })
}

fn row(producer: &ActiveProducer) -> Vec<String> {
    vec![
        producer.producer_id.to_string(),
        producer.producer_epoch.to_string(),
        or_dash(producer.coordinator_epoch),
        or_dash(producer.last_sequence),
        or_dash(producer.last_timestamp.map(|time| time.0)),
        or_dash(producer.transaction_start_offset),
    ]
}
