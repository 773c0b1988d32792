//! The table of keys that belong to logs, with Kafka 4.3.1's names, defaults and bounds.
//!
//! Two defaults differ from Kafka's, both by design: `flush.messages` is 1, and recovery points are persisted every five seconds.
//! A topic key whose cluster key has the same name (`compression.*`) is in the table once and has no synonym.

use model::config::{ConfigKey, ConfigKind, ConfigScope, ConfigUpdate};

/// Every key of this crate: topic keys, the cluster keys that hold their defaults (named in `synonyms`, in the order of their precedence), and the
/// keys of the storage threads.
pub const KEYS: &[ConfigKey] = &[
    topic(
        "cleanup.policy",
        ConfigKind::List { allowed: &["compact", "delete"] },
        "delete",
        &["log.cleanup.policy"],
        "What happens to old segments: they are deleted by age and size, compacted to the last record of each key, or both.",
    ),
    topic(
        "compression.gzip.level",
        int(-1, 9),
        "-1",
        &[],
        "Level of gzip when the broker compresses; -1 is the library's own.",
    ),
    topic(
        "compression.lz4.level",
        int(1, 17),
        "9",
        &[],
        "Level of lz4 when the broker compresses.",
    ),
    topic(
        "compression.type",
        ConfigKind::Enum {
            allowed: &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"],
        },
        "producer",
        &[],
        "Codec of stored batches: the producer's, or one to which the broker recompresses.",
    ),
    topic(
        "compression.zstd.level",
        int(-131072, 22),
        "3",
        &[],
        "Level of zstd when the broker compresses.",
    ),
    topic(
        "delete.retention.ms",
        long(0, i64::MAX),
        "86400000",
        &["log.cleaner.delete.retention.ms"],
        "Time for which compaction keeps tombstones and transaction markers.",
    ),
    topic(
        "file.delete.delay.ms",
        long(0, i64::MAX),
        "60000",
        &["log.segment.delete.delay.ms"],
        "Time between the renaming of a removed file and its deletion.",
    ),
    topic(
        "flush.messages",
        long(1, i64::MAX),
        "1",
        &["log.flush.interval.messages"],
        "Records between two flushes to disk; 1 makes every record durable before it is acknowledged, the maximum leaves it to the page cache.",
    ),
    topic(
        "flush.ms",
        long(0, i64::MAX),
        "9223372036854775807",
        &["log.flush.interval.ms"],
        "Time after which unflushed records are flushed to disk.",
    ),
    topic(
        "index.interval.bytes",
        int(0, i32::MAX),
        "4096",
        &["log.index.interval.bytes"],
        "Bytes of batches between two entries of an index.",
    ),
    topic(
        "max.compaction.lag.ms",
        long(1, i64::MAX),
        "9223372036854775807",
        &["log.cleaner.max.compaction.lag.ms"],
        "Time after which a record becomes subject to compaction.",
    ),
    topic(
        "max.message.bytes",
        int(0, i32::MAX),
        "1048588",
        &["message.max.bytes"],
        "Largest record batch that is accepted, in bytes.",
    ),
    topic(
        "message.timestamp.after.max.ms",
        long(0, i64::MAX),
        "3600000",
        &["log.message.timestamp.after.max.ms"],
        "How far a record's timestamp may lie ahead of the broker's clock.",
    ),
    topic(
        "message.timestamp.before.max.ms",
        long(0, i64::MAX),
        "9223372036854775807",
        &["log.message.timestamp.before.max.ms"],
        "How far a record's timestamp may lie behind the broker's clock.",
    ),
    topic(
        "message.timestamp.type",
        ConfigKind::Enum { allowed: &["CreateTime", "LogAppendTime"] },
        "CreateTime",
        &["log.message.timestamp.type"],
        "Whether records keep the producer's timestamp or get the time of the append.",
    ),
    topic(
        "min.cleanable.dirty.ratio",
        ConfigKind::Double { min: 0.0, max: 1.0 },
        "0.5",
        &["log.cleaner.min.cleanable.ratio"],
        "Share of a log that must be uncompacted before compaction looks at it.",
    ),
    topic(
        "min.compaction.lag.ms",
        long(0, i64::MAX),
        "0",
        &["log.cleaner.min.compaction.lag.ms"],
        "Time for which a record is safe from compaction.",
    ),
    topic(
        "retention.bytes",
        long(i64::MIN, i64::MAX),
        "-1",
        &["log.retention.bytes"],
        "Size of a partition above which its oldest segments are deleted; -1 is no limit.",
    ),
    topic(
        "retention.ms",
        long(-1, i64::MAX),
        "604800000",
        &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
        "Age at which a segment is deleted; -1 is no limit.",
    ),
    topic(
        "segment.bytes",
        int(1024 * 1024, i32::MAX),
        "1073741824",
        &["log.segment.bytes"],
        "Size at which a segment is closed and a new one begun.",
    ),
    topic(
        "segment.index.bytes",
        int(4, i32::MAX),
        "10485760",
        &["log.index.size.max.bytes"],
        "Size of a segment's offset index at which the segment is closed.",
    ),
    topic(
        "segment.jitter.ms",
        long(0, i64::MAX),
        "0",
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        "Greatest time by which a segment is closed before segment.ms, so that not all roll at once.",
    ),
    topic(
        "segment.ms",
        long(1, i64::MAX),
        "604800000",
        &["log.roll.ms", "log.roll.hours"],
        "Age at which a segment is closed even when it is small.",
    ),
    other(
        ConfigScope::Cluster,
        "log.cleanup.policy",
        ConfigKind::List { allowed: &["compact", "delete"] },
        Some("delete"),
        "Default of cleanup.policy for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.cleaner.delete.retention.ms",
        long(0, i64::MAX),
        Some("86400000"),
        "Default of delete.retention.ms for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.segment.delete.delay.ms",
        long(0, i64::MAX),
        Some("60000"),
        "Default of file.delete.delay.ms for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.flush.interval.messages",
        long(1, i64::MAX),
        Some("1"),
        "Default of flush.messages for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.flush.interval.ms",
        long(0, i64::MAX),
        None,
        "Default of flush.ms for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.index.interval.bytes",
        int(0, i32::MAX),
        Some("4096"),
        "Default of index.interval.bytes for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.cleaner.max.compaction.lag.ms",
        long(1, i64::MAX),
        Some("9223372036854775807"),
        "Default of max.compaction.lag.ms for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "message.max.bytes",
        int(0, i32::MAX),
        Some("1048588"),
        "Default of max.message.bytes for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.message.timestamp.after.max.ms",
        long(0, i64::MAX),
        Some("3600000"),
        "Default of message.timestamp.after.max.ms for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.message.timestamp.before.max.ms",
        long(0, i64::MAX),
        Some("9223372036854775807"),
        "Default of message.timestamp.before.max.ms for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.message.timestamp.type",
        ConfigKind::Enum { allowed: &["CreateTime", "LogAppendTime"] },
        Some("CreateTime"),
        "Default of message.timestamp.type for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.cleaner.min.cleanable.ratio",
        ConfigKind::Double { min: 0.0, max: 1.0 },
        Some("0.5"),
        "Default of min.cleanable.dirty.ratio for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.cleaner.min.compaction.lag.ms",
        long(0, i64::MAX),
        Some("0"),
        "Default of min.compaction.lag.ms for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.retention.bytes",
        long(i64::MIN, i64::MAX),
        Some("-1"),
        "Default of retention.bytes for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.retention.ms",
        long(-1, i64::MAX),
        None,
        "Default of retention.ms for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.retention.minutes",
        int(i32::MIN, i32::MAX),
        None,
        "Default of retention.ms in minutes, for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.retention.hours",
        int(i32::MIN, i32::MAX),
        Some("168"),
        "Default of retention.ms in hours, for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.segment.bytes",
        int(1024 * 1024, i32::MAX),
        Some("1073741824"),
        "Default of segment.bytes for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.index.size.max.bytes",
        int(4, i32::MAX),
        Some("10485760"),
        "Default of segment.index.bytes for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.roll.jitter.ms",
        long(0, i64::MAX),
        None,
        "Default of segment.jitter.ms for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.roll.jitter.hours",
        int(0, i32::MAX),
        Some("0"),
        "Default of segment.jitter.ms in hours, for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.roll.ms",
        long(1, i64::MAX),
        None,
        "Default of segment.ms for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "log.roll.hours",
        int(1, i32::MAX),
        Some("168"),
        "Default of segment.ms in hours, for topics that do not set it.",
    ),
    other(
        ConfigScope::Cluster,
        "producer.id.expiration.ms",
        int(1, i32::MAX),
        Some("86400000"),
        "Time after its last append at which an idempotent producer is forgotten by a partition.",
    ),
    other(
        ConfigScope::Server,
        "log.retention.check.interval.ms",
        long(1, i64::MAX),
        Some("300000"),
        "Time between two looks for segments that may be deleted.",
    ),
    other(
        ConfigScope::Server,
        "log.cleaner.enable",
        ConfigKind::Boolean,
        Some("true"),
        "Whether topics whose cleanup.policy has compact are compacted.",
    ),
    other(
        ConfigScope::Server,
        "log.cleaner.threads",
        int(0, 1024),
        Some("1"),
        "Logs that are compacted at the same time.",
    ),
    other(
        ConfigScope::Server,
        "log.cleaner.backoff.ms",
        long(0, i64::MAX),
        Some("15000"),
        "Time between two looks for logs to compact when there was none.",
    ),
    other(
        ConfigScope::Server,
        "log.cleaner.dedupe.buffer.size",
        long(1 << 20, i64::MAX),
        Some("134217728"),
        "Most memory for the keys of the logs that are being compacted, of all threads together, in bytes. It is taken only while it is needed.",
    ),
    other(
        ConfigScope::Server,
        "log.cleaner.io.max.bytes.per.second",
        ConfigKind::Double { min: 1.0, max: f64::MAX },
        Some("1.7976931348623157E308"),
        "Most bytes that compaction reads and writes in a second, all threads together.",
    ),
    other(
        ConfigScope::Server,
        "log.flush.offset.checkpoint.interval.ms",
        int(0, i32::MAX),
        Some("5000"),
        "Time between two writes of the recovery points (Kafka's default is 60000).",
    ),
    other(
        ConfigScope::Server,
        "log.flush.start.offset.checkpoint.interval.ms",
        int(0, i32::MAX),
        Some("60000"),
        "Time between two writes of the log start offsets.",
    ),
    other(
        ConfigScope::Server,
        "num.recovery.threads.per.data.dir",
        int(1, i32::MAX),
        Some("2"),
        "Threads that open and recover logs at the start.",
    ),
];

const fn topic(
    name: &'static str,
    kind: ConfigKind,
    default: &'static str,
    synonyms: &'static [&'static str],
    documentation: &'static str,
) -> ConfigKey {
    ConfigKey {
        name,
        kind,
        default: Some(default),
        scope: ConfigScope::Topic,
        update: ConfigUpdate::Dynamic,
        documentation,
        synonyms,
    }
}

const fn other(
    scope: ConfigScope,
    name: &'static str,
    kind: ConfigKind,
    default: Option<&'static str>,
    documentation: &'static str,
) -> ConfigKey {
    let update = match scope {
        ConfigScope::Server => ConfigUpdate::Restart,
        ConfigScope::Cluster | ConfigScope::Topic => ConfigUpdate::Dynamic,
    };
    ConfigKey { name, kind, default, scope, update, documentation, synonyms: &[] }
}

const fn int(min: i32, max: i32) -> ConfigKind {
    ConfigKind::Int { min, max }
}

const fn long(min: i64, max: i64) -> ConfigKind {
    ConfigKind::Long { min, max }
}
