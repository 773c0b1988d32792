//! Beginning and completing flushes and checkpoints.
//!
//! Owns the rule that the flushed offset is the end of a contiguous prefix: a flush takes every file with bytes at or above it, and the directory when a
//! name in it is not durable. What began in an older generation changes nothing.

use std::sync::Arc;

use model::{Offset, UnixMillis};

use super::{Log, PendingSnapshot};
use crate::jobs::checkpoint::{Checkpoint, CheckpointDone, Running, SegmentEntries};
use crate::jobs::flush::{Flush, FlushDone};
use crate::leader_epoch_cache::Changed;
use crate::producers::snapshot;
use crate::segment::Segment;

impl Log {
    /// Says whether `flush.ms` demands a flush now.
    #[must_use]
    pub fn is_flush_due(&self, now: UnixMillis) -> bool {
        match (self.options.config.flush_interval, self.unflushed_since) {
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
        let is_durable =
            self.flushed_offset == self.log_end_offset && self.names_synced == self.names_created;
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
        self.names_synced = self.names_synced.max(done.names_created);
        if done.end_offset <= self.flushed_offset {
            return None;
        }
        self.flushed_offset = done.end_offset;
        Some(self.flushed_offset)
    }

    /// Begins a checkpoint: a flush, plus everything that makes a start from its end cheap (index entries, epoch entries, producer snapshot).
    /// `None` when the last one is still right, another is under way, or the log takes no appends at present.
    #[must_use]
    pub fn begin_checkpoint(&mut self) -> Option<Checkpoint> {
        let is_current = self.options.checkpoint.recovery_point() == self.log_end_offset
            && self.epochs_changed == Changed::No;
        if is_current || self.writable.is_err() {
            return None;
        }
        let running = Running::begin(&self.checkpoint_runs)?;
        let mut snapshots = std::mem::take(&mut self.pending_snapshots);
        if let Some(producers) = &self.producers {
            let offset = self.log_end_offset;
            snapshots.retain(|snapshot| snapshot.offset != offset);
            let bytes = snapshot::encode(producers, offset);
            snapshots.push(PendingSnapshot { offset, bytes });
        }
        self.bytes_since_checkpoint = 0;
        let active = self.segments.last().map(|segment| segment.base_offset);
        Some(Checkpoint {
            fs: Arc::clone(&self.fs),
            directory: self.directory.clone(),
            turn: self.turn(),
            running,
            flush: self.flush(),
            snapshots,
            obsolete_snapshots: self.obsolete_snapshots(),
            epochs: (self.epochs_changed == Changed::Yes).then(|| self.epochs.to_text()),
            indexes: self
                .segments
                .iter()
                .map(|segment| SegmentEntries {
                    base_offset: segment.base_offset,
                    is_closed: Some(segment.base_offset) != active,
                    offsets: segment.offset_index.pending(),
                    times: segment.time_index.pending(),
                })
                .filter(|entries| entries.offsets.is_some() || entries.times.is_some())
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
        for (base_offset, offsets, times) in done.indexed {
            if let Some(segment) = self.segment_mut(base_offset) {
                segment.offset_index.mark_persisted(offsets);
                segment.time_index.mark_persisted(times);
            }
        }
        self.snapshots.retain(|offset| !done.obsolete_snapshots.contains(offset));
        for offset in done.snapshots {
            self.snapshots.insert(offset);
        }
        drop(done.running);
        if done.epochs.is_some_and(|text| text == self.epochs.to_text()) {
            self.epochs_changed = Changed::No;
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
        self.unflushed_records = 0;
        self.unflushed_since = None;
        let flushed = self.flushed_offset;
        // A segment that ends at the flushed offset is durable, unless it is an empty one whose name is not.
        let files = self
            .segments
            .iter()
            .filter(|segment| segment.next_offset > flushed)
            .map(|segment| Arc::clone(&segment.file))
            .collect();
        let directory = (self.names_synced < self.names_created).then(|| self.directory.clone());
        Flush {
            fs: Arc::clone(&self.fs),
            files,
            directory,
            turn: self.turn(),
            done: FlushDone {
                end_offset: self.log_end_offset,
                generation: self.truncation_generation(),
                names_created: self.names_created,
            },
        }
    }

    /// The two newest snapshots stay, since the recovery point on disk may still be the older one's; so do those at the starts of segments, for truncation.
    fn obsolete_snapshots(&self) -> Vec<Offset> {
        let at_segment =
            |offset: &Offset| self.segments.iter().any(|segment| segment.base_offset == *offset);
        let newest = self.snapshots.iter().rev().take(2).copied().min();
        self.snapshots
            .iter()
            .filter(|offset| newest.is_some_and(|newest| **offset < newest) && !at_segment(offset))
            .copied()
            .collect()
    }

    pub(super) fn segment_mut(&mut self, base_offset: Offset) -> Option<&mut Segment> {
        self.segments.iter_mut().rfind(|segment| segment.base_offset == base_offset)
    }
}

/// Bytes after which a checkpoint is due before its time (design section 4 rule 3).
const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;
