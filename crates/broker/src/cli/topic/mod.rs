//! `steadfast topic`: list, create, describe, offsets, alter, delete.

use std::collections::BTreeMap;

use client::admin::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource, Mode, NewTopic};
use client::metadata::Topic;
use client::{Client, Error, OffsetAt, Topics};
use model::{ErrorCode, Offset, TopicPartition};
use serde_json::{Value, json};

use super::failure::Failure;
use super::options::Connect;
use super::output::{Output, joined, json_ids};
use super::values::parse_pair;

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
        common: Common,
    },
    /// Create a topic.
    Create(Create),
    /// Show partitions, leaders, replicas and configuration.
    Describe {
        /// The topics; all when none is given.
        topics: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Show the first and the next offset of each partition.
    Offsets {
        /// The topics.
        #[arg(required = true)]
        topics: Vec<String>,
        #[command(flatten)]
        common: Common,
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
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, clap::Args)]
struct Create {
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
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Alter {
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
    #[command(flatten)]
    common: Common,
}

/// Runs `steadfast topic`.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut output = Output::new();
    match arguments.action {
        Action::List { internal, long, common } => {
            let client = common.connect.client()?;
            let mut topics = all_topics(&client).await?;
            topics.retain(|_, topic| internal || !topic.is_internal);
            list(&mut output, &topics, long, common.json)?;
        }
        Action::Create(create) => self::create(&mut output, &create).await?,
        Action::Describe { topics, common } => describe(&mut output, &topics, &common).await?,
        Action::Offsets { topics, common } => offsets(&mut output, &topics, &common).await?,
        Action::Alter(alter) => self::alter(&mut output, &alter).await?,
        Action::Delete { topics, if_exists, common } => {
            let client = common.connect.client()?;
            for topic in topics {
                let result = client.delete_topic(&topic).await;
                let is_missing = result
                    .as_ref()
                    .is_err_and(|error| error.code() == Some(ErrorCode::UnknownTopicOrPartition));
                if !(is_missing && if_exists) {
                    result.map_err(Failure::cluster(format!("cannot delete topic {topic}")))?;
                }
                say(&mut output, common.json, &topic, "deleted")?;
            }
        }
    }
    output.flush()
}

async fn all_topics(client: &Client) -> Result<BTreeMap<String, Topic>, Failure> {
    let metadata = client
        .retry(|| client.refresh_metadata(Topics::All))
        .await
        .map_err(Failure::cluster("cannot list topics"))?;
    Ok(metadata.topics.clone())
}

/// Returns the named topics, or all of them.
async fn topics_named(
    client: &Client,
    names: &[String],
) -> Result<BTreeMap<String, Topic>, Failure> {
    let mut topics = all_topics(client).await?;
    if names.is_empty() {
        topics.retain(|_, topic| !topic.is_internal);
        return Ok(topics);
    }
    for name in names {
        if !topics.contains_key(name) {
            let code = ErrorCode::UnknownTopicOrPartition;
            let source = Error::Broker { subject: format!("topic {name}"), code, message: None };
            return Err(Failure::Cluster { what: "cannot describe".to_owned(), source });
        }
    }
    topics.retain(|name, _| names.contains(name));
    Ok(topics)
}

fn list(
    output: &mut Output,
    topics: &BTreeMap<String, Topic>,
    long: bool,
    json: bool,
) -> Result<(), Failure> {
    let replication_factor =
        |topic: &Topic| topic.partitions.values().map(|at| at.replicas.len()).max().unwrap_or(0);
    if json {
        let topics: Value = topics
            .iter()
            .map(|(name, topic)| {
                json!({
                    "name": name,
                    "id": topic.id.to_string(),
                    "partitions": topic.partitions.len(),
                    "replication_factor": replication_factor(topic),
                    "internal": topic.is_internal,
                })
            })
            .collect();
        return output.json(&topics);
    }
    if long {
        let rows: Vec<_> = topics
            .iter()
            .map(|(name, topic)| {
                let replicas = replication_factor(topic).to_string();
                vec![name.clone(), topic.partitions.len().to_string(), replicas]
            })
            .collect();
        return output.table(&["TOPIC", "PARTITIONS", "REPLICATION FACTOR"], &rows);
    }
    topics.keys().try_for_each(|name| output.line(name))
}

async fn create(output: &mut Output, create: &Create) -> Result<(), Failure> {
    let client = create.common.connect.client()?;
    let topic = NewTopic {
        name: create.topic.clone(),
        partitions: create.partitions,
        replication_factor: create.replication_factor,
        assignments: Vec::new(),
        configs: create.configs.clone(),
    };
    let mode = if create.validate_only { Mode::ValidateOnly } else { Mode::Apply };
    let result = client.create_topic(&topic, mode).await;
    let exists =
        result.as_ref().is_err_and(|error| error.code() == Some(ErrorCode::TopicAlreadyExists));
    if exists && create.if_not_exists {
        return say(output, create.common.json, &create.topic, "exists");
    }
    let created =
        result.map_err(Failure::cluster(format!("cannot create topic {}", create.topic)))?;
    let done = if create.validate_only { "valid" } else { "created" };
    if create.common.json {
        return output.json(&json!({
            "topic": created.name,
            "result": done,
            "partitions": created.partitions,
            "replication_factor": created.replication_factor,
        }));
    }
    let count = |count: Option<i64>, noun: &str| match count {
        Some(1) => format!(", 1 {noun}"),
        Some(count) => format!(", {count} {noun}s"),
        None => String::new(),
    };
    let partitions = count(created.partitions.map(i64::from), "partition");
    let replicas = count(created.replication_factor.map(i64::from), "replica");
    output.line(&format!("{done} {}{partitions}{replicas}", created.name))
}

