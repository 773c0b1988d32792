//! A model of the producers' transactions and of their coordinator: what a member commits within one waits for a decision, and the decision's marker is sent until somebody says that it is
//! written. Markers get lost, come twice and late; each transaction has an epoch of its own, so that what comes late is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator::group::ids::GroupId;
use coordinator::group::request::{
    CommitOffsets, CommitTransactionalOffsets, CompleteTransaction, Request,
};
use model::record_batch::{EndTransactionMarker, TransactionResult};
use model::{ErrorCode, ProducerEpoch, ProducerId, Timestamp};

use super::member::PARTITIONS;
use crate::simulator::random::Random;

/// After how long an open transaction is aborted.
const TIMEOUT: Duration = Duration::from_millis(600);

/// How long an answer to a marker is waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// The names of all groups.
pub(super) const GROUPS: [&str; 3] = ["payments", "shipping", "auditing"];

/// All partitions of all groups.
pub(super) fn partitions_of_all() -> impl Iterator<Item = (GroupId, i32)> {
    let of_group = |group| (0..PARTITIONS).map(move |partition| (GroupId::from(group), partition));
    GROUPS.into_iter().flat_map(of_group)
}

/// The transactions of all producers; each member is one.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    producers: BTreeMap<usize, Producer>,
    /// Transactions that ended with a marker.
    pub(super) completed: u64,
}

/// One producer.
#[derive(Debug)]
struct Producer {
    /// Of its present transaction, or of the next one.
    epoch: i16,
    stage: Stage,
    /// The marker of its last transaction: it may be written once more.
    last_marker: Option<CompleteTransaction>,
}

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is none.
    Idle,
    Open {
        since: Timestamp,
    },
    /// Its marker is to be written.
    Decided {
        result: TransactionResult,
        ask_at: Timestamp,
    },
}

impl Transactions {
    /// Makes a commit one of a transaction now and then.
    pub(super) fn adopt(
        &mut self,
        member: usize,
        request: Request,
        now: Timestamp,
        random: &mut Random,
    ) -> Request {
        let Request::CommitOffsets(commit) = request else { return request };
        let producer = self.producers.entry(member).or_insert(Producer {
            epoch: 0,
            stage: Stage::Idle,
            last_marker: None,
        });
        if matches!(producer.stage, Stage::Decided { .. }) || !random.percent(50) {
            return Request::CommitOffsets(commit);
        }
        if producer.stage == Stage::Idle {
            producer.stage = Stage::Open { since: now };
        }
        let CommitOffsets { member: member_ref, offsets, .. } = commit;
        Request::CommitTransactionalOffsets(CommitTransactionalOffsets {
            member: member_ref,
            producer_id: id_of(member),
            producer_epoch: ProducerEpoch(producer.epoch),
            guard: None,
            offsets,
        })
    }

    /// Takes in how a commit within a transaction was answered: the producer goes on with its transaction, or ends it.
    pub(super) fn answered(
        &mut self,
        member: usize,
        commit: &CommitTransactionalOffsets,
        codes: &[ErrorCode],
        random: &mut Random,
    ) {
        let Some(producer) = self.producers.get_mut(&member) else { return };
        let is_present = commit.producer_epoch == ProducerEpoch(producer.epoch);
        if let Stage::Open { since } = producer.stage
            && is_present
            && random.percent(60)
        {
            let is_taken = codes.iter().all(|code| *code == ErrorCode::None);
            let result = TransactionResult::from_committed(is_taken && random.percent(80));
            producer.stage = Stage::Decided { result, ask_at: since };
        }
    }

    /// Returns the markers to send now, each with its producer's member.
    pub(super) fn due(
        &mut self,
        now: Timestamp,
        random: &mut Random,
    ) -> Vec<(usize, CompleteTransaction)> {
        let mut markers = Vec::new();
        for (member, producer) in &mut self.producers {
            if let Stage::Open { since } = producer.stage
                && now.since(since) > TIMEOUT
            {
                let result = TransactionResult::Abort;
                producer.stage = Stage::Decided { result, ask_at: now };
            }
            match producer.stage {
                Stage::Decided { result, ask_at } if ask_at <= now => {
                    producer.stage = Stage::Decided { result, ask_at: now + PATIENCE };
                    markers.push((*member, marker(*member, producer.epoch, result)));
                }
                Stage::Idle | Stage::Open { .. } if random.percent(2) => {
                    markers.extend(producer.last_marker.map(|marker| (*member, marker)));
                }
                Stage::Idle | Stage::Open { .. } | Stage::Decided { .. } => {}
            }
        }
        markers
    }

    /// Takes in that a marker is written.
    pub(super) fn written(&mut self, member: usize, marker: &CompleteTransaction) {
        let Some(producer) = self.producers.get_mut(&member) else { return };
        let is_present = marker.producer_epoch == ProducerEpoch(producer.epoch + 1);
        if is_present && matches!(producer.stage, Stage::Decided { .. }) {
            producer.stage = Stage::Idle;
            producer.epoch += 1;
            producer.last_marker = Some(*marker);
            self.completed += 1;
        }
    }

    /// Says whether nothing is to be decided or written.
    pub(super) fn are_idle(&self) -> bool {
        self.producers.values().all(|producer| producer.stage == Stage::Idle)
    }
}

fn marker(member: usize, epoch: i16, result: TransactionResult) -> CompleteTransaction {
    CompleteTransaction {
        producer_id: id_of(member),
        producer_epoch: ProducerEpoch(epoch + 1),
        marker: EndTransactionMarker { result, coordinator_epoch: 0 },
        transaction_version: 2,
    }
}

fn id_of(member: usize) -> ProducerId {
    ProducerId(i64::try_from(member).expect("few members"))
}
