//! A segment as it stood when it was asked, to be read off the owner's lock.
//!
//! Owns the way from an offset to its batch: by the index, which is checked, and a short scan behind it. Reads no byte behind the size that the segment had then.

use std::sync::Arc;

use model::Offset;
use model::record_batch::{BatchHeader, HEADER_BYTES};

use super::index::{IndexSearch, IndexView, OffsetEntry};
use super::scan::{HeaderScan, ScanError};
use crate::file_system::{File, LazyFile};

/// One segment as it stood when it was asked, to be read off the owner's lock.
#[derive(Clone, Debug)]
pub(crate) struct SegmentView {
    pub(crate) base_offset: Offset,
    pub(crate) file: Arc<LazyFile>,
    pub(crate) size_bytes: u64,
}

impl SegmentView {
    /// Opens the file when nobody has.
    pub(crate) fn open(&self) -> Result<&Arc<dyn File>, ScanError> {
        self.file.get().map_err(|error| ScanError::io(0, error))
    }

    /// Walks from a position to the end.
    pub(crate) fn scan(&self, position: u64, chunk_bytes: usize) -> Result<HeaderScan, ScanError> {
        Ok(HeaderScan::new(Arc::clone(self.open()?), position, self.size_bytes, chunk_bytes))
    }
}

/// One segment with its offset index as they stood when they were asked.
#[derive(Clone, Debug)]
pub(crate) struct IndexedView {
    pub(crate) view: SegmentView,
    /// The offset behind the last batch.
    pub(crate) next_offset: Offset,
    pub(crate) offsets: IndexView<OffsetEntry>,
}

impl IndexedView {
    /// Begins the search for the batch that holds an offset.
    pub(crate) fn locator(&self, offset: Offset) -> Locator {
        let search = self.offsets.search(relative(self.view.base_offset, offset));
        Locator { view: self.view.clone(), search, offset }
    }
}

/// A search for the batch that holds an offset.
#[derive(Debug)]
pub(crate) struct Locator {
    pub(crate) view: SegmentView,
    pub(crate) search: IndexSearch<OffsetEntry>,
    pub(crate) offset: Offset,
}

impl Locator {
    /// Finds the first batch that ends behind the offset. `None` when the segment ends before.
    pub(crate) fn locate(&self) -> Result<Option<(u64, BatchHeader)>, ScanError> {
        let mut scan = self.view.scan(self.start()?, LOOKUP_CHUNK_BYTES)?;
        while let Some((position, header)) = scan.next()? {
            if header.last_offset() >= self.offset {
                return Ok(Some((position, header)));
            }
        }
        Ok(None)
    }

    /// Asks the index where to begin, and checks that the batch there is the one that the entry means; else the segment's start is right, if slow.
    pub(crate) fn start(&self) -> Result<u64, ScanError> {
        let entry = match &self.search {
            IndexSearch::Found(entry) => *entry,
            IndexSearch::InFile(entries) => match entries.search(self.relative_key()) {
                Ok(entry) => entry,
                Err(error) => {
                    tracing::debug!(path = ?self.view.file.path(), %error, "offset index is unreadable");
                    None
                }
            },
        };
        let Some(entry) = entry.filter(|entry| u64::from(entry.position) < self.view.size_bytes)
        else {
            return Ok(0);
        };
        let last_offset = self.view.base_offset + i64::from(entry.relative_offset);
        let mut scan = self.view.scan(u64::from(entry.position), HEADER_BYTES)?;
        match scan.next() {
            Ok(Some((position, header))) if header.last_offset() == last_offset => Ok(position),
            _ => Ok(0),
        }
    }

    fn relative_key(&self) -> u32 {
        relative(self.view.base_offset, self.offset)
    }
}

/// Returns the distance of an offset from a segment's base, held to what an index can say.
pub(crate) fn relative(base_offset: Offset, offset: Offset) -> u32 {
    u32::try_from((offset - base_offset).max(0)).unwrap_or(u32::MAX)
}

/// A lookup scans one index interval, 4 KiB by default, and the header behind it.
pub(crate) const LOOKUP_CHUNK_BYTES: usize = 8 * 1024;
