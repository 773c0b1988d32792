//! The commands of scripts about transactions, and the log of a script, which knows what belongs to one.

use model::record_batch::{EndTransactionMarker, TransactionResult};
use model::{ErrorCode, Offset, ProducerEpoch, ProducerId};
use scripts::Arguments;

use super::offset_commands;
use crate::group::Shard;
use crate::group::record::{GroupRecord, TransactionBatch};
use crate::group::request::{
    CommitOffsets, CommitTransactionalOffsets, CompleteTransaction, MemberRef,
};

pub(super) fn commit(arguments: &Arguments<'_>, member: MemberRef) -> CommitTransactionalOffsets {
    let CommitOffsets { member, mut offsets, .. } = offset_commands::commit(arguments, member);
    for offset in &mut offsets {
        // The epoch is the producer's.
        offset.leader_epoch = None;
    }
    CommitTransactionalOffsets {
        member,
        producer_id: producer_id(arguments),
        producer_epoch: producer_epoch(arguments),
        guard: None,
        offsets,
    }
}

pub(super) fn marker(arguments: &Arguments<'_>) -> CompleteTransaction {
    let result = match arguments.subject {
        Some("commit") => TransactionResult::Commit,
        Some("abort") => TransactionResult::Abort,
        other => panic!("{other:?} is no end of a transaction"),
    };
    let coordinator_epoch = arguments.get("coordinator").unwrap_or(0);
    CompleteTransaction {
        producer_id: producer_id(arguments),
        producer_epoch: producer_epoch(arguments),
        marker: EndTransactionMarker { result, coordinator_epoch },
        transaction_version: 1,
    }
}

pub(super) fn code(name: Option<&str>) -> ErrorCode {
    let codes = [
        ErrorCode::InvalidProducerEpoch,
        ErrorCode::InvalidTxnState,
        ErrorCode::TransactionCoordinatorFenced,
    ];
    codes.into_iter().find(|code| Some(code.to_string().as_str()) == name).expect("a code's name")
}

fn producer_id(arguments: &Arguments<'_>) -> ProducerId {
    ProducerId(arguments.get("producer").unwrap_or(7))
}

fn producer_epoch(arguments: &Arguments<'_>) -> ProducerEpoch {
    ProducerEpoch(arguments.get("epoch").unwrap_or(0))
}

/// The log of a test: its records by offset, as replay needs them.
#[derive(Clone, Debug, Default)]
pub(super) struct ScriptLog {
    start: usize,
    entries: Vec<Entry>,
}

/// One record of a log.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Plain(GroupRecord),
    OfTransaction(ProducerId, GroupRecord),
    Marker(ProducerId, TransactionResult),
}

impl Entry {
    /// Replays the record that stands at an offset.
    pub(super) fn replay_into(&self, offset: Offset, shard: &mut Shard) {
        match self.clone() {
            Self::Plain(record) => shard.replay(record),
            Self::OfTransaction(producer_id, record) => {
                shard.replay_pending(producer_id, offset, record);
            }
            Self::Marker(producer_id, result) => shard.replay_marker(producer_id, result),
        }
    }

    /// Makes the records of a batch.
    pub(super) fn of_batch(batch: TransactionBatch) -> Vec<Self> {
        match batch {
            TransactionBatch::Offsets { producer_id, records, .. } => {
                let each = records.into_iter();
                each.map(|record| Self::OfTransaction(producer_id, record)).collect()
            }
            TransactionBatch::Marker(CompleteTransaction { producer_id, marker, .. }) => {
                vec![Self::Marker(producer_id, marker.result)]
            }
        }
    }
}

impl ScriptLog {
    /// Returns the next offset.
    pub(super) fn end(&self) -> usize {
        self.start + self.entries.len()
    }

    /// Returns the number of records.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn append(&mut self, records: Vec<GroupRecord>) {
        self.entries.extend(records.into_iter().map(Entry::Plain));
    }

    /// Appends a batch and returns where it stands.
    pub(super) fn append_of_transaction(&mut self, batch: TransactionBatch) -> Offset {
        let offset = Offset(i64::try_from(self.end()).expect("logs are short"));
        self.entries.extend(Entry::of_batch(batch));
        offset
    }

    /// Forgets what stands before an offset.
    pub(super) fn trim(&mut self, start: usize) {
        self.entries.drain(..start - self.start);
        self.start = start;
    }

    pub(super) fn replay_into(&self, shard: &mut Shard) {
        for (offset, entry) in (self.start..).zip(&self.entries) {
            entry.replay_into(Offset(i64::try_from(offset).expect("logs are short")), shard);
        }
    }
}
