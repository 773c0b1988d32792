//! A coordinator's view of its log: the partitions of its topic that this broker leads.
//!
//! One trait, implemented by the broker over its replicas and by tests in memory. It knows bytes and offsets; what the records say is the machine's.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use model::{ErrorCode, LeaderEpoch, Offset, TopicId};

use crate::group::ids::TopicIdentity;
use crate::group::request::VerificationGuard;

/// One leadership of one partition of a coordinator's topic. Whatever is done under an older one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leadership {
    /// Which topic the partition belongs to: one that was deleted and created anew begins its leader epochs at 0 again.
    pub topic_id: TopicId,
    /// Number of the partition.
    pub partition: i32,
    /// Epoch in which this broker was elected.
    pub leader_epoch: LeaderEpoch,
}

impl Leadership {
    /// Says whether both are of one and the same partition.
    pub(super) fn is_of_same_partition(&self, other: &Self) -> bool {
        (self.topic_id, self.partition) == (other.topic_id, other.partition)
    }
}

impl fmt::Display for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} in leader epoch {}", self.partition, self.leader_epoch)
    }
}

/// What a partition's log holds at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// The first offset that is kept.
    pub log_start_offset: Offset,
    /// The next offset to be written.
    pub log_end_offset: Offset,
}

/// Why nothing was written, or what was written is not known to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// This broker does not lead the partition, or not in that epoch.
    #[error("this broker does not lead the partition in that epoch")]
    NotLeader,
    /// Fewer in-sync replicas than `min.insync.replicas`.
    #[error("fewer in-sync replicas than min.insync.replicas")]
    NotEnoughReplicas,
    /// Not committed in time. It may still be.
    #[error("not committed in time")]
    TimedOut,
    /// The batch is larger than the log takes.
    #[error("the batch is larger than the log takes")]
    TooLarge,
    /// The log cannot be written.
    #[error("the log cannot be written")]
    Storage,
}

/// What a batch of a transaction is to the log, beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionOrigin {
    /// Offsets that a producer commits, with what the log gave to whoever verified the transaction, if it did.
    Offsets(Option<VerificationGuard>),
    /// The marker that a transaction's coordinator wants written.
    Marker {
        /// Kafka's `transaction.version` of the transaction: with 2 the marker's epoch is above the transaction's.
        transaction_version: i16,
    },
}

/// Why a batch of a transaction was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionWriteError {
    /// As for any batch.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The log does not take it from this producer, or for this transaction: nothing was written, and the code says why.
    #[error("the log does not take a batch of this transaction: {0}")]
    Refused(ErrorCode),
}

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// This broker does not lead the partition (yet), or not in that epoch.
    #[error("this broker does not lead the partition in that epoch")]
    NotLeader,
    /// The offset is not in the log any more.
    #[error("the offset is not in the log")]
    OutOfRange,
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Storage,
}

/// The log of one kind of coordinator: its topic's partitions on this broker.
///
/// Calls that return no future are made under a shard's lock and never block: a shard's lock comes before its partition's. Nothing calls back from in there.
pub trait PartitionWriter: fmt::Debug + Send + Sync + 'static {
    /// Waits until this broker's replica of the partition is there: a new topic's is still being made when its coordinator is elected. For the caller to end: one that is gone never comes.
    fn made(&self, leadership: Leadership) -> BoxFuture<'static, ()>;

    /// Says whether the partition takes writes now: this broker leads it in that epoch and enough replicas are in sync. Cheap; asked before each step that may write.
    ///
    /// # Errors
    /// [`WriteError::NotLeader`], [`WriteError::NotEnoughReplicas`], [`WriteError::Storage`].
    fn admits(&self, leadership: Leadership) -> Result<(), WriteError>;

    /// Appends one batch on the calling thread and returns the offset behind its last record. The log writes base offset and leader epoch in place.
    ///
    /// It does not count in-sync replicas again: [`PartitionWriter::admits`] did, and a refusal here costs the whole shard its state.
    ///
    /// # Errors
    /// [`WriteError::NotLeader`] in any other epoch than the named one, so that a stale coordinator writes nothing; [`WriteError::TooLarge`]; [`WriteError::Storage`].
    fn append(&self, leadership: Leadership, batch: &mut [u8]) -> Result<Offset, WriteError>;

    /// Appends one batch of a transaction: as [`Self::append`], but the log looks at its producer.
    ///
    /// # Errors
    /// Those of [`Self::append`]; [`TransactionWriteError::Refused`] with INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE, TRANSACTION_COORDINATOR_FENCED or what else the log answers.
    fn append_of_transaction(
        &self,
        leadership: Leadership,
        batch: &mut [u8],
        origin: TransactionOrigin,
    ) -> Result<Offset, TransactionWriteError>;

    /// Waits until everything before `end_offset` is committed, for `timeout` at most. May be dropped.
    ///
    /// # Errors
    /// [`WriteError::TimedOut`]; [`WriteError::NotEnoughReplicas`] when too few were in sync at the end, even if the high watermark has passed it; [`WriteError::NotLeader`] as soon as the leadership is lost.
    fn committed(
        &self,
        leadership: Leadership,
        end_offset: Offset,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<(), WriteError>>;

    /// Returns the exclusive end of what is committed, while this broker leads in that epoch. Asked when a wait ended for want of replicas.
    fn high_watermark(&self, leadership: Leadership) -> Option<Offset>;

    /// Returns the log's ends, uncommitted records included.
    ///
    /// # Errors
    /// [`ReadError::NotLeader`], also before the replica has heard of its election; [`ReadError::Storage`].
    fn log_range(&self, leadership: Leadership) -> Result<LogRange, ReadError>;

    /// Reads whole batches from `from` on, at most about `max_bytes` of them (a first one that is larger comes whole), only what is committed. The first batch may begin
    /// before `from`. Empty at the high watermark.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn read(
        &self,
        leadership: Leadership,
        from: Offset,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<Bytes, ReadError>>;

    /// Moves the log start to `before`, which is committed. Replicas follow in their own time.
    ///
    /// # Errors
    /// [`WriteError::NotLeader`], [`WriteError::Storage`].
    fn trim(&self, leadership: Leadership, before: Offset) -> Result<(), WriteError>;

    /// Says whether this broker's metadata know a topic: one of that name with that id, or if none is named, with any. A shard that was loaded asks it for the topics of its committed
    /// offsets: what was deleted while nobody had it loaded.
    fn topic_exists(&self, topic: &TopicIdentity) -> bool;
}
