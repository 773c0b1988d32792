//! Changes of configurations, and what follows from them for partitions.
//!
//! Owns the two forms of change, and the two consequences: a partition whose topic leaves `flush.messages=1` is lossy for good, and a lower
//! `min.insync.replicas` lets fenced members go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use model::config::{ConfigKey, ConfigKind};
use model::{BrokerId, ErrorCode, TopicId, TopicIdPartition};

use super::config_checks;
use super::transition::Transition;
use crate::metadata::changes::RecordKey;
use crate::metadata::command::{
    AlterConfigs, ConfigAlteration, ConfigChange, ConfigOperation, ConfigResource,
};
use crate::metadata::image::Image;
use crate::metadata::image::config_values::{cluster_key, topic_key};
use crate::metadata::image::partition::{Durability, FlushPolicy};
use crate::metadata::image::topic::Topic;
use crate::metadata::mutation::{self, Mutation};
use crate::metadata::outcome::{Outcome, Refusal};

/// Changes configurations; each resource succeeds or fails by itself.
pub(super) fn alter(transition: &mut Transition<'_>, command: &AlterConfigs) -> Outcome {
    let results = command
        .changes
        .iter()
        .map(|change| (change.resource.clone(), alter_one(transition, change)));
    Outcome::ConfigsAltered(results.collect())
}

fn alter_one(transition: &mut Transition<'_>, change: &ConfigChange) -> Result<(), Refusal> {
    let before = present(transition.image, &change.resource)?;
    let after = altered(transition.image, change, &before)?;
    config_checks::check_count(after.len())?;
    for (name, value) in after.iter().filter(|(name, value)| before.get(*name) != Some(value)) {
        match &change.resource {
            ConfigResource::Topic(_) => config_checks::check_topic(name, value)?,
            ConfigResource::Broker(_) => config_checks::check_broker(name, value)?,
            ConfigResource::Cluster => config_checks::check_cluster(name, value)?,
        }
    }
    let changed: BTreeSet<String> = before
        .keys()
        .chain(after.keys())
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect();
    if !changed.is_empty() {
        write(transition, &change.resource, changed, &after);
    }
    Ok(())
}

