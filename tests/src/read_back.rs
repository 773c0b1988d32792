//! Reads a whole topic back and turns it into what the judge compares.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use client::OffsetAt;
use client::consumer::{ConsumedRecord, Consumer, ConsumerConfig, Start};
use client::{Client, ClientConfig, Error, Tasks};
use model::{Offset, TopicPartition};
use tokio::time::{Instant, timeout_at};

use crate::content::{Content, NUMBER_HEADER};
use crate::history::{Found, History, Verdict};
use crate::load::LoadOptions;

/// Reads the topic of a load from its beginning to its end and judges what the load was told.
///
/// # Panics
/// When that is not done within `limit`, or the topic cannot be read.
#[must_use]
pub fn judge(
    bootstrap: &str,
    options: &LoadOptions,
    history: &History,
    limit: Duration,
) -> Verdict {
    let found = read_topic(bootstrap, options, limit)
        .unwrap_or_else(|error| panic!("cannot read {} back: {error}", options.topic));
    history.judge(&found)
}

/// Reads every record of a load's topic up to the end that it has at the start of the call.
///
/// # Errors
/// What the client says, or how far it came within `limit`.
pub fn read_topic(
    bootstrap: &str,
    options: &LoadOptions,
    limit: Duration,
) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    let note = |record: &ConsumedRecord| found.push(as_found(record, &options.content));
    read(bootstrap, (&options.topic, options.partitions), limit, note)?;
    Ok(found)
}

/// Reads the values of every record of a topic, null as nothing.
///
/// # Errors
/// As [`read_topic`].
pub fn read_values(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    limit: Duration,
) -> Result<Vec<Bytes>, String> {
    let mut values = Vec::new();
    let note = |record: &ConsumedRecord| values.push(record.value.clone().unwrap_or_default());
    read(bootstrap, (topic, partitions), limit, note)?;
    Ok(values)
}

/// A record by its offset, key and value.
pub type Keyed = (Offset, Option<Bytes>, Option<Bytes>);

/// Reads every record of a topic with its key, in the order in which they came.
///
/// # Errors
/// As [`read_topic`].
pub fn read_keyed(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    limit: Duration,
) -> Result<Vec<Keyed>, String> {
    let mut found = Vec::new();
    let note = |record: &ConsumedRecord| {
        found.push((record.offset, record.key.clone(), record.value.clone()));
    };
    read(bootstrap, (topic, partitions), limit, note)?;
    Ok(found)
}

fn read(
    bootstrap: &str,
    topic: (&str, i32),
    limit: Duration,
    note: impl FnMut(&ConsumedRecord),
) -> Result<(), String> {
    let config = ClientConfig::new(bootstrap).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let tasks = Tasks::default();
        let client = Client::new(config, tasks.clone());
        let read = read_to_end(client, topic, Instant::now() + limit, note).await;
        tasks.token.cancel();
        tasks.tracker.close();
        tasks.tracker.wait().await;
        read
    })
}

async fn read_to_end(
    client: Client,
    (topic, partitions): (&str, i32),
    deadline: Instant,
    mut note: impl FnMut(&ConsumedRecord),
) -> Result<(), String> {
    let said = |error: Error| error.to_string();
    let late = |what: &str| format!("not done in time: {what}");
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    let mut ends = BTreeMap::new();
    for partition in 0..partitions {
        let partition = TopicPartition { topic: topic.to_owned(), partition };
        let end = timeout_at(deadline, client.list_offset(&partition, OffsetAt::Latest))
            .await
            .map_err(|_| late(&format!("the end of {partition}")))?
            .map_err(said)?
            .unwrap_or(Offset::ZERO);
        if end > Offset::ZERO {
            consumer.assign(partition.clone(), Start::Offset(Offset::ZERO)).await.map_err(said)?;
            ends.insert(partition, end);
        }
    }
    let mut count = 0;
    let reached = |consumer: &Consumer, partition: &TopicPartition, end: &Offset| {
        consumer.position(partition).is_some_and(|position| position >= *end)
    };
    while !ends.iter().all(|(partition, end)| reached(&consumer, partition, end)) {
        let records = timeout_at(deadline, consumer.poll())
            .await
            .map_err(|_| late(&format!("{count} records read, up to {ends:?}")))?
            .map_err(said)?;
        count += records.len();
        records.iter().for_each(&mut note);
    }
    Ok(())
}

fn as_found(record: &ConsumedRecord, content: &Content) -> Found {
    let number = record
        .headers
        .iter()
        .find(|(key, _)| key == NUMBER_HEADER)
        .and_then(|(_, value)| value.as_ref()?.first_chunk())
        .map(|bytes| u64::from_be_bytes(*bytes));
    let intact = number.is_some_and(|number| {
        let sent = content.record(number);
        record.key.as_deref() == sent.key && record.value.as_deref() == Some(&*sent.value)
    });
    Found { partition: record.partition.partition, offset: record.offset.0, number, intact }
}
