//! Walking over the batch headers of a segment's file.
//!
//! Owns the stepping from header to header, with every size checked against what the caller says is there; checks no checksum and reads no record
//! but what lies in the same chunk. Never reads past the limit that it is given, which is the log's own count, not the file's length.

use std::io;
use std::sync::Arc;

use model::record_batch::{BatchError, BatchHeader, HEADER_BYTES};

use crate::file_system::{File, in_file};

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

    /// Reads the batch whose header was just returned, at the position that came with it.
    pub(crate) fn batch_bytes(
        &self,
        position: u64,
        header: &BatchHeader,
    ) -> Result<Vec<u8>, ScanError> {
        let mut bytes = vec![0; header.size_bytes];
        self.file
            .read_exact_at(&mut bytes, position)
            .map_err(|error| ScanError::io(position, error))?;
        Ok(bytes)
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
