//! The values of one server's configuration, and where each comes from.
//!
//! Owns the precedence (default, file, environment, `--override`) and the judgement of what is set: a key of ours is checked, a key of Kafka's
//! that is not served is warned about once, anything else is an error that names the nearest key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::config::{ConfigScope, InvalidConfigValue};

use super::names::{ENVIRONMENT_PREFIX, OTHER_VARIABLES, is_kafkas, key_of_variable, nearest};
use super::{find_setting, find_topic_key, properties};

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

    /// Returns the value of a key that is true or false, or its default.
    #[must_use]
    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.get(name)?.trim().to_ascii_lowercase().parse().ok()
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
