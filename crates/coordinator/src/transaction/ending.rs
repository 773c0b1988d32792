//! How a transaction ends: by its producer's word (EndTxn), or in another's name, by a newcomer or because its time is over.
//!
//! With version 2 (KIP-890) the epoch grows with each decision, and so does what a message of a former transaction carries never fit a later one: the state and the two epochs say of
//! each EndTxn whether it is new, a repetition whose answer was lost, or a zombie's. Before that the epoch stays, and an EndTxn that is late ends whatever is open.

use model::{ErrorCode, ProducerEpoch, ProducerId};

use super::ids::{ProducerIdAndEpoch, TransactionVersion};
use super::markers;
use super::mutation::{self, Mutation};
use super::producer::{self, LAST_EPOCH_OF_CLIENTS, Producer};
use super::record::TransactionMetadataRecord;
use super::request::EndTransaction;
use super::response::Response;
use super::state::{TransactionResult, TransactionState};
use super::turn::Turn;

/// What came of the wish to decide.
pub(super) enum Decided {
    /// Nothing: the epochs are used up, and another producer id is needed.
    NeedsProducerId,
    /// What the producer is for its next transaction.
    Is(ProducerIdAndEpoch),
}

/// What an EndTxn amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The transaction is decided as wished; with version 2 an abort may be of nothing.
    Decide,
    /// It was decided so before.
    Repeated,
    Refused(ErrorCode),
}

/// Ends a transaction as its producer wishes.
pub(super) fn end(
    producer: &mut Producer,
    turn: &mut Turn<'_>,
    request: &EndTransaction,
) -> Response {
    let verdict = if request.client_version.bumps_epochs() {
        judge(producer, request)
    } else {
        judge_before_version_2(producer, request)
    };
    match verdict {
        Verdict::Refused(code) => Response::End(Err(code)),
        Verdict::Repeated => Response::End(Ok(producer.identity())),
        Verdict::Decide => {
            let version = if request.client_version.bumps_epochs() {
                TransactionVersion::V2
            } else {
                TransactionVersion::V0
            };
            let spare = request.spare_producer_id;
            match decide(producer, turn, request.result, version, spare) {
                Decided::NeedsProducerId => Response::NeedsProducerId,
                Decided::Is(next) => Response::End(Ok(next)),
            }
        }
    }
}

/// Aborts the open transaction in an epoch that its producer does not have, so that whatever it still says is refused.
pub(super) fn abort_in_anothers_name(
    producer: &mut Producer,
    turn: &mut Turn<'_>,
    spare: Option<ProducerId>,
) -> Decided {
    decide(producer, turn, TransactionResult::Abort, TransactionVersion::V2, spare)
}

/// Aborts a transaction whose time is over.
pub(super) fn time_out(
    producer: &mut Producer,
    turn: &mut Turn<'_>,
    spare: Option<ProducerId>,
) -> Decided {
    if mutation::is_active(Mutation::TimeoutWithoutFence) {
        return decide(producer, turn, TransactionResult::Abort, TransactionVersion::V0, spare);
    }
    abort_in_anothers_name(producer, turn, spare)
}

/// The rules of version 2. *Present* is a client with the epoch of its next transaction, *late* one with the epoch of the last: it has not heard what it is now.
fn judge(producer: &Producer, request: &EndTransaction) -> Verdict {
    use TransactionResult::{Abort, Commit};
    use TransactionState::{CompleteAbort, CompleteCommit, Empty, Ongoing};

    if let Some(verdict) = while_markers_are_written(producer, request) {
        return verdict;
    }
    let (is, claimed) = (producer.identity(), request.producer);
    let is_present = claimed == is;
    let is_late = claimed.id == is.id && is.epoch.0 == claimed.epoch.0.saturating_add(1)
        || is_late_by_an_id(producer, claimed);
    if claimed.id != is.id && !is_late {
        return Verdict::Refused(ErrorCode::InvalidProducerIdMapping);
    }
    match (producer.state(), request.result) {
        (Ongoing, _) if is_present => Verdict::Decide,
        (Ongoing, _) if is_late && mutation::is_active(Mutation::RepeatedEndAccepted) => {
            Verdict::Decide
        }
        (Empty | CompleteCommit | CompleteAbort, Abort) if is_present => Verdict::Decide,
        (CompleteCommit, Commit) | (CompleteAbort, Abort) if is_late => Verdict::Repeated,
        (CompleteCommit, Abort) | (CompleteAbort, Commit) if is_late => {
            Verdict::Refused(ErrorCode::InvalidTxnState)
        }
        (Empty | CompleteCommit | CompleteAbort, Commit) if is_present => {
            Verdict::Refused(ErrorCode::InvalidTxnState)
        }
        _ => Verdict::Refused(ErrorCode::ProducerFenced),
    }
}

