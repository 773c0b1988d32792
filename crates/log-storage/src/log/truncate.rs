//! Beginning and completing truncations.
//!
//! Owns that nothing is appended, flushed or checkpointed in between, and that whatever began before is void: the generation rises when a truncation begins.

use std::sync::Arc;

use model::Offset;

use super::{Log, NotWritable};
use crate::error::FatalError;
use crate::jobs::truncation::{CutDone, CutSegment, DoneKind, Target, Truncation, TruncationDone};
use crate::mutation::{Mutation, is_active};
use crate::producers::Producers;
use crate::producers::replay::ReplaySegments;
use crate::segment::Segment;

impl Log {
    /// Begins a truncation to `offset`: everything at and above it goes, whole batches at a time. From here to [`Log::complete_truncation`] the log takes no
    /// appends and begins no flush; what began before is void. An `offset` at or above the log end removes no data, only epoch entries; one below the log
    /// start restarts the log there, as Kafka does.
    #[must_use]
    pub fn begin_truncation(&mut self, offset: Offset) -> Truncation {
        if offset < self.log_start_offset {
            return self.begin_restart(offset);
        }
        let next = self.segments.partition_point(|segment| segment.base_offset <= offset);
        let kept =
            next.checked_sub(1).map(|index| &self.segments[index]).map(|segment| CutSegment {
                indexed: segment.indexed_view(),
                times: segment.time_index.view(),
                aborted: segment.aborted.in_file(),
            });
        let end = offset.min(self.log_end_offset);
        self.begin(end, Target::Below(offset, kept))
    }

    /// Begins a restart at `offset`: everything goes, and the log begins and ends at `offset` (a follower whose log ends below the leader's start).
    #[must_use]
    pub fn begin_restart(&mut self, offset: Offset) -> Truncation {
        self.options.checkpoint.set_log_start_offset(offset);
        self.begin(offset, Target::EmptyAt(offset))
    }

    fn begin(&mut self, end: Offset, target: Target) -> Truncation {
        self.turns.overtake();
        self.writable = Err(NotWritable::Truncating);
        self.truncating_to = end;
        let checkpoint = &self.options.checkpoint;
        checkpoint.set_recovery_point(checkpoint.recovery_point().min(end));
        checkpoint.set_high_watermark(checkpoint.high_watermark().min(end));
        checkpoint.set_cleaner_offset(checkpoint.cleaner_offset().min(end));
        let producers = self.producers.as_ref();
        Truncation {
            fs: Arc::clone(&self.fs),
            directory: self.directory.clone(),
            turn: self.turns.begin(),
            checkpoint: checkpoint.clone(),
            epochs: self.epochs.clone(),
            epochs_on_disk: self.epochs_on_disk.take(),
            now: producers.and_then(Producers::last_append).unwrap_or(self.options.now),
            producers: producers.map(|producers| ReplaySegments {
                snapshots: producers.snapshots_on_disk(),
                segments: self.segments.iter().map(Segment::indexed_view).collect(),
            }),
            target,
        }
    }

    /// Completes a truncation that ran: the log takes appends again. One that another truncation has overtaken is ignored.
    pub fn complete_truncation(&mut self, done: TruncationDone) {
        if done.generation != self.truncation_generation() {
            return;
        }
        let end = done.end_offset;
        match done.kind {
            DoneKind::Cut(cut) => self.complete_cut(&cut, end),
            DoneKind::NoSegment => {}
            DoneKind::Restarted => {
                let now = self.options.now;
                self.segments = vec![Segment::unopened(&self.fs, &self.directory, end, now)];
                self.log_start_offset = end;
                self.log_end_offset = end;
                self.flushed_offset = end;
                self.options.checkpoint.set_recovery_point(end);
            }
        }
        // Whole batches went, so the end may lie below the offset that was asked for.
        let checkpoint = &self.options.checkpoint;
        checkpoint.set_recovery_point(checkpoint.recovery_point().min(self.log_end_offset));
        checkpoint.set_high_watermark(checkpoint.high_watermark().min(self.log_end_offset));
        self.flushed_offset = self.flushed_offset.min(self.log_end_offset);
        self.unflushed.names_are_durable();
        self.epochs_on_disk = Some(done.epochs.clone());
        self.epochs = done.epochs;
        if let (Some(producers), Some(state)) = (&mut self.producers, done.producers) {
            producers.truncated(state, done.snapshots, end);
            producers.committed(self.options.checkpoint.high_watermark());
        }
        self.recent.clear();
        self.writable = Ok(());
    }

    fn complete_cut(&mut self, cut: &CutDone, end: Offset) {
        self.segments.retain(|segment| segment.base_offset <= cut.base_offset);
        let Some(segment) = self.segments.last_mut() else {
            return;
        };
        let base_offset = cut.base_offset;
        let keep = |relative: u32| base_offset + i64::from(relative) < end;
        let (count, last) = cut.offset_entries;
        segment.offset_index.truncate(count, last, |entry| keep(entry.relative_offset));
        let (count, last) = cut.time_entries;
        segment.time_index.truncate(count, last, |entry| keep(entry.relative_offset));
        let (count, last) = cut.aborted;
        let aborted_end =
            if is_active(Mutation::AbortIndexLostAtTruncation) { base_offset } else { end };
        segment.aborted.truncate(count, last, aborted_end);
        segment.max_timestamp = cut.max_timestamp;
        segment.size_bytes = cut.size_bytes;
        segment.next_offset = end;
        segment.bytes_since_index_entry = segment
            .offset_index
            .last()
            .map_or(cut.size_bytes, |entry| {
                cut.size_bytes.saturating_sub(u64::from(entry.position))
            })
            .try_into()
            .unwrap_or(usize::MAX);
        if cut.size_bytes == 0 {
            segment.first_timestamp = None;
        }
        self.log_end_offset = end;
    }

    /// Truncates in one blocking call: begin, run and complete.
    ///
    /// # Errors
    /// The first failure; the process must end.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<(), FatalError> {
        let truncation = self.begin_truncation(offset);
        self.finish(truncation)
    }

    /// Restarts the log at `offset` in one blocking call.
    ///
    /// # Errors
    /// The first failure; the process must end.
    pub fn restart_at(&mut self, offset: Offset) -> Result<(), FatalError> {
        let truncation = self.begin_restart(offset);
        self.finish(truncation)
    }

    fn finish(&mut self, truncation: Truncation) -> Result<(), FatalError> {
        match truncation.run() {
            Ok(done) => {
                self.complete_truncation(done);
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }
}
