//! DeleteRecords: moves the first offset of partitions, and waits until all live replicas have done so.

use std::time::Duration;

use controller::metadata::Image;
use futures_util::future::join_all;
use model::{ErrorCode, Offset, TopicIdPartition};
use protocol::VersionRange;
use protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
    HIGH_WATERMARK_OFFSET,
};
use protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::leader;
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;
use crate::handlers::named_topic::NamedTopic;
use crate::topics::internal::is_internal;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let image = context.controller.image();
    let image = &image;
    let topics = request.topics.into_iter().map(|topic| async move {
        let partitions = topic.partitions.iter().map(|partition| async {
            let deleted = delete(context, image, &topic.name, partition, timeout).await;
            let (low_watermark, error_code) = match deleted {
                Ok(low_watermark) => (low_watermark.0, ErrorCode::None),
                Err(error_code) => (-1, error_code),
            };
            context.count_error(call.api_key, error_code);
            let partition_index = partition.partition_index;
            DeleteRecordsPartitionResult { partition_index, low_watermark, error_code }
        });
        let partitions = join_all(partitions).await;
        DeleteRecordsTopicResult { name: topic.name, partitions }
    });
    // At once, so that the waits of all together take no longer than the request allows.
    let topics = join_all(topics).await;
    DeleteRecordsResponse { topics, ..DeleteRecordsResponse::default() }
}

async fn delete(
    context: &Context,
    image: &Image,
    topic: &str,
    partition: &DeleteRecordsPartition,
    timeout: Duration,
) -> Result<Offset, ErrorCode> {
    let topic_id = NamedTopic::Name(topic).id(image)?;
    if is_internal(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let id = TopicIdPartition { topic_id, partition: partition.partition_index };
    let replica = leader::find_made(context, image, id).await;
    let replica = replica.map_err(|elsewhere| elsewhere.error)?;
    let before = match partition.offset {
        HIGH_WATERMARK_OFFSET => None,
        offset => Some(Offset::from_wire(offset).ok_or(ErrorCode::OffsetOutOfRange)?),
    };
    replica.delete_records(before, timeout).await.map_err(|error| error.error_code())
}
