//! Appending, as a leader and as a follower: what may be appended.
//!
//! Owns the rules, all of which are checked before the first byte is written. A leader's append that fails leaves the log as it was, but for errors that end the process.

use std::time::Duration;

use model::record_batch::{
    Batch, BatchError, BatchHeader, Batches, TimestampType, set_base_offset, set_leader_epoch,
    set_log_append_time, verify_crc,
};
use model::{LeaderEpoch, Offset, TransactionVersion, UnixMillis};

use super::Log;
use super::write::WriteError;
use crate::config::LogConfig;
use crate::error::{AppendError, FollowerAppendError};
use crate::mutation::{Mutation, is_active};
use crate::producers::marker::read_marker;
use crate::producers::state::Duplicate;
use crate::producers::verification::VerificationGuard;

/// The circumstances of a leader's append.
#[derive(Clone, Copy, Debug)]
pub struct LeaderAppend {
    /// The leader's epoch, written into the batch; at least the log's latest.
    pub leader_epoch: LeaderEpoch,
    /// The wall clock's time.
    pub now: UnixMillis,
    /// Who made the batch.
    pub origin: AppendOrigin,
    /// Proof that the batch's transaction was verified; needed for the first batch of a transaction in this log.
    pub verification: Option<VerificationGuard>,
}

/// Who made the batch of a leader's append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A client: every rule for client batches holds.
    Client,
    /// A coordinator of this broker: control batches are allowed, and sequences are not checked for them.
    Coordinator,
    /// The coordinator of a transaction of this version: the batch is the marker that ends it.
    TransactionMarker(TransactionVersion),
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

/// Whether a log wants to be marked at its flusher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushWish {
    /// At once.
    Now,
    /// Not for this append; `flush.ms` may ask for it later.
    Later,
}

impl Log {
    /// Appends one batch as the leader: checks it, checks it against what is known of its producer, writes base offset and leader epoch into it, and
    /// writes it to the page cache with one system call. Nothing is synced.
    ///
    /// # Errors
    /// Every variant of [`AppendError`]; the log is unchanged by all but [`AppendError::Fatal`].
    pub fn append_as_leader(
        &mut self,
        batch: &mut [u8],
        append: LeaderAppend,
    ) -> Result<AppendOutcome, AppendError> {
        self.writable.map_err(AppendError::NotWritable)?;
        if let Some(last) = self.epochs.latest().filter(|last| append.leader_epoch < *last) {
            return Err(AppendError::FencedLeaderEpoch { given: append.leader_epoch, last });
        }
        let mut header = check_batch(batch, &self.options.config, append)?;
        if let Some(duplicate) = self.check_producer(Batch { header, bytes: batch }, append)? {
            return Ok(AppendOutcome::Duplicate(duplicate));
        }
        let log_append_time = (self.options.config.timestamp_type == TimestampType::LogAppendTime)
            .then_some(append.now);
        if let Some(now) = log_append_time {
            set_log_append_time(batch, now).map_err(AppendError::CorruptMessage)?;
            header = BatchHeader::parse(batch).map_err(AppendError::CorruptMessage)?;
        }
        set_base_offset(batch, self.log_end_offset);
        set_leader_epoch(batch, append.leader_epoch);
        header.base_offset = self.log_end_offset;
        header.leader_epoch = Some(append.leader_epoch);
        self.write(batch, &[header], append.now).map_err(|error| match error {
            WriteError::OutOfSpace(error) => AppendError::OutOfSpace(error),
            WriteError::Fatal(error) => AppendError::Fatal(error),
        })?;
        Ok(AppendOutcome::Appended(Appended {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            size_bytes: batch.len(),
            log_append_time,
            flush: self.flush_wish(),
        }))
    }

    /// Appends whole batches as they are: their offsets continue the log, their epochs are at least the log's latest and at most the stream's.
    /// Nothing is synced. `None` when `batches` is empty.
    ///
    /// # Errors
    /// Every variant of [`FollowerAppendError`]. All batches are checked before the first is written.
    pub fn append_as_follower(
        &mut self,
        batches: &[u8],
        append: FollowerAppend,
    ) -> Result<Option<Appended>, FollowerAppendError> {
        self.writable.map_err(FollowerAppendError::NotWritable)?;
        let mut headers = self.check_follower_batches(batches, append.leader_epoch)?;
        if is_active(Mutation::FollowersForgetProducers) {
            headers.iter_mut().for_each(|header| header.producer = None);
        }
        let (Some(first), Some(last)) = (headers.first(), headers.last()) else {
            return Ok(None);
        };
        let outcome = (first.base_offset, last.last_offset());
        self.write(batches, &headers, append.now).map_err(|error| match error {
            WriteError::OutOfSpace(error) => FollowerAppendError::OutOfSpace(error),
            WriteError::Fatal(error) => FollowerAppendError::Fatal(error),
        })?;
        Ok(Some(Appended {
            base_offset: outcome.0,
            last_offset: outcome.1,
            size_bytes: batches.len(),
            log_append_time: None,
            flush: self.flush_wish(),
        }))
    }