/// Says whether a client used up the epochs of its producer id with its last transaction, and has not heard of the next id.
fn is_late_by_an_id(producer: &Producer, claimed: ProducerIdAndEpoch) -> bool {
    producer.logged.previous_producer_id == Some(claimed.id)
        && claimed.id != producer.logged.producer_id
        && claimed.epoch == LAST_EPOCH_OF_CLIENTS
        && producer.logged.producer_epoch == ProducerEpoch(0)
}

/// The rules for older clients, whose epoch says which incarnation they are, but not which transaction they mean.
fn judge_before_version_2(producer: &Producer, request: &EndTransaction) -> Verdict {
    use TransactionResult::{Abort, Commit};
    use TransactionState::{
        CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit,
    };

    let (is, claimed) = (producer.identity(), request.producer);
    if claimed.id != is.id {
        return Verdict::Refused(ErrorCode::InvalidProducerIdMapping);
    }
    if claimed.epoch != is.epoch {
        return Verdict::Refused(ErrorCode::ProducerFenced);
    }
    if let Some(verdict) = while_markers_are_written(producer, request) {
        return verdict;
    }
    match (producer.state(), request.result) {
        (Ongoing, _) => Verdict::Decide,
        (CompleteCommit, Commit) | (CompleteAbort, Abort) => Verdict::Repeated,
        (CompleteCommit, Abort) | (CompleteAbort, Commit) | (Empty, _) => {
            Verdict::Refused(ErrorCode::InvalidTxnState)
        }
        (PrepareCommit | PrepareAbort, _) => Verdict::Refused(ErrorCode::ConcurrentTransactions),
    }
}

/// As in Kafka, whatever is wished while markers are written, the client is to come again: only then is it told whether its wish fits.
fn while_markers_are_written(producer: &Producer, request: &EndTransaction) -> Option<Verdict> {
    let decided = producer.state().prepared()?;
    if mutation::is_active(Mutation::DecisionChanged) && decided != request.result {
        return Some(Verdict::Decide);
    }
    Some(Verdict::Refused(ErrorCode::ConcurrentTransactions))
}

/// Decides a transaction, in a record that says all that its markers are to say; has them written once that is committed.
fn decide(
    producer: &mut Producer,
    turn: &mut Turn<'_>,
    result: TransactionResult,
    version: TransactionVersion,
    spare: Option<ProducerId>,
) -> Decided {
    let mut value = TransactionMetadataRecord {
        client_version: version,
        ..producer.changed(turn.now, TransactionState::prepare(result))
    };
    if version.bumps_epochs() {
        if producer.is_epoch_exhausted() {
            // The markers carry the highest epoch, which no client ever has; the producer goes on with another id.
            let Some(spare) = spare else { return Decided::NeedsProducerId };
            value.next_producer_id = Some(spare);
        }
        if !mutation::is_active(Mutation::EpochNotBumped) {
            value.producer_epoch = producer::next_epoch(value.producer_epoch);
        }
    }
    if producer.state() != TransactionState::Ongoing {
        // An abort of nothing. It needs a start, for tools.
        value.started_at = Some(turn.now.wall);
    }
    if version.bumps_epochs() {
        producer.last_epoch = Some(producer.logged.producer_epoch);
    }
    producer.become_as(turn, value);
    turn.totals.decided(result);
    markers::ask_or_complete(producer, turn);
    Decided::Is(next_identity(producer))
}

/// What the producer is once its decided transaction is complete.
pub(super) fn next_identity(producer: &Producer) -> ProducerIdAndEpoch {
    match producer.logged.next_producer_id {
        Some(id) => ProducerIdAndEpoch { id, epoch: ProducerEpoch(0) },
        None => producer.identity(),
    }
}
