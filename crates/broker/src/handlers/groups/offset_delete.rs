//! OffsetDelete: forgets committed offsets of a group.

use controller::metadata::Image;
use coordinator::group::request::{DeleteOffsets, Request};
use coordinator::group::response::Response;
use model::{ErrorCode, TopicIdPartition};
use protocol::VersionRange;
use protocol::messages::offset_delete::{
    OffsetDeleteRequestTopic, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::{UNEXPECTED, ask};
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let known = known(&context.controller.image(), &request.topics);
    let names = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| (topic.name.as_str(), partition.partition_index))
    });
    let wanted = names.zip(&known).filter(|(_, known)| **known);
    let partitions = wanted.map(|((topic, partition), _)| (topic.into(), partition)).collect();
    let group_id = request.group_id.as_str().into();
    let deletion = Request::DeleteOffsets(DeleteOffsets { group_id, partitions });
    let answer = match ask(context, &request.group_id, deletion).await {
        Ok(Response::DeleteOffsets(answer)) if !answer.error.is_error() => Ok(answer.partitions),
        Ok(Response::DeleteOffsets(answer)) => Err(answer.error),
        Ok(_) => Err(UNEXPECTED),
        Err(refusal) => Err(refusal.error_code()),
    };
    let codes = match answer {
        Ok(codes) => codes,
        Err(error_code) => {
            context.count_error(call.api_key, error_code);
            return OffsetDeleteResponse { error_code, ..OffsetDeleteResponse::default() };
        }
    };
    let (mut known, mut codes) = (known.into_iter(), codes.into_iter());
    let mut next = || match known.next() {
        Some(true) => codes.next().unwrap_or(UNEXPECTED),
        _ => ErrorCode::UnknownTopicOrPartition,
    };
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let error_code = next();
            context.count_error(call.api_key, error_code);
            let partition_index = partition.partition_index;
            OffsetDeleteResponsePartition { partition_index, error_code }
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic { name: topic.name, partitions }
    });
    OffsetDeleteResponse { topics: topics.collect(), ..OffsetDeleteResponse::default() }
}

/// Says of each partition, in the request's order, whether there is one.
fn known(image: &Image, topics: &[OffsetDeleteRequestTopic]) -> Vec<bool> {
    let of_topic = |topic: &OffsetDeleteRequestTopic| {
        let topic_id = image.topic_id(&topic.name);
        let is_known = |partition: i32| {
            topic_id.is_some_and(|topic_id| {
                image.partition(TopicIdPartition { topic_id, partition }).is_some()
            })
        };
        let known = topic.partitions.iter().map(|one| is_known(one.partition_index));
        known.collect::<Vec<bool>>()
    };
    topics.iter().flat_map(of_topic).collect()
}
