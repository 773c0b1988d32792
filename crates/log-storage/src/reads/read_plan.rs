//! A read that was planned under the owner's lock, and is executed off it.
//!
//! Owns the preads: the range of a hot read is known exactly and takes one; a cold one finds its first batch by the index. Returns whole batches only, and
//! never bytes above the bound of the plan. A plan that was overtaken by a truncation returns [`ReadError::Changed`], never other bytes.

use bytes::Bytes;
use model::Offset;
use model::record_batch::{BatchError, BatchHeader, Batches, verify_crc};

use super::explain;
use crate::error::ReadError;
use crate::generation::BegunIn;
use crate::segment::scan::ScanError;
use crate::segment::view::{Locator, SegmentView};

/// A read of whole batches.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    /// Offset of the first record that is wanted; the batch that holds it may begin before.
    pub from: Offset,
    /// Only batches whose every offset lies below are returned: the high watermark, the last stable offset or the published log end.
    pub upper_bound: Offset,
    /// Limit of the answer's size in bytes.
    pub max_bytes: usize,
    /// What happens when the first batch alone exceeds the limit.
    pub minimum: Minimum,
}

/// What a read returns when the first batch alone exceeds its limit (KIP-74).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minimum {
    /// That batch, so that the reader makes progress.
    OneBatch,
    /// Nothing.
    Nothing,
}

/// A planned read.
#[derive(Debug)]
pub struct ReadPlan {
    pub(crate) request: ReadRequest,
    pub(crate) source: Source,
    pub(crate) begun: BegunIn,
}

/// Where a plan's bytes are.
#[derive(Debug)]
pub(crate) enum Source {
    /// There are none.
    Nothing,
    /// Whole batches, all below the bound.
    Exact {
        /// The segment.
        view: SegmentView,
        /// Position of the first batch.
        position: u64,
        /// Size of all.
        size_bytes: usize,
    },
    /// From the batch on that this search finds.
    Search(Locator),
}

impl ReadPlan {
    /// Says whether the plan can only yield nothing, so that there is no need to execute it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.source, Source::Nothing)
    }

    /// Says whether the bytes were written so recently that they lie in the page cache: executing the plan does not block then.
    #[must_use]
    pub fn is_hot(&self) -> bool {
        !matches!(self.source, Source::Search(_))
    }

    /// Reads whole batches by `pread`, off the lock; may block when the plan is not hot.
    ///
    /// # Errors
    /// [`ReadError::Changed`], [`ReadError::Corrupt`], [`ReadError::Io`].
    pub fn execute(&self) -> Result<Bytes, ReadError> {
        let bytes = match &self.source {
            Source::Nothing => Ok(Vec::new()),
            Source::Exact { view, position, size_bytes } => {
                read(view, *position, *size_bytes).map_err(|error| self.explain(error, view))
            }
            Source::Search(locator) => self.search(locator),
        }?;
        if self.begun.is_current() { Ok(Bytes::from(bytes)) } else { Err(ReadError::Changed) }
    }

    fn search(&self, locator: &Locator) -> Result<Vec<u8>, ReadError> {
        let view = &locator.view;
        let found = locator.locate().map_err(|error| self.explain(error, view))?;
        let Some((position, header)) = found else {
            return Err(ReadError::Changed);
        };
        if !self.takes(&header) {
            return Ok(Vec::new());
        }
        let max_bytes = if header.size_bytes <= self.request.max_bytes {
            self.request.max_bytes
        } else if self.request.minimum == Minimum::OneBatch {
            header.size_bytes
        } else {
            return Ok(Vec::new());
        };
        let left = usize::try_from(view.size_bytes - position).unwrap_or(usize::MAX);
        let mut bytes =
            read(view, position, max_bytes.min(left)).map_err(|error| self.explain(error, view))?;
        let whole = self.whole_batches(&bytes, view)?;
        bytes.truncate(whole);
        Ok(bytes)
    }

    /// Returns the size of the batches that are whole, below the bound and as they were appended.
    ///
    /// The checksum is looked at here and not in a hot read: what has lain on a disk may have rotted, and a reader would be told so by its own
    /// client for ever, while another replica has the bytes whole.
    fn whole_batches(&self, bytes: &[u8], view: &SegmentView) -> Result<usize, ReadError> {
        let mut size = 0;
        let mut expected = None;
        for batch in Batches::with_partial_tail(bytes) {
            let damaged = |error| {
                let position = u64::try_from(size).unwrap_or(u64::MAX);
                let offset = expected.unwrap_or(self.request.from);
                explain(&self.begun, ScanError::Malformed { position, error }, view, offset)
            };
            let batch = batch.map_err(damaged)?;
            let base_offset = batch.header.base_offset;
            if expected.is_some_and(|expected| base_offset != expected) {
                return Err(damaged(BatchError::Field {
                    field: "baseOffset",
                    value: base_offset.0,
                }));
            }
            if !self.takes(&batch.header) {
                break;
            }
            verify_crc(batch.bytes).map_err(damaged)?;
            expected = Some(batch.header.next_offset());
            size += batch.bytes.len();
        }
        Ok(size)
    }

    fn takes(&self, header: &BatchHeader) -> bool {
        header.next_offset() <= self.request.upper_bound
    }

    fn explain(&self, error: ScanError, view: &SegmentView) -> ReadError {
        explain(&self.begun, error, view, self.request.from)
    }
}

fn read(view: &SegmentView, position: u64, size_bytes: usize) -> Result<Vec<u8>, ScanError> {
    let file = view.open()?;
    let mut bytes = Vec::new();
    file.read_appending(&mut bytes, size_bytes, position)
        .map_err(|error| ScanError::io(position, error))?;
    Ok(bytes)
}
