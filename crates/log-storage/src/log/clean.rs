//! Beginning a clean, and putting what it wrote in the place of what was there.
//!
//! Owns the bound of a clean: closed segments alone, wholly below what is committed, flushed and checkpointed, and old enough; and that a cleaned segment is taken
//! only while those that it was made of are still the log's. Nothing here touches a file.

use std::sync::Arc;

use model::{Offset, UnixMillis};

use super::Log;
use crate::compaction::clean::CleanInput;
use crate::compaction::group::{GroupLimits, Place, SourceSegment};
use crate::compaction::swap::PendingSwap;
use crate::compaction::{Clean, CleanDone, Replacement, Swap};
use crate::jobs::checkpoint::Running;
use crate::reads::aborted_lookup::AbortedLookup;
use crate::segment::Segment;
use crate::segment::index::{IndexEntry, OffsetEntry};

/// The circumstances of a clean.
#[derive(Clone, Copy, Debug)]
pub struct CleanRequest {
    /// The wall clock's time.
    pub now: UnixMillis,
    /// What is below is committed, and belongs to no open transaction: the last stable offset.
    pub stable_offset: Offset,
    /// Memory for the keys of the dirty part, in bytes.
    pub map_bytes: usize,
}

/// What there is to clean of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanable {
    /// Bytes that were cleaned before.
    pub clean_bytes: u64,
    /// Bytes that were not, and may be now.
    pub dirty_bytes: u64,
    /// Whether a record among them is older than `max.compaction.lag.ms`.
    pub is_overdue: bool,
}

impl Cleanable {
    /// Returns the dirty share in millionths.
    #[must_use]
    pub fn dirty_millionths(&self) -> u64 {
        let all = u128::from(self.clean_bytes) + u128::from(self.dirty_bytes);
        let share = (u128::from(self.dirty_bytes) * 1_000_000).checked_div(all).unwrap_or(0);
        u64::try_from(share).unwrap_or(1_000_000)
    }
}

impl Log {
    /// Says what there is to clean; `None` when the log is not compacted, nothing is dirty, or the dirty share is below `min.cleanable.dirty.ratio` and nothing is
    /// overdue.
    #[must_use]
    pub fn cleanable(&self, now: UnixMillis, stable_offset: Offset) -> Option<Cleanable> {
        if !self.options.config.cleanup.compacts() || self.writable.is_err() {
            return None;
        }
        let first_dirty = self.first_dirty();
        let segments = &self.segments[..self.cleanable_count(now, stable_offset)];
        let (clean, dirty) = segments
            .split_at(segments.partition_point(|segment| segment.next_offset <= first_dirty));
        let bytes = |segments: &[Segment]| segments.iter().map(|segment| segment.size_bytes).sum();
        let is_older = |segment: &Segment, age: i64| {
            let oldest =
                segment.first_timestamp.or_else(|| segment.max_timestamp.map(|(max, _)| max));
            oldest.is_some_and(|oldest| now.0.saturating_sub(oldest.0) > age)
        };
        let greatest_age = self.options.config.max_compaction_lag;
        let greatest_age = greatest_age.and_then(|age| i64::try_from(age.as_millis()).ok());
        let cleanable = Cleanable {
            clean_bytes: bytes(clean),
            dirty_bytes: bytes(dirty),
            is_overdue: greatest_age
                .is_some_and(|age| dirty.iter().any(|segment| is_older(segment, age))),
        };
        let least = u64::from(self.options.config.min_cleanable_millionths);
        let is_due = cleanable.is_overdue || cleanable.dirty_millionths() > least;
        (cleanable.dirty_bytes > 0 && is_due).then_some(cleanable)
    }

    /// Begins a clean of what [`Self::cleanable`] tells of; `None` when that is nothing, or another clean is under way. Until it is done or dropped, no file is closed.
    #[must_use]
    pub fn begin_clean(&mut self, request: CleanRequest) -> Option<Clean> {
        let CleanRequest { now, stable_offset, map_bytes } = request;
        self.cleanable(now, stable_offset)?;
        let running = Running::begin(&self.clean_runs)?;
        let count = self.cleanable_count(now, stable_offset);
        let sources = &self.segments[..count];
        let from = sources.first()?.base_offset;
        let end = sources.last()?.next_offset;
        let config = &self.options.config;
        let retention = i64::try_from(config.delete_retention.as_millis()).unwrap_or(i64::MAX);
        Some(Clean::new(CleanInput {
            place: Place {
                fs: Arc::clone(&self.fs),
                directory: self.directory.clone(),
                turn: self.turns.begin(),
                reserve: self.options.reserve.clone(),
            },
            checkpoint: self.options.checkpoint.clone(),
            running,
            sources: sources.iter().map(source).collect(),
            first_dirty: self.first_dirty(),
            limits: GroupLimits {
                segment_bytes: config.segment_bytes,
                index_bytes: config.segment_index_bytes,
                index_interval_bytes: config.index_interval_bytes,
            },
            producers: self
                .producers
                .as_ref()
                .map(|producers| producers.last_batches(stable_offset))
                .unwrap_or_default(),
            aborted: AbortedLookup {
                from,
                bound: end,
                parts: self.segments.iter().map(|segment| segment.aborted.part(from)).collect(),
                begun: self.turns.begin_read(),
            },
            end,
            now,
            horizon: UnixMillis(now.0.saturating_add(retention)),
            map_bytes,
        }))
    }

