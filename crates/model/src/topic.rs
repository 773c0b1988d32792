//! Names of topics and partitions.

use std::fmt;

use crate::ids::TopicId;
use crate::quote::quoted;

/// Longest legal topic name: with a partition number and a suffix it still fits a file name.
const MAX_TOPIC_NAME_BYTES: usize = 249;

/// A partition by the name of its topic, as clients and directories name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's index, 0 or greater.
    pub partition: i32,
}

/// Kafka's form, which is also the name of the partition's directory.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A partition by the id of its topic: the only name that survives deletion and re-creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIdPartition {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partition's index, 0 or greater.
    pub partition: i32,
}

impl fmt::Display for TopicIdPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic_id, self.partition)
    }
}

/// Says why a text is no legal topic name (Kafka's `Topic.validate`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopicName {
    /// The name is empty.
    #[error("Topic name is invalid: the empty string is not allowed")]
    Empty,
    /// The name is "." or "..".
    #[error("Topic name is invalid: '{0}' is not allowed")]
    Dots(String),
    /// The name, of which this is the beginning, is longer than 249 bytes.
    #[error(
        "Topic name is invalid: the length of '{0}' is longer than the max allowed length {MAX_TOPIC_NAME_BYTES}"
    )]
    TooLong(String),
    /// The name has a character outside ASCII letters, digits, '.', '_' and '-'.
    #[error(
        "Topic name is invalid: '{0}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    )]
    Characters(String),
}

/// Checks a topic name by Kafka's rules.
///
/// # Errors
/// [`InvalidTopicName`] names the rule that is broken.
pub fn validate_topic_name(name: &str) -> Result<(), InvalidTopicName> {
    if name.is_empty() {
        return Err(InvalidTopicName::Empty);
    }
    if name == "." || name == ".." {
        return Err(InvalidTopicName::Dots(name.to_owned()));
    }
    if name.len() > MAX_TOPIC_NAME_BYTES {
        return Err(InvalidTopicName::TooLong(quoted(name)));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    {
        return Err(InvalidTopicName::Characters(name.to_owned()));
    }
    Ok(())
}

/// Returns the form in which names collide: '.' and '_' are the same in metric names, so Kafka refuses a topic that differs from another in them alone.
#[must_use]
pub fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        for name in ["a", "test-topic", "a.b_c-1", &"x".repeat(249)] {
            assert_eq!(validate_topic_name(name), Ok(()), "{name}");
        }
        for name in ["", ".", "..", "a b", "a/b", "ü", &"x".repeat(250)] {
            assert!(validate_topic_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_said_of_a_name_fits_the_wire_however_long_it_is() {
        let longest_of_the_wire = "x".repeat(32_767);
        let error = validate_topic_name(&longest_of_the_wire).unwrap_err().to_string();
        assert!(error.len() < 1_000, "{} bytes", error.len());
        assert!(error.starts_with("Topic name is invalid: the length of 'xxx"), "{error}");
    }

    #[test]
    fn dot_and_underscore_collide() {
        assert_eq!(collision_key("a.b"), collision_key("a_b"));
        assert_ne!(collision_key("a-b"), collision_key("a_b"));
    }
}
