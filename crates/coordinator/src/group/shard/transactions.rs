//! Transactions that commit offsets of this shard's groups: their batches, and what becomes of them when the log has taken those.
//!
//! The log knows the producers: whether it takes a batch of one is known only when it was asked. So nothing changes before that, and a refusal has changed nothing.
//!
//! Invariants: an offset of a transaction is committed exactly when the log holds its commit marker behind it. The log is needed from the first record of each transaction that is open.

use std::collections::{BTreeMap, BTreeSet};

use model::record_batch::TransactionResult;
use model::{ErrorCode, Offset, ProducerId};

use super::Shard;
use crate::group::ids::GroupId;
use crate::group::offsets::Decision;
use crate::group::record::{GroupRecord, TransactionBatch};
use crate::group::request::{CommitTransactionalOffsets, CompleteTransaction, RequestId};
use crate::group::response::Response;
use crate::group::{Now, WriteId, offset_requests};

/// A batch that the log was asked to take.
#[derive(Clone, Debug)]
pub(super) struct Unconfirmed {
    write: WriteId,
    /// The last write before it, which is the last one still if it is refused.
    write_before: Option<WriteId>,
    request: RequestId,
    effect: Effect,
}

/// What the batch leads to when it is appended.
#[derive(Clone, Debug)]
enum Effect {
    Pending {
        group_id: GroupId,
        producer_id: ProducerId,
        records: Vec<GroupRecord>,
        codes: Vec<ErrorCode>,
    },
    Completed {
        producer_id: ProducerId,
        result: TransactionResult,
    },
}

/// The transactions that have committed offsets here and are open.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenTransactions {
    by_producer: BTreeMap<ProducerId, OpenTransaction>,
}

#[derive(Clone, Debug)]
struct OpenTransaction {
    /// Where the log has its first record.
    first_offset: Offset,
    /// The groups that it has committed something for. One may have lost it again.
    groups: BTreeSet<GroupId>,
}

impl OpenTransactions {
    /// Takes in that a producer's transaction has committed something for a group.
    pub(super) fn join(&mut self, producer_id: ProducerId, offset: Offset, group_id: GroupId) {
        let begun = || OpenTransaction { first_offset: offset, groups: BTreeSet::new() };
        self.by_producer.entry(producer_id).or_insert_with(begun).groups.insert(group_id);
    }

    /// Ends a producer's transaction, and returns the groups that it has committed something for.
    pub(super) fn end(&mut self, producer_id: ProducerId) -> BTreeSet<GroupId> {
        self.by_producer.remove(&producer_id).map(|open| open.groups).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.by_producer.len()
    }
}

impl Shard {
    /// Returns the offset from which on the log is needed whatever a rewrite puts behind it: the first record of the transactions that are open; `None` without any.
    #[must_use]
    pub fn needed_from(&self) -> Option<Offset> {
        self.transactions.by_producer.values().map(|open| open.first_offset).min()
    }

    /// Says what came of the batch of [`crate::group::Action::AppendOfTransaction`]: appended at an offset, or refused by the log for its producer's sake, and then with which answer. What that
    /// leads to is in [`Self::poll_action`], as after a step.
    ///
    /// # Panics
    /// When there is no such batch: a bug of the driver.
    pub fn appended(&mut self, now: Now, result: Result<Offset, ErrorCode>) {
        let unconfirmed = self.unconfirmed.take().expect("a batch of a transaction was asked for");
        let now = Now { monotonic: self.now.max(now.monotonic), wall: now.wall };
        match result {
            Ok(offset) => self.confirmed(now, offset, unconfirmed),
            Err(error) => {
                let Unconfirmed { write_before, request, effect, .. } = unconfirmed;
                self.outbox.take_back(write_before);
                let response = match effect {
                    Effect::Pending { codes, .. } => {
                        Response::CommitTransactionalOffsets(vec![error; codes.len()])
                    }
                    Effect::Completed { .. } => Response::CompleteTransaction(error),
                };
                self.outbox.reply(request, response, None);
            }
        }
        self.outbox.end_step();
    }

    /// Answers a TxnOffsetCommit that comes to nothing, or asks the log to take its batch.
    pub(super) fn commit_transactional(
        &mut self,
        now: Now,
        id: RequestId,
        request: CommitTransactionalOffsets,
    ) {
        let CommitTransactionalOffsets { producer_id, producer_epoch, guard, .. } = request;
        let group_id = request.member.group_id.clone();
        let to_write = self.with_group(now, &group_id, |group, turn| {
            let Decision { records, response } =
                offset_requests::commit_transactional(group, turn, request);
            match response {
                Response::CommitTransactionalOffsets(codes) if !records.is_empty() => {
                    Some((records, codes))
                }
                response => {
                    turn.reply(id, response);
                    None
                }
            }
        });
        let Some((records, codes)) = to_write else { return };
        let effect = Effect::Pending { group_id, producer_id, records: records.clone(), codes };
        let batch = TransactionBatch::Offsets { producer_id, producer_epoch, guard, records };
        self.ask_log(id, batch, effect);
    }

    /// Asks the log to take a transaction's marker: also one that it has already, for whoever writes markers may not have heard of it.
    pub(super) fn complete_transaction(&mut self, id: RequestId, request: CompleteTransaction) {
        let CompleteTransaction { producer_id, marker, .. } = request;
        let effect = Effect::Completed { producer_id, result: marker.result };
        self.ask_log(id, TransactionBatch::Marker(request), effect);
    }

    fn ask_log(&mut self, request: RequestId, batch: TransactionBatch, effect: Effect) {
        let write_before = self.outbox.last_write();
        let write = self.outbox.append_of_transaction(batch);
        self.unconfirmed = Some(Unconfirmed { write, write_before, request, effect });
    }

    /// Takes in a batch that the log has taken. What is said of its groups from now on depends on it.
    fn confirmed(&mut self, now: Now, offset: Offset, unconfirmed: Unconfirmed) {
        let Unconfirmed { write, request, effect, .. } = unconfirmed;
        match effect {
            Effect::Pending { group_id, producer_id, records, codes } => {
                self.transactions.join(producer_id, offset, group_id.clone());
                self.with_group(now, &group_id, |group, turn| {
                    group.last_write = Some(write);
                    for record in records {
                        if let GroupRecord::Offset {
                            topic, partition, value: Some(value), ..
                        } = record
                        {
                            let key = (topic, partition);
                            group.take_in_pending(turn.totals, producer_id, key, value);
                        }
                    }
                    turn.reply(request, Response::CommitTransactionalOffsets(codes));
                });
            }
            Effect::Completed { producer_id, result } => {
                for group_id in self.transactions.end(producer_id) {
                    // What it had for the group may be deleted, with the group or alone.
                    let group = self.groups.get(&group_id);
                    if !group.is_some_and(|group| group.pending_offsets.is_of(producer_id)) {
                        continue;
                    }
                    self.with_group(now, &group_id, |group, turn| {
                        group.last_write = Some(write);
                        group.complete_transaction(turn.totals, producer_id, result);
                    });
                }
                self.deletions.transaction_ended();
                let response = Response::CompleteTransaction(ErrorCode::None);
                self.outbox.reply(request, response, Some(write));
            }
        }
    }
}
