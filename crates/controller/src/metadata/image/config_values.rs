//! Which configuration keys the metadata knows, and what the values that are set come to.
//!
//! Owns the lookup in the declared tables: topic, then cluster, then default. It is given what is set ([`ConfigValues`]), not the image.

use imbl::OrdMap;
use model::config::{ConfigKey, ConfigScope};

use super::partition::FlushPolicy;

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

/// Iterates over all declarations.
pub(in crate::metadata) fn all_keys() -> impl Iterator<Item = &'static ConfigKey> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// What is set cluster-wide and, where a topic is asked about, on the topic.
#[derive(Clone, Copy)]
pub(in crate::metadata) struct ConfigValues<'a> {
    /// Cluster-wide.
    pub(in crate::metadata) cluster: &'a OrdMap<String, String>,
    /// On the topic; `None` where there is none, or it has nothing set.
    pub(in crate::metadata) topic: Option<&'a OrdMap<String, String>>,
}

impl<'a> ConfigValues<'a> {
    /// Returns the value of a key of cluster scope.
    pub(in crate::metadata) fn of_cluster(self, name: &str) -> Option<&'a str> {
        match self.cluster.get(name) {
            Some(value) => Some(value),
            None => cluster_key(name)?.default,
        }
    }

    /// Returns a cluster-wide value as an integer.
    pub(in crate::metadata) fn cluster_integer(self, name: &str) -> Option<i32> {
        let number = cluster_key(name)?.parse_integer(self.of_cluster(name)?)?;
        i32::try_from(number).ok()
    }

    /// Returns the value of a topic's key. A default in hours or minutes is returned as it is: see `Image::topic_config`.
    pub(in crate::metadata) fn of_topic(self, name: &str) -> Option<&'a str> {
        let key = topic_key(name)?;
        self.topic
            .and_then(|topic| topic.get(name))
            .or_else(|| default_names(key).find_map(|name| self.cluster.get(name)))
            .map(String::as_str)
            .or(key.default)
    }

    /// Returns `min.insync.replicas`, at least 1.
    pub(in crate::metadata) fn min_insync_replicas(self) -> usize {
        self.topic_integer("min.insync.replicas")
            .and_then(|number| usize::try_from(number).ok())
            .map_or(1, |number| number.max(1))
    }

    /// Returns the flush policy.
    pub(in crate::metadata) fn flush_policy(self) -> FlushPolicy {
        match self.topic_integer("flush.messages") {
            Some(1) | None => FlushPolicy::EveryMessage,
            Some(_) => FlushPolicy::PageCache,
        }
    }

    fn topic_integer(self, name: &str) -> Option<i64> {
        topic_key(name)?.parse_integer(self.of_topic(name)?)
    }
}
