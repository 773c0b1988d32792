//! Reads assigned partitions, without groups: the caller says which partitions and from where.
//!
//! One fetch per leading broker is under way while the caller works on what came before, and none beyond: memory is bounded by
//! `fetch.max.bytes` for each broker, twice. There is no task; [`Consumer::poll_batches`] drives everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use model::record_batch::{Batches, RecordIter, Records, TimestampType, verify_crc};
use model::{BrokerId, ErrorCode, LeaderEpoch, Offset, TopicPartition, UnixMillis};
use protocol::messages::fetch::{FetchPartition, FetchTopic, PartitionData};
use protocol::messages::{FetchRequest, FetchResponse};
use tokio::time::Instant;

use crate::client::Client;
use crate::error::{Error, RequestError};
use crate::metadata::Topics;
use crate::partition_offsets::OffsetAt;
use crate::wire::{by_topic, millis};

/// Settings of a [`Consumer`]. The names are Kafka's.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// `fetch.max.wait.ms`: how long a broker waits for `min_bytes`. 500 ms by default.
    pub max_wait: Duration,
    /// `fetch.min.bytes`: bytes that make an answer worth sending. 1 by default.
    pub min_bytes: i32,
    /// `fetch.max.bytes`: most bytes of one answer. 16 MiB by default.
    pub max_bytes: i32,
    /// `max.partition.fetch.bytes`: most bytes of a partition in one answer. 4 MiB by default.
    pub max_partition_bytes: i32,
    /// Most bytes that one batch may inflate to. 128 MiB by default.
    pub max_decompressed_bytes: usize,
    /// `auto.offset.reset`: where to go on when the offset is not there any more.
    pub offset_reset: OffsetReset,
}

/// Where to go on when the log does not hold the wanted offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// Nowhere: it is an error.
    Fail,
    /// At the first offset that is kept.
    Earliest,
    /// At the end.
    Latest,
}

/// Where to begin to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this offset.
    Offset(Offset),
    /// At a place that the leader is asked for; a time later than every record means the end.
    At(OffsetAt),
}

/// Whole batches of one partition, not looked into yet.
#[derive(Clone, Debug)]
pub struct FetchedBatches {
    /// The partition.
    pub partition: Arc<TopicPartition>,
    /// The offset that was asked for; the first batch may begin before it.
    pub from: Offset,
    /// The offset that follows the batches.
    pub next: Offset,
    /// The partition's high watermark.
    pub high_watermark: Offset,
    /// The batches.
    pub bytes: Bytes,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// The partition.
    pub partition: Arc<TopicPartition>,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: UnixMillis,
    /// What the timestamp means.
    pub timestamp_type: TimestampType,
    /// Its key; `None` for null.
    pub key: Option<Bytes>,
    /// Its value; `None` for null.
    pub value: Option<Bytes>,
    /// Its headers: key and value, in their order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// A consumer of assigned partitions.
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    config: ConsumerConfig,
    positions: BTreeMap<Arc<TopicPartition>, Position>,
    fetches: FuturesUnordered<BoxFuture<'static, FetchDone>>,
    /// Brokers with a fetch under way.
    busy: BTreeSet<BrokerId>,
    /// Batches that were received and not returned yet.
    ready: Vec<FetchedBatches>,
    failing_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    next: Offset,
    high_watermark: Option<Offset>,
    is_fetching: bool,
}

#[derive(Debug)]
struct FetchDone {
    broker: BrokerId,
    asked: Vec<(Arc<TopicPartition>, Offset)>,
    result: Result<FetchResponse, RequestError>,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 16 << 20,
            max_partition_bytes: 4 << 20,
            max_decompressed_bytes: 128 << 20,
            offset_reset: OffsetReset::Fail,
        }
    }
}

impl Consumer {
    /// Makes a consumer without partitions.
    #[must_use]
    pub fn new(client: Client, config: ConsumerConfig) -> Self {
        Self {
            client,
            config,
            positions: BTreeMap::new(),
            fetches: FuturesUnordered::new(),
            busy: BTreeSet::new(),
            ready: Vec::new(),
            failing_since: None,
        }
    }