    /// Checks a batch against what is known of its producer. `Some` says that the log has the batch already.
    fn check_producer(
        &self,
        batch: Batch<'_>,
        append: LeaderAppend,
    ) -> Result<Option<Duplicate>, AppendError> {
        let (header, guard) = (&batch.header, append.verification);
        let Some(producers) = &self.producers else {
            return Ok(None);
        };
        let version = match append.origin {
            AppendOrigin::Client if is_active(Mutation::SequencesUnchecked) => return Ok(None),
            AppendOrigin::Client => return producers.check_client(header, guard),
            AppendOrigin::Coordinator if !header.is_control() => {
                return producers.check_coordinators(header, guard).map(|()| None);
            }
            AppendOrigin::Coordinator => TransactionVersion::V0,
            AppendOrigin::TransactionMarker(version) => version,
        };
        if header.is_transactional() {
            let marker = read_marker(batch).map_err(AppendError::InvalidMarker)?;
            producers.check_marker(header, marker, version)?;
        }
        Ok(None)
    }

    fn check_follower_batches(
        &self,
        batches: &[u8],
        highest: LeaderEpoch,
    ) -> Result<Vec<BatchHeader>, FollowerAppendError> {
        let mut headers = Vec::new();
        let mut expected = self.log_end_offset;
        let mut lowest = self.epochs.latest();
        for batch in Batches::whole(batches) {
            let Batch { header, bytes } = batch.map_err(FollowerAppendError::CorruptMessage)?;
            verify_crc(bytes).map_err(FollowerAppendError::CorruptMessage)?;
            if header.base_offset != expected {
                return Err(FollowerAppendError::Gap { expected, actual: header.base_offset });
            }
            let actual = header.leader_epoch;
            if actual.is_none() || actual < lowest || actual > Some(highest) {
                return Err(FollowerAppendError::LeaderEpoch { actual, lowest, highest });
            }
            lowest = actual;
            expected = header.next_offset();
            headers.push(header);
        }
        Ok(headers)
    }

    fn flush_wish(&self) -> FlushWish {
        if self.unflushed.wants_flush(self.options.config.flush_messages) {
            FlushWish::Now
        } else {
            FlushWish::Later
        }
    }
}

/// Checks what can be told from the batch alone, in Kafka's order.
fn check_batch(
    batch: &[u8],
    config: &LogConfig,
    append: LeaderAppend,
) -> Result<BatchHeader, AppendError> {
    let header = BatchHeader::parse(batch).map_err(AppendError::CorruptMessage)?;
    if header.size_bytes > batch.len() {
        let error = BatchError::Incomplete { needed: header.size_bytes, available: batch.len() };
        return Err(AppendError::CorruptMessage(error));
    }
    if header.size_bytes != batch.len() {
        return Err(AppendError::BatchCount {
            batch_bytes: header.size_bytes,
            actual_bytes: batch.len(),
        });
    }
    if append.origin == AppendOrigin::Client {
        header.check_produced().map_err(AppendError::InvalidRecord)?;
    }
    let size_bytes = header.size_bytes;
    if size_bytes > config.max_message_bytes {
        let max_bytes = config.max_message_bytes;
        return Err(AppendError::MessageTooLarge { size_bytes, max_bytes });
    }
    if size_bytes > config.segment_bytes {
        let max_bytes = config.segment_bytes;
        return Err(AppendError::RecordListTooLarge { size_bytes, max_bytes });
    }
    verify_crc(batch).map_err(AppendError::CorruptMessage)?;
    if append.origin == AppendOrigin::Client && config.timestamp_type == TimestampType::CreateTime {
        check_timestamps(&header, config, append.now)?;
    }
    Ok(header)
}

/// Compares the first and the greatest timestamp with the broker's clock; −1 says that the producer set none.
fn check_timestamps(
    header: &BatchHeader,
    config: &LogConfig,
    now: UnixMillis,
) -> Result<(), AppendError> {
    let millis = |limit: Duration| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
    let before = config.timestamp_before_max.map_or(i64::MAX, millis);
    let after = config.timestamp_after_max.map_or(i64::MAX, millis);
    let earliest = UnixMillis(now.0.saturating_sub(before));
    let latest = UnixMillis(now.0.saturating_add(after));
    for timestamp in [header.base_timestamp, header.max_timestamp] {
        if timestamp.0 >= 0 && !(earliest..=latest).contains(&timestamp) {
            return Err(AppendError::InvalidTimestamp { timestamp, earliest, latest });
        }
    }
    Ok(())
}
