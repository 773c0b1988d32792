//! `steadfast topic`: list, create, describe, offsets, alter, delete.

mod change;
mod describe;

use std::collections::BTreeMap;

use client::metadata::Topic;
use client::{Client, Topics};
use model::ErrorCode;
use serde_json::{Value, json};

use super::failure::Failure;
use super::options::Options;
use super::output::Output;
use change::{Alter, Create};

/// Arguments of `steadfast topic`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print the names of the topics.
    List {
        /// Show the cluster's own topics too.
        #[arg(long)]
        internal: bool,
        /// Show partitions and replication factors.
        #[arg(long, short = 'l')]
        long: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Create a topic.
    Create(Create),
    /// Show partitions, leaders, replicas and configuration.
    Describe {
        /// The topics; all when none is given.
        topics: Vec<String>,
        #[command(flatten)]
        options: Options,
    },
    /// Show the first and the next offset of each partition.
    Offsets {
        /// The topics.
        #[arg(required = true)]
        topics: Vec<String>,
        #[command(flatten)]
        options: Options,
    },
    /// Add partitions, change configuration.
    Alter(Alter),
    /// Delete topics with all their records.
    Delete {
        /// The topics.
        #[arg(required = true)]
        topics: Vec<String>,
        /// Succeed when a topic does not exist.
        #[arg(long)]
        if_exists: bool,
        #[command(flatten)]
        options: Options,
    },
}

/// Runs `steadfast topic`.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Action::List { internal, long, options } => {
            let mut topics = all_topics(&options.client()?, "cannot list topics").await?;
            topics.retain(|_, topic| internal || !topic.is_internal);
            list(options.output(), &topics, long)
        }
        Action::Create(create) => create.run().await,
        Action::Describe { topics, options } => describe::describe(&topics, &options).await,
        Action::Offsets { topics, options } => describe::offsets(&topics, &options).await,
        Action::Alter(alter) => alter.run().await,
        Action::Delete { topics, if_exists, options } => {
            let (client, mut output) = (options.client()?, options.output());
            for topic in topics {
                let result = client.delete_topic(&topic).await;
                let is_missing = result
                    .as_ref()
                    .is_err_and(|error| error.code() == Some(ErrorCode::UnknownTopicOrPartition));
                if is_missing && if_exists {
                    output.outcome("topic", &topic, "missing")?;
                    continue;
                }
                result.map_err(Failure::cluster(format!("cannot delete topic {topic}")))?;
                output.outcome("topic", &topic, "deleted")?;
            }
            output.flush()
        }
    }
}

async fn all_topics(client: &Client, what: &str) -> Result<BTreeMap<String, Topic>, Failure> {
    let metadata = client
        .retry(|| client.refresh_metadata(Topics::All))
        .await
        .map_err(Failure::cluster(what))?;
    Ok(metadata.topics.clone())
}

fn list(
    mut output: Output,
    topics: &BTreeMap<String, Topic>,
    is_long: bool,
) -> Result<(), Failure> {
    let replication_factor =
        |topic: &Topic| topic.partitions.values().map(|at| at.replicas.len()).max().unwrap_or(0);
    let value = || -> Value {
        let topics = topics.iter().map(|(name, topic)| {
            json!({
                "name": name,
                "id": topic.id.to_string(),
                "partitions": topic.partitions.len(),
                "replication_factor": replication_factor(topic),
                "internal": topic.is_internal,
            })
        });
        topics.collect()
    };
    output.answer(value, |output| {
        if !is_long {
            return topics.keys().try_for_each(|name| output.line(name));
        }
        let rows = topics.iter().map(|(name, topic)| {
            let replicas = replication_factor(topic).to_string();
            vec![name.clone(), topic.partitions.len().to_string(), replicas]
        });
        let rows: Vec<_> = rows.collect();
        output.table(&["TOPIC", "PARTITIONS", "REPLICATION FACTOR"], &rows)
    })?;
    output.flush()
}
