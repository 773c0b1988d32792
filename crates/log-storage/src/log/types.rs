//! What goes into a log's operations and what comes out.
//!
//! Owns plain values only.

use std::sync::Arc;

use model::{LeaderEpoch, Offset, UnixMillis};

use crate::checkpoint_files::PartitionCheckpoint;
use crate::config::LogConfig;
use crate::error::FatalHandler;
use crate::file_system::DiskReserve;

/// Counts the truncations of one opened log, from 0. What began in an older generation (a flush, a read) is void in a newer one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TruncationGeneration(pub u64);

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Sizes, times and limits.
    pub config: LogConfig,
    /// The partition's entries in the checkpoint files: where recovery begins, and what the log keeps up to date.
    pub checkpoint: PartitionCheckpoint,
    /// Whether idempotent producers are tracked: yes for a topic, no for a Raft log.
    pub producers: ProducerTracking,
    /// Stops appends when the file system runs full; `None` for a log that lives on the reserve (the Raft log).
    pub reserve: Option<Arc<DiskReserve>>,
    /// Hears of the first fatal error.
    pub fatal: FatalHandler,
    /// The wall clock's time; producers that are met in recovery count as active then.
    pub now: UnixMillis,
}

/// Whether a log keeps the state of idempotent producers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProducerTracking {
    /// Sequences are checked and kept.
    Tracked,
    /// Producer fields are ignored.
    Untracked,
}

/// Who made the batch of a leader's append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A client: every rule for client batches holds.
    Client,
    /// A coordinator of this broker: control batches are allowed, and sequences are not checked for them.
    Coordinator,
}

/// The circumstances of a leader's append.
#[derive(Clone, Copy, Debug)]
pub struct LeaderAppend {
    /// The leader's epoch, written into the batch; at least the log's latest.
    pub leader_epoch: LeaderEpoch,
    /// The wall clock's time.
    pub now: UnixMillis,
    /// Who made the batch.
    pub origin: AppendOrigin,
}

/// The circumstances of a follower's append.
#[derive(Clone, Copy, Debug)]
pub struct FollowerAppend {
    /// Epoch of the stream that brought the batches: none may have a later one (KAFKA-18723).
    pub leader_epoch: LeaderEpoch,
    /// The wall clock's time.
    pub now: UnixMillis,
}

/// Outcome of a leader's append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The batch is in the page cache.
    Appended(Appended),
    /// The producer sent a batch again that the log has: nothing was written, the answer is that of the first time.
    Duplicate(Duplicate),
}

/// What an append wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// Bytes written.
    pub size_bytes: usize,
    /// The time that the broker set, when `message.timestamp.type` is `LogAppendTime`.
    pub log_append_time: Option<UnixMillis>,
    /// Whether the log wants to be flushed now, by `flush.messages` or because a segment was closed.
    pub flush: FlushWish,
}

/// Where the first copy of a duplicate lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Offset of the first record of the original.
    pub base_offset: Offset,
    /// Offset of the last record of the original: what a waiter waits for (design 3b.4).
    pub last_offset: Offset,
    /// The time that the broker set then, when `message.timestamp.type` was `LogAppendTime`.
    pub log_append_time: Option<UnixMillis>,
}

/// Whether a log wants to be marked at its flusher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushWish {
    /// At once.
    Now,
    /// Not for this append; `flush.ms` may ask for it later.
    Later,
}

/// A read of whole batches.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    /// Offset of the first record that is wanted; the batch that holds it may begin before.
    pub from: Offset,
    /// Only batches whose every offset lies below are returned: the high watermark, the last stable offset or the published log end.
    pub upper_bound: Offset,
    /// Limit of the answer's size in bytes.
    pub max_bytes: usize,
    /// What happens when the first batch alone exceeds the limit.
    pub minimum: Minimum,
}

/// What a read returns when the first batch alone exceeds its limit (KIP-74).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minimum {
    /// That batch, so that the reader makes progress.
    OneBatch,
    /// Nothing.
    Nothing,
}

/// What a lookup by time asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampQuery {
    /// The first record, in offset order, whose timestamp is this or later.
    AtLeast(UnixMillis),
    /// The first record that has the greatest timestamp of the log (ListOffsets −3).
    Latest,
}

/// The record that a lookup by time found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampAndOffset {
    /// The record's timestamp.
    pub timestamp: UnixMillis,
    /// Its offset.
    pub offset: Offset,
    /// Leader epoch of its batch.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// What recovery found when a log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Where the scan began: the persisted flush point.
    pub scanned_from: Offset,
    /// Bytes that were read and checked.
    pub scanned_bytes: u64,
    /// Bytes above the flush point that were no whole, intact batches and were cut.
    pub cut_bytes: u64,
    /// The high watermark of the checkpoint, which is at most what this disk had flushed then. A log that ends below it lost data (design 3a.7).
    pub high_watermark: Offset,
    /// Corruption below the flush point; the log is open for reading below it and takes no appends until it is truncated or restarted.
    pub corruption: Option<Corruption>,
}

/// Damage to bytes that had been flushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// First offset that is not intact; the log end offset is lowered to it in memory, nothing is cut on disk.
    pub offset: Offset,
    /// What was found where.
    pub reason: String,
}

/// The producer state at the start of a new segment, waiting for the next checkpoint to write it.
#[derive(Clone, Debug)]
pub(crate) struct PendingSnapshot {
    pub(crate) offset: Offset,
    pub(crate) bytes: Vec<u8>,
}
