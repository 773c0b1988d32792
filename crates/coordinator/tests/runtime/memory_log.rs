//! The offsets topic in memory: a log that several coordinators can be pointed at, whose replication a test holds and releases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use coordinator::group::ids::TopicIdentity;
use coordinator::runtime::{
    Leadership, LogRange, PartitionWriter, ReadError, TransactionOrigin, TransactionWriteError,
    WriteError,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use model::record_batch::{Batches, set_base_offset, set_leader_epoch};
use model::{ErrorCode, LeaderEpoch, Offset, TopicId};
use tokio::sync::watch;
use uuid::Uuid;

/// All partitions. Each is empty, and led in no epoch, until it is told otherwise.
#[derive(Debug)]
pub(crate) struct MemoryLog {
    partitions: Arc<Mutex<BTreeMap<i32, Partition>>>,
    unknown_topics: Mutex<BTreeSet<TopicIdentity>>,
    /// No partition is there yet.
    is_unmade: watch::Sender<bool>,
    /// Wakes whoever waits for a commit.
    changed: Arc<watch::Sender<()>>,
}

#[derive(Debug, Default)]
struct Partition {
    /// How often the topic was created anew.
    topic: u128,
    leader_epoch: Option<LeaderEpoch>,
    log_start_offset: Offset,
    log_end_offset: Offset,
    high_watermark: Offset,
    batches: Vec<Batch>,
    replication: Replication,
    /// What `admits` answers.
    refusal: Option<WriteError>,
    /// What the next append answers.
    next_failure: Option<WriteError>,
    /// How the next batch of a transaction is refused.
    next_code: Option<ErrorCode>,
    /// What was told beside each batch of a transaction.
    origins: Vec<TransactionOrigin>,
    /// `max.message.bytes`.
    max_batch_bytes: Option<usize>,
}

#[derive(Clone, Debug)]
struct Batch {
    base_offset: Offset,
    end_offset: Offset,
    bytes: Bytes,
}

/// Whether what is appended is committed at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Replication {
    #[default]
    Immediate,
    Held,
}

impl MemoryLog {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            partitions: Arc::default(),
            unknown_topics: Mutex::default(),
            is_unmade: watch::Sender::new(false),
            changed: Arc::new(watch::Sender::new(())),
        })
    }

    /// Elects a leader: from now on only that epoch writes and reads.
    pub(crate) fn elect(&self, partition: i32, leader_epoch: i32) -> Leadership {
        let leader_epoch = LeaderEpoch(leader_epoch);
        self.change(partition, |log| log.leader_epoch = Some(leader_epoch));
        self.leadership(partition, leader_epoch.0)
    }

    /// Names a leadership that the log has not heard of.
    pub(crate) fn leadership(&self, partition: i32, leader_epoch: i32) -> Leadership {
        let topic_id = self.lock().entry(partition).or_default().topic_id();
        Leadership { topic_id, partition, leader_epoch: LeaderEpoch(leader_epoch) }
    }

    /// Deletes the topic and creates it anew: its log is empty and led in no epoch.
    pub(crate) fn create_anew(&self, partition: i32) {
        self.change(partition, |log| {
            *log = Partition { topic: log.topic + 1, ..Partition::default() };
        });
    }

    /// Lets the log take no larger batches from now on.
    pub(crate) fn set_max_batch_bytes(&self, partition: i32, max_batch_bytes: usize) {
        self.change(partition, |log| log.max_batch_bytes = Some(max_batch_bytes));
    }

    /// Holds or releases replication; released, everything is committed.
    pub(crate) fn set_replication(&self, partition: i32, replication: Replication) {
        self.change(partition, |log| {
            log.replication = replication;
            if replication == Replication::Immediate {
                log.high_watermark = log.log_end_offset;
            }
        });
    }

    /// Makes the partition refuse writes before they happen, or take them again.
    pub(crate) fn set_refusal(&self, partition: i32, refusal: Option<WriteError>) {
        self.change(partition, |log| log.refusal = refusal);
    }

    /// Makes the next append fail.
    pub(crate) fn fail_next_append(&self, partition: i32, error: WriteError) {
        self.change(partition, |log| log.next_failure = Some(error));
    }

    /// Makes the log refuse the next batch of a transaction.
    pub(crate) fn refuse_next_of_transaction(&self, partition: i32, code: ErrorCode) {
        self.change(partition, |log| log.next_code = Some(code));
    }

    /// Returns what was told beside each batch of a transaction.
    pub(crate) fn origins(&self, partition: i32) -> Vec<TransactionOrigin> {
        self.lock().entry(partition).or_default().origins.clone()
    }

    /// Lets the partitions be in the making, or be there.
    pub(crate) fn set_unmade(&self, is_unmade: bool) {
        self.is_unmade.send_replace(is_unmade);
    }

    /// Takes a topic out of the metadata.
    pub(crate) fn forget_topic(&self, topic: TopicIdentity) {
        self.unknown_topics.lock().unwrap().insert(topic);
    }

    /// Puts a topic back into the metadata.
    pub(crate) fn learn_topic(&self, topic: &TopicIdentity) {
        self.unknown_topics.lock().unwrap().remove(topic);
    }

    /// Cuts what is not committed, as an election of another replica may.
    pub(crate) fn truncate(&self, partition: i32) {
        self.change(partition, |log| log.cut_back(log.high_watermark));
    }

    /// Takes back what a test damaged.
    pub(crate) fn cut_back(&self, partition: i32, end_offset: Offset) {
        self.change(partition, |log| log.cut_back(end_offset));
    }

    pub(crate) fn range(&self, partition: i32) -> LogRange {
        self.lock().entry(partition).or_default().range()
    }

    /// From the log start to the log end.
    pub(crate) fn size_bytes(&self, partition: i32) -> usize {
        let mut partitions = self.lock();
        partitions.entry(partition).or_default().batches.iter().map(|batch| batch.bytes.len()).sum()
    }

    /// Appends a batch that no coordinator made.
    pub(crate) fn append_raw(&self, partition: i32, mut batch: Vec<u8>) {
        self.change(partition, |log| log.append(LeaderEpoch(0), &mut batch));
    }

    fn change(&self, partition: i32, change: impl FnOnce(&mut Partition)) {
        change(self.lock().entry(partition).or_default());
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Partition>> {
        self.partitions.lock().unwrap()
    }
}

