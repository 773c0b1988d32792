//! Configuration keys of transactions, and the settings that are read from them.

use std::time::Duration;

use model::config::{ConfigKey, ConfigKind, ConfigScope, ConfigUpdate};

use super::TransactionConfig;

/// The keys of transactions, with Kafka's names.
pub const KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "transactional.id.expiration.ms",
        kind: ConfigKind::Int { min: 1, max: i32::MAX },
        default: Some("604800000"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "How long a transactional id is kept after its last sign of life, while it has no open transaction.",
        synonyms: &[],
    },
    ConfigKey {
        name: "transaction.max.timeout.ms",
        kind: ConfigKind::Int { min: 1, max: i32::MAX },
        default: Some("900000"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The longest transaction timeout that a producer may ask for.",
        synonyms: &[],
    },
    ConfigKey {
        name: "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        kind: ConfigKind::Int { min: 1, max: i32::MAX },
        default: Some("10000"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "How often a coordinator looks for transactions that have been open for longer than their timeout.",
        synonyms: &[],
    },
    ConfigKey {
        name: "transaction.remove.expired.transaction.cleanup.interval.ms",
        kind: ConfigKind::Int { min: 1, max: i32::MAX },
        default: Some("3600000"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "How often a coordinator looks for transactional ids whose time is over.",
        synonyms: &[],
    },
    ConfigKey {
        name: "transaction.two.phase.commit.enable",
        kind: ConfigKind::Boolean,
        default: Some("false"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "Whether producers may take part in a two-phase commit, so that their transactions never time out (KIP-939).",
        synonyms: &[],
    },
    ConfigKey {
        name: "transaction.partition.verification.enable",
        kind: ConfigKind::Boolean,
        default: Some("true"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "Whether a partition asks the coordinator before it takes the first batch of an older producer's transaction (KIP-890).",
        synonyms: &[],
    },
    ConfigKey {
        name: "transaction.state.log.num.partitions",
        kind: ConfigKind::Int { min: 1, max: i32::MAX },
        default: Some("50"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The number of partitions that the transaction topic is created with.",
        synonyms: &[],
    },
    ConfigKey {
        name: "transaction.state.log.replication.factor",
        kind: ConfigKind::Int { min: 1, max: 32_767 },
        default: Some("3"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The number of replicas that the transaction topic is created with.",
        synonyms: &[],
    },
    ConfigKey {
        name: "transaction.state.log.min.isr",
        kind: ConfigKind::Int { min: 1, max: i32::MAX },
        default: Some("2"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The min.insync.replicas that the transaction topic is created with.",
        synonyms: &[],
    },
    ConfigKey {
        name: "transaction.state.log.segment.bytes",
        kind: ConfigKind::Int { min: 1, max: i32::MAX },
        default: Some("104857600"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The segment size that the transaction topic is created with.",
        synonyms: &[],
    },
    ConfigKey {
        name: "transaction.state.log.load.buffer.size",
        kind: ConfigKind::Int { min: 1, max: i32::MAX },
        default: Some("5242880"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "How many bytes a coordinator reads at once while it loads a partition of the transaction topic; a first batch that is larger is read whole.",
        synonyms: &[],
    },
];

/// Settings of transactions, read from [`KEYS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionCoordinatorConfig {
    /// What the transaction machine obeys.
    pub transaction: TransactionConfig,
    /// `transaction.partition.verification.enable`.
    pub partition_verification: bool,
    /// `transaction.state.log.load.buffer.size`.
    pub load_buffer_bytes: usize,
    /// `transaction.state.log.num.partitions`: at least 1.
    pub topic_partition_count: i32,
    /// `transaction.state.log.replication.factor`: 1 to 32,767.
    pub topic_replication_factor: i16,
    /// `transaction.state.log.min.isr`: at least 1.
    pub topic_min_insync_replicas: i32,
    /// `transaction.state.log.segment.bytes`.
    pub topic_segment_bytes: i32,
}

/// The defaults of the keys.
impl Default for TransactionCoordinatorConfig {
    fn default() -> Self {
        Self::read(|_| None, |_| None)
    }
}

impl TransactionCoordinatorConfig {
    /// Reads the settings; each function returns the value that is set for a key of [`KEYS`] of its kind, or `None` for its default.
    #[must_use]
    pub fn read(
        integer: impl Fn(&'static str) -> Option<i64>,
        boolean: impl Fn(&'static str) -> Option<bool>,
    ) -> Self {
        let default_of = |name: &'static str| KEYS.iter().find(|key| key.name == name)?.default;
        let number = |name: &'static str| {
            let default = || default_of(name)?.parse().ok();
            integer(name).or_else(default).unwrap_or(0)
        };
        let is_set = |name: &'static str| {
            let default = || default_of(name)?.parse().ok();
            boolean(name).or_else(default).unwrap_or(false)
        };
        let small = |name| i32::try_from(number(name)).unwrap_or(i32::MAX);
        let millis = |name| Duration::from_millis(u64::try_from(number(name)).unwrap_or(0));
        Self {
            transaction: TransactionConfig {
                id_expiration: millis("transactional.id.expiration.ms"),
                max_timeout: millis("transaction.max.timeout.ms"),
                timed_out_check_interval: millis(
                    "transaction.abort.timed.out.transaction.cleanup.interval.ms",
                ),
                expired_check_interval: millis(
                    "transaction.remove.expired.transaction.cleanup.interval.ms",
                ),
                two_phase_commit: is_set("transaction.two.phase.commit.enable"),
                max_record_bytes: TransactionConfig::MAX_RECORD_BYTES,
            },
            partition_verification: is_set("transaction.partition.verification.enable"),
            load_buffer_bytes: usize::try_from(number("transaction.state.log.load.buffer.size"))
                .unwrap_or(0),
            topic_partition_count: small("transaction.state.log.num.partitions"),
            topic_replication_factor: i16::try_from(number(
                "transaction.state.log.replication.factor",
            ))
            .unwrap_or(i16::MAX),
            topic_min_insync_replicas: small("transaction.state.log.min.isr"),
            topic_segment_bytes: small("transaction.state.log.segment.bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

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
        let asked = RefCell::new(BTreeSet::new());
        let config = TransactionCoordinatorConfig::read(
            |name| {
                asked.borrow_mut().insert(name);
                (name == "transaction.max.timeout.ms").then_some(2)
            },
            |name| {
                asked.borrow_mut().insert(name);
                (name == "transaction.partition.verification.enable").then_some(false)
            },
        );
        let declared = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(asked.into_inner(), declared);
        assert_eq!(config.transaction.max_timeout, Duration::from_millis(2));
        assert!(!config.partition_verification && !config.transaction.two_phase_commit);
        assert_eq!(config.transaction.id_expiration, Duration::from_secs(7 * 24 * 3_600));
        assert_eq!((config.topic_partition_count, config.topic_min_insync_replicas), (50, 2));
    }
}
