//! Beginning and completing flushes and checkpoints.
//!
//! Owns the rule that the flushed offset is the end of a contiguous prefix: a flush takes every file with bytes at or above it, and the directory when a
//! name in it is not durable. What began in an older generation changes nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::record_batch::BatchHeader;
use model::{Offset, UnixMillis};

use super::Log;
use super::transactions::aborted_counts;
use crate::jobs::checkpoint::{
    Checkpoint, CheckpointDone, Running, SegmentEntries, WrittenEntries,
};
use crate::jobs::flush::{Flush, FlushDone};
use crate::segment::Segment;

/// What is not durable yet, and since when.
#[derive(Debug, Default)]
pub(super) struct Unflushed {
    /// Records that no flush has taken.
    records: u64,
    /// When the first of them was appended.
    since: Option<UnixMillis>,
    /// Files created since the log was opened, and how many of their names are durable.
    names_created: u64,
    names_synced: u64,
}

impl Unflushed {
    pub(super) fn file_created(&mut self) {
        self.names_created += 1;
    }

    pub(super) fn appended(&mut self, header: &BatchHeader, now: UnixMillis) {
        self.records += u64::try_from(header.record_count).unwrap_or(0);
        self.since.get_or_insert(now);
    }

    /// Says whether `flush.messages`, or a new file, asks for a flush.
    pub(super) fn wants_flush(&self, flush_messages: u64) -> bool {
        self.has_names() || self.records >= flush_messages
    }

    /// A truncation has synced the directory.
    pub(super) fn names_are_durable(&mut self) {
        self.names_synced = self.names_created;
    }

    fn has_names(&self) -> bool {
        self.names_synced < self.names_created
    }

    /// A flush begins, which takes all records.
    fn taken(&mut self) {
        self.records = 0;
        self.since = None;
    }
}

impl Log {
    /// Says whether `flush.ms` demands a flush now.
    #[must_use]
    pub fn is_flush_due(&self, now: UnixMillis) -> bool {
        match (self.options.config.flush_interval, self.unflushed.since) {
            (Some(interval), Some(since)) => {
                let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
                now.0.saturating_sub(since.0) >= interval
            }
            _ => false,
        }
    }

    /// Begins a flush of everything up to the log end offset; `None` when all of it is durable, or the log takes no appends at present.
    #[must_use]
    pub fn begin_flush(&mut self) -> Option<Flush> {
        let is_durable = self.flushed_offset == self.log_end_offset && !self.unflushed.has_names();
        if is_durable || self.writable.is_err() {
            return None;
        }
        Some(self.flush())
    }

    /// Completes a flush and returns the flushed offset when it rose; `None` when the flush began in an older generation.
    pub fn complete_flush(&mut self, done: FlushDone) -> Option<Offset> {
        if done.generation != self.truncation_generation() {
            return None;
        }
        let has_new_names = done.names_created > self.unflushed.names_synced;
        self.unflushed.names_synced = self.unflushed.names_synced.max(done.names_created);
        let flushed = (done.end_offset > self.flushed_offset).then_some(done.end_offset)?;
        self.flushed_offset = flushed;
        if has_new_names {
            self.close_files();
        }
        Some(flushed)
    }

    /// Lets go of the files of closed segments that are durable. Called when a segment was closed, so that no more stay open than were read since. Not while a clean is
    /// under way: whoever has planned to read an old segment must find its file open when its name is another one's, and a new one's name may still be the old one's.
    pub(super) fn close_files(&mut self) {
        if self.clean_runs.load(Ordering::SeqCst) {
            return;
        }
        let flushed = self.flushed_offset;
        if let Some((_active, closed)) = self.segments.split_last_mut() {
            let durable = closed.iter_mut().filter(|segment| segment.next_offset <= flushed);
            durable.for_each(|segment| segment.close_file(&self.fs));
        }
    }

