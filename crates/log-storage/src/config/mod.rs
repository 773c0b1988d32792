//! Configuration of logs: the table of keys, and what one log makes of the values.
//!
//! Owns names, defaults and bounds (Kafka 4.3.1's, one apart: `flush.messages` is 1 here, design decision 2), and the resolution of a topic's value from
//! its own setting, the cluster's, and the default. Reads no file.

mod keys;

use std::collections::BTreeMap;
use std::time::Duration;

use model::config::{ConfigKey, InvalidConfigValue};
use model::record_batch::{Codec, TimestampType};

pub use keys::KEYS;

/// Configuration of one log. Every field mirrors the topic key in its comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: size at which a segment is closed; also the limit of one append.
    pub segment_bytes: usize,
    /// `segment.ms`: age at which a segment is closed.
    pub segment_age: Duration,
    /// `segment.jitter.ms`: greatest time by which a segment is closed earlier, so that not all topics roll at once.
    pub segment_jitter: Duration,
    /// `segment.index.bytes`: size of the offset index at which a segment is closed.
    pub segment_index_bytes: usize,
    /// `index.interval.bytes`: bytes of batches between two index entries.
    pub index_interval_bytes: usize,
    /// `retention.ms`: age at which a segment may go; `None` (−1) keeps it.
    pub retention_age: Option<Duration>,
    /// `retention.bytes`: size of the log above which its oldest segments may go; `None` (−1) is no limit.
    pub retention_bytes: Option<u64>,
    /// `file.delete.delay.ms`: time between the renaming of a file and its removal.
    pub file_delete_delay: Duration,
    /// `flush.messages`: records between two flushes; 1 makes every record durable before it counts, `u64::MAX` leaves it to the page cache.
    pub flush_messages: u64,
    /// `flush.ms`: time between two flushes of a log that has unflushed records; `None` (the maximum) leaves it to `flush.messages`.
    pub flush_interval: Option<Duration>,
    /// `max.message.bytes`: limit of one batch.
    pub max_message_bytes: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a timestamp may lie behind the broker's clock; `None` (the maximum) is no limit.
    pub timestamp_before_max: Option<Duration>,
    /// `message.timestamp.after.max.ms`: how far a timestamp may lie ahead of the broker's clock; `None` (the maximum) is no limit.
    pub timestamp_after_max: Option<Duration>,
    /// `cleanup.policy`: whether old segments are deleted.
    pub cleanup: CleanupPolicy,
    /// `min.cleanable.dirty.ratio`, in millionths: share of the log that must be uncompacted before it is cleaned.
    pub min_cleanable_millionths: u32,
    /// `min.compaction.lag.ms`: time for which a record is safe from compaction.
    pub min_compaction_lag: Duration,
    /// `max.compaction.lag.ms`: time after which a record becomes subject to compaction; `None` (the maximum) is no limit.
    pub max_compaction_lag: Option<Duration>,
    /// `delete.retention.ms`: time for which compaction keeps tombstones and transaction markers.
    pub delete_retention: Duration,
    /// `compression.type` and its level: the codec under which batches are stored; `None` keeps the producer's.
    pub recompression: Option<Recompression>,
    /// `producer.id.expiration.ms`: time after its last append at which an idempotent producer is forgotten.
    pub producer_expiration: Duration,
}

/// The codec to which a topic's batches are recompressed before they are appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recompression {
    /// The codec.
    pub codec: Codec,
    /// Its level; `None` for the codec's own default.
    pub level: Option<i32>,
}

/// What happens to old records (Kafka's `cleanup.policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanupPolicy {
    /// Segments are deleted by age and size.
    Delete,
    /// Only the last record of each key is kept; nothing is deleted by age or size.
    Compact,
    /// Both.
    CompactAndDelete,
}

impl CleanupPolicy {
    /// Says whether segments are deleted by age and size.
    #[must_use]
    pub fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::CompactAndDelete)
    }

    /// Says whether records without a key must be refused.
    #[must_use]
    pub fn compacts(self) -> bool {
        matches!(self, Self::Compact | Self::CompactAndDelete)
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self::from_values(&BTreeMap::new()).expect("a test checks that the defaults are legal")
    }
}

