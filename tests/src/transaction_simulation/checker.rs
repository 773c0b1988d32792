//! What must hold, judged with knowledge of everything: what copiers were told, what the coordinators' log says, and what a reader of committed records sees.
//!
//! The anomalies that it names are those of `jepsen.tests.kafka`: a *lost write* was acknowledged, committed, and is not there; an *aborted read* (G1a) is there although its
//! transaction was aborted; a *torn transaction* is there in part; a *precommitted read* was there before its transaction was decided.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use coordinator::transaction::ids::{ProducerIdAndEpoch, TransactionalId};
use coordinator::transaction::record::{TransactionMetadataRecord, TransactionRecord};
use coordinator::transaction::state::{TransactionResult, TransactionState};
use model::{ProducerEpoch, ProducerId};

use super::copier::{Heard, OUTPUTS, index_of};
use super::partition::{Marker, Partition, Record, Tag};

/// What a copier knows of one of its transactions.
#[derive(Clone, Debug, Default)]
struct Known {
    writes: BTreeSet<(usize, i64)>,
    result: Option<TransactionResult>,
}

/// Everything that was told.
#[derive(Debug, Default)]
pub(super) struct Checker {
    transactions: BTreeMap<Tag, Known>,
    /// Which copier was told first what it is.
    bearers: BTreeMap<ProducerIdAndEpoch, usize>,
    /// The last committed record of each transactional id.
    last: BTreeMap<TransactionalId, TransactionMetadataRecord>,
    epochs: BTreeMap<ProducerId, ProducerEpoch>,
    /// What was decided, by what the markers carry.
    decided: HashSet<(ProducerIdAndEpoch, TransactionResult)>,
}

impl Checker {
    /// Notes what a copier was told, and judges it.
    pub(super) fn heard(&mut self, copier: usize, heard: Heard) {
        match heard {
            Heard::Nothing | Heard::Fenced => {}
            Heard::Initialised(is) => {
                let bearer = *self.bearers.entry(is).or_insert(copier);
                assert_eq!(bearer, copier, "{is} was told to two copiers");
            }
            Heard::Wrote { tag, partition, value } => {
                let known = self.transactions.entry(tag).or_default();
                known.writes.insert((partition, value));
            }
            Heard::Ended(tag, result) => {
                self.transactions.entry(tag).or_default().result = Some(result);
            }
        }
    }

    /// Judges a record of a coordinator when it is committed.
    pub(super) fn committed(&mut self, record: &TransactionRecord, partitions: &[Partition]) {
        let id = &record.transactional_id;
        let Some(is) = &record.value else {
            self.last.remove(id);
            return;
        };
        let epoch = self.epochs.entry(is.producer_id).or_insert(is.producer_epoch);
        assert!(*epoch <= is.producer_epoch, "{id}: the epoch of {} went back", is.producer_id);
        *epoch = is.producer_epoch;
        if let Some(decided) = is.state.prepared() {
            let producer = ProducerIdAndEpoch { id: is.producer_id, epoch: is.producer_epoch };
            self.decided.insert((producer, decided));
        }
        if let Some(was) = self.last.insert(id.clone(), is.clone()) {
            let decided = was.state.prepared();
            if let Some(decided) = decided {
                assert_eq!(
                    is.state,
                    TransactionState::complete(decided),
                    "{id}: decided to {decided:?}, and then"
                );
                for partition in was.partitions.iter().map(index_of) {
                    assert!(
                        !partitions[partition].is_open(was.producer_id),
                        "{id}: complete while {partition} waits for its marker"
                    );
                }
            }
        }
    }

    /// Judges a marker that a partition takes: its decision is committed. It may be a copy that comes late.
    pub(super) fn marked(&self, id: &TransactionalId, marker: &Marker) {
        let Marker { producer, result, .. } = *marker;
        assert!(
            self.decided.contains(&(producer, result)),
            "precommitted read: {id} is marked {producer} {result:?}, and that is not decided"
        );
    }

    /// Judges what a reader of committed records sees at any moment.
    pub(super) fn read(&self, partitions: &[Partition]) {
        for partition in partitions {
            for Record { tag, value, .. } in partition.committed() {
                let result = self.transactions.get(&tag).and_then(|known| known.result);
                assert_ne!(
                    result,
                    Some(TransactionResult::Abort),
                    "aborted read: {value} of {tag:?} was aborted"
                );
            }
        }
    }

    /// Judges what is there when everything has come to rest.
    pub(super) fn at_rest(&self, partitions: &[Partition], places: usize) {
        self.read(partitions);
        let mut seen: BTreeMap<Tag, BTreeSet<(usize, i64)>> = BTreeMap::new();
        for (index, partition) in partitions.iter().enumerate() {
            for Record { tag, value, .. } in partition.committed() {
                seen.entry(tag).or_default().insert((index, value));
            }
        }
        for (tag, known) in &self.transactions {
            let there = seen.get(tag).cloned().unwrap_or_default();
            if known.result == Some(TransactionResult::Commit) {
                let lost: Vec<_> = known.writes.difference(&there).collect();
                assert!(lost.is_empty(), "lost write: {lost:?} of {tag:?} was committed");
            }
            assert!(
                there.is_empty() || known.writes.is_subset(&there),
                "torn transaction: {tag:?} wrote {:?}, and {there:?} is there",
                known.writes
            );
        }
        for place in 0..places {
            exactly_once(partitions, place);
        }
    }
}

/// Every number that a place has read is there once, in order.
fn exactly_once(partitions: &[Partition], place: usize) {
    let of_place = |partition: &Partition| {
        let committed = partition.committed().into_iter();
        committed.filter(|record| record.place == place).map(|record| record.value).collect()
    };
    let end = position(&partitions[OUTPUTS], place);
    let mut all = BTreeMap::<i64, usize>::new();
    for (index, partition) in partitions[..OUTPUTS].iter().enumerate() {
        let values: Vec<i64> = of_place(partition);
        assert!(values.is_sorted(), "place {place}: {values:?} in partition {index}");
        for value in values {
            *all.entry(value).or_default() += 1;
        }
    }
    let expected: BTreeMap<i64, usize> = (0..end).map(|value| (value, 1)).collect();
    assert_eq!(all, expected, "place {place} has read up to {end}, each number once");
}

/// How far a place has read: what it committed last.
pub(super) fn position(offsets: &Partition, place: usize) -> i64 {
    let committed = offsets.committed().into_iter();
    committed
        .filter(|record| record.place == place)
        .map(|record| record.value)
        .next_back()
        .unwrap_or(0)
}
