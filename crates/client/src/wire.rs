//! Values of this crate as messages have them, and back: what more than one request needs.

use std::collections::BTreeMap;
use std::time::Duration;

use model::TopicPartition;
use protocol::codec::KafkaString;

/// Groups what belongs to partitions by their topics, as most requests name them.
pub(crate) fn by_topic<'a, T>(
    entries: impl IntoIterator<Item = (&'a TopicPartition, T)>,
) -> BTreeMap<&'a str, Vec<T>> {
    let mut topics = BTreeMap::<_, Vec<_>>::new();
    for (at, entry) in entries {
        topics.entry(at.topic.as_str()).or_default().push(entry);
    }
    topics
}

/// Groups the numbers of partitions by their topics.
pub(crate) fn numbers_by_topic(partitions: &[TopicPartition]) -> BTreeMap<&str, Vec<i32>> {
    by_topic(partitions.iter().map(|at| (at, at.partition)))
}

/// Reads a partition.
pub(crate) fn partition(topic: &KafkaString, partition: i32) -> TopicPartition {
    TopicPartition { topic: String::from(topic), partition }
}

/// Reads a host and a port as `host:port`; an IPv6 address needs its brackets before the port.
pub(crate) fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Returns a time in milliseconds, or the longest that the wire can say.
pub(crate) fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}
