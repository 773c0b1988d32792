//! What can go wrong, one enum per operation.
//!
//! Owns the split between what a caller answers (bad batches, no room) and what ends the process ([`FatalError`], design 3a.13): a failed write
//! or sync is never tried again, because the kernel calls the lost pages clean.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::record_batch::{BatchError, ProducedBatchError};
use model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, UnixMillis};

use crate::producers::marker::InvalidMarker;

/// A failed write, sync, cut or rename: what the file holds is unknown, so the process ends.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation} of {} failed", path.display())]
pub struct FatalError {
    /// What was tried: a verb of the file system.
    pub operation: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: Arc<io::Error>,
}

impl FatalError {
    pub(crate) fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self { operation, path: path.to_owned(), source: Arc::new(source) }
    }
}

/// Called with the first fatal error, before it is returned; a server's handler prints one line and ends the process, a simulator's notes it.
#[derive(Clone)]
pub struct FatalHandler(Arc<dyn Fn(&FatalError) + Send + Sync>);

impl FatalHandler {
    /// Wraps the function to call.
    pub fn new(handle: impl Fn(&FatalError) + Send + Sync + 'static) -> Self {
        Self(Arc::new(handle))
    }

    /// A handler that does nothing: the errors are returned all the same.
    #[must_use]
    pub fn ignore() -> Self {
        Self::new(|_| {})
    }

    /// Reports an error.
    pub fn report(&self, error: &FatalError) {
        (self.0)(error);
    }
}

impl fmt::Debug for FatalHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FatalHandler")
    }
}

