//! OffsetForLeaderEpoch: where leader epochs end, by which clients find out about truncation (KIP-320).

use controller::metadata::Image;
use model::{ErrorCode, LeaderEpoch};
use protocol::VersionRange;
use protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::leader;
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 4 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let image = context.controller.image();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let answer = look_up(context, &image, &topic.topic, partition);
            let answer = answer.unwrap_or_else(|error_code| {
                context.count_error(call.api_key, error_code);
                EpochEndOffset { error_code, ..EpochEndOffset::default() }
            });
            EpochEndOffset { partition: partition.partition, ..answer }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult { topic: topic.topic, partitions }
    });
    OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() }
}

fn look_up(
    context: &Context,
    image: &Image,
    topic: &str,
    partition: &OffsetForLeaderPartition,
) -> Result<EpochEndOffset, ErrorCode> {
    let topic_id = image.topic_id(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let replica = leader::find(context, image, topic_id, partition.partition)
        .map_err(|elsewhere| elsewhere.error)?;
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
