//! Walking over the batch headers of a segment's file.
//!
//! Owns the stepping from header to header, with every size checked against what the caller says is there; checks no checksum and reads no record
//! but what lies in the same chunk. Never reads past the limit that it is given, which is the log's own count, not the file's length.

use std::io;
use std::sync::Arc;

use model::Offset;
use model::record_batch::{BatchError, BatchHeader, HEADER_BYTES};

use crate::file_system::{File, LazyFile, in_file};
use crate::segment::index::{FileEntries, IndexSearch, OffsetEntry};

/// Why a walk stopped before its limit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// The device failed.
    #[error("reading failed")]
    Io(#[source] io::Error),
    /// The file ends, or has no name any more, where the log says that there is a batch.
    #[error("the file ends at or before position {position}")]
    Missing {
        /// Where the batch should begin.
        position: u64,
    },
    /// The bytes are no batch.
    #[error("no batch at position {position}: {error}")]
    Malformed {
        /// Where the batch should begin.
        position: u64,
        /// What was found.
        error: BatchError,
    },
}

impl ScanError {
    pub(crate) fn io(position: u64, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound => Self::Missing { position },
            _ => Self::Io(error),
        }
    }
}

/// A walk over the headers between two positions.
#[derive(Debug)]
pub(crate) struct HeaderScan {
    file: Arc<dyn File>,
    position: u64,
    limit: u64,
    chunk: Vec<u8>,
    chunk_position: u64,
    chunk_bytes: usize,
}

impl HeaderScan {
    /// Walks from `position` to `limit`, both at the bounds of batches, reading `chunk_bytes` at a time.
    pub(crate) fn new(file: Arc<dyn File>, position: u64, limit: u64, chunk_bytes: usize) -> Self {
        Self {
            file,
            position,
            limit,
            chunk: Vec::new(),
            chunk_position: position,
            chunk_bytes: chunk_bytes.max(HEADER_BYTES),
        }
    }

    /// Returns the position behind the last header that was returned.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Returns the next header and the position of its batch; `None` at the limit.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, BatchHeader)>, ScanError> {
        let position = self.position;
        if position >= self.limit {
            return Ok(None);
        }
        let left = usize::try_from(self.limit - position).unwrap_or(usize::MAX);
        let malformed = |error| ScanError::Malformed { position, error };
        if left < HEADER_BYTES {
            return Err(malformed(BatchError::Incomplete {
                needed: HEADER_BYTES,
                available: left,
            }));
        }
        let header = BatchHeader::parse(self.header_bytes()?).map_err(malformed)?;
        if header.size_bytes > left {
            let error = BatchError::Incomplete { needed: header.size_bytes, available: left };
            return Err(malformed(error));
        }
        self.position += in_file(header.size_bytes);
        Ok(Some((position, header)))
    }

    fn header_bytes(&mut self) -> Result<&[u8], ScanError> {
        let inside = self
            .position
            .checked_sub(self.chunk_position)
            .and_then(|start| usize::try_from(start).ok())
            .filter(|start| start + HEADER_BYTES <= self.chunk.len());
        let start = match inside {
            Some(start) => start,
            None => {
                let left = usize::try_from(self.limit - self.position).unwrap_or(usize::MAX);
                self.chunk.resize(self.chunk_bytes.min(left), 0);
                self.chunk_position = self.position;
                self.file
                    .read_exact_at(&mut self.chunk, self.position)
                    .map_err(|error| ScanError::io(self.position, error))?;
                0
            }
        };
        Ok(&self.chunk[start..start + HEADER_BYTES])
    }
}

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
    pub(crate) in_file: FileEntries<OffsetEntry>,
    pub(crate) in_memory: Vec<OffsetEntry>,
}

impl IndexedView {
    /// Begins the search for the batch that holds an offset.
    pub(crate) fn locator(&self, offset: Offset) -> Locator {
        let key = relative(self.view.base_offset, offset);
        let next = self.in_memory.partition_point(|entry| entry.relative_offset <= key);
        let search = match next.checked_sub(1) {
            Some(index) => IndexSearch::Found(Some(self.in_memory[index])),
            None => IndexSearch::InFile(self.in_file.clone()),
        };
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
