//! Transactions as the messages have them: requests made, responses read. No I/O.

use std::collections::BTreeMap;

use model::record_batch::TransactionResult;
use model::{LeaderEpoch, ProducerEpoch, ProducerId, TopicPartition};
use protocol::codec::KafkaString;
use protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, EndTxnRequest,
    InitProducerIdRequest, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use super::{GroupMetadata, TransactionalProducerConfig};
use crate::error::Error;
use crate::groups::CommittedOffset;
use crate::wire::{by_topic, millis, partition};

/// Asks for a producer id and epoch, or, with an id of 0 or greater, for its next epoch.
pub(super) fn init(
    config: &TransactionalProducerConfig,
    id: ProducerId,
    epoch: ProducerEpoch,
) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: Some((&config.transactional_id).into()),
        transaction_timeout_ms: millis(config.transaction_timeout),
        producer_id: id.0,
        producer_epoch: epoch.0,
    }
}

pub(super) fn add_partition(
    transactional_id: &str,
    id: ProducerId,
    epoch: ProducerEpoch,
    at: &TopicPartition,
) -> AddPartitionsToTxnRequest {
    let topic =
        AddPartitionsToTxnTopic { name: (&at.topic).into(), partitions: vec![at.partition] };
    AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: transactional_id.into(),
        v3_and_below_producer_id: id.0,
        v3_and_below_producer_epoch: epoch.0,
        v3_and_below_topics: vec![topic],
        ..AddPartitionsToTxnRequest::default()
    }
}

/// Returns the refusal of an answer.
pub(super) fn partition_added(
    at: &TopicPartition,
    response: &AddPartitionsToTxnResponse,
) -> Result<(), Error> {
    let topics = response.results_by_topic_v3_and_below.iter();
    let mut results = topics.flat_map(|topic| &topic.results_by_partition);
    let result = results.next().ok_or_else(|| Error::unnamed(at.to_string()))?;
    Error::check(at.to_string(), result.partition_error_code, None)
}

pub(super) fn add_offsets(
    transactional_id: &str,
    id: ProducerId,
    epoch: ProducerEpoch,
    group_id: &str,
) -> AddOffsetsToTxnRequest {
    AddOffsetsToTxnRequest {
        transactional_id: transactional_id.into(),
        producer_id: id.0,
        producer_epoch: epoch.0,
        group_id: group_id.into(),
    }
}

pub(super) fn offset_commit(
    transactional_id: &str,
    id: ProducerId,
    epoch: ProducerEpoch,
    group: &GroupMetadata,
    offsets: &BTreeMap<TopicPartition, CommittedOffset>,
) -> TxnOffsetCommitRequest {
    let partitions = offsets.iter().map(|(at, committed)| {
        let partition = TxnOffsetCommitRequestPartition {
            partition_index: at.partition,
            committed_offset: committed.offset.0,
            committed_leader_epoch: LeaderEpoch::to_wire(committed.leader_epoch),
            committed_metadata: Some((&committed.metadata).into()),
        };
        (at, partition)
    });
    let topics = by_topic(partitions)
        .into_iter()
        .map(|(name, partitions)| TxnOffsetCommitRequestTopic { name: name.into(), partitions });
    TxnOffsetCommitRequest {
        transactional_id: transactional_id.into(),
        group_id: (&group.group_id).into(),
        producer_id: id.0,
        producer_epoch: epoch.0,
        generation_id: group.generation,
        member_id: (&group.member_id).into(),
        group_instance_id: group.group_instance_id.as_ref().map(KafkaString::from),
        topics: topics.collect(),
    }
}

/// Returns the first refusal of an answer.
pub(super) fn offsets_committed(response: &TxnOffsetCommitResponse) -> Result<(), Error> {
    for topic in &response.topics {
        for result in &topic.partitions {
            let at = partition(&topic.name, result.partition_index);
            Error::check(at.to_string(), result.error_code, None)?;
        }
    }
    Ok(())
}

pub(super) fn end(
    transactional_id: &str,
    id: ProducerId,
    epoch: ProducerEpoch,
    result: TransactionResult,
) -> EndTxnRequest {
    EndTxnRequest {
        transactional_id: transactional_id.into(),
        producer_id: id.0,
        producer_epoch: epoch.0,
        committed: result.is_commit(),
    }
}
