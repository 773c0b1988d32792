//! The cluster's own topics: which they are, what their configuration always says, and what the coordinators' topics are created with.
//!
//! Clients read them like any other; they write to them through the coordinators alone.

use std::collections::BTreeMap;

use controller::metadata::Image;
use coordinator::config::CoordinatorConfig;
use coordinator::group::GroupConfig;
use coordinator::transaction::config::TransactionCoordinatorConfig;

use super::TopicDefaults;

/// Keeps consumer groups and their committed offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Keeps transactional ids and their transactions.
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

/// Largest batch that an internal topic must take, whatever the cluster's default is: Kafka's own default, which coordinators count on.
const MIN_BATCH_BYTES: i64 = 1_048_588;

// The largest record fits, with the batch around it.
const _: () = assert!(GroupConfig::MAX_RECORD_BYTES + 4_096 <= 1_048_588);

/// What internal topics always say: committed offsets are never deleted by age, and a commit is acknowledged when it is on the disk of every in-sync replica.
const FIXED: [(&str, &str); 2] = [("cleanup.policy", "compact"), ("flush.messages", "1")];

/// The keys of internal topics that are at least [`MIN_BATCH_BYTES`], with what they are when nobody says it: a batch that a topic does not take is a coordinator that cannot write.
const SIZES: [(&str, &str); 2] = [("max.message.bytes", "1048588"), ("segment.bytes", "104857600")];

/// Says what is wrong with a value of an internal topic's configuration; `None` is a key that is left to the cluster's default.
pub(crate) fn check_config(key: &str, value: Option<&str>) -> Result<(), String> {
    let is = |(other, _): &&(&str, &str)| *other == key;
    if let Some((_, fixed)) = FIXED.iter().find(is)
        && value != Some(fixed)
    {
        return Err(format!("{key} of an internal topic is {fixed}: commits depend on it"));
    }
    let size = value.and_then(|value| value.trim().parse::<i64>().ok());
    if SIZES.iter().any(|size| is(&size)) && size.is_none_or(|size| size < MIN_BATCH_BYTES) {
        return Err(format!("{key} of an internal topic is at least {MIN_BATCH_BYTES}"));
    }
    Ok(())
}

/// Adds what internal topics always say to a configuration that does not say it.
pub(crate) fn complete(configs: &mut BTreeMap<String, String>) {
    for (key, value) in FIXED.into_iter().chain(SIZES) {
        configs.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
}

/// Returns what the transaction topic is created with now, its replicas counted as those of [`offsets_topic`].
#[must_use]
pub(crate) fn transactions_topic(
    config: &TransactionCoordinatorConfig,
    image: &Image,
    configured_voters: usize,
) -> TopicDefaults {
    let replication_factor =
        config.topic_replication_factor.min(most_replicas(image, configured_voters));
    let mut configs = own_configs(config.topic_segment_bytes);
    // More than there are replicas would never take a write.
    let min_insync_replicas = config.topic_min_insync_replicas.min(replication_factor.into());
    configs.insert("min.insync.replicas".to_owned(), min_insync_replicas.to_string());
    TopicDefaults { partition_count: config.topic_partition_count, replication_factor, configs }
}

/// Returns what the offsets topic is created with now. A cluster of fewer brokers than the configured factor has one replica on each; brokers that are registered and
/// down, and voters that never came, count: the factor is never quietly smaller than what the cluster will carry.
#[must_use]
pub(crate) fn offsets_topic(
    config: &CoordinatorConfig,
    image: &Image,
    configured_voters: usize,
) -> TopicDefaults {
    let most = most_replicas(image, configured_voters);
    TopicDefaults {
        partition_count: config.topic_partition_count,
        replication_factor: config.topic_replication_factor.min(most),
        configs: own_configs(config.topic_segment_bytes),
    }
}

fn most_replicas(image: &Image, configured_voters: usize) -> i16 {
    let voters = image.voters().len().max(configured_voters);
    let brokers = image.brokers().count().max(voters).max(1);
    i16::try_from(brokers).unwrap_or(i16::MAX)
}

fn own_configs(segment_bytes: i32) -> BTreeMap<String, String> {
    let segment_bytes = i64::from(segment_bytes).max(MIN_BATCH_BYTES);
    let configs =
        [("compression.type", "producer".to_owned()), ("segment.bytes", segment_bytes.to_string())];
    let configs = configs.into_iter().map(|(key, value)| (key.to_owned(), value));
    let mut configs: BTreeMap<String, String> = configs.collect();
    complete(&mut configs);
    configs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_voters_count_before_they_are_there() {
        let config = CoordinatorConfig::default();
        let image = Image::default();
        assert_eq!(offsets_topic(&config, &image, 1).replication_factor, 1);
        assert_eq!(offsets_topic(&config, &image, 3).replication_factor, 3);
        assert_eq!(offsets_topic(&config, &image, 5).replication_factor, 3);
    }

    #[test]
    fn commits_are_flushed_whatever_the_cluster_does_otherwise() {
        let topic = offsets_topic(&CoordinatorConfig::default(), &Image::default(), 1);
        assert_eq!(topic.configs.get("flush.messages").map(String::as_str), Some("1"));
        assert_eq!(topic.partition_count, 50);
        assert_eq!(check_config("cleanup.policy", Some("compact")), Ok(()));
        assert!(check_config("cleanup.policy", Some("delete")).is_err());
        assert!(check_config("flush.messages", None).is_err());
        assert!(check_config("max.message.bytes", Some("1000")).is_err());
        assert!(check_config("segment.bytes", None).is_err());
        assert_eq!(check_config("min.insync.replicas", None), Ok(()));
        let mut completed = BTreeMap::new();
        complete(&mut completed);
        for (key, value) in topic.configs.iter().chain(&completed) {
            let declared = crate::config::find_topic_key(key).unwrap();
            assert_eq!(declared.validate(value), Ok(()), "{key}");
            assert_eq!(check_config(key, Some(value)), Ok(()), "{key}");
        }
    }

    #[test]
    fn the_transaction_topic_asks_for_no_more_replicas_in_sync_than_it_has() {
        let config = TransactionCoordinatorConfig::default();
        let min_isr = |voters| {
            let topic = transactions_topic(&config, &Image::default(), voters);
            (topic.replication_factor, topic.configs["min.insync.replicas"].clone())
        };
        assert_eq!(min_isr(1), (1, "1".to_owned()));
        assert_eq!(min_isr(3), (3, "2".to_owned()));
    }

    #[test]
    fn a_segment_is_never_smaller_than_a_batch() {
        let config = CoordinatorConfig { topic_segment_bytes: 1, ..CoordinatorConfig::default() };
        let topic = offsets_topic(&config, &Image::default(), 1);
        let segment = topic.configs.get("segment.bytes").map(String::as_str);
        assert_eq!(check_config("segment.bytes", segment), Ok(()));
    }
}