/// Why a leader's append wrote nothing.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// No intact batch of format 2 (`CORRUPT_MESSAGE`).
    #[error("the record batch is corrupt")]
    CorruptMessage(#[source] BatchError),
    /// A rule for batches of clients is broken (`INVALID_RECORD`).
    #[error("the record batch is invalid")]
    InvalidRecord(#[source] ProducedBatchError),
    /// The bytes are not exactly one batch (`INVALID_RECORD`, as Kafka since Produce 3).
    #[error(
        "{actual_bytes} bytes hold a batch of {batch_bytes} bytes; exactly one batch is expected"
    )]
    BatchCount {
        /// Size of the first batch.
        batch_bytes: usize,
        /// Size of what was given.
        actual_bytes: usize,
    },
    /// The batch exceeds `max.message.bytes` (`MESSAGE_TOO_LARGE`).
    #[error("the record batch has {size_bytes} bytes, max.message.bytes is {max_bytes}")]
    MessageTooLarge {
        /// The batch's size.
        size_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// The batch exceeds `segment.bytes` (`RECORD_LIST_TOO_LARGE`).
    #[error("the record batch has {size_bytes} bytes, segment.bytes is {max_bytes}")]
    RecordListTooLarge {
        /// The batch's size.
        size_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// A timestamp lies too far from the broker's clock (`INVALID_TIMESTAMP`).
    #[error("timestamp {} lies outside {} to {}", timestamp.0, earliest.0, latest.0)]
    InvalidTimestamp {
        /// The refused timestamp.
        timestamp: UnixMillis,
        /// Earliest legal one.
        earliest: UnixMillis,
        /// Latest legal one.
        latest: UnixMillis,
    },
    /// The batch does not follow the producer's last one (`OUT_OF_ORDER_SEQUENCE_NUMBER`).
    #[error("producer {producer_id}: sequence {sequence} does not follow {last_sequence:?}")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// First sequence of the refused batch.
        sequence: i32,
        /// Last sequence that was accepted in this epoch; `None` when the epoch is new.
        last_sequence: Option<i32>,
    },
    /// The producer was fenced by a later incarnation (`INVALID_PRODUCER_EPOCH`).
    #[error("producer {producer_id}: epoch {epoch} is older than {current}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// Epoch of the refused batch.
        epoch: ProducerEpoch,
        /// The producer's present epoch.
        current: ProducerEpoch,
    },
    /// A batch outside the transaction that is open, or of one that its coordinator was not asked about (`INVALID_TXN_STATE`).
    #[error("producer {producer_id}: {reason}")]
    InvalidTransactionState {
        /// The producer.
        producer_id: ProducerId,
        /// What is wrong.
        reason: &'static str,
    },
    /// The marker comes from a coordinator that has a successor (`TRANSACTION_COORDINATOR_FENCED`).
    #[error("producer {producer_id}: coordinator epoch {given} is older than {current}")]
    TransactionCoordinatorFenced {
        /// The producer.
        producer_id: ProducerId,
        /// The coordinator's epoch.
        given: i32,
        /// The latest epoch of a coordinator that wrote a marker.
        current: i32,
    },
    /// A control batch that holds no marker (`CORRUPT_MESSAGE`).
    #[error("the control batch cannot be read")]
    InvalidMarker(#[source] InvalidMarker),
    /// The leader epoch is older than one that the log has already seen (`FENCED_LEADER_EPOCH`).
    #[error("leader epoch {given} is older than the log's {last}")]
    FencedLeaderEpoch {
        /// The caller's epoch.
        given: LeaderEpoch,
        /// The log's latest epoch.
        last: LeaderEpoch,
    },
    /// The file system is full, or down to the reserve (`KAFKA_STORAGE_ERROR`); the log is as it was before.
    #[error("no room on the file system")]
    OutOfSpace(#[source] io::Error),
    /// A truncation is under way, or recovery found corruption and nobody has truncated yet (`KAFKA_STORAGE_ERROR`).
    #[error("the log takes no appends: {0}")]
    NotWritable(NotWritable),
    /// The process must end.
    #[error(transparent)]
    Fatal(#[from] FatalError),
}

/// Why a log takes no appends for the time being.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWritable {
    /// A truncation has begun and is not complete.
    #[error("it is being truncated")]
    Truncating,
    /// There is corruption below the recovery point; only truncation or a restart ends this state.
    #[error("it is corrupt from offset {0} on")]
    Corrupt(Offset),
    /// A write failed for good.
    #[error("a write failed")]
    Failed,
    /// Its directory is being deleted.
    #[error("it is being deleted")]
    Retired,
}

/// Why a follower's append stopped; what came before in the same call may have been appended, as the log end offset tells.
#[derive(Debug, thiserror::Error)]
pub enum FollowerAppendError {
    /// No intact batch: the stream or the leader's disk is damaged.
    #[error("the record batch is corrupt")]
    CorruptMessage(#[source] BatchError),
    /// The batch does not begin at the log's end.
    #[error("the batch begins at {actual}, the log ends at {expected}")]
    Gap {
        /// The log end offset.
        expected: Offset,
        /// The batch's base offset.
        actual: Offset,
    },
    /// The batch has no leader epoch, one above the stream's, or one below the log's latest (KAFKA-18723).
    #[error("the batch's leader epoch {actual:?} lies outside {lowest:?} to {highest}")]
    LeaderEpoch {
        /// The batch's epoch.
        actual: Option<LeaderEpoch>,
        /// Epoch of the last batch in the log.
        lowest: Option<LeaderEpoch>,
        /// Epoch of the stream.
        highest: LeaderEpoch,
    },
    /// The file system is full, or down to the reserve; nothing of the batches that did not fit is left.
    #[error("no room on the file system")]
    OutOfSpace(#[source] io::Error),
    /// A truncation is under way, or recovery found corruption and nobody has truncated yet.
    #[error("the log takes no appends: {0}")]
    NotWritable(NotWritable),
    /// The process must end.
    #[error(transparent)]
    Fatal(#[from] FatalError),
}

/// Why a read returned nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset lies outside of the log (`OFFSET_OUT_OF_RANGE`).
    #[error("offset {offset} lies outside {log_start_offset} to {log_end_offset}")]
    OffsetOutOfRange {
        /// The offset that was asked for.
        offset: Offset,
        /// First offset of the log.
        log_start_offset: Offset,
        /// The log end offset.
        log_end_offset: Offset,
    },
    /// The log was truncated or its head removed while the plan was executed: make a new plan.
    #[error("the log changed under the read")]
    Changed,
    /// Bytes below the log end are no batch, or not the one that should be there: corruption (design 3a.14).
    #[error("the log is corrupt at offset {offset}: {reason}")]
    Corrupt {
        /// First offset that cannot be read.
        offset: Offset,
        /// What was found.
        reason: String,
    },
    /// The device failed; below the flushed offset that is corruption too.
    #[error("reading {} failed", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why a log could not be opened. Corruption of its data is no reason: that is reported in the recovery.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system refused.
    #[error("{operation} of {} failed", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }
}
