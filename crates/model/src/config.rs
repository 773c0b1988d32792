//! How a configuration key is declared: once, in a table of the crate that owns it.
//!
//! Owns the declaration and the check of a value; file, flags, environment, DescribeConfigs and the generated page are built from it elsewhere.

use crate::quote::quoted;

/// Declaration of one configuration key, with Kafka's name and meaning.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Kafka's name, or ours where Kafka has none.
    pub name: &'static str,
    /// Type and bounds of the value.
    pub kind: ConfigKind,
    /// Default in text form; `None` when the key has none and may be unset.
    pub default: Option<&'static str>,
    /// Where a value may be set and to what it applies.
    pub scope: ConfigScope,
    /// Whether a change takes effect without a restart.
    pub update: ConfigUpdate,
    /// One sentence for documentation and DescribeConfigs.
    pub documentation: &'static str,
    /// For a key of topics: the key of cluster scope that holds its default, and for any key other accepted spellings.
    pub synonyms: &'static [&'static str],
}

/// Type and bounds of a configuration value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ConfigKind {
    /// `true` or `false`.
    Boolean,
    /// A 32-bit integer within inclusive bounds.
    Int {
        /// Least legal value.
        min: i32,
        /// Greatest legal value.
        max: i32,
    },
    /// A 64-bit integer within inclusive bounds.
    Long {
        /// Least legal value.
        min: i64,
        /// Greatest legal value.
        max: i64,
    },
    /// A floating-point number within inclusive bounds.
    Double {
        /// Least legal value.
        min: f64,
        /// Greatest legal value.
        max: f64,
    },
    /// Any text.
    Text,
    /// A comma-separated list; empty `allowed` accepts any element.
    List {
        /// Legal elements, or empty for any.
        allowed: &'static [&'static str],
    },
    /// One of some words.
    Enum {
        /// Legal words.
        allowed: &'static [&'static str],
    },
}

/// Where a key may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigScope {
    /// In one server's file: concerns that process alone.
    Server,
    /// In the metadata image, for all brokers alike (design: a file seeds it at formation only).
    Cluster,
    /// On a topic, with a default of cluster scope (named in `synonyms`).
    Topic,
}

/// Whether a change takes effect without a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigUpdate {
    /// Takes effect as soon as the change is applied.
    Dynamic,
    /// Takes effect at the next start.
    Restart,
}

/// A value that its key does not accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid value {value} for configuration {key}: {reason}")]
pub struct InvalidConfigValue {
    /// The key's name.
    pub key: String,
    /// The refused text; of a long one the beginning.
    pub value: String,
    /// What would be accepted.
    pub reason: String,
}

impl ConfigKey {
    /// Checks a value in text form against type and bounds.
    ///
    /// # Errors
    /// [`InvalidConfigValue`] says what would be accepted.
    pub fn validate(&self, value: &str) -> Result<(), InvalidConfigValue> {
        let text = value.trim();
        let refused = |reason: String| InvalidConfigValue {
            key: self.name.to_owned(),
            value: quoted(value),
            reason,
        };
        match self.kind {
            ConfigKind::Boolean
                if matches!(text.to_ascii_lowercase().as_str(), "true" | "false") =>
            {
                Ok(())
            }
            ConfigKind::Boolean => Err(refused("expected true or false".to_owned())),
            ConfigKind::Int { min, max } => match text.parse::<i32>() {
                Ok(number) if (min..=max).contains(&number) => Ok(()),
                _ => Err(refused(format!("expected an integer from {min} to {max}"))),
            },
            ConfigKind::Long { min, max } => match text.parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(()),
                _ => Err(refused(format!("expected an integer from {min} to {max}"))),
            },
            ConfigKind::Double { min, max } => match text.parse::<f64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(()),
                _ => Err(refused(format!("expected a number from {min} to {max}"))),
            },
            ConfigKind::Text => Ok(()),
            ConfigKind::List { allowed } => {
                let unknown = text.split(',').map(str::trim).find(|element| {
                    !element.is_empty() && !allowed.is_empty() && !allowed.contains(element)
                });
                match unknown {
                    Some(element) => Err(refused(format!(
                        "{} is none of {}",
                        quoted(element),
                        allowed.join(", ")
                    ))),
                    None => Ok(()),
                }
            }
            ConfigKind::Enum { allowed } if allowed.contains(&text) => Ok(()),
            ConfigKind::Enum { allowed } => {
                Err(refused(format!("expected one of {}", allowed.join(", "))))
            }
        }
    }

    /// Reads a value that [`ConfigKey::validate`] accepted as an integer; `None` for keys of another type.
    #[must_use]
    pub fn parse_integer(&self, value: &str) -> Option<i64> {
        match self.kind {
            ConfigKind::Int { .. } | ConfigKind::Long { .. } => value.trim().parse().ok(),
            ConfigKind::Boolean
            | ConfigKind::Double { .. }
            | ConfigKind::Text
            | ConfigKind::List { .. }
            | ConfigKind::Enum { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: ConfigKind) -> ConfigKey {
        ConfigKey {
            name: "k",
            kind,
            default: None,
            scope: ConfigScope::Topic,
            update: ConfigUpdate::Dynamic,
            documentation: "",
            synonyms: &[],
        }
    }

    #[test]
    fn values_are_held_against_type_and_bounds() {
        let cases: [(ConfigKind, &str, bool); 9] = [
            (ConfigKind::Boolean, "TRUE", true),
            (ConfigKind::Boolean, "yes", false),
            (ConfigKind::Int { min: 1, max: 5 }, " 5 ", true),
            (ConfigKind::Int { min: 1, max: 5 }, "6", false),
            (ConfigKind::Long { min: -1, max: i64::MAX }, "9223372036854775808", false),
            (ConfigKind::Double { min: 0.0, max: 1.0 }, "0.5", true),
            (ConfigKind::List { allowed: &["delete", "compact"] }, "compact, delete", true),
            (ConfigKind::List { allowed: &["delete", "compact"] }, "shred", false),
            (ConfigKind::Enum { allowed: &["none"] }, "None", false),
        ];
        for (kind, value, accepted) in cases {
            assert_eq!(key(kind).validate(value).is_ok(), accepted, "{kind:?} {value}");
        }
    }

    #[test]
    fn what_is_said_of_a_value_fits_the_wire_however_long_it_is() {
        let longest_of_the_wire = "x".repeat(32_767);
        for kind in [ConfigKind::Boolean, ConfigKind::List { allowed: &["delete", "compact"] }] {
            let error = key(kind).validate(&longest_of_the_wire).unwrap_err().to_string();
            assert!(error.len() < 1_000, "{kind:?}: {} bytes", error.len());
        }
    }
}
