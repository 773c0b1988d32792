//! What became of the transactions whose records a clean meets (Kafka's `CleanedTransactionMetadata`).
//!
//! Owns, in the order of the log, which producer is inside an aborted transaction and whose marker has outlived its transaction's records. All of them are decided: a clean
//! stays below the last stable offset.

use std::collections::{BTreeMap, BTreeSet};

use model::record_batch::{BatchHeader, TransactionResult};
use model::{Offset, ProducerId};

use crate::producers::transactions::AbortedTransaction;

/// The transactions around the batch that is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Transactions {
    /// Aborted ones that begin further on, the first one last.
    to_come: Vec<AbortedTransaction>,
    /// Producers in an aborted transaction, and whether records of it were met.
    aborted: BTreeMap<ProducerId, bool>,
    /// Producers of which records were met that no marker has followed yet.
    committed: BTreeSet<ProducerId>,
}

impl Transactions {
    pub(super) fn new(aborted: &[AbortedTransaction]) -> Self {
        let mut to_come = aborted.to_vec();
        to_come.sort_by_key(|one| std::cmp::Reverse((one.first_offset, one.last_offset)));
        Self { to_come, ..Self::default() }
    }

    /// Takes note of a batch with records; says whether its transaction was aborted.
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

    /// Takes note of a control batch; says whether no record of its transaction is left, so that it may go once its time has come. Records that go in this very clean
    /// count: a crash may bring them back, and the marker must be there then.
    pub(super) fn met_marker(
        &mut self,
        header: &BatchHeader,
        result: Option<TransactionResult>,
    ) -> bool {
        self.advance_to(header.last_offset());
        let Some(producer) = header.producer else { return false };
        match result {
            Some(TransactionResult::Abort) => !self.aborted.remove(&producer.id).unwrap_or(false),
            Some(TransactionResult::Commit) => !self.committed.remove(&producer.id),
            None => false,
        }
    }

    fn advance_to(&mut self, offset: Offset) {
        while let Some(next) = self.to_come.pop_if(|next| next.first_offset <= offset) {
            self.aborted.entry(next.producer_id).or_insert(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_batches::BatchSpec;

    const ABORT: Option<TransactionResult> = Some(TransactionResult::Abort);
    const COMMIT: Option<TransactionResult> = Some(TransactionResult::Commit);

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
            last_stable_offset: Offset(last + 1),
        }
    }

    #[test]
    fn an_aborted_transaction_ends_with_its_marker_and_the_next_one_counts() {
        let mut transactions = Transactions::new(&[aborted(1, 2, 6)]);
        assert!(!transactions.met_records(&records(2, 0)));
        assert!(transactions.met_records(&records(1, 2)));
        assert!(!transactions.met_marker(&marker(2, 5), COMMIT));
        assert!(!transactions.met_marker(&marker(1, 6), ABORT), "its records were met");
        assert!(!transactions.met_records(&records(1, 7)));
    }

    #[test]
    fn a_marker_may_go_when_no_record_of_its_transaction_was_met() {
        let mut transactions = Transactions::new(&[aborted(1, 2, 6)]);
        assert!(transactions.met_marker(&marker(1, 6), ABORT));
        assert!(transactions.met_marker(&marker(1, 7), ABORT));
        assert!(transactions.met_marker(&marker(2, 8), COMMIT));
        assert!(!transactions.met_marker(&marker(2, 9), None));
    }
}
