//! Offsets of places in partitions: the leaders are asked, each once for all of its partitions.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use model::{BrokerId, Offset, TopicPartition, UnixMillis};
use protocol::messages::list_offsets::{
    EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsTopic,
};
use protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use crate::client::Client;
use crate::error::Error;
use crate::metadata::Topics;
use crate::wire::{by_topic, partition};

/// A place in a partition by what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetAt {
    /// The first offset that is kept.
    Earliest,
    /// The end: the high watermark.
    Latest,
    /// The end for who reads committed transactions only: the last stable offset.
    LastStable,
    /// The first record with this timestamp or a later one.
    Time(UnixMillis),
}

/// One result for each partition that was asked about.
type ByPartition = BTreeMap<TopicPartition, Result<Option<Offset>, Error>>;

impl Client {
    /// Returns the offset of a place in a partition; `None` when no record is as late as the time.
    ///
    /// # Errors
    /// [`Error::Broker`] with the code of the partition.
    pub async fn list_offset(
        &self,
        partition: &TopicPartition,
        at: OffsetAt,
    ) -> Result<Option<Offset>, Error> {
        let mut found = self.list_offsets(std::slice::from_ref(partition), at).await;
        found.remove(partition).unwrap_or_else(|| Err(Error::unnamed(partition.to_string())))
    }

    /// Returns the offset of the same place in many partitions: a result for each, as [`Client::list_offset`] has it. A partition whose leader does
    /// not answer is asked again until `default.api.timeout.ms` is over.
    pub async fn list_offsets(&self, partitions: &[TopicPartition], at: OffsetAt) -> ByPartition {
        let mut backoff = self.backoff();
        let mut done = BTreeMap::new();
        let mut open: BTreeSet<TopicPartition> = partitions.iter().cloned().collect();
        while !open.is_empty() {
            let mut last = None;
            for (partition, answer) in self.list_offsets_once(&open, at).await {
                match answer {
                    Err(failure) if failure.is_retriable() => last = Some(failure),
                    answer => {
                        open.remove(&partition);
                        done.insert(partition, answer);
                    }
                }
            }
            let Some(failure) = last else { continue };
            if let Err(failure) = backoff.after(failure).await {
                done.extend(open.iter().map(|at| (at.clone(), Err(failure.clone()))));
                break;
            }
            let topics: BTreeSet<_> =
                open.iter().map(|partition| partition.topic.clone()).collect();
            let topics: Vec<_> = topics.into_iter().collect();
            // When this fails too, the next round says why.
            let _ = self.refresh_metadata(Topics::Named(&topics)).await;
        }
        done
    }

    async fn list_offsets_once(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        at: OffsetAt,
    ) -> ByPartition {
        let mut answers = BTreeMap::new();
        let mut leaders = BTreeMap::<BrokerId, Vec<TopicPartition>>::new();
        for partition in partitions {
            match self.leader(partition).await {
                Ok(leader) => leaders.entry(leader).or_default().push(partition.clone()),
                Err(failure) => {
                    answers.insert(partition.clone(), Err(failure));
                }
            }
        }
        let asked = leaders.into_iter().map(|(leader, partitions)| async move {
            match self.ask_offsets(leader, &partitions, at).await {
                Ok(response) => take_offsets(&partitions, &response),
                Err(failure) => {
                    partitions.into_iter().map(|asked| (asked, Err(failure.clone()))).collect()
                }
            }
        });
        answers.extend(join_all(asked).await.into_iter().flatten());
        answers
    }

    async fn ask_offsets(
        &self,
        leader: BrokerId,
        partitions: &[TopicPartition],
        at: OffsetAt,
    ) -> Result<ListOffsetsResponse, Error> {
        let timestamp = match at {
            OffsetAt::Earliest => EARLIEST_TIMESTAMP,
            OffsetAt::Latest | OffsetAt::LastStable => LATEST_TIMESTAMP,
            OffsetAt::Time(time) => time.0.max(0),
        };
        let partitions = partitions.iter().map(|at| {
            let partition_index = at.partition;
            (at, ListOffsetsPartition { partition_index, timestamp, ..Default::default() })
        });
        let topics = by_topic(partitions)
            .into_iter()
            .map(|(name, partitions)| ListOffsetsTopic { name: name.into(), partitions });
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: i8::from(at == OffsetAt::LastStable),
            topics: topics.collect(),
            ..ListOffsetsRequest::default()
        };
        Ok(self.connection(leader).await?.request(&request).await?)
    }
}

fn take_offsets(partitions: &[TopicPartition], response: &ListOffsetsResponse) -> ByPartition {
    let mut answers = ByPartition::new();
    for topic in &response.topics {
        for result in &topic.partitions {
            let partition = partition(&topic.name, result.partition_index);
            // Version 0 has a list instead, newest first.
            let offset = result.old_style_offsets.first().copied().unwrap_or(result.offset);
            let answer = Error::check(partition.to_string(), result.error_code, None)
                .map(|()| Offset::from_wire(offset));
            answers.insert(partition, answer);
        }
    }
    partitions
        .iter()
        .map(|asked| {
            let answer = answers.remove(asked);
            (asked.clone(), answer.unwrap_or_else(|| Err(Error::unnamed(asked.to_string()))))
        })
        .collect()
}