impl LogConfig {
    /// Makes a configuration from the effective values by topic key (as [`effective_values`] returns them); a missing one has its default, names that
    /// are not of this crate are ignored.
    ///
    /// # Errors
    /// [`InvalidConfigValue`] for the first value that its key does not accept.
    pub fn from_values(values: &BTreeMap<String, String>) -> Result<Self, InvalidConfigValue> {
        let values = Values(values);
        Ok(Self {
            segment_bytes: values.size("segment.bytes")?,
            segment_age: values.duration("segment.ms")?,
            segment_jitter: values.duration("segment.jitter.ms")?,
            segment_index_bytes: values.size("segment.index.bytes")?,
            index_interval_bytes: values.size("index.interval.bytes")?,
            retention_age: values.limit("retention.ms")?.map(Duration::from_millis),
            retention_bytes: values.limit("retention.bytes")?,
            file_delete_delay: values.duration("file.delete.delay.ms")?,
            flush_messages: match values.integer("flush.messages")? {
                i64::MAX => u64::MAX,
                count => u64::try_from(count).unwrap_or(1),
            },
            flush_interval: values.limit("flush.ms")?.map(Duration::from_millis),
            max_message_bytes: values.size("max.message.bytes")?,
            timestamp_type: match values.text("message.timestamp.type")? {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max: values
                .limit("message.timestamp.before.max.ms")?
                .map(Duration::from_millis),
            timestamp_after_max: values
                .limit("message.timestamp.after.max.ms")?
                .map(Duration::from_millis),
            cleanup: cleanup_policy(values.text("cleanup.policy")?),
            min_cleanable_millionths: values.millionths("min.cleanable.dirty.ratio")?,
            min_compaction_lag: values.duration("min.compaction.lag.ms")?,
            max_compaction_lag: values.limit("max.compaction.lag.ms")?.map(Duration::from_millis),
            delete_retention: values.duration("delete.retention.ms")?,
            recompression: recompression(&values)?,
            producer_expiration: values.duration("producer.id.expiration.ms")?,
        })
    }

    /// Returns the age at which a segment is closed at the latest: no record of a compacted log may stay in the active one for longer than its `max.compaction.lag.ms`.
    pub(crate) fn greatest_segment_age(&self) -> Duration {
        match self.max_compaction_lag.filter(|_| self.cleanup.compacts()) {
            Some(lag) => self.segment_age.min(lag),
            None => self.segment_age,
        }
    }

    /// Returns the configuration of a Raft log: no retention, no limits but the segment's size, closed by size alone.
    #[must_use]
    pub fn for_raft_log() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            segment_age: Duration::MAX,
            retention_age: None,
            retention_bytes: None,
            file_delete_delay: Duration::ZERO,
            max_message_bytes: 64 * 1024 * 1024,
            timestamp_before_max: None,
            timestamp_after_max: None,
            ..Self::default()
        }
    }
}

/// Returns the key of this crate that has this name.
#[must_use]
pub fn key(name: &str) -> Option<&'static ConfigKey> {
    KEYS.iter().find(|key| key.name == name)
}

/// Resolves the values of one topic: for each topic key that is set somewhere, the topic's own value, else the first synonym that the cluster has set
/// (hours and minutes turned into milliseconds). Keys that are set nowhere are left out: they have their default. `producer.id.expiration.ms`, which has
/// no topic key, is taken from the cluster.
#[must_use]
pub fn effective_values(
    topic: &BTreeMap<String, String>,
    cluster: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut effective = BTreeMap::new();
    for key in KEYS {
        let from_cluster = || {
            std::iter::once(&key.name)
                .chain(key.synonyms)
                .find_map(|name| Some(in_milliseconds(name, cluster.get(*name)?)))
        };
        if let Some(value) = topic.get(key.name).cloned().or_else(from_cluster) {
            effective.insert(key.name.to_owned(), value);
        }
    }
    effective
}

/// Kafka's older spellings of a time have the unit in their name. A number too great for milliseconds becomes the greatest.
fn in_milliseconds(name: &str, value: &str) -> String {
    let factor = match name.rsplit('.').next() {
        Some("hours") => 3_600_000,
        Some("minutes") => 60_000,
        _ => return value.to_owned(),
    };
    match value.trim().parse::<i64>() {
        Ok(number) if number < 0 => "-1".to_owned(),
        Ok(number) => number.saturating_mul(factor).to_string(),
        Err(_) => value.to_owned(),
    }
}

fn cleanup_policy(text: &str) -> CleanupPolicy {
    let has = |policy| text.split(',').any(|element| element.trim() == policy);
    match (has("delete"), has("compact")) {
        (true, true) => CleanupPolicy::CompactAndDelete,
        (false, true) => CleanupPolicy::Compact,
        _ => CleanupPolicy::Delete,
    }
}

fn recompression(values: &Values<'_>) -> Result<Option<Recompression>, InvalidConfigValue> {
    let level = |name| values.integer(name).map(|level| i32::try_from(level).ok());
    let codec = match values.text("compression.type")? {
        "producer" => return Ok(None),
        "uncompressed" => Codec::None,
        name => Codec::from_name(name).expect("the key accepts names of codecs alone"),
    };
    let level = match codec {
        // -1 is the library's own level.
        Codec::Gzip => level("compression.gzip.level")?.filter(|level| *level > 0),
        Codec::Zstd => level("compression.zstd.level")?,
        Codec::None | Codec::Snappy | Codec::Lz4 => None,
    };
    Ok(Some(Recompression { codec, level }))
}

