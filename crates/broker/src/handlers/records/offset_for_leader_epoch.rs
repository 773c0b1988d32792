//! OffsetForLeaderEpoch: where leader epochs end, by which clients find out about truncation (KIP-320).

use controller::metadata::Image;
use model::{ErrorCode, LeaderEpoch, TopicIdPartition};
use protocol::VersionRange;
use protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::leader;
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;
use crate::handlers::named_topic::NamedTopic;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 4 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let image = context.controller.image();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let answer = look_up(context, &image, &topic.topic, partition).await;
            let answer = answer.unwrap_or_else(|error_code| {
                context.count_error(call.api_key, error_code);
                EpochEndOffset { error_code, ..EpochEndOffset::default() }
            });
            partitions.push(EpochEndOffset { partition: partition.partition, ..answer });
        }
        topics.push(OffsetForLeaderTopicResult { topic: topic.topic, partitions });
    }
    OffsetForLeaderEpochResponse { topics, ..OffsetForLeaderEpochResponse::default() }
}

async fn look_up(
    context: &Context,
    image: &Image,
    topic: &str,
    partition: &OffsetForLeaderPartition,
) -> Result<EpochEndOffset, ErrorCode> {
    let topic_id = NamedTopic::Name(topic).id(image)?;
    let id = TopicIdPartition { topic_id, partition: partition.partition };
    let replica = leader::find_made(context, image, id).await;
    let replica = replica.map_err(|elsewhere| elsewhere.error)?;
    let Some(asked) = LeaderEpoch::from_wire(partition.leader_epoch) else {
        return Ok(EpochEndOffset::default());
    };
    let current = LeaderEpoch::from_wire(partition.current_leader_epoch);
    let found =
        replica.end_offset_for_leader_epoch(asked, current).map_err(|error| error.error_code())?;
    Ok(found.map_or_else(EpochEndOffset::default, |(epoch, end)| EpochEndOffset {
        leader_epoch: epoch.0,
        end_offset: end.0,
        ..EpochEndOffset::default()
    }))
}