    /// Puts a cleaned segment in the place of those that it was made of; reads that were planned before go on in the old ones. `None` when the clean was overtaken by a
    /// truncation, or one of the old segments has left the log: the clean is void then.
    #[must_use]
    pub fn begin_swap(&mut self, replacement: Replacement) -> Option<Swap> {
        let Replacement { place, sources, segment } = replacement;
        if self.writable.is_err() || !place.turn.is_current() {
            return None;
        }
        let first = *sources.first()?;
        let start = self.segments.binary_search_by_key(&first, |old| old.base_offset).ok()?;
        let old = self.segments.get(start..start + sources.len())?;
        let is_same = old.iter().map(|old| old.base_offset).eq(sources.iter().copied())
            && old.last().is_some_and(|last| last.next_offset == segment.next_offset);
        if !is_same {
            return None;
        }
        let end = segment.next_offset;
        self.recent.forget_below(end);
        if let Some(producers) = &mut self.producers {
            producers.cleaned_below(end);
        }
        // The snapshots on disk count entries of the old segments' transaction indexes.
        self.counts_changed |= old.iter().any(|old| old.aborted.len() > 0);
        self.segments.splice(start..start + sources.len(), [segment]);
        let (fs, directory) = (Arc::clone(&self.fs), self.directory.clone());
        Some(Swap { turn: self.turns.begin_swap(PendingSwap { fs, directory, sources, end }) })
    }

    /// Completes a clean that is through: what it has looked at counts as clean, unless a truncation has overtaken it.
    pub fn complete_clean(&mut self, done: CleanDone) {
        if done.place.turn.is_current() {
            self.options.checkpoint.set_cleaner_offset(done.cleaned_until);
        }
        drop(done.running);
        self.close_files();
    }

    /// Returns the offset below which the log was cleaned.
    #[must_use]
    pub fn cleaned_offset(&self) -> Offset {
        self.options.checkpoint.cleaner_offset()
    }

    /// What the file says does not fit a log that was made anew, or whose head was removed since: it is dirty from its start then.
    fn first_dirty(&self) -> Offset {
        let cleaned = self.options.checkpoint.cleaner_offset();
        if cleaned > self.log_end_offset {
            return self.log_start_offset;
        }
        cleaned.max(self.log_start_offset)
    }

    /// Counts the segments that may be cleaned, from the first on.
    fn cleanable_count(&self, now: UnixMillis, stable_offset: Offset) -> usize {
        let limit =
            stable_offset.min(self.flushed_offset).min(self.options.checkpoint.recovery_point());
        let lag = i64::try_from(self.options.config.min_compaction_lag.as_millis());
        let lag = lag.unwrap_or(i64::MAX);
        let first_dirty = self.first_dirty();
        let closed = self.segments.len().saturating_sub(1);
        let may_be_cleaned = |segment: &&Segment| {
            let is_too_young = lag > 0
                && segment.next_offset > first_dirty
                && now.0.saturating_sub(newest(segment).0) < lag;
            // A checkpoint that is under way may still write entries into the old index.
            let is_settled = segment.offset_index.pending().is_none()
                && segment.time_index.pending().is_none()
                && segment.aborted.pending().is_none();
            segment.next_offset <= limit && is_settled && !is_too_young
        };
        self.segments[..closed].iter().take_while(may_be_cleaned).count()
    }
}

fn newest(segment: &Segment) -> UnixMillis {
    segment.max_timestamp.map_or(segment.created_at, |(max, _)| max)
}

fn source(segment: &Segment) -> SourceSegment {
    SourceSegment {
        view: segment.view(),
        next_offset: segment.next_offset,
        index_bytes: segment.offset_index.len() * OffsetEntry::BYTES,
        newest: newest(segment),
    }
}
