//! A lookup by time that was planned under the owner's lock, and is executed off it (Kafka's ListOffsets by timestamp and −3).
//!
//! Owns the search from segment to batch to record; exact, so the batch that qualifies by its header is decompressed. Looks at nothing outside log start
//! and upper bound.

use model::record_batch::{Batch, BatchHeader, Records};
use model::{LeaderEpoch, Offset, UnixMillis};

use super::explain;
use crate::error::ReadError;
use crate::generation::BegunIn;
use crate::segment::index::{IndexSearch, TimeEntry};
use crate::segment::scan::ScanError;
use crate::segment::view::IndexedView;

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

/// A planned lookup.
#[derive(Debug)]
pub struct TimestampLookup {
    pub(crate) query: TimestampQuery,
    pub(crate) segments: Vec<LookupSegment>,
    pub(crate) log_start_offset: Offset,
    pub(crate) upper_bound: Offset,
    pub(crate) begun: BegunIn,
}

/// One segment as it stood when the lookup was planned.
#[derive(Debug)]
pub(crate) struct LookupSegment {
    pub(crate) indexed: IndexedView,
    /// Greatest timestamp, and the last offset of the batch that brought it.
    pub(crate) max_timestamp: Option<(UnixMillis, Offset)>,
    /// Search for the last entry below the target.
    pub(crate) times: IndexSearch<TimeEntry>,
}

impl LookupSegment {
    /// Returns an offset at or before the first batch that reaches `target`: behind the last entry of the time index that is below it, else the segment's
    /// start. The time index is trusted here, as Kafka trusts its own: a damaged one may make an answer too late, and costs no data.
    fn first_candidate(&self, target: UnixMillis) -> Offset {
        let entry = match &self.times {
            IndexSearch::Found(entry) => *entry,
            IndexSearch::InFile(entries) => {
                entries.search(target.0.saturating_sub(1)).ok().flatten()
            }
        };
        entry.map_or(self.indexed.view.base_offset, |entry| {
            self.indexed.view.base_offset + i64::from(entry.relative_offset) + 1
        })
    }
}

impl TimestampLookup {
    /// Looks up; reads and decompresses, so it blocks. `None` when no record qualifies.
    ///
    /// # Errors
    /// As [`ReadPlan::execute`](crate::ReadPlan::execute).
    pub fn execute(&self) -> Result<Option<TimestampAndOffset>, ReadError> {
        let found = match self.query {
            TimestampQuery::AtLeast(target) => self.first_at_least(target),
            TimestampQuery::Latest => self.latest(),
        }?;
        if self.begun.is_current() { Ok(found) } else { Err(ReadError::Changed) }
    }

    fn first_at_least(&self, target: UnixMillis) -> Result<Option<TimestampAndOffset>, ReadError> {
        for segment in &self.segments {
            if segment.max_timestamp.is_none_or(|(max, _)| max < target) {
                continue;
            }
            let start = segment.first_candidate(target).max(self.log_start_offset);
            let found = self.each_batch(segment, start, |position, header| {
                if header.max_timestamp < target {
                    return Ok(None);
                }
                self.first_record(segment, position, &header, target)
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn latest(&self) -> Result<Option<TimestampAndOffset>, ReadError> {
        let mut best: Option<(UnixMillis, &LookupSegment, Offset)> = None;
        for segment in &self.segments {
            let Some((max, batch_end)) = segment.max_timestamp else {
                continue;
            };
            if best.is_some_and(|(timestamp, _, _)| max <= timestamp) {
                continue;
            }
            let is_whole = segment.indexed.view.base_offset >= self.log_start_offset
                && segment.indexed.next_offset <= self.upper_bound;
            let candidate =
                if is_whole { Some((max, batch_end)) } else { self.latest_batch(segment)? };
            if let Some((timestamp, batch_end)) = candidate
                && best.is_none_or(|(best, _, _)| timestamp > best)
            {
                best = Some((timestamp, segment, batch_end));
            }
        }
        let Some((timestamp, segment, batch_end)) = best else {
            return Ok(None);
        };
        self.each_batch(segment, batch_end, |position, header| {
            self.first_record(segment, position, &header, timestamp)
        })
    }

    /// Finds the greatest timestamp of a segment of which only a part counts.
    fn latest_batch(
        &self,
        segment: &LookupSegment,
    ) -> Result<Option<(UnixMillis, Offset)>, ReadError> {
        let mut best: Option<(UnixMillis, Offset)> = None;
        let start = segment.indexed.view.base_offset.max(self.log_start_offset);
        self.each_batch(segment, start, |_, header| {
            let timestamp = header.max_timestamp;
            if timestamp.0 >= 0 && best.is_none_or(|(best, _)| timestamp > best) {
                best = Some((timestamp, header.last_offset()));
            }
            Ok(None)
        })?;
        Ok(best)
    }

    /// Calls `visit` with each batch from the one that holds `start` on, until it finds something or the bound is reached.
    fn each_batch(
        &self,
        segment: &LookupSegment,
        start: Offset,
        mut visit: impl FnMut(u64, BatchHeader) -> Result<Option<TimestampAndOffset>, ReadError>,
    ) -> Result<Option<TimestampAndOffset>, ReadError> {
        let explain = |error| explain(&self.begun, error, &segment.indexed.view, start);
        let Some((first, _)) = segment.indexed.locator(start).locate().map_err(explain)? else {
            return Ok(None);
        };
        let mut scan = segment.indexed.view.scan(first, SCAN_CHUNK_BYTES).map_err(explain)?;
        while let Some((position, header)) = scan.next().map_err(explain)? {
            if header.next_offset() > self.upper_bound {
                return Ok(None);
            }
            if let Some(found) = visit(position, header)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Finds the first record of a batch that has at least this timestamp and lies behind the log start.
    fn first_record(
        &self,
        segment: &LookupSegment,
        position: u64,
        header: &BatchHeader,
        target: UnixMillis,
    ) -> Result<Option<TimestampAndOffset>, ReadError> {
        let corrupt = |reason: String| ReadError::Corrupt { offset: header.base_offset, reason };
        let explain =
            |error| explain(&self.begun, error, &segment.indexed.view, header.base_offset);
        let mut bytes = vec![0; header.size_bytes];
        let file = segment.indexed.view.open().map_err(explain)?;
        file.read_exact_at(&mut bytes, position)
            .map_err(|error| explain(ScanError::io(position, error)))?;
        let batch = Batch { header: *header, bytes: &bytes };
        let records =
            Records::of(batch, MAX_RECORDS_BYTES).map_err(|error| corrupt(error.to_string()))?;
        for record in records.iter() {
            let record = record.map_err(|error| corrupt(error.to_string()))?;
            if record.timestamp >= target && record.offset >= self.log_start_offset {
                return Ok(Some(TimestampAndOffset {
                    timestamp: record.timestamp,
                    offset: record.offset,
                    leader_epoch: header.leader_epoch,
                }));
            }
        }
        Ok(None)
    }
}

const SCAN_CHUNK_BYTES: usize = 64 * 1024;

/// Limit of a decompressed batch: a hundred times what a batch may have by default.
const MAX_RECORDS_BYTES: usize = 100 * 1024 * 1024;
