//! Configuration of one server: the joined tables of keys, where values come from, and the typed result.
//!
//! Never reads a key of cluster scope for the broker's own use: those live in the metadata, and the file only seeds them when a cluster is formed.

mod broker_config;
mod docs;
mod kafka_names;
mod keys;
pub mod listeners;
mod names;
mod properties;
mod settings;

use model::config::{ConfigKey, ConfigScope};

pub use broker_config::{BrokerConfig, BrokerConfigError};
pub use docs::render;
pub(crate) use names::variable_of_key;
pub use settings::{Settings, SettingsError, Source};

/// What a name in a server's configuration means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// The name under which the value is kept: the key's own, or that of the cluster-wide default of a key of topics.
    pub(crate) name: &'static str,
    /// The declaration that checks the value.
    pub(crate) key: &'static ConfigKey,
    /// Server or cluster.
    pub(crate) scope: ConfigScope,
}

/// Finds what a name in a server's configuration means. The cluster-wide default of a topic's key is declared as the synonym of that key.
#[must_use]
pub(crate) fn find_setting(name: &str) -> Option<Setting> {
    let declared = all_keys()
        .filter(|key| key.scope != ConfigScope::Topic)
        .find(|key| key.name == name || key.synonyms.contains(&name));
    if let Some(key) = declared {
        return Some(Setting { name: key.name, key, scope: key.scope });
    }
    all_keys().filter(|key| key.scope == ConfigScope::Topic).find_map(|key| {
        // A topic's key without synonyms has its default under its own name.
        let own = key.synonyms.is_empty().then_some(key.name);
        let name = own.into_iter().chain(key.synonyms.iter().copied()).find(|one| *one == name)?;
        Some(Setting { name, key, scope: ConfigScope::Cluster })
    })
}

/// Finds the declaration of a topic's key.
#[must_use]
pub(crate) fn find_topic_key(name: &str) -> Option<&'static ConfigKey> {
    all_keys().find(|key| key.scope == ConfigScope::Topic && key.name == name)
}

/// Iterates over every declared key.
pub fn all_keys() -> impl Iterator<Item = &'static ConfigKey> {
    TABLES.into_iter().flatten()
}

/// The tables of all crates that have keys.
const TABLES: [&[ConfigKey]; 6] = [
    keys::KEYS,
    log_storage::config::KEYS,
    replication::config::KEYS,
    controller::config::KEYS,
    coordinator::config::KEYS,
    coordinator::transaction::config::KEYS,
];
