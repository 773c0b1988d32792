//! TxnOffsetCommit: stores the offsets of a group as part of a producer's transaction: they count when its marker is written.
//!
//! Before the first of a transaction, the transaction's coordinator is asked whether the group's partition is part of it, as before a batch of records (KIP-890).

use controller::metadata::Image;
use coordinator::group::request::{
    CommitTransactionalOffsets, OffsetToCommit, Request, VerificationGuard,
};
use coordinator::group::response::Response;
use coordinator::transaction::ids::ProducerIdAndEpoch;
use model::record_batch::BatchProducer;
use model::{
    ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicIdPartition, TopicPartition,
};
use protocol::VersionRange;
use protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestTopic, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::{UNEXPECTED, ask, wire};
use crate::context::{Call, Context};
use crate::coordinators;
use crate::error_code::ToErrorCode as _;
use crate::topics::internal::OFFSETS_TOPIC;
use crate::transactions::SupportedOperation;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 5 };

/// First version whose clients know COORDINATOR_LOAD_IN_PROGRESS (KAFKA-7296).
const LOADING_VERSION: i16 = 2;

/// First version whose client knows TRANSACTION_ABORTABLE.
const ABORTABLE_VERSION: i16 = 4;

/// First version whose client leaves it to the broker to add the group's partition to its transaction.
const ADD_PARTITION_VERSION: i16 = 5;

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    // Of each partition, in the request's order: whether it is to be committed, or does not exist.
    let mut is_known = Vec::new();
    let mut offsets = Vec::new();
    {
        let image = context.controller.image();
        for topic in &request.topics {
            sort_out(&image, topic, &mut is_known, &mut offsets);
        }
    }
    let count = offsets.len();
    let codes = match offsets {
        none if none.is_empty() => Ok(Vec::new()),
        offsets => commit(context, call, &request, offsets).await,
    };
    let codes = codes.unwrap_or_else(|code| vec![code; count]);
    let mut codes = codes.into_iter().map(|code| for_version(call.version, code));
    let mut is_known = is_known.into_iter();
    let mut next = || match is_known.next() {
        Some(false) => ErrorCode::UnknownTopicOrPartition,
        _ => codes.next().unwrap_or(UNEXPECTED),
    };
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let error_code = next();
            context.count_error(call.api_key, error_code);
            let partition_index = partition.partition_index;
            TxnOffsetCommitResponsePartition { partition_index, error_code }
        });
        TxnOffsetCommitResponseTopic { name: topic.name.clone(), partitions: partitions.collect() }
    });
    TxnOffsetCommitResponse { topics: topics.collect(), ..TxnOffsetCommitResponse::default() }
}

/// Parts the offsets of a topic into those to commit and those of a partition that does not exist.
fn sort_out(
    image: &Image,
    topic: &TxnOffsetCommitRequestTopic,
    is_known: &mut Vec<bool>,
    offsets: &mut Vec<OffsetToCommit>,
) {
    let known = image.topic_by_name(&topic.name);
    for one in &topic.partitions {
        let partition = one.partition_index;
        let known = known.filter(|known| {
            let id = TopicIdPartition { topic_id: known.topic_id, partition };
            image.partition(id).is_some()
        });
        is_known.push(known.is_some());
        let Some(known) = known else { continue };
        offsets.push(OffsetToCommit {
            topic: (&*known.name).into(),
            topic_id: Some(known.topic_id),
            partition,
            offset: Offset(one.committed_offset),
            leader_epoch: LeaderEpoch::from_wire(one.committed_leader_epoch),
            metadata: one.committed_metadata.as_ref().map(String::from).unwrap_or_default(),
        });
    }
}

/// Verifies the transaction, then lets the group's coordinator store offsets.
async fn commit(
    context: &Context,
    call: &Call,
    request: &TxnOffsetCommitRequest,
    offsets: Vec<OffsetToCommit>,
) -> Result<Vec<ErrorCode>, ErrorCode> {
    let guard = verified(context, call, request).await?;
    let commit = Request::CommitTransactionalOffsets(CommitTransactionalOffsets {
        member: wire::member(
            &request.group_id,
            &request.member_id,
            request.group_instance_id.as_ref(),
            request.generation_id,
        ),
        producer_id: ProducerId(request.producer_id),
        producer_epoch: ProducerEpoch(request.producer_epoch),
        guard,
        offsets,
    });
    match ask(context, &request.group_id, commit).await {
        Ok(Response::CommitTransactionalOffsets(codes)) => Ok(codes),
        Ok(_) => Err(UNEXPECTED),
        Err(refusal) => Err(refusal.error_code()),
    }
}

/// Asks the transaction's coordinator, if this is the first that the group's partition hears of the transaction. Returns what opens its log.
async fn verified(
    context: &Context,
    call: &Call,
    request: &TxnOffsetCommitRequest,
) -> Result<Option<VerificationGuard>, ErrorCode> {
    let id = coordinators::partition_of(&context.controller.image(), &request.group_id);
    let id = id.ok_or(ErrorCode::NotCoordinator)?;
    let replica = context.replicas.get(&id).ok_or(ErrorCode::NotCoordinator)?;
    let operation = operation(call.version);
    let (id, epoch) = (ProducerId(request.producer_id), ProducerEpoch(request.producer_epoch));
    let producer = BatchProducer { id, epoch, base_sequence: None };
    let begun = replica.begin_verification(producer, operation.transaction_version());
    let Some(guard) = begun.map_err(|_| ErrorCode::NotCoordinator)? else { return Ok(None) };
    let is_asked_for =
        operation == SupportedOperation::AddPartition || context.coordinators.verifies_partitions();
    if is_asked_for {
        let partition = replica.name().partition;
        let partition = TopicPartition { topic: OFFSETS_TOPIC.to_owned(), partition };
        let producer = ProducerIdAndEpoch { id, epoch };
        let verification = context.coordinators.verification();
        let asked =
            verification.verify(&request.transactional_id, producer, vec![partition], operation);
        match asked.await.first() {
            Some(ErrorCode::None) => {}
            // The group's coordinator is here; it is that of the transaction that could not be asked.
            Some(ErrorCode::NotEnoughReplicas) => {
                return Err(ErrorCode::CoordinatorLoadInProgress);
            }
            Some(code) => return Err(*code),
            None => return Err(UNEXPECTED),
        }
    }
    Ok(Some(VerificationGuard(guard.0)))
}

fn operation(version: i16) -> SupportedOperation {
    match version {
        ADD_PARTITION_VERSION.. => SupportedOperation::AddPartition,
        ABORTABLE_VERSION.. => SupportedOperation::GenericError,
        _ => SupportedOperation::DefaultError,
    }
}

/// Clients are told codes that their version knows.
fn for_version(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::CoordinatorLoadInProgress if version < LOADING_VERSION => {
            ErrorCode::CoordinatorNotAvailable
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_are_told_that_there_is_no_coordinator_while_it_loads() {
        let loading = ErrorCode::CoordinatorLoadInProgress;
        assert_eq!(for_version(1, loading), ErrorCode::CoordinatorNotAvailable);
        assert_eq!(for_version(2, loading), loading);
    }

    #[test]
    fn the_groups_partition_is_added_by_the_broker_from_version_5_on() {
        assert_eq!(operation(3), SupportedOperation::DefaultError);
        assert_eq!(operation(4), SupportedOperation::GenericError);
        assert_eq!(operation(5), SupportedOperation::AddPartition);
    }
}
