//! The transactions of one log that keep its last stable offset back (Kafka's `ProducerStateManager`, KIP-98).
//!
//! Owns where undecided transactions begin, and which decided ones count as undecided still: those whose marker is not known to be committed, since a failover
//! could take it back. Both are functions of the batches below the log end and of the high watermark.

use std::collections::BTreeMap;

use model::{Offset, ProducerId};

/// The transactions that are not decided for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transactions {
    /// Open ones, by the offset of their first record.
    open: BTreeMap<Offset, ProducerId>,
    /// Decided ones whose marker was not known to be committed: the marker's offset, and that of the first record.
    unreplicated: BTreeMap<Offset, Offset>,
}

/// A transaction that was aborted in a partition, as the transaction index has it (Kafka's `AbortedTxn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// The producer.
    pub producer_id: ProducerId,
    /// Offset of the transaction's first record.
    pub first_offset: Offset,
    /// Offset of the abort marker.
    pub last_offset: Offset,
    /// The last stable offset once the marker is committed: every transaction that is aborted later begins here or above.
    pub last_stable_offset: Offset,
}

impl Transactions {
    /// Takes note of a transaction's first record.
    pub(crate) fn begin(&mut self, first_offset: Offset, producer_id: ProducerId) {
        self.open.insert(first_offset, producer_id);
    }

    /// Takes note of the marker of a transaction that was open. Returns where the earliest of the others begins, or the offset behind the marker.
    pub(crate) fn complete(&mut self, first_offset: Offset, marker: Offset) -> Offset {
        self.open.remove(&first_offset);
        self.unreplicated.insert(marker, first_offset);
        self.first_open().unwrap_or(marker + 1)
    }

    /// Forgets decided transactions whose markers are committed.
    pub(crate) fn committed(&mut self, high_watermark: Offset) {
        while let Some(entry) = self.unreplicated.first_entry()
            && *entry.key() < high_watermark
        {
            entry.remove();
        }
    }

    /// Returns where the earliest open transaction begins.
    pub(crate) fn first_open(&self) -> Option<Offset> {
        self.open.first_key_value().map(|(first_offset, _)| *first_offset)
    }

    /// Returns where the earliest transaction begins that is open, or decided by a marker at or above the high watermark.
    pub(crate) fn first_unstable(&self, high_watermark: Offset) -> Option<Offset> {
        let unreplicated = self.unreplicated.range(high_watermark..).map(|(_, first)| *first);
        unreplicated.chain(self.first_open()).min()
    }

    /// Returns the decided transactions that count as undecided still: offset of the marker, offset of the first record.
    pub(crate) fn unreplicated(&self) -> impl ExactSizeIterator<Item = (Offset, Offset)> {
        self.unreplicated.iter().map(|(marker, first)| (*marker, *first))
    }

    /// Takes one of those from a snapshot.
    pub(crate) fn restore_unreplicated(&mut self, marker: Offset, first_offset: Offset) {
        self.unreplicated.insert(marker, first_offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_unstable_until_its_marker_is_committed() {
        let mut transactions = Transactions::default();
        transactions.begin(Offset(3), ProducerId(1));
        transactions.begin(Offset(5), ProducerId(2));
        assert_eq!(transactions.first_unstable(Offset(9)), Some(Offset(3)));
        assert_eq!(transactions.complete(Offset(3), Offset(10)), Offset(5));
        assert_eq!(transactions.first_unstable(Offset(10)), Some(Offset(3)));
        assert_eq!(transactions.first_unstable(Offset(11)), Some(Offset(5)));
        transactions.committed(Offset(11));
        assert_eq!(transactions.first_unstable(Offset(0)), Some(Offset(5)));
        assert_eq!(transactions.complete(Offset(5), Offset(11)), Offset(12));
        assert_eq!(transactions.first_unstable(Offset(11)), Some(Offset(5)));
        assert_eq!(transactions.first_unstable(Offset(12)), None);
    }
}
