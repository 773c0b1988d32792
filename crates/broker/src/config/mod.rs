//! Configuration of one server: the joined tables of keys, where values come from, and the typed result.
//!
//! Owns the precedence (default, file, environment, `--override`) and the judgement of names: a key of ours is checked, a key of Kafka's
//! that is not served is warned about once, anything else is an error that names the nearest key. Never reads a key of cluster scope for
//! the broker's own use: those live in the metadata, and the file only seeds them when a cluster is formed.

mod broker_config;
mod docs;
mod kafka_names;
mod keys;
pub mod listeners;
mod properties;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::config::{ConfigKey, ConfigScope, InvalidConfigValue};

pub use broker_config::{BrokerConfig, BrokerConfigError};
pub use docs::render;

/// Prefix of the environment variables that set keys: `STEADFAST_NODE_ID` sets `node.id`.
pub const ENVIRONMENT_PREFIX: &str = "STEADFAST_";

/// Variables with the prefix that are no keys of a server: the client commands' bootstrap list and the log filter.
const OTHER_VARIABLES: &[&str] = &["STEADFAST_BOOTSTRAP_SERVERS", "STEADFAST_LOG"];

/// Returns every table of keys with the part of the system that owns it.
#[must_use]
pub fn tables() -> [(&'static str, &'static [ConfigKey]); 5] {
    [
        ("broker", keys::KEYS),
        ("log-storage", log_storage::config::KEYS),
        ("replication", replication::config::KEYS),
        ("controller", controller::config::KEYS),
        ("coordinator", coordinator::config::KEYS),
    ]
}

/// What a name in a server's configuration means.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The name under which the value is kept: the key's own, or that of the cluster-wide default of a key of topics.
    pub name: &'static str,
    /// The declaration that checks the value.
    pub key: &'static ConfigKey,
    /// Server or cluster.
    pub scope: ConfigScope,
}

/// Finds what a name in a server's configuration means. The cluster-wide default of a topic's key is declared as the synonym of that key.
#[must_use]
pub fn find_setting(name: &str) -> Option<Setting> {
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
pub fn find_topic_key(name: &str) -> Option<&'static ConfigKey> {
    all_keys().find(|key| key.scope == ConfigScope::Topic && key.name == name)
}

/// Iterates over every declared key.
pub fn all_keys() -> impl Iterator<Item = &'static ConfigKey> {
    tables().into_iter().flat_map(|(_, keys)| keys)
}

/// Where a value comes from, for error messages and DescribeConfigs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, the first is 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// `--override`.
    Override,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Override => f.write_str("--override"),
        }
    }
}

/// Why no configuration could be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A name that neither Kafka nor Steadfast knows.
    #[error("{at}: unknown configuration {name}; the nearest known one is {nearest}")]
    Unknown {
        /// Where it stands.
        at: Source,
        /// The name.
        name: String,
        /// The known name with the fewest differing characters.
        nearest: String,
    },
    /// A key of topics in a server's configuration.
    #[error("{at}: {name} is a configuration of topics; its default for all topics is {cluster}")]
    OfTopics {
        /// Where it stands.
        at: Source,
        /// The name.
        name: String,
        /// The key of cluster scope to use instead.
        cluster: String,
    },
    /// A value that its key does not accept.
    #[error("{at}: {error}")]
    Value {
        /// Where it stands.
        at: Source,
        /// What is wrong with it.
        error: InvalidConfigValue,
    },
    /// `--override` without `=`.
    #[error("--override {0} is not key=value")]
    Override(String),
}

/// The values that were set, by key; a key that was not set has its default.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, (String, Source)>,
    unserved: Vec<String>,
}