    /// Adds a partition, or moves to another place in it.
    ///
    /// # Errors
    /// [`Error`] of the question for the offset.
    pub async fn assign(&mut self, partition: TopicPartition, start: Start) -> Result<(), Error> {
        let next = match start {
            Start::Offset(offset) => offset,
            Start::At(at) => self.offset_at(&partition, at).await?,
        };
        self.assign_at(partition, next);
        Ok(())
    }

    /// Adds a partition at an offset, or moves to it.
    pub(crate) fn assign_at(&mut self, partition: TopicPartition, next: Offset) {
        // A fetch of the partition that is under way brings another offset and is then ignored.
        let is_fetching = self.positions.get(&partition).is_some_and(|old| old.is_fetching);
        let position = Position { next, high_watermark: None, is_fetching };
        self.drop_ready(&partition);
        self.positions.insert(Arc::new(partition), position);
    }

    /// Takes a partition away; no more of its records are returned.
    pub fn unassign(&mut self, partition: &TopicPartition) {
        self.positions.remove(partition);
        self.drop_ready(partition);
    }

    /// Says whether there is a partition to read.
    #[must_use]
    pub fn has_partitions(&self) -> bool {
        !self.positions.is_empty()
    }

    /// Drops what a poll that was cancelled has left of a partition.
    fn drop_ready(&mut self, partition: &TopicPartition) {
        self.ready.retain(|batches| *batches.partition != *partition);
    }

