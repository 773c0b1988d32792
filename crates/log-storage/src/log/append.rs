//! Appending, as a leader and as a follower.
//!
//! Owns the rules for what may be appended and the order: check everything, roll when needed, one write to the page cache, then the state in memory. An
//! append that fails leaves the log as it was, but for errors that end the process.

use std::sync::Arc;
use std::time::Duration;

use model::record_batch::{
    Batch, BatchError, BatchHeader, Batches, TimestampType, set_base_offset, set_leader_epoch,
    set_log_append_time, verify_crc,
};
use model::{LeaderEpoch, UnixMillis};

use super::recent_batches::BatchPosition;
use super::{
    AppendOrigin, AppendOutcome, Appended, FlushWish, FollowerAppend, LeaderAppend, Log,
    PendingSnapshot,
};
use crate::config::LogConfig;
use crate::error::{AppendError, FatalError, FollowerAppendError};
use crate::file_system::{in_file, is_out_of_space};
use crate::producers::snapshot;
use crate::segment::Segment;

/// Why bytes could not be written.
enum WriteError {
    OutOfSpace(std::io::Error),
    Fatal(FatalError),
}

impl Log {
    /// Appends one batch as the leader: checks it, checks the sequence of an idempotent producer, writes base offset and leader epoch into it, and
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
        if append.origin == AppendOrigin::Client
            && let Some(producers) = &self.producers
            && let Some(duplicate) = producers.check(&header)?
        {
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
        let headers = self.check_follower_batches(batches, append.leader_epoch)?;
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

    /// Writes batches that were checked, one call of the system per segment that they go to.
    fn write(
        &mut self,
        bytes: &[u8],
        headers: &[BatchHeader],
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        if let Some(reserve) = &self.options.reserve {
            reserve.take(bytes.len()).map_err(WriteError::OutOfSpace)?;
        }
        let (mut rest, mut headers) = (bytes, headers);
        while let Some(first) = headers.first() {
            let must_roll = |segment: &Segment| segment.must_roll(first, &self.options.config, now);
            if self.segments.last().is_none_or(must_roll) {
                self.roll(now)?;
            }
            let count = self.batches_that_fit(headers, now);
            let (now_headers, later_headers) = headers.split_at(count);
            let size = now_headers.iter().map(|header| header.size_bytes).sum();
            let (now_bytes, later_bytes) = rest.split_at(size);
            self.write_to_active(now_bytes)?;
            now_headers.iter().for_each(|header| self.note(header, now));
            (rest, headers) = (later_bytes, later_headers);
        }
        Ok(())
    }

    /// Counts the batches that go to the active segment, at least one. Time is left out: a follower's batches that arrive together stay together.
    fn batches_that_fit(&self, headers: &[BatchHeader], now: UnixMillis) -> usize {
        let active = self.segments.last().expect("the caller has rolled");
        let limit = self.options.config.segment_bytes;
        let mut size = usize::try_from(active.size_bytes).unwrap_or(usize::MAX);
        let mut count = 0;
        for header in headers {
            size = size.saturating_add(header.size_bytes);
            let too_far = header.last_offset() - active.base_offset > i64::from(i32::MAX);
            let full =
                size > limit || too_far || active.must_roll(header, &self.options.config, now);
            if count > 0 && full {
                break;
            }
            count += 1;
        }
        count
    }

    fn write_to_active(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let active = self.segments.last().expect("the caller has rolled");
        let position = active.size_bytes;
        let file = Arc::clone(&active.file);
        let outcome = file.get().and_then(|handle| {
            let error = match handle.write_at(bytes, position) {
                Err(error) if is_out_of_space(&error) => error,
                outcome => return outcome.map(|()| None),
            };
            // What was written of it must not be taken for a torn tail, nor be read by a scan of the file.
            handle.set_len(position)?;
            Ok(Some(error))
        });
        match outcome {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(WriteError::OutOfSpace(error)),
            Err(error) => {
                let error = FatalError::new("writing", file.path(), error);
                Err(WriteError::Fatal(self.fail(error)))
            }
        }
    }

    /// Begins a new segment at the log end. The sync of the old tail and of the directory is left to the next flush.
    pub(super) fn roll_at_end(&mut self, now: UnixMillis) -> Result<(), FatalError> {
        if let Some(old) = self.segments.last_mut() {
            old.close();
        }
        let base_offset = self.log_end_offset;
        let segment = Segment::create(&self.fs, &self.directory, base_offset, now)
            .map_err(|error| FatalError::new("creating a segment in", &self.directory, error))?;
        if let Some(producers) = &self.producers
            && !self.segments.is_empty()
        {
            let bytes = snapshot::encode(producers, base_offset);
            self.pending_snapshots.push(PendingSnapshot { offset: base_offset, bytes });
        }
        self.names_created += 1;
        self.segments.push(segment);
        Ok(())
    }

    fn roll(&mut self, now: UnixMillis) -> Result<(), WriteError> {
        match self.roll_at_end(now) {
            Ok(()) => Ok(()),
            Err(FatalError { source, .. }) if is_out_of_space(&source) => {
                Err(WriteError::OutOfSpace(source.kind().into()))
            }
            Err(error) => Err(WriteError::Fatal(self.fail(error))),
        }
    }

    /// Takes note of a batch that was written at the end of the active segment.
    fn note(&mut self, header: &BatchHeader, now: UnixMillis) {
        let interval = self.options.config.index_interval_bytes;
        let active = self.segments.last_mut().expect("the batch was written to it");
        self.recent.push(BatchPosition {
            segment: active.base_offset,
            base_offset: header.base_offset,
            next_offset: header.next_offset(),
            position: active.size_bytes,
            size_bytes: header.size_bytes,
        });
        active.note(header, interval);
        if let Some(epoch) = header.leader_epoch {
            self.assign_epoch(epoch, header.base_offset);
        }
        if let Some(producers) = &mut self.producers {
            producers.update(header, now);
        }
        self.log_end_offset = header.next_offset();
        self.unflushed_records += u64::try_from(header.record_count).unwrap_or(0);
        self.unflushed_since.get_or_insert(now);
        self.bytes_since_checkpoint += in_file(header.size_bytes);
    }

    fn flush_wish(&self) -> FlushWish {
        let rolled = self.names_created > self.names_synced;
        if rolled || self.unflushed_records >= self.options.config.flush_messages {
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
