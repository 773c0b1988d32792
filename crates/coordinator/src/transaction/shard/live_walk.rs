//! The walk over everything that is live, for the rewrite of the log (docs/adr/0011-coordinators-rewrite-their-log.md).
//!
//! Invariant: a walk from no cursor to none passes each id that is live from its beginning to its end, with the record of the moment in which it is passed. That record is the last
//! that was appended for it, so it may stand in the log a second time without changing what the log says.

use crate::transaction::ids::TransactionalId;
use crate::transaction::record::{TransactionMetadataRecord, TransactionRecord};
use crate::transaction::record_size;

/// How far a walk has come: the last id that it passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteCursor(TransactionalId);

impl RewriteCursor {
    /// The id behind which the walk goes on.
    pub(super) fn id(&self) -> &TransactionalId {
        &self.0
    }
}

/// One bounded part of a walk.
#[derive(Debug)]
pub(super) struct LiveChunk {
    records: Vec<TransactionRecord>,
    bytes: usize,
    limit_bytes: usize,
}

impl LiveChunk {
    /// Begins a chunk of about that size at most; it holds one record at least.
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { records: Vec::new(), bytes: 0, limit_bytes }
    }

    /// Passes an id. `false` when the chunk has no room for it.
    pub(super) fn pass(&mut self, id: &TransactionalId, value: &TransactionMetadataRecord) -> bool {
        let bytes = record_size::of(id, value);
        if !self.records.is_empty() && self.bytes + bytes > self.limit_bytes {
            return false;
        }
        self.bytes += bytes;
        let value = Some(value.clone());
        self.records.push(TransactionRecord { transactional_id: id.clone(), value });
        true
    }

    /// Ends the chunk when the last id was passed.
    pub(super) fn end(self) -> (Vec<TransactionRecord>, Option<RewriteCursor>) {
        (self.records, None)
    }

    /// Ends the chunk where it is full.
    pub(super) fn pause(self) -> (Vec<TransactionRecord>, Option<RewriteCursor>) {
        let last = self.records.last().map(|record| record.transactional_id.clone());
        (self.records, last.map(RewriteCursor))
    }
}
