//! AddOffsetsToTxn: the offsets of a group become part of a transaction: the group's partition of the offsets topic joins it.

use coordinator::transaction::ids::TransactionVersion;
use coordinator::transaction::request::{AddPartitions, Request};
use coordinator::transaction::response::Response;
use model::{ErrorCode, TopicPartition};
use protocol::VersionRange;
use protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::{FENCED_VERSION, UNEXPECTED, ask, for_old_client, producer};
use crate::context::{Call, Context};
use crate::coordinators;
use crate::handlers::groups::create_offsets_topic;
use crate::topics::internal::OFFSETS_TOPIC;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 4 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let code = add(context, &request).await;
    let error_code = for_old_client(code, call.version, FENCED_VERSION);
    context.count_error(call.api_key, error_code);
    AddOffsetsToTxnResponse { error_code, ..AddOffsetsToTxnResponse::default() }
}

async fn add(context: &Context, request: &AddOffsetsToTxnRequest) -> ErrorCode {
    create_offsets_topic(context).await;
    let partition = coordinators::partition_of(&context.controller.image(), &request.group_id);
    let Some(partition) = partition else { return ErrorCode::CoordinatorNotAvailable };
    let partition =
        TopicPartition { topic: OFFSETS_TOPIC.to_owned(), partition: partition.partition };
    let asked = Request::AddPartitions(AddPartitions {
        transactional_id: request.transactional_id.as_str().into(),
        producer: producer(request.producer_id, request.producer_epoch),
        partitions: [partition].into(),
        client_version: TransactionVersion::V0,
    });
    match ask(context, &request.transactional_id, asked).await {
        Ok(Response::AddPartitions(code)) | Err(code) => code,
        Ok(_) => UNEXPECTED,
    }
}