/// Returns what is set on a resource.
fn present(image: &Image, resource: &ConfigResource) -> Result<BTreeMap<String, String>, Refusal> {
    let owned = |configs: &OrdMap<String, String>| {
        configs.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    match resource {
        ConfigResource::Topic(name) => match image.topic_by_name(name) {
            Some(topic) => Ok(owned(&topic.configs)),
            None => Err(Refusal::new(
                ErrorCode::UnknownTopicOrPartition,
                format!("there is no topic {name}"),
            )),
        },
        ConfigResource::Broker(broker_id) if *broker_id < BrokerId(0) => {
            Err(Refusal::new(ErrorCode::InvalidRequest, "a broker id is 0 or greater"))
        }
        ConfigResource::Broker(broker_id) => Ok(image
            .broker_configs(*broker_id)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()),
        ConfigResource::Cluster => Ok(owned(&image.cluster_configs)),
    }
}

/// Returns what would be set on the resource after the change.
fn altered(
    image: &Image,
    change: &ConfigChange,
    before: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let operations = match &change.alteration {
        ConfigAlteration::Replace(values) => return Ok(values.clone()),
        ConfigAlteration::Incremental(operations) => operations,
    };
    let names: BTreeSet<&str> = operations.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() != operations.len() {
        return Err(Refusal::new(ErrorCode::InvalidRequest, "a key is changed twice"));
    }
    let mut after = before.clone();
    for (name, operation) in operations {
        let value = match operation {
            ConfigOperation::Delete => {
                check_known(&change.resource, name, before)?;
                after.remove(name);
                continue;
            }
            ConfigOperation::Set(value) => value.clone(),
            ConfigOperation::Append(elements) => {
                let mut list = current_list(image, &change.resource, name, before)?;
                let added = elements_of(elements).into_iter();
                let added: Vec<String> = added.filter(|element| !list.contains(element)).collect();
                list.extend(added);
                list.join(",")
            }
            ConfigOperation::Subtract(elements) => {
                let mut list = current_list(image, &change.resource, name, before)?;
                let removed = elements_of(elements);
                list.retain(|element| !removed.contains(element));
                list.join(",")
            }
        };
        after.insert(name.clone(), value);
    }
    Ok(after)
}

/// Refuses to delete a topic's key that nobody knows, as Kafka does.
fn check_known(
    resource: &ConfigResource,
    name: &str,
    before: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    match resource {
        ConfigResource::Topic(_) if !before.contains_key(name) => match topic_key(name) {
            Some(_) => Ok(()),
            None => config_checks::check_topic(name, ""),
        },
        ConfigResource::Topic(_) | ConfigResource::Broker(_) | ConfigResource::Cluster => Ok(()),
    }
}

/// Returns the elements of a list key's present value.
fn current_list(
    image: &Image,
    resource: &ConfigResource,
    name: &str,
    before: &BTreeMap<String, String>,
) -> Result<Vec<String>, Refusal> {
    let key: Option<&ConfigKey> = match resource {
        ConfigResource::Topic(_) => topic_key(name),
        ConfigResource::Cluster => cluster_key(name),
        ConfigResource::Broker(_) => None,
    };
    if !key.is_some_and(|key| matches!(key.kind, ConfigKind::List { .. })) {
        return Err(Refusal::new(ErrorCode::InvalidConfig, format!("{name} is no list")));
    }
    let value = match (before.get(name), resource) {
        (Some(value), _) => Some(value.as_str()),
        (None, ConfigResource::Topic(_)) => image.config_values(None).of_topic(name),
        (None, ConfigResource::Broker(_) | ConfigResource::Cluster) => image.cluster_config(name),
    };
    Ok(value.map(elements_of).unwrap_or_default())
}

fn elements_of(list: &str) -> Vec<String> {
    list.split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Writes the new values and lets partitions feel them.
fn write(
    transition: &mut Transition<'_>,
    resource: &ConfigResource,
    changed: BTreeSet<String>,
    after: &BTreeMap<String, String>,
) {
    match resource {
        ConfigResource::Topic(name) => {
            let Some(topic) = transition.image.topic_by_name(name).cloned() else {
                return;
            };
            let topic_id = topic.topic_id;
            let keys = changed.into_iter().map(|key| RecordKey::TopicConfig(topic_id, key));
            transition.changes.records.extend(keys);
            let topic = Topic { configs: OrdMap::from(after), ..topic };
            transition.image.topics.insert(topic_id, Arc::new(topic));
            refresh_topic(transition, topic_id);
        }
        ConfigResource::Broker(broker_id) => {
            for name in changed {
                let key = (*broker_id, name.clone());
                match after.get(&name) {
                    Some(value) => transition.image.broker_configs.insert(key, value.clone()),
                    None => transition.image.broker_configs.remove(&key),
                };
                transition.changes.records.insert(RecordKey::BrokerConfig(*broker_id, name));
            }
            transition.changes.brokers.insert(*broker_id);
        }
        ConfigResource::Cluster => {
            transition.image.cluster_configs = OrdMap::from(after);
            let keys = changed.into_iter().map(RecordKey::ClusterConfig);
            transition.changes.records.extend(keys);
            let topics: Vec<TopicId> = transition.image.topics.keys().copied().collect();
            for topic_id in topics {
                refresh_topic(transition, topic_id);
            }
        }
    }
}

/// Lets the partitions of a topic feel the configuration that holds now; all of them look different to those who read it.
fn refresh_topic(transition: &mut Transition<'_>, topic_id: TopicId) {
    transition.touch_topic(topic_id);
    let flush_policy = transition.image.flush_policy(topic_id);
    let partitions: Vec<TopicIdPartition> =
        transition.image.partitions_of(topic_id).map(|(partition, _)| partition).collect();
    for partition in partitions {
        transition.changes.partitions.insert(partition);
        let Ok(mut state) = transition.partition(partition) else {
            continue;
        };
        if flush_policy == FlushPolicy::PageCache && !mutation::is_active(Mutation::DurableForEver)
        {
            state.durability = Durability::Lossy;
        }
        transition.set_partition(partition, state);
    }
}
