//! Replay: what the log says becomes state again, record by record.
//!
//! Invariant: what is replayed depends on the last record of each id. A record that contradicts itself gives some state that holds the invariants, never a panic: it came from a disk.

use super::Shard;
use crate::transaction::producer::Producer;
use crate::transaction::record::{TransactionMetadataRecord, TransactionRecord};
use crate::transaction::record_size;
use crate::transaction::state::TransactionState;

impl Shard {
    /// Takes in a record of the log. Records come in the log's order, before [`Shard::loaded`].
    pub fn replay(&mut self, record: TransactionRecord) {
        let TransactionRecord { transactional_id: id, value } = record;
        let was = self.producers.remove(&id);
        let was_bytes = was.map_or(0, |was| record_size::of(&id, &was.logged));
        let Some(value) = value else { return self.totals.replaced(was_bytes, 0) };
        let value = made_consistent(value);
        self.totals.replaced(was_bytes, record_size::of(&id, &value));
        self.producers.insert(id.clone(), Producer::of_record(id, value));
    }
}

/// A coordinator's own records are as they are to be; of others, what no state may have is left out.
fn made_consistent(mut value: TransactionMetadataRecord) -> TransactionMetadataRecord {
    match value.state {
        TransactionState::Ongoing
        | TransactionState::PrepareCommit
        | TransactionState::PrepareAbort => {
            value.started_at.get_or_insert(value.updated_at);
        }
        TransactionState::Empty
        | TransactionState::CompleteCommit
        | TransactionState::CompleteAbort => {
            value.partitions.clear();
            value.next_producer_id = None;
        }
    }
    value
}
