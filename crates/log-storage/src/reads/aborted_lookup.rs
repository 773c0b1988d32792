//! A lookup of aborted transactions that was planned under the owner's lock, and is executed off it (Kafka's `TransactionIndex.collectAbortedTxns`).
//!
//! Owns the rule which transactions a reader is told of: those whose records may lie in the range that was read.

use std::io;

use model::Offset;

use crate::error::ReadError;
use crate::generation::BegunIn;
use crate::producers::transactions::AbortedTransaction;
use crate::segment::transaction_index::{IndexPart, Next};

/// A planned lookup.
#[derive(Debug)]
pub struct AbortedLookup {
    pub(crate) from: Offset,
    /// Exclusive end of what the read can reach.
    pub(crate) bound: Offset,
    /// Parts of the indexes of consecutive segments.
    pub(crate) parts: Vec<IndexPart>,
    pub(crate) begun: BegunIn,
}

impl AbortedLookup {
    /// Says whether everything is in memory: executing the lookup does not block then.
    #[must_use]
    pub fn is_hot(&self) -> bool {
        self.parts.iter().all(|part| part.in_file.is_none())
    }

    /// Returns the aborted transactions that overlap what was read, from the planned offset to `end`, in the order of their markers. May block when the lookup is
    /// not hot.
    ///
    /// # Errors
    /// As [`ReadPlan::execute`](crate::ReadPlan::execute).
    pub fn execute(&self, end: Offset) -> Result<Vec<AbortedTransaction>, ReadError> {
        let end = end.min(self.bound);
        let mut found = Vec::new();
        for part in &self.parts {
            if self.collect(part, end, &mut found)? == Next::Stop {
                break;
            }
        }
        if self.begun.is_current() { Ok(found) } else { Err(ReadError::Changed) }
    }

    fn collect(
        &self,
        part: &IndexPart,
        end: Offset,
        found: &mut Vec<AbortedTransaction>,
    ) -> Result<Next, ReadError> {
        let mut visit = |entry: AbortedTransaction| {
            if entry.last_offset >= self.from && entry.first_offset < end {
                found.push(entry);
            }
            // All that is aborted later begins at or above this one's last stable offset.
            if entry.last_stable_offset >= end { Next::Stop } else { Next::More }
        };
        if let Some(entries) = &part.in_file {
            let start = entries.below(self.from).map(|(count, _)| count);
            let read = start.and_then(|start| entries.each_from(start, &mut visit));
            if read.map_err(|error| self.explain(&error))? == Next::Stop {
                return Ok(Next::Stop);
            }
        }
        let mut in_memory = part.in_memory.iter();
        let stops = in_memory.any(|entry| visit(*entry) == Next::Stop);
        Ok(if stops { Next::Stop } else { Next::More })
    }

    /// An index that cannot be read is damage: without it a reader would be shown aborted records.
    fn explain(&self, error: &io::Error) -> ReadError {
        if !self.begun.is_current() || error.kind() == io::ErrorKind::NotFound {
            // The file of a removed segment has no name any more; the log start offset says so when the plan is made again.
            return ReadError::Changed;
        }
        let reason = format!("the transaction index cannot be read: {error}");
        ReadError::Corrupt { offset: self.from, reason }
    }
}