impl Partition {
    fn is_led(&self, leadership: Leadership) -> bool {
        self.topic_id() == leadership.topic_id && self.leader_epoch == Some(leadership.leader_epoch)
    }

    fn topic_id(&self) -> TopicId {
        TopicId(Uuid::from_u128(1 + self.topic))
    }

    fn range(&self) -> LogRange {
        LogRange { log_start_offset: self.log_start_offset, log_end_offset: self.log_end_offset }
    }

    fn cut_back(&mut self, end_offset: Offset) {
        self.batches.retain(|batch| batch.end_offset <= end_offset);
        self.log_end_offset = end_offset;
        self.high_watermark = self.high_watermark.min(end_offset);
    }

    fn append(&mut self, leader_epoch: LeaderEpoch, batch: &mut [u8]) {
        set_base_offset(batch, self.log_end_offset);
        set_leader_epoch(batch, leader_epoch);
        let end_offset =
            Batches::whole(batch).map(|batch| batch.unwrap().header.next_offset()).last().unwrap();
        self.batches.push(Batch {
            base_offset: self.log_end_offset,
            end_offset,
            bytes: Bytes::copy_from_slice(batch),
        });
        self.log_end_offset = end_offset;
        if self.replication == Replication::Immediate {
            self.high_watermark = end_offset;
        }
    }

    /// Says whether a commit is decided.
    fn committed(
        &self,
        leadership: Leadership,
        end_offset: Offset,
    ) -> Option<Result<(), WriteError>> {
        if !self.is_led(leadership) {
            return Some(Err(WriteError::NotLeader));
        }
        if end_offset > self.high_watermark {
            return None;
        }
        // As a produce request is answered: too few replicas are in sync now, whatever was before.
        let is_refused = self.refusal == Some(WriteError::NotEnoughReplicas);
        Some(if is_refused { Err(WriteError::NotEnoughReplicas) } else { Ok(()) })
    }

    fn read(&self, from: Offset, max_bytes: usize) -> Result<Bytes, ReadError> {
        if from < self.log_start_offset || from > self.log_end_offset {
            return Err(ReadError::OutOfRange);
        }
        let first = self.batches.partition_point(|batch| batch.end_offset <= from);
        let mut bytes = Vec::new();
        for batch in &self.batches[first..] {
            let fits = bytes.is_empty() || bytes.len() + batch.bytes.len() <= max_bytes;
            if !fits || batch.end_offset > self.high_watermark {
                break;
            }
            bytes.extend_from_slice(&batch.bytes);
        }
        Ok(bytes.into())
    }
}