async fn alter(output: &mut Output, alter: &Alter) -> Result<(), Failure> {
    let mut changes: Vec<_> = alter
        .configs
        .iter()
        .map(|(key, value)| ConfigChange::Set(key.clone(), value.clone()))
        .collect();
    changes.extend(alter.delete_configs.iter().cloned().map(ConfigChange::Delete));
    if changes.is_empty() && alter.partitions.is_none() {
        let message = "nothing to change: give --partitions, --config or --delete-config";
        return Err(Failure::Usage(message.to_owned()));
    }
    let client = alter.common.connect.client()?;
    let what = format!("cannot change topic {}", alter.topic);
    if !changes.is_empty() {
        let resource = ConfigResource::Topic(alter.topic.clone());
        client
            .alter_configs(&resource, &changes, Mode::Apply)
            .await
            .map_err(Failure::cluster(what.clone()))?;
    }
    if let Some(count) = alter.partitions {
        client
            .create_partitions(&alter.topic, count, Mode::Apply)
            .await
            .map_err(Failure::cluster(what))?;
    }
    say(output, alter.common.json, &alter.topic, "changed")
}

async fn describe(output: &mut Output, names: &[String], common: &Common) -> Result<(), Failure> {
    let client = common.connect.client()?;
    let topics = topics_named(&client, names).await?;
    let mut described = Vec::new();
    for (name, topic) in &topics {
        let resource = ConfigResource::Topic(name.clone());
        let mut configs = client
            .describe_configs(&resource)
            .await
            .map_err(Failure::cluster(format!("cannot describe topic {name}")))?;
        configs.retain(|config| config.source == ConfigSource::Topic);
        if common.json {
            described.push(topic_json(name, topic, &configs));
        } else {
            print_topic(output, name, topic, &configs)?;
        }
    }
    if common.json { output.json(&Value::from(described)) } else { Ok(()) }
}

fn topic_json(name: &str, topic: &Topic, configs: &[ConfigEntry]) -> Value {
    let partitions: Value = topic
        .partitions
        .iter()
        .map(|(index, partition)| {
            json!({
                "partition": index,
                "leader": partition.leader.map(|leader| leader.0),
                "leader_epoch": partition.leader_epoch.map(|epoch| epoch.0),
                "replicas": json_ids(&partition.replicas),
                "isr": json_ids(&partition.isr),
                "offline": json_ids(&partition.offline_replicas),
                "error": partition.error_code.is_error().then(|| partition.error_code.name()),
            })
        })
        .collect();
    let configs: serde_json::Map<_, _> = configs
        .iter()
        .map(|config| (config.name.clone(), Value::from(config.value.clone())))
        .collect();
    json!({
        "name": name,
        "id": topic.id.to_string(),
        "internal": topic.is_internal,
        "configs": configs,
        "partitions": partitions,
    })
}

fn print_topic(
    output: &mut Output,
    name: &str,
    topic: &Topic,
    configs: &[ConfigEntry],
) -> Result<(), Failure> {
    output.line(&format!("topic {name}  id {}", topic.id))?;
    for config in configs {
        let value = config.value.as_deref().unwrap_or("(secret)");
        output.line(&format!("  {}={value}", config.name))?;
    }
    let rows: Vec<_> = topic
        .partitions
        .iter()
        .map(|(index, partition)| {
            vec![
                format!("  {index}"),
                partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string()),
                partition.leader_epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string()),
                joined(&partition.replicas),
                joined(&partition.isr),
                joined(&partition.offline_replicas),
            ]
        })
        .collect();
    let head = ["  PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "OFFLINE"];
    output.table(&head, &rows)
}

async fn offsets(output: &mut Output, names: &[String], common: &Common) -> Result<(), Failure> {
    let client = common.connect.client()?;
    let topics = topics_named(&client, names).await?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for (name, topic) in &topics {
        for partition in topic.partitions.keys() {
            let at = TopicPartition { topic: name.clone(), partition: *partition };
            let earliest = offset(&client, &at, OffsetAt::Earliest).await?;
            let latest = offset(&client, &at, OffsetAt::Latest).await?;
            values.push(json!({
                "topic": name, "partition": partition, "earliest": earliest.0, "latest": latest.0,
            }));
            let count = (latest - earliest).to_string();
            let partition = partition.to_string();
            let (earliest, latest) = (earliest.to_string(), latest.to_string());
            rows.push(vec![name.clone(), partition, earliest, latest, count]);
        }
    }
    if common.json {
        return output.json(&Value::from(values));
    }
    output.table(&["TOPIC", "PARTITION", "EARLIEST", "LATEST", "OFFSETS"], &rows)
}

async fn offset(
    client: &Client,
    partition: &TopicPartition,
    at: OffsetAt,
) -> Result<Offset, Failure> {
    let offset = client
        .list_offset(partition, at)
        .await
        .map_err(Failure::cluster(format!("cannot ask for offsets of {partition}")))?;
    Ok(offset.unwrap_or(Offset::ZERO))
}

fn say(output: &mut Output, json: bool, topic: &str, done: &str) -> Result<(), Failure> {
    if json {
        output.json(&json!({ "topic": topic, "result": done }))
    } else {
        output.line(&format!("{done} {topic}"))
    }
}
