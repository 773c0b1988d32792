//! Which partitions a command is about, and where they begin and end.

use std::collections::BTreeMap;

use client::{Client, OffsetAt};
use model::{Offset, TopicPartition};

use super::failure::Failure;

/// Returns the partitions of a topic, waiting a while for one that was just made.
pub(super) async fn of_topic(
    client: &Client,
    topic: &str,
    what: &str,
) -> Result<Vec<TopicPartition>, Failure> {
    let names = [topic.to_owned()];
    let metadata = client.topics(&names).await.map_err(Failure::cluster(what))?;
    let numbers = metadata.topics.get(topic).map(|topic| topic.partitions.keys());
    let named = |number: &i32| TopicPartition { topic: topic.to_owned(), partition: *number };
    Ok(numbers.into_iter().flatten().map(named).collect())
}

/// Returns the offsets of a place in partitions; a partition that has no such place is left out.
pub(super) async fn offsets(
    client: &Client,
    partitions: &[TopicPartition],
    at: OffsetAt,
) -> Result<BTreeMap<TopicPartition, Offset>, Failure> {
    let mut found = BTreeMap::new();
    for (partition, offset) in client.list_offsets(partitions, at).await {
        let what = format!("cannot ask for offsets of {partition}");
        let offset = offset.map_err(Failure::cluster(what))?;
        found.extend(offset.map(|offset| (partition, offset)));
    }
    Ok(found)
}
