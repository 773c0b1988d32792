//! `steadfast topic describe` and `steadfast topic offsets`.

use std::collections::BTreeMap;

use client::admin::{ConfigEntry, ConfigResource, ConfigSource};
use client::metadata::{Partition, Topic};
use client::{Client, Error, OffsetAt};
use model::{BrokerId, ErrorCode, Offset, TopicPartition};
use serde_json::{Value, json};

use super::all_topics;
use crate::cli::config::shown_value;
use crate::cli::failure::Failure;
use crate::cli::options::Options;
use crate::cli::output::Output;
use crate::cli::partitions;

/// Shows topics; all but the cluster's own when none is named.
pub(super) async fn describe(names: &[String], options: &Options) -> Result<(), Failure> {
    let (client, mut output) = (options.client()?, options.output());
    let topics = topics_named(&client, names, "cannot describe topics").await?;
    let mut described = Vec::new();
    for (name, topic) in &topics {
        let resource = ConfigResource::Topic(name.clone());
        let mut configs = client
            .describe_configs(&resource)
            .await
            .map_err(Failure::cluster(format!("cannot describe topic {name}")))?;
        configs.retain(|config| config.source == ConfigSource::Topic);
        if output.is_json() {
            described.push(topic_json(name, topic, &configs));
        } else {
            print_topic(&mut output, name, topic, &configs)?;
        }
    }
    if output.is_json() {
        output.json(&Value::from(described))?;
    }
    output.flush()
}

/// Returns the named topics, or all of them.
async fn topics_named(
    client: &Client,
    names: &[String],
    what: &str,
) -> Result<BTreeMap<String, Topic>, Failure> {
    let mut topics = all_topics(client, what).await?;
    if names.is_empty() {
        topics.retain(|_, topic| !topic.is_internal);
        return Ok(topics);
    }
    for name in names {
        if !topics.contains_key(name) {
            let code = ErrorCode::UnknownTopicOrPartition;
            let source = Error::Broker { subject: format!("topic {name}"), code, message: None };
            return Err(Failure::Cluster { what: what.to_owned(), source });
        }
    }
    topics.retain(|name, _| names.contains(name));
    Ok(topics)
}

fn topic_json(name: &str, topic: &Topic, configs: &[ConfigEntry]) -> Value {
    let ids = |ids: &[BrokerId]| -> Value { ids.iter().map(|id| Value::from(id.0)).collect() };
    let partitions: Value = topic
        .partitions
        .iter()
        .map(|(index, partition)| {
            json!({
                "partition": index,
                "leader": partition.leader.map(|leader| leader.0),
                "leader_epoch": partition.leader_epoch.map(|epoch| epoch.0),
                "replicas": ids(&partition.replicas),
                "isr": ids(&partition.isr),
                "offline": ids(&partition.offline_replicas),
                "behind": ids(&behind(partition)),
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

/// Returns the replicas that live and are not in sync. Of the others that are not, their brokers are offline.
fn behind(partition: &Partition) -> Vec<BrokerId> {
    let is_behind =
        |id: &&BrokerId| !partition.isr.contains(id) && !partition.offline_replicas.contains(id);
    partition.replicas.iter().filter(is_behind).copied().collect()
}

fn print_topic(
    output: &mut Output,
    name: &str,
    topic: &Topic,
    configs: &[ConfigEntry],
) -> Result<(), Failure> {
    let joined = |ids: &[BrokerId]| {
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        if ids.is_empty() { "-".to_owned() } else { ids.join(",") }
    };
    output.line(&format!("topic {name}  id {}", topic.id))?;
    for config in configs {
        output.line(&format!("  {}={}", config.name, shown_value(config)))?;
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
                joined(&behind(partition)),
            ]
        })
        .collect();
    let head = ["  PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "OFFLINE", "BEHIND"];
    output.table(&head, &rows)
}

/// Shows where the partitions of topics begin and end.
pub(super) async fn offsets(names: &[String], options: &Options) -> Result<(), Failure> {
    let (client, mut output) = (options.client()?, options.output());
    let topics = topics_named(&client, names, "cannot ask for offsets").await?;
    let numbers = topics.iter().flat_map(|(topic, described)| {
        let numbers = described.partitions.keys();
        numbers.map(|number| TopicPartition { topic: topic.clone(), partition: *number })
    });
    let numbers: Vec<_> = numbers.collect();
    let earliest = partitions::offsets(&client, &numbers, OffsetAt::Earliest).await?;
    let latest = partitions::offsets(&client, &numbers, OffsetAt::Latest).await?;
    let ends = numbers.iter().map(|at| {
        let end = |ends: &BTreeMap<_, _>| ends.get(at).copied().unwrap_or(Offset::ZERO);
        (at, end(&earliest), end(&latest))
    });
    let value = || -> Value {
        let ends = ends.clone().map(|(at, earliest, latest)| {
            json!({
                "topic": at.topic, "partition": at.partition, "earliest": earliest.0,
                "latest": latest.0,
            })
        });
        ends.collect()
    };
    output.answer(value, |output| {
        let rows = ends.clone().map(|(at, earliest, latest)| {
            let numbers =
                [earliest.0, latest.0, latest - earliest].map(|number| number.to_string());
            let mut row = vec![at.topic.clone(), at.partition.to_string()];
            row.extend(numbers);
            row
        });
        let rows: Vec<_> = rows.collect();
        output.table(&["TOPIC", "PARTITION", "EARLIEST", "LATEST", "OFFSETS"], &rows)
    })?;
    output.flush()
}
