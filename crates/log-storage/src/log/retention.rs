//! The head of the log: raising its start, and retention by age and size.
//!
//! Owns the choice of segments: whole ones, oldest first, never the active one, never past the high watermark. Files are touched by the removal that is handed
//! out, not here.

use std::sync::Arc;

use model::{Offset, UnixMillis};

use super::Log;
use crate::jobs::removal::Removal;
use crate::segment::Segment;

impl Log {
    /// Raises the log start offset (DeleteRecords, or a follower after its leader); a lower one is ignored, one beyond the end is held to it.
    /// Returns the removal of the segments that lie wholly below, to be run on a storage thread. Without one, the new start is durable with the next
    /// write of the checkpoint files.
    pub fn advance_log_start(&mut self, offset: Offset) -> Option<Removal> {
        let offset = offset.min(self.log_end_offset);
        if offset <= self.log_start_offset || self.writable.is_err() {
            return None;
        }
        self.log_start_offset = offset;
        self.options.checkpoint.set_log_start_offset(offset);
        self.epochs.truncate_from_start(offset);
        self.remove_segments_below_start()
    }

    /// Removes old segments by `retention.ms` and `retention.bytes`: whole ones, never past `high_watermark`. When the active segment's time is over too, a new
    /// one is created (a failure of that goes to the fatal handler). Returns the removal to be run.
    pub fn apply_retention(&mut self, now: UnixMillis, high_watermark: Offset) -> Option<Removal> {
        if !self.options.config.cleanup.deletes() || self.writable.is_err() {
            return None;
        }
        let count =
            self.expired_by_time(now, high_watermark).max(self.expired_by_size(high_watermark));
        if count == self.segments.len() && count > 0 {
            self.roll_at_end(now).map_err(|error| self.fail(error)).ok()?;
        }
        match self.segments.get(count) {
            Some(first_kept) if count > 0 => self.advance_log_start(first_kept.base_offset),
            _ => None,
        }
    }

    fn expired_by_time(&self, now: UnixMillis, high_watermark: Offset) -> usize {
        let Some(age) = self.options.config.retention_age else {
            return 0;
        };
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let is_expired = |segment: &&Segment| {
            let newest = segment.max_timestamp.map_or(segment.created_at, |(max, _)| max);
            segment.size_bytes > 0
                && segment.next_offset <= high_watermark
                && now.0.saturating_sub(newest.0) > age
        };
        self.segments.iter().take_while(is_expired).count()
    }

    /// A segment goes while the log without it still has at least the limit (Kafka's rule), so the active one never does.
    fn expired_by_size(&self, high_watermark: Offset) -> usize {
        let Some(limit) = self.options.config.retention_bytes else {
            return 0;
        };
        let mut excess = self.size_bytes().saturating_sub(limit);
        let closed = self.segments.len().saturating_sub(1);
        let goes = |segment: &&Segment| {
            let fits = segment.size_bytes <= excess && segment.next_offset <= high_watermark;
            excess = excess.saturating_sub(segment.size_bytes);
            fits
        };
        self.segments[..closed].iter().take_while(goes).count()
    }

    fn remove_segments_below_start(&mut self) -> Option<Removal> {
        let start = self.log_start_offset;
        let closed = self.segments.len().saturating_sub(1);
        let count = self.segments[..closed]
            .iter()
            .take_while(|segment| segment.next_offset <= start)
            .count();
        if count == 0 {
            return None;
        }
        let base_offsets: Vec<Offset> =
            self.segments.drain(..count).map(|segment| segment.base_offset).collect();
        if let Some(producers) = &mut self.producers {
            producers.segments_removed(&base_offsets);
        }
        Some(Removal {
            fs: Arc::clone(&self.fs),
            directory: self.directory.clone(),
            turn: self.turns.begin(),
            checkpoint: self.options.checkpoint.clone(),
            base_offsets,
            delay: self.options.config.file_delete_delay,
        })
    }
}