impl PartitionWriter for MemoryLog {
    fn made(&self, _leadership: Leadership) -> BoxFuture<'static, ()> {
        let mut is_unmade = self.is_unmade.subscribe();
        async move {
            // A log that goes away has nobody left who waits for it.
            let _ = is_unmade.wait_for(|is_unmade| !is_unmade).await;
        }
        .boxed()
    }

    fn admits(&self, leadership: Leadership) -> Result<(), WriteError> {
        let mut partitions = self.lock();
        let log = partitions.entry(leadership.partition).or_default();
        if !log.is_led(leadership) {
            return Err(WriteError::NotLeader);
        }
        log.refusal.map_or(Ok(()), Err)
    }

    fn append(&self, leadership: Leadership, batch: &mut [u8]) -> Result<Offset, WriteError> {
        let end_offset = {
            let mut partitions = self.lock();
            let log = partitions.entry(leadership.partition).or_default();
            if !log.is_led(leadership) {
                return Err(WriteError::NotLeader);
            }
            if let Some(error) = log.next_failure.take() {
                return Err(error);
            }
            if log.max_batch_bytes.is_some_and(|max| batch.len() > max) {
                return Err(WriteError::TooLarge);
            }
            log.append(leadership.leader_epoch, batch);
            log.log_end_offset
        };
        self.changed.send_replace(());
        Ok(end_offset)
    }

    fn append_of_transaction(
        &self,
        leadership: Leadership,
        batch: &mut [u8],
        origin: TransactionOrigin,
    ) -> Result<Offset, TransactionWriteError> {
        let code = {
            let mut partitions = self.lock();
            let log = partitions.entry(leadership.partition).or_default();
            log.origins.push(origin);
            log.next_code.take()
        };
        match code {
            Some(code) => Err(TransactionWriteError::Refused(code)),
            None => Ok(self.append(leadership, batch)?),
        }
    }

    fn committed(
        &self,
        leadership: Leadership,
        end_offset: Offset,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<(), WriteError>> {
        let partitions = Arc::clone(&self.partitions);
        let mut changes = self.changed.subscribe();
        let wait = async move {
            loop {
                changes.mark_unchanged();
                let result = partitions
                    .lock()
                    .unwrap()
                    .get(&leadership.partition)
                    .and_then(|log| log.committed(leadership, end_offset));
                if let Some(result) = result {
                    return result;
                }
                if changes.changed().await.is_err() {
                    return Err(WriteError::NotLeader);
                }
            }
        };
        async move { tokio::time::timeout(timeout, wait).await.unwrap_or(Err(WriteError::TimedOut)) }
            .boxed()
    }

    fn high_watermark(&self, leadership: Leadership) -> Option<Offset> {
        let partitions = self.lock();
        let log = partitions.get(&leadership.partition)?;
        log.is_led(leadership).then_some(log.high_watermark)
    }

    fn log_range(&self, leadership: Leadership) -> Result<LogRange, ReadError> {
        let mut partitions = self.lock();
        let log = partitions.entry(leadership.partition).or_default();
        let is_led = log.is_led(leadership) && !*self.is_unmade.borrow();
        if is_led { Ok(log.range()) } else { Err(ReadError::NotLeader) }
    }

    fn read(
        &self,
        leadership: Leadership,
        from: Offset,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<Bytes, ReadError>> {
        let mut partitions = self.lock();
        let log = partitions.entry(leadership.partition).or_default();
        let result = if log.is_led(leadership) {
            log.read(from, max_bytes)
        } else {
            Err(ReadError::NotLeader)
        };
        // As a read that had to wait for the disk: the caller is polled again.
        async move {
            tokio::task::yield_now().await;
            result
        }
        .boxed()
    }

    fn trim(&self, leadership: Leadership, before: Offset) -> Result<(), WriteError> {
        let mut partitions = self.lock();
        let log = partitions.entry(leadership.partition).or_default();
        if !log.is_led(leadership) {
            return Err(WriteError::NotLeader);
        }
        assert!(before <= log.high_watermark, "what is not committed is never cut");
        log.log_start_offset = log.log_start_offset.max(before);
        log.batches.retain(|batch| batch.end_offset > before);
        assert!(log.batches.first().is_none_or(|batch| batch.base_offset >= before));
        Ok(())
    }

    fn topic_exists(&self, topic: &TopicIdentity) -> bool {
        !self.unknown_topics.lock().unwrap().contains(topic)
    }
}
