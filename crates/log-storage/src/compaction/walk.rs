//! Reading a closed segment batch by batch, with everything checked.
//!
//! Owns that a clean never carries damage on: a batch that is not whole, has its checksum wrong or does not continue the one before ends the clean.

use std::sync::Arc;

use model::Offset;
use model::record_batch::{Batch, BatchError, BatchHeader, HEADER_BYTES, verify_crc};

use super::clean::CleanError;
use crate::file_system::{File, in_file};
use crate::segment::scan::ScanError;
use crate::segment::view::SegmentView;

/// A walk over the batches of one segment.
#[derive(Debug)]
pub(super) struct Walk {
    file: Arc<dyn File>,
    position: u64,
    limit: u64,
    expected: Offset,
    window: Vec<u8>,
    window_position: u64,
}

impl Walk {
    pub(super) fn over(segment: &SegmentView) -> Result<Self, CleanError> {
        let expected = segment.base_offset;
        let file = segment.open().map_err(|error| damaged(expected, &error))?;
        Ok(Self {
            file: Arc::clone(file),
            position: 0,
            limit: segment.size_bytes,
            expected,
            window: Vec::new(),
            window_position: 0,
        })
    }

    /// Returns the next batch; `None` at the segment's end.
    pub(super) fn next(&mut self) -> Result<Option<Batch<'_>>, CleanError> {
        if self.position >= self.limit {
            return Ok(None);
        }
        let (position, expected) = (self.position, self.expected);
        let malformed = |error| damaged(expected, &ScanError::Malformed { position, error });
        let header = BatchHeader::parse(self.hold(HEADER_BYTES)?).map_err(malformed)?;
        if header.base_offset != expected {
            let value = header.base_offset.0;
            return Err(malformed(BatchError::Field { field: "baseOffset", value }));
        }
        self.position += in_file(header.size_bytes);
        self.expected = header.next_offset();
        let bytes = self.hold_at(position, header.size_bytes)?;
        verify_crc(bytes).map_err(malformed)?;
        Ok(Some(Batch { header, bytes }))
    }

    fn hold(&mut self, count: usize) -> Result<&[u8], CleanError> {
        self.hold_at(self.position, count)
    }

    /// Returns `count` bytes from `position` on, reading a window of them when they are not there.
    fn hold_at(&mut self, position: u64, count: usize) -> Result<&[u8], CleanError> {
        let is_held = position >= self.window_position
            && position + in_file(count) <= self.window_position + in_file(self.window.len());
        if !is_held {
            let expected = self.expected;
            let left = usize::try_from(self.limit - position).unwrap_or(usize::MAX);
            if count > left {
                return Err(damaged(expected, &ScanError::Missing { position }));
            }
            self.window.resize(count.max(WINDOW_BYTES).min(left), 0);
            self.window_position = position;
            self.file
                .read_exact_at(&mut self.window, position)
                .map_err(|error| damaged(expected, &ScanError::io(position, error)))?;
        }
        let start = usize::try_from(position - self.window_position).unwrap_or(usize::MAX);
        Ok(&self.window[start..start + count])
    }
}

/// A file that has no name any more, or was cut, is that of a segment that has left the log meanwhile.
fn damaged(offset: Offset, error: &ScanError) -> CleanError {
    match error {
        ScanError::Missing { .. } => CleanError::Abandoned,
        ScanError::Io(source) => {
            CleanError::Unreadable { offset, reason: format!("{error}: {source}") }
        }
        ScanError::Malformed { .. } => CleanError::Unreadable { offset, reason: error.to_string() },
    }
}

const WINDOW_BYTES: usize = 512 * 1024;
