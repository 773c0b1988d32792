//! InitProducerId: a producer becomes the one that bears a transactional id, and every one before it does so no longer.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{ErrorCode, ProducerEpoch, ProducerId};

use super::ending::{self, Decided};
use super::ids::{ProducerIdAndEpoch, TransactionVersion};
use super::mutation::{self, Mutation};
use super::producer::{self, LAST_EPOCH_OF_CLIENTS, NO_TIMEOUT, Producer};
use super::record::TransactionMetadataRecord;
use super::request::{InitProducerId, TwoPhaseCommit};
use super::response::Response;
use super::state::TransactionState;
use super::turn::Turn;
use super::{Now, TransactionConfig, record_size};

/// Says why a request is refused whatever its producer is.
pub(super) fn refusal(request: &InitProducerId, config: &TransactionConfig) -> Option<ErrorCode> {
    let name_bytes = request.transactional_id.as_str().len();
    if name_bytes == 0 || name_bytes > record_size::MAX_TEXT_BYTES {
        return Some(ErrorCode::InvalidRequest);
    }
    match request.two_phase_commit {
        TwoPhaseCommit::Enabled if config.two_phase_commit => None,
        TwoPhaseCommit::Enabled => Some(ErrorCode::TransactionalIdAuthorizationFailed),
        TwoPhaseCommit::Disabled => {
            let timeout = request.transaction_timeout;
            let is_legal = !timeout.is_zero() && timeout <= config.max_timeout;
            (!is_legal).then_some(ErrorCode::InvalidTransactionTimeout)
        }
    }
}

/// Makes the producer of an id that is not known. What the client believes to be does not matter: nobody else can.
pub(super) fn new_producer(request: &InitProducerId, id: ProducerId, now: Now) -> Producer {
    let logged = TransactionMetadataRecord {
        producer_id: id,
        // Kafka makes the producer first and gives it its epoch then, so its record names the id twice.
        previous_producer_id: Some(id),
        next_producer_id: None,
        producer_epoch: ProducerEpoch(0),
        transaction_timeout: timeout(request),
        state: TransactionState::Empty,
        partitions: BTreeSet::new(),
        updated_at: now.wall,
        started_at: None,
        client_version: TransactionVersion::V0,
    };
    Producer::of_record(request.transactional_id.clone(), logged)
}

/// Gives a producer that is known its next incarnation, or ends the transaction that is in the way.
pub(super) fn init(
    producer: &mut Producer,
    turn: &mut Turn<'_>,
    request: &InitProducerId,
) -> Response {
    match producer.state() {
        TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
            Response::InitProducerId(Err(ErrorCode::ConcurrentTransactions))
        }
        TransactionState::Ongoing => {
            if mutation::is_active(Mutation::OpenTransactionInherited) {
                let epoch = producer::next_epoch(producer.logged.producer_epoch);
                let state = TransactionState::Ongoing;
                let mut value = producer.changed(turn.now, state);
                value.producer_epoch = epoch;
                producer.become_as(turn, value);
                return Response::InitProducerId(Ok(producer.identity()));
            }
            end_open_transaction(producer, turn, request)
        }
        TransactionState::Empty
        | TransactionState::CompleteCommit
        | TransactionState::CompleteAbort => match next(producer, request) {
            Next::Refused(code) => Response::InitProducerId(Err(code)),
            Next::NeedsProducerId => Response::NeedsProducerId,
            Next::Is(is, last_epoch) => {
                let value = TransactionMetadataRecord {
                    producer_id: is.id,
                    producer_epoch: is.epoch,
                    transaction_timeout: timeout(request),
                    started_at: None,
                    ..producer.changed(turn.now, TransactionState::Empty)
                };
                producer.last_epoch = last_epoch;
                producer.become_as(turn, value);
                Response::InitProducerId(Ok(producer.identity()))
            }
        },
    }
}

/// Aborts the open transaction, in an epoch that nobody is ever told, and has the client come again: so its epoch is above both.
fn end_open_transaction(
    producer: &mut Producer,
    turn: &mut Turn<'_>,
    request: &InitProducerId,
) -> Response {
    let is_known = request.expected.is_none_or(|expected| {
        // Kafka looks at the id alone here; but what a former incarnation says must not end a later one's transaction.
        expected == producer.identity()
            || expected.id == producer.logged.producer_id
                && Some(expected.epoch) == producer.last_epoch
    });
    if !is_known {
        return Response::InitProducerId(Err(ErrorCode::ProducerFenced));
    }
    match ending::abort_in_anothers_name(producer, turn, request.spare_producer_id) {
        Decided::NeedsProducerId => Response::NeedsProducerId,
        Decided::Is(_) => Response::InitProducerId(Err(ErrorCode::ConcurrentTransactions)),
    }
}

/// What a producer without an open transaction becomes.
enum Next {
    Refused(ErrorCode),
    NeedsProducerId,
    /// The next incarnation, and the epoch that the same client may still believe in.
    Is(ProducerIdAndEpoch, Option<ProducerEpoch>),
}

fn next(producer: &Producer, request: &InitProducerId) -> Next {
    let is = producer.identity();
    if let Some(expected) = request.expected
        && expected != is
    {
        return repeated(producer, expected);
    }
    // The epoch of a client that goes on is remembered, in case that the answer is lost and it asks again.
    let last_epoch = request.expected.map(|expected| expected.epoch);
    if !producer.is_epoch_exhausted() {
        let broken = mutation::is_active(Mutation::PredecessorNotFenced);
        let epoch = if broken { is.epoch } else { producer::next_epoch(is.epoch) };
        return Next::Is(ProducerIdAndEpoch { id: is.id, epoch }, last_epoch);
    }
    match request.spare_producer_id {
        None => Next::NeedsProducerId,
        Some(id) => Next::Is(ProducerIdAndEpoch { id, epoch: ProducerEpoch(0) }, last_epoch),
    }
}

/// A client that is not what it believes to be: it asks again, without having heard that it was granted, or it was fenced.
fn repeated(producer: &Producer, expected: ProducerIdAndEpoch) -> Next {
    let is = producer.identity();
    let is_id_of_before = Some(expected.id) == producer.logged.previous_producer_id
        && expected.epoch >= LAST_EPOCH_OF_CLIENTS;
    let is_repeated = Some(expected.epoch) == producer.last_epoch;
    if is_repeated && (expected.id == is.id || is_id_of_before) {
        Next::Is(is, producer.last_epoch)
    } else {
        Next::Refused(ErrorCode::ProducerFenced)
    }
}

fn timeout(request: &InitProducerId) -> Duration {
    match request.two_phase_commit {
        TwoPhaseCommit::Enabled => NO_TIMEOUT,
        TwoPhaseCommit::Disabled => request.transaction_timeout,
    }
}
