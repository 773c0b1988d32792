//! The cluster's own topics: which they are, and the shape in which the offsets topic is created.
//!
//! Clients read them like any other; they write to them through the coordinators alone.

use std::collections::BTreeMap;

use controller::metadata::Image;
use coordinator::config::CoordinatorConfig;

/// Keeps consumer groups and their committed offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Keeps transactions, which are not served yet: nobody creates it on the way.
pub(crate) const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// The metadata log, which is no topic at all: nobody may create one of its name.
pub(crate) const METADATA_LOG: &str = "__cluster_metadata";

/// The one client that may produce to internal topics: Kafka's own tools call themselves so.
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// Says whether a topic is the cluster's own.
#[must_use]
pub(crate) fn is_internal(topic: &str) -> bool {
    matches!(topic, OFFSETS_TOPIC | TRANSACTIONS_TOPIC)
}

/// Says whether a client may produce to internal topics.
#[must_use]
pub(crate) fn may_produce_to_internal(client_id: &str) -> bool {
    client_id == ADMIN_CLIENT_ID
}

/// Largest batch that the offsets topic must take, whatever the cluster's default is: Kafka's own default, which coordinators count on.
const MIN_MESSAGE_BYTES: i64 = 1_048_588;

/// What the offsets topic always says: committed offsets are never deleted by age, and a commit is acknowledged when it is on the disk of every in-sync replica.
const FIXED: [(&str, &str); 2] = [("cleanup.policy", "compact"), ("flush.messages", "1")];

/// Says what is wrong with a value of the offsets topic's configuration; `None` is a key that is left to the cluster's default.
pub(crate) fn check_offsets_config(key: &str, value: Option<&str>) -> Result<(), String> {
    if let Some((_, fixed)) = FIXED.iter().find(|(fixed, _)| *fixed == key)
        && value != Some(fixed)
    {
        return Err(format!("{key} of {OFFSETS_TOPIC} is {fixed}: commits depend on it"));
    }
    let size = value.and_then(|value| value.parse::<i64>().ok());
    if key == MAX_MESSAGE_BYTES && size.is_none_or(|size| size < MIN_MESSAGE_BYTES) {
        return Err(format!("{key} of {OFFSETS_TOPIC} is at least {MIN_MESSAGE_BYTES}"));
    }
    Ok(())
}

/// Checks the whole configuration that is to take the place of the offsets topic's.
pub(crate) fn check_all_offsets_configs(configs: &BTreeMap<String, String>) -> Result<(), String> {
    let keys = FIXED.iter().map(|(key, _)| *key).chain([MAX_MESSAGE_BYTES]);
    for key in keys {
        check_offsets_config(key, configs.get(key).map(String::as_str))?;
    }
    Ok(())
}

/// Adds what the offsets topic always says to a configuration that does not say it.
pub(crate) fn complete(configs: &mut BTreeMap<String, String>) {
    for (key, value) in FIXED {
        configs.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    let size = || MIN_MESSAGE_BYTES.to_string();
    configs.entry(MAX_MESSAGE_BYTES.to_owned()).or_insert_with(size);
}

const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

/// The shape of the offsets topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetsTopic {
    /// Number of partitions.
    pub(crate) partition_count: i32,
    /// Replicas of each.
    pub(crate) replication_factor: i16,
    /// Its own configuration.
    pub(crate) configs: BTreeMap<String, String>,
}

impl OffsetsTopic {
    /// Returns the shape in which the topic is created now. A cluster of fewer brokers than the configured factor has one replica on each; brokers that are registered and
    /// down, and voters that never came, count: the factor is never quietly smaller than what the cluster will carry.
    #[must_use]
    pub(crate) fn of(config: &CoordinatorConfig, image: &Image, configured_voters: usize) -> Self {
        let voters = image.voters().len().max(configured_voters);
        let brokers = image.brokers().count().max(voters).max(1);
        let most = i16::try_from(brokers).unwrap_or(i16::MAX);
        let configs = [
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", config.topic_segment_bytes.to_string()),
        ];
        let configs = configs.into_iter().map(|(key, value)| (key.to_owned(), value));
        let mut configs: BTreeMap<String, String> = configs.collect();
        complete(&mut configs);
        Self {
            partition_count: config.topic_partition_count,
            replication_factor: config.topic_replication_factor.min(most),
            configs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_voters_count_before_they_are_there() {
        let config = CoordinatorConfig::default();
        let image = Image::default();
        assert_eq!(OffsetsTopic::of(&config, &image, 1).replication_factor, 1);
        assert_eq!(OffsetsTopic::of(&config, &image, 3).replication_factor, 3);
        assert_eq!(OffsetsTopic::of(&config, &image, 5).replication_factor, 3);
    }

    #[test]
    fn commits_are_flushed_whatever_the_cluster_does_otherwise() {
        let topic = OffsetsTopic::of(&CoordinatorConfig::default(), &Image::default(), 1);
        assert_eq!(topic.configs.get("flush.messages").map(String::as_str), Some("1"));
        assert_eq!(topic.partition_count, 50);
        assert_eq!(check_all_offsets_configs(&topic.configs), Ok(()));
        assert!(check_all_offsets_configs(&BTreeMap::new()).is_err());
        assert!(check_offsets_config("cleanup.policy", Some("delete")).is_err());
        assert!(check_offsets_config("flush.messages", None).is_err());
        assert!(check_offsets_config("max.message.bytes", Some("1000")).is_err());
        assert_eq!(check_offsets_config("segment.bytes", None), Ok(()));
        for (key, value) in &topic.configs {
            let declared = crate::config::find_topic_key(key).unwrap();
            assert_eq!(declared.validate(value), Ok(()), "{key}");
        }
    }
}