/// Values by topic key, checked when they are read.
struct Values<'a>(&'a BTreeMap<String, String>);

impl Values<'_> {
    fn text(&self, name: &'static str) -> Result<&str, InvalidConfigValue> {
        let key = key(name).expect("every name here is in the table, as a test checks");
        match self.0.get(name) {
            Some(value) => key.validate(value).map(|()| value.trim()),
            None => Ok(key.default.unwrap_or_default()),
        }
    }

    fn integer(&self, name: &'static str) -> Result<i64, InvalidConfigValue> {
        let text = self.text(name)?;
        text.parse().map_err(|_| InvalidConfigValue {
            key: name.to_owned(),
            value: text.to_owned(),
            reason: "expected an integer".to_owned(),
        })
    }

    fn size(&self, name: &'static str) -> Result<usize, InvalidConfigValue> {
        Ok(usize::try_from(self.integer(name)?).unwrap_or(0))
    }

    fn duration(&self, name: &'static str) -> Result<Duration, InvalidConfigValue> {
        Ok(Duration::from_millis(u64::try_from(self.integer(name)?).unwrap_or(0)))
    }

    /// A share from 0 to 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the key's bounds are 0 and 1"
    )]
    fn millionths(&self, name: &'static str) -> Result<u32, InvalidConfigValue> {
        let text = self.text(name)?;
        let share: f64 = text.parse().map_err(|_| InvalidConfigValue {
            key: name.to_owned(),
            value: text.to_owned(),
            reason: "expected a number".to_owned(),
        })?;
        Ok((share * 1_000_000.0) as u32)
    }

    /// Negative numbers and the greatest one say that there is no limit.
    fn limit(&self, name: &'static str) -> Result<Option<u64>, InvalidConfigValue> {
        let number = self.integer(name)?;
        Ok(if number == i64::MAX { None } else { u64::try_from(number).ok() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_default_is_legal_and_no_name_occurs_twice() {
        let mut names = std::collections::BTreeSet::new();
        for key in KEYS {
            assert!(names.insert(key.name), "{} occurs twice", key.name);
            if let Some(default) = key.default {
                assert_eq!(key.validate(default), Ok(()), "{}", key.name);
            }
        }
        for key in KEYS {
            for synonym in key.synonyms {
                assert!(names.contains(synonym), "{synonym} of {} is not in the table", key.name);
            }
        }
    }

    #[test]
    fn defaults_are_kafkas_but_for_the_flush() {
        let config = LogConfig::default();
        assert_eq!(config.segment_bytes, 1 << 30);
        assert_eq!(config.retention_age, Some(Duration::from_secs(7 * 24 * 3_600)));
        assert_eq!(config.retention_bytes, None);
        assert_eq!(config.max_message_bytes, 1_048_588);
        assert_eq!(config.flush_messages, 1);
        assert_eq!(config.flush_interval, None);
        assert_eq!(config.timestamp_after_max, Some(Duration::from_secs(3_600)));
        assert_eq!(config.timestamp_before_max, None);
        assert_eq!(config.cleanup, CleanupPolicy::Delete);
        assert_eq!(config.min_cleanable_millionths, 500_000);
        assert_eq!(config.min_compaction_lag, Duration::ZERO);
        assert_eq!(config.max_compaction_lag, None);
        assert_eq!(config.delete_retention, Duration::from_secs(24 * 3_600));
    }

    #[test]
    fn a_topics_value_wins_over_the_clusters_and_units_are_converted() {
        let cluster = map(&[
            ("log.retention.hours", "2"),
            ("log.segment.bytes", "2097152"),
            ("log.flush.interval.messages", "9223372036854775807"),
            ("producer.id.expiration.ms", "5000"),
        ]);
        let values = effective_values(&map(&[("segment.bytes", "1048576")]), &cluster);
        let config = LogConfig::from_values(&values).unwrap();
        assert_eq!(config.retention_age, Some(Duration::from_secs(7_200)));
        assert_eq!(config.segment_bytes, 1 << 20);
        assert_eq!(config.flush_messages, u64::MAX);
        assert_eq!(config.producer_expiration, Duration::from_secs(5));
        let minutes = map(&[("log.retention.minutes", "1"), ("log.retention.hours", "2")]);
        assert_eq!(effective_values(&map(&[]), &minutes)["retention.ms"], "60000");
        let forever = map(&[("log.retention.hours", "-1")]);
        let values = effective_values(&map(&[]), &forever);
        assert_eq!(LogConfig::from_values(&values).unwrap().retention_age, None);
    }

    #[test]
    fn a_value_out_of_bounds_is_refused_by_name() {
        let error = LogConfig::from_values(&map(&[("segment.bytes", "5")])).unwrap_err();
        assert_eq!(error.key, "segment.bytes");
    }
}
