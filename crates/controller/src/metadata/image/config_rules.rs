//! Which configuration keys the metadata knows, and what the values in an image come to.
//!
//! Owns the lookup in the declared tables (topic, then cluster, then default) and the checks of names, values and scopes.
//! Keys of other crates are checked by whoever proposes them: `apply` decides nothing by them.

use imbl::OrdMap;
use model::ErrorCode;
use model::config::{ConfigKey, ConfigScope, ConfigUpdate};

use super::Image;
use super::partition::FlushPolicy;
use super::topic::Topic;
use crate::metadata::outcome::Refusal;

/// The tables that `apply` decides by.
const TABLES: [&[ConfigKey]; 2] = [crate::config::KEYS, log_storage::config::KEYS];

/// Returns the declaration of a topic's key.
pub(in crate::metadata) fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    all_keys().find(|key| key.scope == ConfigScope::Topic && key.name == name)
}

/// Returns the declaration that checks a value of cluster scope: a key of that scope, or the topic key whose default it is.
pub(in crate::metadata) fn cluster_key(name: &str) -> Option<&'static ConfigKey> {
    all_keys()
        .find(|key| key.scope == ConfigScope::Cluster && key.name == name)
        .or_else(|| topic_key(name).filter(|key| key.synonyms.is_empty()))
}

/// Returns the names under which a topic key's default is set cluster-wide, in order of precedence: its own where it declares none.
fn default_names(key: &'static ConfigKey) -> impl Iterator<Item = &'static str> {
    let own = key.synonyms.is_empty().then_some(key.name);
    key.synonyms.iter().copied().chain(own)
}

fn all_keys() -> impl Iterator<Item = &'static ConfigKey> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// Returns the value of a key of cluster scope.
pub(in crate::metadata) fn cluster_value<'a>(image: &'a Image, name: &str) -> Option<&'a str> {
    match image.cluster_configs.get(name) {
        Some(value) => Some(value),
        None => cluster_key(name)?.default,
    }
}

/// Returns a cluster-wide value as an integer.
pub(in crate::metadata) fn cluster_integer(image: &Image, name: &str) -> Option<i32> {
    let number = cluster_key(name)?.parse_integer(cluster_value(image, name)?)?;
    i32::try_from(number).ok()
}

/// Says whether a cluster-wide switch is off.
pub(in crate::metadata) fn is_false(image: &Image, name: &str) -> bool {
    cluster_value(image, name).is_some_and(|value| value.trim().eq_ignore_ascii_case("false"))
}

/// Returns the value of a topic's key, given what is set on the topic. A default in hours or minutes is returned as it is: see [`Image::topic_config`].
pub(in crate::metadata) fn topic_value<'a>(
    image: &'a Image,
    topic_configs: &'a OrdMap<String, String>,
    name: &str,
) -> Option<&'a str> {
    let key = topic_key(name)?;
    topic_configs
        .get(name)
        .or_else(|| default_names(key).find_map(|name| image.cluster_configs.get(name)))
        .map(String::as_str)
        .or(key.default)
}

/// Returns `min.insync.replicas`; of the cluster when there is no topic.
pub(in crate::metadata) fn min_insync_replicas(image: &Image, topic: Option<&Topic>) -> usize {
    integer(image, topic, "min.insync.replicas")
        .and_then(|number| usize::try_from(number).ok())
        .map_or(1, |number| number.max(1))
}

/// Returns the flush policy; of the cluster when there is no topic.
pub(in crate::metadata) fn flush_policy(image: &Image, topic: Option<&Topic>) -> FlushPolicy {
    match integer(image, topic, "flush.messages") {
        Some(1) | None => FlushPolicy::EveryMessage,
        Some(_) => FlushPolicy::PageCache,
    }
}

fn integer(image: &Image, topic: Option<&Topic>, name: &str) -> Option<i64> {
    let none = OrdMap::new();
    let configs = topic.map_or(&none, |topic| &topic.configs);
    topic_key(name)?.parse_integer(topic_value(image, configs, name)?)
}

/// Checks a topic's setting.
pub(in crate::metadata) fn check_topic(name: &str, value: &str) -> Result<(), Refusal> {
    let Some(key) = topic_key(name) else {
        return Err(invalid(format!("{} is no configuration of topics", shorten(name))));
    };
    check_value(Some(key), name, value)
}

/// Checks a cluster-wide setting.
pub(in crate::metadata) fn check_cluster(name: &str, value: &str) -> Result<(), Refusal> {
    let key = cluster_key(name);
    if key.is_none() {
        if let Some(key) = topic_key(name) {
            return Err(match key.synonyms.first() {
                Some(synonym) => invalid(format!("{name} is set on topics; set {synonym}")),
                None => invalid(format!("{name} is set on topics")),
            });
        }
        check_not_fixed(name)?;
    }
    check_value(key, name, value)
}

/// Checks one broker's setting.
pub(in crate::metadata) fn check_broker(name: &str, value: &str) -> Result<(), Refusal> {
    if cluster_key(name).is_some() || topic_key(name).is_some() {
        return Err(invalid(format!("{name} holds for the whole cluster, not for one broker")));
    }
    check_not_fixed(name)?;
    check_value(None, name, value)
}

/// Refuses keys of one server's file that a running process does not read again.
fn check_not_fixed(name: &str) -> Result<(), Refusal> {
    let mut fixed = all_keys()
        .filter(|key| key.scope == ConfigScope::Server && key.update == ConfigUpdate::Restart);
    if fixed.any(|key| key.name == name) {
        return Err(invalid(format!("{name} is set in the server's file")));
    }
    Ok(())
}

fn check_value(key: Option<&ConfigKey>, name: &str, value: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(invalid(format!("a key has 1 to {MAX_NAME_BYTES} bytes")));
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(invalid(format!("a value has at most {MAX_VALUE_BYTES} bytes")));
    }
    let Some(key) = key else {
        return Ok(());
    };
    key.validate(value).map_err(|refused| {
        invalid(format!("value {} of {name}: {}", shorten(value), refused.reason))
    })
}

/// Bounds how many keys one resource has.
pub(in crate::metadata) fn check_count(count: usize) -> Result<(), Refusal> {
    if count > MAX_KEYS_PER_RESOURCE {
        return Err(invalid(format!("a resource has at most {MAX_KEYS_PER_RESOURCE} keys")));
    }
    Ok(())
}

fn invalid(message: String) -> Refusal {
    Refusal::new(ErrorCode::InvalidConfig, message)
}

/// Cuts a text from the wire to what fits a message.
fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Longest name of a key, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Longest value, in bytes: with its key it stays below what the store keeps safely in one record.
const MAX_VALUE_BYTES: usize = 32_768;

/// Most keys that are set on one broker, or cluster-wide.
const MAX_KEYS_PER_RESOURCE: usize = 1_000;
