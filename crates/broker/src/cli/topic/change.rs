//! `steadfast topic create` and `steadfast topic alter`.

use client::admin::{ConfigChange, ConfigResource, CreatedTopic, Mode, NewTopic};
use model::ErrorCode;
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::options::Options;
use crate::cli::values::parse_pair;

/// Arguments of `steadfast topic create`.
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// The topic's name.
    topic: String,
    /// Number of partitions [default: the cluster's num.partitions].
    #[arg(long, short = 'p', value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Replicas of each partition [default: the cluster's default.replication.factor].
    #[arg(long, short = 'r', value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// Set a configuration key; may be given several times.
    #[arg(long = "config", short = 'c', value_parser = parse_pair, value_name = "KEY=VALUE")]
    configs: Vec<(String, String)>,
    /// Succeed when the topic exists.
    #[arg(long)]
    if_not_exists: bool,
    /// Check only, and create nothing.
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    options: Options,
}

/// Arguments of `steadfast topic alter`.
#[derive(Debug, clap::Args)]
pub(super) struct Alter {
    /// The topic's name.
    topic: String,
    /// Raise the number of partitions to this.
    #[arg(long, short = 'p', value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Set a configuration key; may be given several times.
    #[arg(long = "config", short = 'c', value_parser = parse_pair, value_name = "KEY=VALUE")]
    configs: Vec<(String, String)>,
    /// Set a configuration key back to its default; may be given several times.
    #[arg(long = "delete-config", value_name = "KEY")]
    delete_configs: Vec<String>,
    /// Check only, and change nothing.
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    options: Options,
}

impl Create {
    /// Creates the topic, or checks whether it can be created.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (client, mut output) = (self.options.client()?, self.options.output());
        let topic = NewTopic {
            name: self.topic,
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            configs: self.configs,
            ..NewTopic::default()
        };
        let mode = if self.validate_only { Mode::ValidateOnly } else { Mode::Apply };
        let result = client.create_topic(&topic, mode).await;
        let exists =
            result.as_ref().is_err_and(|error| error.code() == Some(ErrorCode::TopicAlreadyExists));
        if exists && self.if_not_exists {
            output.answer(
                || json!({ "topic": topic.name, "result": "exists" }),
                |output| output.line(&format!("{} exists", topic.name)),
            )?;
            return output.flush();
        }
        let created =
            result.map_err(Failure::cluster(format!("cannot create topic {}", topic.name)))?;
        let done = if self.validate_only { "valid" } else { "created" };
        let value = || {
            json!({
                "topic": created.name,
                "result": done,
                "partitions": created.partitions,
                "replication_factor": created.replication_factor,
            })
        };
        output.answer(value, |output| output.line(&format!("{done} {}", in_words(&created))))?;
        output.flush()
    }
}

fn in_words(topic: &CreatedTopic) -> String {
    let count = |count: Option<i64>, noun: &str| match count {
        Some(1) => format!(", 1 {noun}"),
        Some(count) => format!(", {count} {noun}s"),
        None => String::new(),
    };
    let partitions = count(topic.partitions.map(i64::from), "partition");
    let replicas = count(topic.replication_factor.map(i64::from), "replica");
    format!("{}{partitions}{replicas}", topic.name)
}

impl Alter {
    /// Changes the topic. Configuration and partitions are two requests; both are checked before either is carried out, so that a topic is not half changed
    /// because one of them is refused.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let set = self.configs.into_iter().map(|(key, value)| ConfigChange::Set(key, value));
        let deleted = self.delete_configs.into_iter().map(ConfigChange::Delete);
        let changes: Vec<_> = set.chain(deleted).collect();
        if changes.is_empty() && self.partitions.is_none() {
            let message = "nothing to change: give --partitions, --config or --delete-config";
            return Err(Failure::Usage(message.to_owned()));
        }
        let (client, mut output) = (self.options.client()?, self.options.output());
        let modes: &[Mode] = match (self.validate_only, self.partitions) {
            (true, _) => &[Mode::ValidateOnly],
            (false, Some(_)) if !changes.is_empty() => &[Mode::ValidateOnly, Mode::Apply],
            (false, _) => &[Mode::Apply],
        };
        let what = format!("cannot change topic {}", self.topic);
        for mode in modes {
            if !changes.is_empty() {
                let resource = ConfigResource::Topic(self.topic.clone());
                let altered = client.alter_configs(&resource, &changes, *mode).await;
                altered.map_err(Failure::cluster(what.clone()))?;
            }
            if let Some(count) = self.partitions {
                let raised = client.create_partitions(&self.topic, count, *mode).await;
                raised.map_err(Failure::cluster(what.clone()))?;
            }
        }
        let done = if self.validate_only { "valid" } else { "changed" };
        output.outcome("topic", &self.topic, done)?;
        output.flush()
    }
}
