//! Writing batches that were checked: to the page cache, and into the state in memory.
//!
//! Owns the order: room on the disk, a new segment when one is needed, one write per segment, then everything that the log knows of its end. Nothing is synced.

use std::sync::Arc;

use model::UnixMillis;
use model::record_batch::{Batch, BatchHeader};

use super::Log;
use super::recent_batches::BatchPosition;
use super::transactions::aborted_counts;
use crate::error::FatalError;
use crate::file_system::{in_file, is_out_of_space};
use crate::producers::marker::marker_in_log;
use crate::segment::Segment;

/// Why bytes could not be written.
pub(super) enum WriteError {
    OutOfSpace(std::io::Error),
    Fatal(FatalError),
}

impl Log {
    /// Writes batches that were checked, one call of the system per segment that they go to.
    pub(super) fn write(
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
            let mut written = now_bytes;
            for header in now_headers {
                let (bytes, behind) = written.split_at(header.size_bytes);
                self.note(Batch { header: *header, bytes }, now);
                written = behind;
            }
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
        if let Some(producers) = &mut self.producers
            && !self.segments.is_empty()
        {
            producers.segment_begins(base_offset, &aborted_counts(&self.segments));
        }
        self.unflushed.file_created();
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
    fn note(&mut self, batch: Batch<'_>, now: UnixMillis) {
        let header = &batch.header;
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
        if let Some(producers) = &mut self.producers
            && let Some(aborted) = producers.update(header, marker_in_log(batch), now)
        {
            active.aborted.push(aborted);
        }
        if let Some(epoch) = header.leader_epoch {
            self.assign_epoch(epoch, header.base_offset);
        }
        self.log_end_offset = header.next_offset();
        self.unflushed.appended(header, now);
        self.bytes_since_checkpoint += in_file(header.size_bytes);
    }
}
