//! AddPartitionsToTxn: partitions join a transaction, and partitions ask whether they did.

use model::{ErrorCode, TopicPartition};

use super::mutation::{self, Mutation};
use super::producer::Producer;
use super::record::TransactionMetadataRecord;
use super::request::{AddPartitions, VerifyPartitions};
use super::state::TransactionState;
use super::turn::Turn;
use super::{ProducerIdAndEpoch, record_size};

/// Has partitions join the open transaction, or begins one with them.
pub(super) fn add(
    producer: &mut Producer,
    turn: &mut Turn<'_>,
    request: AddPartitions,
) -> ErrorCode {
    // First, as in Kafka: who comes while markers are written is told to come again, and learns then what it is.
    let may_overtake = mutation::is_active(Mutation::NextBeginsBeforeComplete);
    if producer.state().prepared().is_some() && !may_overtake {
        return ErrorCode::ConcurrentTransactions;
    }
    if let Some(code) = refusal(producer, request.producer) {
        return code;
    }
    let is_open = producer.state() == TransactionState::Ongoing;
    if is_open && request.partitions.is_subset(&producer.logged.partitions) {
        return ErrorCode::None;
    }
    let mut value = TransactionMetadataRecord {
        client_version: request.client_version,
        ..producer.changed(turn.now, TransactionState::Ongoing)
    };
    if !is_open {
        value.started_at = Some(turn.now.wall);
        value.partitions.clear();
        producer.decision = None;
    }
    value.partitions.extend(request.partitions);
    if record_size::of(&producer.transactional_id, &value) > turn.config.max_record_bytes {
        // As in Kafka, where the append fails of it.
        return ErrorCode::UnknownServerError;
    }
    if mutation::is_active(Mutation::PartitionNotWritten) && is_open {
        producer.logged = value;
        return ErrorCode::None;
    }
    producer.become_as(turn, value);
    ErrorCode::None
}

/// Says of each partition whether it is in the producer's open transaction.
pub(super) fn verify(producer: &Producer, request: &VerifyPartitions) -> Vec<ErrorCode> {
    if mutation::is_active(Mutation::VerificationSkipped) {
        return of_all(&request.partitions, ErrorCode::None);
    }
    if let Some(code) = refusal(producer, request.producer) {
        return of_all(&request.partitions, code);
    }
    if producer.state().prepared().is_some() {
        return of_all(&request.partitions, ErrorCode::ConcurrentTransactions);
    }
    let code = |partition| {
        let is_in = producer.logged.partitions.contains(partition);
        if is_in { ErrorCode::None } else { ErrorCode::TransactionAbortable }
    };
    request.partitions.iter().map(code).collect()
}

/// Gives all partitions one code.
pub(super) fn of_all(partitions: &[TopicPartition], code: ErrorCode) -> Vec<ErrorCode> {
    vec![code; partitions.len()]
}

/// Says why a client that is not the present incarnation is refused.
fn refusal(producer: &Producer, claimed: ProducerIdAndEpoch) -> Option<ErrorCode> {
    let is = producer.identity();
    if claimed.id != is.id {
        Some(ErrorCode::InvalidProducerIdMapping)
    } else if claimed.epoch != is.epoch {
        Some(ErrorCode::ProducerFenced)
    } else {
        None
    }
}
