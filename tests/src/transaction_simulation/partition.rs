//! A partition as transactions see it: which batches and markers it takes, by Kafka's rules for producers, and what a reader of committed records sees of it.
//!
//! A model: it is always there and loses nothing. What can go wrong here is only what it is told.

use std::collections::BTreeMap;

use coordinator::transaction::ids::{ProducerIdAndEpoch, TransactionVersion};
use coordinator::transaction::state::TransactionResult;
use model::{ErrorCode, ProducerEpoch, ProducerId};

/// Names a transaction of a copier: which copier, and which of its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag {
    pub(super) copier: usize,
    pub(super) number: u64,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) producer: ProducerIdAndEpoch,
    pub(super) sequence: i32,
    pub(super) tag: Tag,
    /// Which place the copier has: each has its own numbers.
    pub(super) place: usize,
    pub(super) value: i64,
}

/// What stands in the log.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Record(Record),
    Marker(ProducerId, TransactionResult),
}

/// The marker of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marker {
    pub(super) producer: ProducerIdAndEpoch,
    pub(super) result: TransactionResult,
    pub(super) version: TransactionVersion,
    pub(super) coordinator_epoch: i32,
}

/// What a partition knows of a producer.
#[derive(Clone, Debug, Default)]
struct ProducerState {
    epoch: ProducerEpoch,
    last_sequence: Option<i32>,
    is_open: bool,
    coordinator_epoch: i32,
    /// Of the verification under way: what was asked before a marker came does not count after it.
    guard: Option<u64>,
}

/// What is to be done about a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is there already.
    Duplicate,
    /// It joins the open transaction.
    Append,
    /// It would be the first of its transaction: the coordinator must be asked.
    Verify(u64),
}

/// One partition.
#[derive(Debug, Default)]
pub(super) struct Partition {
    entries: Vec<Entry>,
    producers: BTreeMap<ProducerId, ProducerState>,
    next_guard: u64,
}

impl Partition {
    /// Looks at a batch that has come.
    pub(super) fn admit(&mut self, record: &Record) -> Result<Admission, ErrorCode> {
        if let Some(admission) = self.check(record)? {
            return Ok(admission);
        }
        self.next_guard += 1;
        let state = self.producers.entry(record.producer.id).or_default();
        Ok(Admission::Verify(*state.guard.get_or_insert(self.next_guard)))
    }

    /// Takes a batch whose transaction the coordinator knows.
    pub(super) fn append_verified(&mut self, record: &Record, guard: u64) -> Result<(), ErrorCode> {
        match self.check(record)? {
            Some(Admission::Duplicate) => Ok(()),
            Some(_) => {
                self.append(record);
                Ok(())
            }
            None => {
                let state = self.producers.get(&record.producer.id);
                if state.and_then(|state| state.guard) != Some(guard) {
                    return Err(ErrorCode::InvalidTxnState);
                }
                self.append(record);
                Ok(())
            }
        }
    }

    /// By epoch and sequence; `None` when it would be the first of its transaction.
    fn check(&self, record: &Record) -> Result<Option<Admission>, ErrorCode> {
        let Some(state) = self.producers.get(&record.producer.id) else { return Ok(None) };
        let is_known = state.last_sequence.is_some() || state.epoch > ProducerEpoch(0);
        if record.producer.epoch < state.epoch {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        let last = state.last_sequence.filter(|_| record.producer.epoch == state.epoch);
        if last.is_some_and(|last| record.sequence <= last) {
            return Ok(Some(Admission::Duplicate));
        }
        if is_known && record.sequence != last.map_or(0, |last| last + 1) {
            return Err(ErrorCode::OutOfOrderSequenceNumber);
        }
        // What is open in an epoch before is another transaction, whose marker has not come yet.
        let is_in_transaction = state.is_open && record.producer.epoch == state.epoch;
        Ok(is_in_transaction.then_some(Admission::Append))
    }

    pub(super) fn append(&mut self, record: &Record) {
        let state = self.producers.entry(record.producer.id).or_default();
        state.epoch = record.producer.epoch;
        state.last_sequence = Some(record.sequence);
        state.is_open = true;
        state.guard = None;
        self.entries.push(Entry::Record(*record));
    }

    /// Takes a marker.
    pub(super) fn end(&mut self, marker: &Marker) -> Result<(), ErrorCode> {
        let state = self.producers.entry(marker.producer.id).or_default();
        let epoch = marker.producer.epoch;
        let is_old = epoch < state.epoch
            || marker.version.bumps_epochs() && epoch == state.epoch && state.is_open;
        if is_old {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        if marker.coordinator_epoch < state.coordinator_epoch {
            return Err(ErrorCode::TransactionCoordinatorFenced);
        }
        if epoch > state.epoch {
            state.last_sequence = None;
        }
        state.epoch = epoch;
        state.is_open = false;
        state.guard = None;
        state.coordinator_epoch = marker.coordinator_epoch;
        self.entries.push(Entry::Marker(marker.producer.id, marker.result));
        Ok(())
    }

    /// Says whether a producer's transaction is open here.
    pub(super) fn is_open(&self, id: ProducerId) -> bool {
        self.producers.get(&id).is_some_and(|state| state.is_open)
    }

    /// Says whether a transaction of a former incarnation is open here.
    pub(super) fn is_open_before(&self, present: ProducerIdAndEpoch) -> bool {
        let state = self.producers.get(&present.id);
        state.is_some_and(|state| state.is_open && state.epoch < present.epoch)
    }

    /// Returns the producer ids whose transactions are open here.
    pub(super) fn open(&self) -> Vec<ProducerId> {
        let open = self.producers.iter().filter(|(_, state)| state.is_open);
        open.map(|(id, _)| *id).collect()
    }

    /// What a reader of committed records sees, in the order of the log; it stops before the first transaction that is open.
    pub(super) fn committed(&self) -> Vec<Record> {
        let mut visible: Vec<(usize, Record)> = Vec::new();
        let mut open: BTreeMap<ProducerId, Vec<(usize, Record)>> = BTreeMap::new();
        for (offset, entry) in self.entries.iter().enumerate() {
            match entry {
                Entry::Record(record) => {
                    open.entry(record.producer.id).or_default().push((offset, *record));
                }
                Entry::Marker(id, result) => {
                    let ended = open.remove(id).unwrap_or_default();
                    if *result == TransactionResult::Commit {
                        visible.extend(ended);
                    }
                }
            }
        }
        let stable = open.values().flatten().map(|(offset, _)| *offset).min();
        visible.retain(|(offset, _)| stable.is_none_or(|stable| *offset < stable));
        visible.sort_by_key(|(offset, _)| *offset);
        visible.into_iter().map(|(_, record)| record).collect()
    }
}
