//! `steadfast group delete-offsets`.

use client::Client;
use model::{ErrorCode, TopicPartition};
use serde_json::{Value, json};

use super::{TopicChoice, parse_topic_choice};
use crate::cli::failure::Failure;
use crate::cli::options::Options;

/// Arguments of `steadfast group delete-offsets`.
#[derive(Debug, clap::Args)]
pub(super) struct DeleteOffsets {
    /// The group.
    #[arg(long, value_name = "GROUP")]
    group: String,
    /// A topic, or partitions of one as TOPIC:0,1; may be given several times.
    #[arg(long = "topic", required = true, value_parser = parse_topic_choice, value_name = "TOPIC[:PARTITION,...]")]
    topics: Vec<TopicChoice>,
    #[command(flatten)]
    options: Options,
}

impl DeleteOffsets {
    /// Deletes, and shows what became of each partition.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (client, mut output) = (self.options.client()?, self.options.output());
        let partitions = self.partitions(&client).await?;
        let what = format!("cannot delete offsets of group {}", self.group);
        let results = client
            .delete_group_offsets(&self.group, &partitions)
            .await
            .map_err(Failure::cluster(what.clone()))?;
        let result = |code: &ErrorCode| if code.is_error() { code.name() } else { "deleted" };
        let value = || {
            let results: Value = results
                .iter()
                .map(|(at, code)| {
                    json!({ "topic": at.topic, "partition": at.partition, "result": result(code) })
                })
                .collect();
            json!({ "group": self.group, "offsets": results })
        };
        output.answer(value, |output| {
            let rows = results.iter().map(|(at, code)| {
                vec![at.topic.clone(), at.partition.to_string(), result(code).to_owned()]
            });
            let rows: Vec<_> = rows.collect();
            output.table(&["TOPIC", "PARTITION", "RESULT"], &rows)
        })?;
        output.flush()?;
        for (partition, code) in &results {
            client::Error::check(partition.to_string(), *code, None)
                .map_err(Failure::cluster(what.clone()))?;
        }
        Ok(())
    }

    /// Returns the partitions: of a topic without a list, those that the group has committed, since the topic itself may be gone.
    async fn partitions(&self, client: &Client) -> Result<Vec<TopicPartition>, Failure> {
        let committed = client
            .group_offsets(&self.group, None)
            .await
            .map_err(Failure::cluster(format!("cannot read offsets of group {}", self.group)))?;
        let mut partitions = Vec::new();
        for choice in &self.topics {
            let topic = &choice.topic;
            let before = partitions.len();
            if choice.partitions.is_empty() {
                partitions.extend(committed.keys().filter(|at| at.topic == *topic).cloned());
            } else {
                let named = choice.partitions.iter();
                partitions.extend(
                    named.map(|at| TopicPartition { topic: topic.clone(), partition: *at }),
                );
            }
            if partitions.len() == before {
                let group = &self.group;
                return Err(Failure::Failed(format!(
                    "group {group} has committed nothing for topic {topic}; `steadfast group describe {group}` shows what it has"
                )));
            }
        }
        Ok(partitions)
    }
}
