//! Reads assigned partitions, without groups: the caller says which partitions and from where.
//!
//! One fetch per leading broker is under way while the caller works on what came before, and none beyond: memory is bounded by
//! `fetch.max.bytes` for each broker, twice. There is no task; [`Consumer::poll_batches`] drives everything.

mod fetch;
mod records;

#[cfg(test)]
mod isolation_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use model::record_batch::Batches;
use model::{BrokerId, ErrorCode, Offset, TopicPartition};
use protocol::messages::fetch::PartitionData;

use self::fetch::{Asked, FetchDone, fetch};
use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::Error;
use crate::metadata::Topics;
use crate::partition_offsets::OffsetAt;

pub use records::{ConsumedRecord, FetchedBatches};

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
    /// `isolation.level`: whether records of transactions that are open or aborted are read too. They are, by default.
    pub isolation_level: IsolationLevel,
}

/// What a reader sees of transactions (Kafka's `isolation.level`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IsolationLevel {
    /// All records.
    #[default]
    ReadUncommitted,
    /// No record of an aborted transaction, and none from the first open one on.
    ReadCommitted,
}

impl IsolationLevel {
    pub(crate) fn to_wire(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }

    /// Returns the end of a partition for such a reader.
    #[must_use]
    pub fn end(self) -> OffsetAt {
        match self {
            Self::ReadUncommitted => OffsetAt::Latest,
            Self::ReadCommitted => OffsetAt::LastStable,
        }
    }
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
    /// A failure that [`Consumer::poll`] has not returned yet, because there were records to return before it.
    damaged: Option<Error>,
    /// The attempts since the last answer.
    failing: Option<Backoff>,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    next: Offset,
    high_watermark: Option<Offset>,
    is_fetching: bool,
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
            isolation_level: IsolationLevel::ReadUncommitted,
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
            damaged: None,
            failing: None,
        }
    }

    /// Adds a partition, or moves to another place in it.
    ///
    /// # Errors
    /// [`Error`] of the question for the offset.
    pub async fn assign(&mut self, partition: TopicPartition, start: Start) -> Result<(), Error> {
        let next = match start {
            Start::Offset(offset) => offset,
            Start::At(OffsetAt::Latest) => {
                self.offset_at(&partition, self.config.isolation_level.end()).await?
            }
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
    pub(crate) fn unassign(&mut self, partition: &TopicPartition) {
        self.positions.remove(partition);
        self.drop_ready(partition);
    }

    /// Says whether there is a partition to read.
    #[must_use]
    pub(crate) fn has_partitions(&self) -> bool {
        !self.positions.is_empty()
    }

    /// Drops what a poll that was cancelled has left of a partition.
    fn drop_ready(&mut self, partition: &TopicPartition) {
        self.ready.retain(|batches| *batches.partition != *partition);
        // Damage elsewhere is found again, since no position passes it.
        self.damaged = None;
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
    /// As [`Consumer::poll_batches`], and [`Error::Records`] for records that are damaged: the position stays before their batches.
    pub async fn poll(&mut self) -> Result<Vec<ConsumedRecord>, Error> {
        if let Some(failure) = self.damaged.take() {
            return Err(failure);
        }
        let fetched = self.poll_batches().await?;
        let mut records = Vec::new();
        for batches in &fetched {
            let count = records.len();
            if let Err(failure) =
                batches.decode_into(self.config.max_decompressed_bytes, &mut records)
            {
                // What is not returned must not be behind us: whoever commits positions would skip it.
                records.truncate(count);
                self.move_back(batches);
                self.damaged.get_or_insert(failure);
            }
        }
        match self.damaged.take_if(|_| records.is_empty()) {
            Some(failure) => Err(failure),
            None => Ok(records),
        }
    }

    /// Moves to where batches begin, if the partition is still behind them.
    fn move_back(&mut self, batches: &FetchedBatches) {
        if let Some(position) = self.positions.get_mut(&batches.partition)
            && position.next == batches.next
        {
            // A fetch from behind them that is under way is ignored when it comes.
            position.next = batches.from;
        }
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
                    self.failing = None;
                    return Ok(Vec::new());
                }
                None => self.failing = None,
            }
        }
    }

    /// Starts a fetch to every leader that has none under way.
    async fn start_fetches(&mut self) -> Result<(), Error> {
        let mut leaders = BTreeMap::<BrokerId, Asked>::new();
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
            self.fetches.push(fetch(&self.client, &self.config, broker, asked));
        }
        Ok(())
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
            aborted: records::aborted(self.config.isolation_level, data),
        }))
    }

    /// Does what a failure asks for, and returns it when it is final.
    async fn recover(&mut self, failure: Error) -> Result<(), Error> {
        if failure.code() == Some(ErrorCode::OffsetOutOfRange) {
            return self.reset_offsets(failure).await;
        }
        if !failure.is_retriable() {
            return Err(failure);
        }
        let config = self.client.config();
        // The wait does not grow: a reader is to be there as soon as a new leader is.
        let steady = || Backoff::steady(config.retry_backoff, config.api_timeout);
        self.failing.get_or_insert_with(steady).after(failure).await?;
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
            OffsetReset::Latest => self.config.isolation_level.end(),
        };
        let partitions: Vec<_> = self.positions.keys().cloned().collect();
        for partition in partitions {
            let earliest = self.offset_at(&partition, OffsetAt::Earliest).await?;
            let latest = self.offset_at(&partition, OffsetAt::Latest).await?;
            let wanted = match at {
                OffsetAt::Earliest => earliest,
                OffsetAt::Latest => latest,
                at => self.offset_at(&partition, at).await?,
            };
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
