//! Planning reads and lookups by time.
//!
//! Owns the choice of segment and position, from memory alone: the newest batches are known exactly, for older ones the index is asked when the plan is
//! executed. Nothing here touches a file.

use model::Offset;

use super::Log;
use crate::error::{NotWritable, ReadError};
use crate::reads::read_plan::{Minimum, ReadPlan, ReadRequest, Source};
use crate::reads::timestamp_lookup::{LookupSegment, TimestampLookup, TimestampQuery};

impl Log {
    /// Plans a read. Cheap; [`ReadPlan::execute`] does it off the lock.
    ///
    /// # Errors
    /// [`ReadError::OffsetOutOfRange`] when `from` lies outside log start and log end (the end itself is legal and yields nothing).
    pub fn read(&self, request: ReadRequest) -> Result<ReadPlan, ReadError> {
        if request.from < self.log_start_offset || request.from > self.log_end_offset {
            return Err(ReadError::OffsetOutOfRange {
                offset: request.from,
                log_start_offset: self.log_start_offset,
                log_end_offset: self.log_end_offset,
            });
        }
        let upper_bound = request.upper_bound.min(self.readable_end());
        let request = ReadRequest { upper_bound, ..request };
        let source = if request.from >= upper_bound {
            Source::Nothing
        } else {
            self.recent_source(&request).unwrap_or_else(|| self.indexed_source(&request))
        };
        Ok(ReadPlan { request, source, begun: self.turns.begin_read() })
    }

    /// Plans a lookup by time among the records below `upper_bound`.
    #[must_use]
    pub fn timestamp_lookup(&self, query: TimestampQuery, upper_bound: Offset) -> TimestampLookup {
        let upper_bound = upper_bound.min(self.readable_end());
        let segments = self
            .segments
            .iter()
            .filter(|segment| segment.base_offset < upper_bound && segment.size_bytes > 0)
            .map(|segment| LookupSegment {
                indexed: segment.indexed_view(),
                max_timestamp: segment.max_timestamp,
                times: match query {
                    TimestampQuery::AtLeast(target) => {
                        segment.time_index.search(target.0.saturating_sub(1))
                    }
                    TimestampQuery::Latest => segment.time_index.search(i64::MIN),
                },
            })
            .collect();
        TimestampLookup {
            query,
            segments,
            log_start_offset: self.log_start_offset,
            upper_bound,
            begun: self.turns.begin_read(),
        }
    }

    /// While a truncation runs, nothing that may go is read.
    pub(super) fn readable_end(&self) -> Offset {
        match self.writable {
            Err(NotWritable::Truncating) => self.truncating_to.min(self.log_end_offset),
            _ => self.log_end_offset,
        }
    }

    /// The exact range of the newest batches.
    fn recent_source(&self, request: &ReadRequest) -> Option<Source> {
        let mut batches = self.recent.from(request.from)?.peekable();
        let first = **batches.peek()?;
        let mut size_bytes = 0;
        for batch in batches {
            let fits = match size_bytes {
                0 => batch.size_bytes <= request.max_bytes || request.minimum == Minimum::OneBatch,
                _ => size_bytes + batch.size_bytes <= request.max_bytes,
            };
            let wanted = batch.segment == first.segment && batch.next_offset <= request.upper_bound;
            if !fits || !wanted {
                break;
            }
            size_bytes += batch.size_bytes;
        }
        let segment = self.segments.iter().rfind(|segment| segment.base_offset == first.segment)?;
        Some(match size_bytes {
            0 => Source::Nothing,
            _ => Source::Exact { view: segment.view(), position: first.position, size_bytes },
        })
    }

    fn indexed_source(&self, request: &ReadRequest) -> Source {
        let next = self.segments.partition_point(|segment| segment.base_offset <= request.from);
        match next.checked_sub(1).and_then(|index| self.segments.get(index)) {
            Some(segment) => Source::Search(segment.locator(request.from)),
            None => Source::Nothing,
        }
    }
}
