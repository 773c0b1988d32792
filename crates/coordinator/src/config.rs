//! Configuration keys of the coordinators, and the settings that are read from them.

use std::time::Duration;

use model::config::{ConfigKey, ConfigKind, ConfigScope, ConfigUpdate};

use crate::group::GroupConfig;

/// The keys that this crate owns, with Kafka's names.
pub const KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "group.min.session.timeout.ms",
        kind: ConfigKind::Int { min: 0, max: i32::MAX },
        default: Some("6000"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The shortest session timeout that a member of a group may ask for.",
        synonyms: &[],
    },
    ConfigKey {
        name: "group.max.session.timeout.ms",
        kind: ConfigKind::Int { min: 0, max: i32::MAX },
        default: Some("1800000"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The longest session timeout that a member of a group may ask for.",
        synonyms: &[],
    },
    ConfigKey {
        name: "group.initial.rebalance.delay.ms",
        kind: ConfigKind::Int { min: 0, max: i32::MAX },
        default: Some("3000"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "How long an empty group waits for further members before its first rebalance ends; each one that comes extends it.",
        synonyms: &[],
    },
    ConfigKey {
        name: "group.max.size",
        kind: ConfigKind::Int { min: 1, max: i32::MAX },
        default: Some("2147483647"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The most members of a group.",
        synonyms: &[],
    },
    ConfigKey {
        name: "offset.metadata.max.bytes",
        kind: ConfigKind::Int { min: 0, max: i32::MAX },
        default: Some("4096"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The longest text that a client may commit with an offset, counted as Kafka does: in UTF-16 units.",
        synonyms: &[],
    },
    ConfigKey {
        name: "offsets.retention.minutes",
        kind: ConfigKind::Int { min: 1, max: i32::MAX },
        default: Some("10080"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "How long committed offsets are kept after their group became empty; without membership, or for a topic that no member subscribes to: after the commit.",
        synonyms: &[],
    },
    ConfigKey {
        name: "offsets.retention.check.interval.ms",
        kind: ConfigKind::Long { min: 1, max: i64::MAX },
        default: Some("600000"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "How often a coordinator looks for offsets whose time is over and for groups without members and offsets.",
        synonyms: &[],
    },
    ConfigKey {
        name: "offsets.commit.timeout.ms",
        kind: ConfigKind::Int { min: 1, max: i32::MAX },
        default: Some("5000"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "How long a coordinator's write may wait to be committed before the client is told that it timed out.",
        synonyms: &[],
    },
    ConfigKey {
        name: "offsets.load.buffer.size",
        kind: ConfigKind::Int { min: 1, max: i32::MAX },
        default: Some("5242880"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "How many bytes a coordinator reads at once while it loads a partition of the offsets topic; a first batch that is larger is read whole.",
        synonyms: &[],
    },
    ConfigKey {
        name: "offsets.topic.num.partitions",
        kind: ConfigKind::Int { min: 1, max: i32::MAX },
        default: Some("50"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The number of partitions that the offsets topic is created with.",
        synonyms: &[],
    },
    ConfigKey {
        name: "offsets.topic.replication.factor",
        kind: ConfigKind::Int { min: 1, max: 32_767 },
        default: Some("3"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The number of replicas that the offsets topic is created with.",
        synonyms: &[],
    },
    ConfigKey {
        name: "offsets.topic.segment.bytes",
        kind: ConfigKind::Int { min: 1, max: i32::MAX },
        default: Some("104857600"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The segment size that the offsets topic is created with.",
        synonyms: &[],
    },
];

/// Settings of the coordinators, read from [`KEYS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorConfig {
    /// What the group machine obeys.
    pub group: GroupConfig,
    /// `offsets.commit.timeout.ms`.
    pub commit_timeout: Duration,
    /// `offsets.load.buffer.size`.
    pub load_buffer_bytes: usize,
    /// `offsets.topic.num.partitions`: at least 1.
    pub topic_partition_count: i32,
    /// `offsets.topic.replication.factor`: 1 to 32,767.
    pub topic_replication_factor: i16,
    /// `offsets.topic.segment.bytes`.
    pub topic_segment_bytes: i32,
}

/// The defaults of the keys.
impl Default for CoordinatorConfig {
    fn default() -> Self {
        Self::read(|_| None)
    }
}

impl CoordinatorConfig {
    /// Reads the settings; `integer` returns the value that is set for a key of [`KEYS`], or `None` for its default.
    #[must_use]
    pub fn read(integer: impl Fn(&'static str) -> Option<i64>) -> Self {
        let number = |name: &'static str| {
            let key = KEYS.iter().find(|key| key.name == name);
            let default = || key.and_then(|key| key.parse_integer(key.default?));
            integer(name).or_else(default).unwrap_or(0)
        };
        let size = |name| usize::try_from(number(name)).unwrap_or(0);
        let millis = |name| Duration::from_millis(u64::try_from(number(name)).unwrap_or(0));
        let minutes = u64::try_from(number("offsets.retention.minutes")).unwrap_or(0);
        Self {
            group: GroupConfig {
                min_session_timeout: millis("group.min.session.timeout.ms"),
                max_session_timeout: millis("group.max.session.timeout.ms"),
                initial_rebalance_delay: millis("group.initial.rebalance.delay.ms"),
                max_size: size("group.max.size"),
                offset_metadata_max_bytes: size("offset.metadata.max.bytes"),
                offsets_retention: Duration::from_secs(minutes.saturating_mul(60)),
                offsets_retention_check_interval: millis("offsets.retention.check.interval.ms"),
                max_record_bytes: GroupConfig::MAX_RECORD_BYTES,
            },
            commit_timeout: millis("offsets.commit.timeout.ms"),
            load_buffer_bytes: size("offsets.load.buffer.size"),
            topic_partition_count: i32::try_from(number("offsets.topic.num.partitions"))
                .unwrap_or(1),
            topic_replication_factor: i16::try_from(number("offsets.topic.replication.factor"))
                .unwrap_or(1),
            topic_segment_bytes: i32::try_from(number("offsets.topic.segment.bytes"))
                .unwrap_or(i32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_default_is_accepted_by_its_own_key() {
        for key in KEYS {
            let default = key.default.expect("each key of this table has a default");
            assert_eq!(key.validate(default), Ok(()), "{}", key.name);
        }
    }

    #[test]
    fn each_key_is_read_and_what_is_not_set_has_its_default() {
        let asked = std::cell::RefCell::new(std::collections::BTreeSet::new());
        let config = CoordinatorConfig::read(|name| {
            asked.borrow_mut().insert(name);
            (name == "offsets.retention.minutes").then_some(2)
        });
        let declared = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(asked.into_inner(), declared);
        assert_eq!(config.group.offsets_retention, Duration::from_secs(120));
        assert_eq!(config.group.max_session_timeout, Duration::from_secs(1_800));
        assert_eq!(config.topic_replication_factor, 3);
        assert_eq!(
            config,
            CoordinatorConfig {
                group: GroupConfig {
                    offsets_retention: Duration::from_secs(120),
                    ..CoordinatorConfig::default().group
                },
                ..CoordinatorConfig::default()
            }
        );
    }
}
