//! What became of the transactions whose records a clean meets (Kafka's `CleanedTransactionMetadata`).
//!
//! Owns, in the order of the log, which producer is inside an aborted transaction and whose marker has outlived its transaction's records.

use std::collections::{BTreeMap, BTreeSet};

use model::record_batch::BatchHeader;
use model::{Offset, ProducerId};

/// What is known of the transactions in the cleaned part of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fates {
    /// Nothing: their records and markers stay as they are.
    Unknown,
    /// All of them are decided, and these were aborted.
    Known(Vec<AbortedTransaction>),
}

/// An aborted transaction of one producer in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbortedTransaction {
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its marker.
    pub last_offset: Offset,
    /// The producer.
    pub producer_id: ProducerId,
}

/// What a control batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// The transaction is aborted.
    Abort,
    /// The transaction is committed.
    Commit,
    /// Something that belongs to no transaction, or nothing any more.
    Other,
}

/// The transactions around the batch that is looked at.
#[derive(Clone, Debug)]
pub(super) struct Transactions {
    /// Those that begin further on, the first one last. `None` when nothing is known.
    to_come: Option<Vec<AbortedTransaction>>,
    /// Producers in an aborted transaction, and whether records of it were met.
    aborted: BTreeMap<ProducerId, bool>,
    /// Producers of which records were met that no marker has followed yet.
    committed: BTreeSet<ProducerId>,
}

impl Transactions {
    pub(super) fn new(fates: &Fates) -> Self {
        let to_come = match fates {
            Fates::Unknown => None,
            Fates::Known(aborted) => {
                let mut aborted = aborted.clone();
                aborted.sort_by(|left, right| right.cmp(left));
                Some(aborted)
            }
        };
        Self { to_come, aborted: BTreeMap::new(), committed: BTreeSet::new() }
    }

    /// Says whether transactional batches must be left alone.
    pub(super) fn are_unknown(&self) -> bool {
        self.to_come.is_none()
    }

    /// Takes note of a batch of records; says whether its transaction was aborted.
    pub(super) fn met_records(&mut self, header: &BatchHeader) -> bool {
        self.advance_to(header.last_offset());
        let Some(producer) = header.producer.filter(|_| header.is_transactional()) else {
            return false;
        };
        match self.aborted.get_mut(&producer.id) {
            Some(met) => {
                *met = true;
                true
            }
            None => {
                self.committed.insert(producer.id);
                false
            }
        }
    }

    /// Takes note of a control batch; says whether no record of its transaction is left, so that it may go once its time has come.
    pub(super) fn met_marker(&mut self, header: &BatchHeader, marker: Marker) -> bool {
        self.advance_to(header.last_offset());
        let Some(producer) = header.producer.filter(|_| !self.are_unknown()) else { return false };
        match marker {
            // Records that go in this very clean count too: a crash may bring them back, and the marker must be there then.
            Marker::Abort => !self.aborted.remove(&producer.id).unwrap_or(false),
            Marker::Commit => !self.committed.remove(&producer.id),
            Marker::Other => false,
        }
    }

    fn advance_to(&mut self, offset: Offset) {
        let Some(to_come) = &mut self.to_come else { return };
        while let Some(next) = to_come.pop_if(|next| next.first_offset <= offset) {
            self.aborted.entry(next.producer_id).or_insert(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_batches::BatchSpec;

    fn records(producer: i64, offset: i64) -> BatchHeader {
        BatchSpec::new(2).at(offset).producer(producer, 0, 0).attributes(0x10).header()
    }

    fn marker(producer: i64, offset: i64) -> BatchHeader {
        BatchSpec::new(1).at(offset).producer(producer, 0, -1).attributes(0x30).header()
    }

    fn aborted(producer: i64, first: i64, last: i64) -> AbortedTransaction {
        AbortedTransaction {
            first_offset: Offset(first),
            last_offset: Offset(last),
            producer_id: ProducerId(producer),
        }
    }

    #[test]
    fn an_aborted_transaction_ends_with_its_marker_and_the_next_one_counts() {
        let mut transactions = Transactions::new(&Fates::Known(vec![aborted(1, 2, 6)]));
        assert!(!transactions.met_records(&records(2, 0)));
        assert!(transactions.met_records(&records(1, 2)));
        assert!(!transactions.met_marker(&marker(2, 5), Marker::Commit));
        assert!(!transactions.met_marker(&marker(1, 6), Marker::Abort), "its records were met");
        assert!(!transactions.met_records(&records(1, 7)));
    }

    #[test]
    fn a_marker_may_go_when_no_record_of_its_transaction_was_met() {
        let mut transactions = Transactions::new(&Fates::Known(vec![aborted(1, 2, 6)]));
        assert!(transactions.met_marker(&marker(1, 6), Marker::Abort));
        assert!(transactions.met_marker(&marker(2, 7), Marker::Commit));
        assert!(!transactions.met_marker(&marker(2, 8), Marker::Other));
    }

    #[test]
    fn nothing_of_an_unknown_fate_goes() {
        let mut transactions = Transactions::new(&Fates::Unknown);
        assert!(!transactions.met_records(&records(1, 2)));
        assert!(!transactions.met_marker(&marker(1, 6), Marker::Abort));
        assert!(!transactions.met_marker(&marker(2, 6), Marker::Commit));
        assert!(transactions.are_unknown());
    }
}
