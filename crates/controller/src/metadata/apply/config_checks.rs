//! What may be set: names, values, scopes and counts of configurations.
//!
//! Owns the checks against the declared tables. Keys of other crates are checked by whoever proposes them: `apply` decides nothing by them.

use model::ErrorCode;
use model::config::{ConfigKey, ConfigScope, ConfigUpdate};

use crate::metadata::image::config_values::{all_keys, cluster_key, topic_key};
use crate::metadata::outcome::Refusal;

/// Checks a topic's setting.
pub(super) fn check_topic(name: &str, value: &str) -> Result<(), Refusal> {
    let Some(key) = topic_key(name) else {
        return Err(invalid(format!("{} is no configuration of topics", shorten(name))));
    };
    check_value(Some(key), name, value)
}

/// Checks a cluster-wide setting.
pub(super) fn check_cluster(name: &str, value: &str) -> Result<(), Refusal> {
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
pub(super) fn check_broker(name: &str, value: &str) -> Result<(), Refusal> {
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
pub(super) fn check_count(count: usize) -> Result<(), Refusal> {
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
