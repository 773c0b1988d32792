//! AddPartitionsToTxn: partitions become part of a transaction, or one asks whether they are.
//!
//! Up to version 3 of a client, for one transaction; from version 4 on in the name of many, as Kafka's brokers do. All partitions of a transaction are added, or none.

use std::collections::BTreeSet;

use coordinator::transaction::ids::TransactionVersion;
use coordinator::transaction::request::{AddPartitions, Request, VerifyPartitions};
use coordinator::transaction::response::Response;
use model::{ErrorCode, TopicIdPartition, TopicPartition};
use protocol::VersionRange;
use protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult, AddPartitionsToTxnTransaction,
};
use protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use super::{FENCED_VERSION, UNEXPECTED, ask, for_old_client, producer};
use crate::context::{Call, Context};
use crate::handlers::groups::answers;
use crate::handlers::waits;
use crate::topics::internal::is_internal;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 5 };

/// First version that comes from brokers, for many transactions.
const BROKER_VERSION: i16 = 4;

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    if call.version >= BROKER_VERSION {
        let results = answers::ask_each(request.transactions, |transaction| async move {
            let topic_results = add(context, call, &transaction).await;
            let transactional_id = transaction.transactional_id;
            AddPartitionsToTxnResult { transactional_id, topic_results }
        });
        let results_by_transaction = results.await;
        return AddPartitionsToTxnResponse { results_by_transaction, ..Default::default() };
    }
    let transaction = AddPartitionsToTxnTransaction {
        transactional_id: request.v3_and_below_transactional_id,
        producer_id: request.v3_and_below_producer_id,
        producer_epoch: request.v3_and_below_producer_epoch,
        verify_only: false,
        topics: request.v3_and_below_topics,
    };
    let results_by_topic_v3_and_below = add(context, call, &transaction).await;
    AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..Default::default() }
}

/// Adds the partitions of one transaction, or asks about them.
async fn add(
    context: &Context,
    call: &Call,
    transaction: &AddPartitionsToTxnTransaction,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let partitions: Vec<TopicPartition> = partitions(&transaction.topics).collect();
    // A client may have heard of a topic a moment before this broker.
    waits::until_known(&context.controller, |image| {
        partitions.iter().all(|one| image.topic_id(&one.topic).is_some())
    })
    .await;
    let codes = match refused(context, call, &partitions) {
        Some(codes) => codes,
        None => asked(context, call.version, transaction, &partitions).await,
    };
    let mut codes = codes.into_iter().map(|code| {
        let code = for_old_client(code, call.version, FENCED_VERSION);
        context.count_error(call.api_key, code);
        code
    });
    let topics = transaction.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition_index| {
            let partition_index = *partition_index;
            let partition_error_code = codes.next().unwrap_or(UNEXPECTED);
            AddPartitionsToTxnPartitionResult { partition_index, partition_error_code }
        });
        let results_by_partition = partitions.collect();
        AddPartitionsToTxnTopicResult { name: topic.name.clone(), results_by_partition }
    });
    topics.collect()
}

fn partitions(topics: &[AddPartitionsToTxnTopic]) -> impl Iterator<Item = TopicPartition> + '_ {
    topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| TopicPartition {
            topic: topic.name.as_str().to_owned(),
            partition: *partition,
        })
    })
}

/// Says what is wrong with partitions that cannot be part of a transaction; then those that could be are not attempted.
fn refused(
    context: &Context,
    call: &Call,
    partitions: &[TopicPartition],
) -> Option<Vec<ErrorCode>> {
    let image = context.controller.image();
    let code = |one: &TopicPartition| {
        // The brokers alone add the partitions of groups.
        if call.version < BROKER_VERSION && is_internal(&one.topic) {
            return ErrorCode::TopicAuthorizationFailed;
        }
        let id = image.topic_id(&one.topic);
        let id = id.map(|topic_id| TopicIdPartition { topic_id, partition: one.partition });
        match id.and_then(|id| image.partition(id)) {
            Some(_) => ErrorCode::None,
            None => ErrorCode::UnknownTopicOrPartition,
        }
    };
    let mut codes: Vec<ErrorCode> = partitions.iter().map(code).collect();
    codes.iter().any(|code| code.is_error()).then(|| {
        for code in codes.iter_mut().filter(|code| !code.is_error()) {
            *code = ErrorCode::OperationNotAttempted;
        }
        codes
    })
}

/// Lets the coordinator answer; one code for each partition.
async fn asked(
    context: &Context,
    version: i16,
    transaction: &AddPartitionsToTxnTransaction,
    partitions: &[TopicPartition],
) -> Vec<ErrorCode> {
    let all = |code| vec![code; partitions.len()];
    let transactional_id = transaction.transactional_id.as_str().into();
    let producer = producer(transaction.producer_id, transaction.producer_epoch);
    let request = if transaction.verify_only {
        let partitions = partitions.to_vec();
        Request::VerifyPartitions(VerifyPartitions { transactional_id, producer, partitions })
    } else {
        Request::AddPartitions(AddPartitions {
            transactional_id,
            producer,
            partitions: partitions.iter().cloned().collect::<BTreeSet<_>>(),
            client_version: TransactionVersion::of_add_partitions(version),
        })
    };
    match ask(context, &transaction.transactional_id, request).await {
        Ok(Response::AddPartitions(code)) | Err(code) => all(code),
        Ok(Response::VerifyPartitions(codes)) => codes,
        Ok(_) => all(UNEXPECTED),
    }
}