    /// Begins a checkpoint: a flush, plus everything that makes a start from its end cheap (index entries, epoch entries, producer snapshot).
    /// `None` when the last one is still right, another is under way, or the log takes no appends at present.
    #[must_use]
    pub fn begin_checkpoint(&mut self) -> Option<Checkpoint> {
        let is_current = self.options.checkpoint.recovery_point() == self.log_end_offset
            && !self.counts_changed
            && self.epochs_on_disk.as_ref() == Some(&self.epochs);
        if is_current || self.writable.is_err() {
            return None;
        }
        let running = Running::begin(&self.checkpoint_runs)?;
        self.counts_changed = false;
        let end = self.log_end_offset;
        let aborted = aborted_counts(&self.segments);
        let (snapshots, obsolete_snapshots) =
            self.producers.as_mut().map_or_else(Default::default, |producers| {
                let segments = &self.segments;
                let begins_segment = |offset: Offset| {
                    segments.binary_search_by_key(&offset, |segment| segment.base_offset).is_ok()
                };
                (producers.take_snapshots(end, &aborted), producers.obsolete(begins_segment))
            });
        let mut epochs = None;
        if self.epochs_on_disk.as_ref() != Some(&self.epochs) {
            self.epochs_on_disk = None;
            epochs = Some(self.epochs.clone());
        }
        self.bytes_since_checkpoint = 0;
        let active = self.segments.last().map(|segment| segment.base_offset);
        Some(Checkpoint {
            fs: Arc::clone(&self.fs),
            directory: self.directory.clone(),
            turn: self.turns.begin(),
            running,
            flush: self.flush(),
            snapshots,
            obsolete_snapshots,
            epochs,
            indexes: self
                .segments
                .iter()
                .map(|segment| SegmentEntries {
                    base_offset: segment.base_offset,
                    is_closed: Some(segment.base_offset) != active,
                    offsets: segment.offset_index.pending(),
                    times: segment.time_index.pending(),
                    aborted: segment.aborted.pending(),
                })
                .filter(SegmentEntries::has_any)
                .collect(),
        })
    }

    /// Completes a checkpoint: the recovery point rises, and with the next write of the checkpoint files it is persisted. Returns the flushed offset
    /// when it rose.
    pub fn complete_checkpoint(&mut self, done: CheckpointDone) -> Option<Offset> {
        if done.flush.generation != self.truncation_generation() {
            return None;
        }
        let flushed = self.complete_flush(done.flush);
        let active = self.segments.last().map(|segment| segment.base_offset);
        for WrittenEntries { base_offset, offsets, times, aborted } in done.indexed {
            // Readers at the log's tail find the newest in memory; a closed segment is seldom read.
            let kept_in_memory = if Some(base_offset) == active { ABORTED_IN_MEMORY } else { 0 };
            if let Some(segment) = self.segment_mut(base_offset) {
                segment.offset_index.mark_persisted(offsets);
                segment.time_index.mark_persisted(times);
                segment.aborted.mark_persisted(aborted, kept_in_memory);
            }
        }
        if let Some(producers) = &mut self.producers {
            producers.checkpointed(done.snapshots, &done.obsolete_snapshots);
        }
        drop(done.running);
        if done.epochs.is_some() {
            self.epochs_on_disk = done.epochs;
        }
        let recovery_point = self.options.checkpoint.recovery_point().max(done.flush.end_offset);
        self.options.checkpoint.set_recovery_point(recovery_point);
        flushed
    }

    /// Says whether so much was appended since the last checkpoint that the next should not wait for its time.
    #[must_use]
    pub fn is_checkpoint_due(&self) -> bool {
        self.bytes_since_checkpoint >= CHECKPOINT_BYTES
    }

    fn flush(&mut self) -> Flush {
        self.unflushed.taken();
        let flushed = self.flushed_offset;
        // A segment that ends at the flushed offset is durable, unless it is an empty one whose name is not.
        let durable = self.segments.partition_point(|segment| segment.next_offset <= flushed);
        let files =
            self.segments[durable..].iter().map(|segment| Arc::clone(&segment.file)).collect();
        let directory = self.unflushed.has_names().then(|| self.directory.clone());
        Flush {
            fs: Arc::clone(&self.fs),
            files,
            directory,
            turn: self.turns.begin(),
            done: FlushDone {
                end_offset: self.log_end_offset,
                generation: self.truncation_generation(),
                names_created: self.unflushed.names_created,
            },
        }
    }

    fn segment_mut(&mut self, base_offset: Offset) -> Option<&mut Segment> {
        self.segments.iter_mut().rfind(|segment| segment.base_offset == base_offset)
    }
}

/// Entries of the active segment's transaction index that stay in memory once they are in the file: 10 KiB.
const ABORTED_IN_MEMORY: usize = 256;

/// Bytes after which a checkpoint is due before its time (design section 4 rule 3).
const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;
