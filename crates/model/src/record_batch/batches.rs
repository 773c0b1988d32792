//! Iteration over batches that stand one behind the other, as produce requests, fetch responses and segment files hold them.
//!
//! Yields whole batches with their parsed headers; never checks a checksum and never looks at records.

use super::header::{BatchError, BatchHeader};

/// One whole batch: its header and its bytes, header included.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The checked header.
    pub header: BatchHeader,
    /// All bytes of the batch; as many as `header.size_bytes`.
    pub bytes: &'a [u8],
}

/// Iterator over concatenated batches. It ends at the first error.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    tail: Tail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Whole,
    MayBePartial,
}

impl<'a> Batches<'a> {
    /// Iterates over bytes that must end with the end of a batch; a partial batch at the end is an error.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, tail: Tail::Whole }
    }

    /// Iterates over bytes that may be cut inside the last batch, as a fetch with a size limit or a crash leaves them: the partial batch is not
    /// yielded and is no error. [`Batches::position`] tells where it begins.
    #[must_use]
    pub fn with_partial_tail(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, tail: Tail::MayBePartial }
    }

    /// Returns the number of bytes of all batches that were yielded so far; at the end, where the partial batch or the one in error begins.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.position..).filter(|rest| !rest.is_empty())?;
        let batch = BatchHeader::parse(rest).and_then(|header| {
            let missing =
                BatchError::Incomplete { needed: header.size_bytes, available: rest.len() };
            Ok(Batch { header, bytes: rest.get(..header.size_bytes).ok_or(missing)? })
        });
        match batch {
            Ok(batch) => self.position += batch.bytes.len(),
            Err(error) => {
                self.bytes = &self.bytes[..self.position];
                if self.tail == Tail::MayBePartial && matches!(error, BatchError::Incomplete { .. })
                {
                    return None;
                }
            }
        }
        Some(batch)
    }
}