impl Settings {
    /// Reads file, environment and overrides, the later ones stronger.
    ///
    /// # Errors
    /// [`SettingsError`] for the first thing that is wrong.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &[String],
    ) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| SettingsError::File { path: path.to_owned(), source })?;
            for property in properties::parse(&text) {
                let at = Source::File { path: path.to_owned(), line: property.line };
                settings.set(&property.key, property.value, at)?;
            }
        }
        settings.read_environment(environment)?;
        for text in overrides {
            let (key, value) =
                text.split_once('=').ok_or_else(|| SettingsError::Override(text.clone()))?;
            settings.set(key.trim(), value.trim().to_owned(), Source::Override)?;
        }
        Ok(settings)
    }

    /// Returns the value of a key, or its default.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.explicit(name).or_else(|| find_setting(name)?.key.default)
    }

    /// Returns the value of a key when it was set.
    #[must_use]
    pub fn explicit(&self, name: &str) -> Option<&str> {
        let setting = find_setting(name)?;
        self.values.get(setting.name).map(|(value, _)| value.as_str())
    }

    /// Returns the integer value of a key, or of its default.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<i64> {
        find_setting(name)?.key.parse_integer(self.get(name)?)
    }

    /// Returns a key in milliseconds as a duration; a negative one is none.
    #[must_use]
    pub fn millis(&self, name: &str) -> Duration {
        Duration::from_millis(u64::try_from(self.declared(name)).unwrap_or(0))
    }

    /// Returns a key that is a size or a count; a negative one is none.
    #[must_use]
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.declared(name)).unwrap_or(0)
    }

    /// Reads a key that always has a value.
    fn declared(&self, name: &str) -> i64 {
        let value = self.integer(name);
        debug_assert!(value.is_some(), "{name} is no integer key with a default");
        value.unwrap_or_default()
    }

    /// Returns the values of cluster scope that were set, which seed a cluster that is formed.
    #[must_use]
    pub fn cluster_values(&self) -> BTreeMap<String, String> {
        let of_cluster = |name: &str| {
            find_setting(name).is_some_and(|setting| setting.scope == ConfigScope::Cluster)
        };
        self.values
            .iter()
            .filter(|(name, _)| of_cluster(name))
            .map(|(name, (value, _))| ((*name).to_owned(), value.clone()))
            .collect()
    }

    /// Returns the keys of Kafka's that were set and are not served, each to be warned about once.
    #[must_use]
    pub fn unserved(&self) -> &[String] {
        &self.unserved
    }

    fn set(&mut self, name: &str, value: String, at: Source) -> Result<(), SettingsError> {
        if let Some(setting) = find_setting(name) {
            let checked = setting.key.validate(&value);
            checked.map_err(|error| SettingsError::Value { at: at.clone(), error })?;
            self.values.insert(setting.name, (value, at));
            return Ok(());
        }
        if let Some(key) = find_topic_key(name) {
            let cluster = key.synonyms.first().copied().unwrap_or("not configurable").to_owned();
            return Err(SettingsError::OfTopics { at, name: name.to_owned(), cluster });
        }
        if is_kafkas(name) {
            if !self.unserved.iter().any(|other| other == name) {
                self.unserved.push(name.to_owned());
            }
            return Ok(());
        }
        Err(SettingsError::Unknown { at, name: name.to_owned(), nearest: nearest(name) })
    }

    /// A variable that is no key is only warned about: a Kubernetes service of this name puts its own `STEADFAST_...` variables into
    /// each container beside it.
    fn read_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), SettingsError> {
        let mut variables: Vec<(String, String)> = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .filter(|(name, _)| !OTHER_VARIABLES.contains(&name.as_str()))
            .collect();
        variables.sort();
        for (variable, value) in variables {
            match key_of_variable(&variable) {
                Some(key) => self.set(key, value, Source::Environment(variable))?,
                None => self.unserved.push(variable),
            }
        }
        Ok(())
    }
}

/// Returns the environment variable that sets a key: `STEADFAST_NODE_ID` for `node.id`.
#[must_use]
pub fn variable_of_key(name: &str) -> String {
    let mut variable = ENVIRONMENT_PREFIX.to_owned();
    variable.extend(
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }),
    );
    variable
}

fn key_of_variable(variable: &str) -> Option<&'static str> {
    all_keys()
        .flat_map(|key| {
            let own = (key.scope != ConfigScope::Topic).then_some(key.name);
            own.into_iter().chain(key.synonyms.iter().copied())
        })
        .find(|name| variable_of_key(name) == variable)
}

/// Keys with a prefix of Kafka's are open-ended there: per listener, per mechanism, per plug-in.
fn is_kafkas(name: &str) -> bool {
    const PREFIXES: &[&str] =
        &["listener.name.", "sasl.", "ssl.", "zookeeper.", "confluent.", "rlmm.", "rsm."];
    kafka_names::KAFKA_NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn nearest(name: &str) -> String {
    all_keys()
        .flat_map(|key| std::iter::once(key.name).chain(key.synonyms.iter().copied()))
        .chain(kafka_names::KAFKA_NAMES.iter().copied())
        .min_by_key(|candidate| edit_distance(name, candidate))
        .unwrap_or("node.id")
        .to_owned()
}

/// Levenshtein's distance, in characters.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[right.len()]
}
