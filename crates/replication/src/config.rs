//! Configuration keys of replication, and the settings that are read from them.

use std::time::Duration;

use model::config::{ConfigKey, ConfigKind, ConfigScope, ConfigUpdate};

/// The keys that this crate owns, with Kafka's names.
pub const KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "replica.lag.time.max.ms",
        kind: ConfigKind::Long { min: 100, max: 86_400_000 },
        default: Some("5000"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "A follower that has not caught up with the leader's log end for this long leaves the ISR, unless the ISR would fall below its floor.",
        synonyms: &[],
    },
    ConfigKey {
        name: "replica.fetch.max.bytes",
        kind: ConfigKind::Int { min: 1, max: 64 << 20 },
        default: Some("1048576"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The most bytes of one partition that a leader sends a follower in one turn; a first batch that is larger is sent whole.",
        synonyms: &[],
    },
    ConfigKey {
        name: "replica.fetch.response.max.bytes",
        kind: ConfigKind::Int { min: 1, max: 64 << 20 },
        default: Some("1048576"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The most bytes of all partitions together in one message of a replication stream; a first batch that is larger is sent whole.",
        synonyms: &[],
    },
    ConfigKey {
        name: "replica.socket.timeout.ms",
        kind: ConfigKind::Int { min: 100, max: 3_600_000 },
        default: Some("1000"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "How long a follower waits for a connection to a leader before it resolves the name anew and tries again.",
        synonyms: &[],
    },
    ConfigKey {
        name: "replica.fetch.backoff.ms",
        kind: ConfigKind::Int { min: 1, max: 3_600_000 },
        default: Some("100"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "The longest pause before a follower connects to a leader again; the first pauses are shorter.",
        synonyms: &[],
    },
    ConfigKey {
        name: "replica.high.watermark.checkpoint.interval.ms",
        kind: ConfigKind::Long { min: 1, max: 3_600_000 },
        default: Some("5000"),
        scope: ConfigScope::Server,
        update: ConfigUpdate::Restart,
        documentation: "How often the high watermarks are written to disk.",
        synonyms: &[],
    },
];

/// Settings of replication, read from [`KEYS`] and from keys of storage that the driver's background work obeys.
#[derive(Clone, Debug)]
pub struct ReplicationConfig {
    /// `replica.lag.time.max.ms`.
    pub replica_lag_time_max: Duration,
    /// `replica.fetch.max.bytes`: 1 to 64 MiB.
    pub replica_fetch_max_bytes: usize,
    /// `replica.fetch.response.max.bytes`: 1 to 64 MiB.
    pub replica_fetch_response_max_bytes: usize,
    /// `replica.socket.timeout.ms`.
    pub connect_timeout: Duration,
    /// `replica.fetch.backoff.ms`.
    pub reconnect_backoff_max: Duration,
    /// `replica.high.watermark.checkpoint.interval.ms`.
    pub high_watermark_checkpoint_interval: Duration,
    /// `log.flush.offset.checkpoint.interval.ms`: how often recovery points are written.
    pub flush_checkpoint_interval: Duration,
    /// `log.flush.start.offset.checkpoint.interval.ms`: how often log start offsets are written.
    pub log_start_checkpoint_interval: Duration,
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval: Duration,
    /// How compacted logs are cleaned.
    pub cleaner: CleanerConfig,
    /// `broker.session.timeout.ms`: how long a leader's own disk may stand still before it gives way.
    pub broker_session_timeout: Duration,
}

/// Settings of the log cleaner.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanerConfig {
    /// `log.cleaner.threads`: logs that are cleaned at the same time; 0 when `log.cleaner.enable` is off.
    pub threads: usize,
    /// `log.cleaner.backoff.ms`: pause after a look that found nothing to clean.
    pub backoff: Duration,
    /// `log.cleaner.dedupe.buffer.size`: memory for the keys, of all threads together.
    pub dedupe_buffer_bytes: usize,
    /// `log.cleaner.io.max.bytes.per.second`, of all threads together; infinite or as good as that for no limit.
    pub io_max_bytes_per_second: f64,
}

/// The defaults of the keys.
impl Default for CleanerConfig {
    fn default() -> Self {
        Self {
            threads: 1,
            backoff: Duration::from_secs(15),
            dedupe_buffer_bytes: 128 << 20,
            io_max_bytes_per_second: f64::MAX,
        }
    }
}

/// The defaults of the keys.
impl Default for ReplicationConfig {
    fn default() -> Self {
        Self {
            replica_lag_time_max: Duration::from_secs(5),
            replica_fetch_max_bytes: 1 << 20,
            replica_fetch_response_max_bytes: 1 << 20,
            connect_timeout: Duration::from_secs(1),
            reconnect_backoff_max: Duration::from_millis(100),
            high_watermark_checkpoint_interval: Duration::from_secs(5),
            flush_checkpoint_interval: Duration::from_secs(5),
            log_start_checkpoint_interval: Duration::from_secs(60),
            retention_check_interval: Duration::from_secs(300),
            cleaner: CleanerConfig::default(),
            broker_session_timeout: Duration::from_secs(1),
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
}