    /// Returns the offset of the next record of a partition that [`Consumer::poll`] will return.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.positions.get(partition).map(|position| position.next)
    }

    /// Returns the high watermark that the last answer told.
    #[must_use]
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.positions.get(partition)?.high_watermark
    }

    /// Waits for the next answer that brings records and returns them; nothing when a broker had none within `fetch.max.wait.ms`.
    ///
    /// It may be cancelled at any point without a loss.
    ///
    /// # Errors
    /// As [`Consumer::poll_batches`], and [`Error::Records`] for records that are damaged.
    pub async fn poll(&mut self) -> Result<Vec<ConsumedRecord>, Error> {
        let mut records = Vec::new();
        for batches in self.poll_batches().await? {
            batches.decode_into(self.config.max_decompressed_bytes, &mut records)?;
        }
        Ok(records)
    }

    /// Waits for the next answer and returns its batches as they are; positions move behind them.
    ///
    /// It may be cancelled at any point without a loss.
    ///
    /// # Errors
    /// [`Error::Broker`] for a partition that cannot be read, [`Error::GaveUp`] when no broker has answered for `default.api.timeout.ms`.
    pub async fn poll_batches(&mut self) -> Result<Vec<FetchedBatches>, Error> {
        loop {
            // The next fetches run while the caller works on what is returned.
            self.start_fetches().await?;
            if !self.ready.is_empty() {
                return Ok(std::mem::take(&mut self.ready));
            }
            let Some(done) = self.fetches.next().await else {
                // No partition has a leader that can be asked.
                tokio::time::sleep(self.client.config().retry_backoff).await;
                continue;
            };
            // Kept in the consumer before the next await, so that a cancelled poll loses nothing.
            let (fetched, failure) = self.take_in(done);
            self.ready = fetched;
            match failure {
                Some(failure) => self.recover(failure).await?,
                None if self.ready.is_empty() => {
                    self.failing_since = None;
                    return Ok(Vec::new());
                }
                None => self.failing_since = None,
            }
        }
    }

    /// Starts a fetch to every leader that has none under way.
    async fn start_fetches(&mut self) -> Result<(), Error> {
        let mut leaders = BTreeMap::<BrokerId, Vec<(Arc<TopicPartition>, Offset)>>::new();
        let idle: Vec<_> = self
            .positions
            .iter()
            .filter(|(_, position)| !position.is_fetching)
            .map(|(partition, position)| (partition.clone(), position.next))
            .collect();
        for (partition, next) in idle {
            match self.client.leader(&partition).await {
                Ok(leader) if !self.busy.contains(&leader) => {
                    leaders.entry(leader).or_default().push((partition, next));
                }
                Ok(_) => {}
                Err(failure) => self.recover(failure).await?,
            }
        }
        for (broker, asked) in leaders {
            for (partition, _) in &asked {
                if let Some(position) = self.positions.get_mut(partition) {
                    position.is_fetching = true;
                }
            }
            self.busy.insert(broker);
            let request = self.request(&asked);
            let client = self.client.clone();
            let max_wait = self.config.max_wait;
            self.fetches.push(Box::pin(async move {
                let result = fetch(&client, broker, &request, max_wait).await;
                FetchDone { broker, asked, result }
            }));
        }
        Ok(())
    }

    fn request(&self, asked: &[(Arc<TopicPartition>, Offset)]) -> FetchRequest {
        let metadata = self.client.metadata();
        let partitions = asked.iter().map(|(at, next)| {
            let known = metadata.partition(&at.topic, at.partition);
            let epoch = known.and_then(|known| known.leader_epoch);
            let partition = FetchPartition {
                partition: at.partition,
                current_leader_epoch: LeaderEpoch::to_wire(epoch),
                fetch_offset: next.0,
                partition_max_bytes: self.config.max_partition_bytes,
                ..FetchPartition::default()
            };
            (&**at, partition)
        });
        let topics = by_topic(partitions).into_iter().map(|(topic, partitions)| FetchTopic {
            topic: topic.into(),
            partitions,
            ..FetchTopic::default()
        });
        FetchRequest {
            max_wait_ms: millis(self.config.max_wait),
            min_bytes: self.config.min_bytes,
            max_bytes: self.config.max_bytes,
            topics: topics.collect(),
            ..FetchRequest::default()
        }
    }

    /// Takes in an answer: moves positions, returns the batches and the first failure. No await, so that a cancelled poll loses nothing.
    fn take_in(&mut self, done: FetchDone) -> (Vec<FetchedBatches>, Option<Error>) {
        self.busy.remove(&done.broker);
        for (partition, _) in &done.asked {
            if let Some(position) = self.positions.get_mut(partition) {
                position.is_fetching = false;
            }
        }
        let response = match done.result {
            Ok(response) => response,
            Err(error) => return (Vec::new(), Some(error.into())),
        };
        if let Err(failure) = Error::check("fetch", response.error_code, None) {
            return (Vec::new(), Some(failure));
        }
        let mut fetched = Vec::new();
        let mut failure = None;
        for topic in &response.responses {
            for data in &topic.partitions {
                let asked = done.asked.iter().find(|(partition, _)| {
                    partition.partition == data.partition_index && topic.topic == partition.topic
                });
                let Some((partition, from)) = asked else { continue };
                match self.take_partition(partition, *from, data) {
                    Ok(batches) => fetched.extend(batches),
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
        }
        (fetched, failure)
    }

    fn take_partition(
        &mut self,
        partition: &Arc<TopicPartition>,
        from: Offset,
        data: &PartitionData,
    ) -> Result<Option<FetchedBatches>, Error> {
        let Some(position) = self.positions.get_mut(partition) else { return Ok(None) };
        if position.next != from {
            return Ok(None);
        }
        Error::check(partition.to_string(), data.error_code, None)?;
        let high_watermark = Offset(data.high_watermark.max(0));
        position.high_watermark = Some(high_watermark);
        let bytes = data.records.clone().unwrap_or_default();
        let mut batches = Batches::with_partial_tail(&bytes);
        let mut next = from;
        for batch in &mut batches {
            let batch = batch.map_err(|problem| Error::Records {
                subject: format!("{partition} at offset {next}"),
                problem: problem.to_string(),
            })?;
            next = next.max(batch.header.next_offset());
        }
        let end = batches.position();
        if end == 0 {
            return Ok(None);
        }
        position.next = next;
        Ok(Some(FetchedBatches {
            partition: partition.clone(),
            from,
            next,
            high_watermark,
            bytes: bytes.slice(..end),
        }))
    }

    /// Does what a failure asks for, and returns it when it is final.
    async fn recover(&mut self, failure: Error) -> Result<(), Error> {
        let time = self.client.config().api_timeout;
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if failure.code() == Some(ErrorCode::OffsetOutOfRange) {
            return self.reset_offsets(failure).await;
        }
        if !failure.is_retriable() {
            return Err(failure);
        }
        if since.elapsed() >= time {
            return Err(Error::GaveUp { after: time, last: Box::new(failure) });
        }
        tokio::time::sleep(self.client.config().retry_backoff).await;
        let topics: BTreeSet<_> = self.positions.keys().map(|at| at.topic.clone()).collect();
        let topics: Vec<_> = topics.into_iter().collect();
        match self.client.refresh_metadata(Topics::Named(&topics)).await {
            Err(error) if !error.is_retriable() => Err(error),
            _ => Ok(()),
        }
    }

    /// Moves every partition whose position its log does not hold.
    async fn reset_offsets(&mut self, failure: Error) -> Result<(), Error> {
        let at = match self.config.offset_reset {
            OffsetReset::Fail => return Err(failure),
            OffsetReset::Earliest => OffsetAt::Earliest,
            OffsetReset::Latest => OffsetAt::Latest,
        };
        let partitions: Vec<_> = self.positions.keys().cloned().collect();
        for partition in partitions {
            let earliest = self.offset_at(&partition, OffsetAt::Earliest).await?;
            let latest = self.offset_at(&partition, OffsetAt::Latest).await?;
            let wanted = if at == OffsetAt::Earliest { earliest } else { latest };
            if let Some(position) = self.positions.get_mut(&partition)
                && (position.next < earliest || position.next > latest)
            {
                position.next = wanted;
            }
        }
        Ok(())
    }

    async fn offset_at(&self, partition: &TopicPartition, at: OffsetAt) -> Result<Offset, Error> {
        match self.client.list_offset(partition, at).await? {
            Some(offset) => Ok(offset),
            None => {
                let end = self.client.list_offset(partition, OffsetAt::Latest).await?;
                Ok(end.unwrap_or(Offset::ZERO))
            }
        }
    }
}

impl FetchedBatches {
    /// Reads the records into `records`: checks checksums, inflates each batch to at most `max_decompressed_bytes`, leaves out control records and those before
    /// the offset that was asked for.
    ///
    /// # Errors
    /// [`Error::Records`].
    pub fn decode_into(
        &self,
        max_decompressed_bytes: usize,
        records: &mut Vec<ConsumedRecord>,
    ) -> Result<(), Error> {
        for batch in Batches::whole(&self.bytes) {
            let damaged = |offset: Offset, problem: String| Error::Records {
                subject: format!("{} at offset {offset}", self.partition),
                problem,
            };
            let batch = batch.map_err(|problem| damaged(self.from, problem.to_string()))?;
            let header = batch.header;
            let damaged = |problem: String| damaged(header.base_offset, problem);
            verify_crc(batch.bytes).map_err(|problem| damaged(problem.to_string()))?;
            if header.is_control() {
                continue;
            }
            let data = Records::of(batch, max_decompressed_bytes)
                .map_err(|problem| damaged(with_source(&problem)))?
                .into_data();
            let data = match data {
                std::borrow::Cow::Borrowed(section) => self.bytes.slice_ref(section),
                std::borrow::Cow::Owned(section) => Bytes::from(section),
            };
            for record in RecordIter::new(header, &data) {
                let record = record.map_err(|problem| damaged(problem.to_string()))?;
                if record.offset < self.from {
                    continue;
                }
                let slice = |part: &[u8]| data.slice_ref(part);
                records.push(ConsumedRecord {
                    partition: self.partition.clone(),
                    offset: record.offset,
                    timestamp: record.timestamp,
                    timestamp_type: header.timestamp_type(),
                    key: record.key.map(slice),
                    value: record.value.map(slice),
                    headers: record
                        .headers
                        .map(|header| (slice(header.key), header.value.map(slice)))
                        .collect(),
                });
            }
        }
        Ok(())
    }
}

async fn fetch(
    client: &Client,
    broker: BrokerId,
    request: &FetchRequest,
    max_wait: Duration,
) -> Result<FetchResponse, RequestError> {
    let connection = client.connection(broker).await?;
    connection.submit(request, max_wait).await?.response().await
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
