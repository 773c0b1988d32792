//! ListOffsets: the ends of partitions, and offsets by time.

use controller::metadata::Image;
use model::{ErrorCode, LeaderEpoch, TopicIdPartition, UnixMillis};
use protocol::VersionRange;
use protocol::messages::list_offsets::{
    EARLIEST_LOCAL_TIMESTAMP, EARLIEST_PENDING_UPLOAD_TIMESTAMP, EARLIEST_TIMESTAMP,
    LATEST_TIERED_TIMESTAMP, LATEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsPartitionResponse,
    ListOffsetsTopicResponse, MAX_TIMESTAMP,
};
use protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use replication::{Isolation, ListOffsetError, ListedOffset, OffsetQuery, PartitionHandle};

use super::fetch::isolation;
use super::leader;
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;
use crate::handlers::named_topic::NamedTopic;
use crate::handlers::waits;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 11 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let is_known =
        |image: &Image| request.topics.iter().all(|topic| image.topic_id(&topic.name).is_some());
    waits::until_known(&context.controller, is_known).await;
    let image = context.controller.image();
    let isolation = isolation(request.isolation_level);
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let found = find(context, &image, &topic.name, partition.partition_index).await;
            let listed = match found {
                Ok(replica) => list(call, &replica, partition, isolation).await,
                Err(error) => Err(error),
            };
            let index = partition.partition_index;
            let answer = match listed {
                Ok(answer) => answer,
                Err(error_code) => {
                    context.count_error(call.api_key, error_code);
                    ListOffsetsPartitionResponse { error_code, ..Default::default() }
                }
            };
            partitions.push(ListOffsetsPartitionResponse { partition_index: index, ..answer });
        }
        topics.push(ListOffsetsTopicResponse { name: topic.name, partitions });
    }
    ListOffsetsResponse { topics, ..ListOffsetsResponse::default() }
}

async fn find(
    context: &Context,
    image: &Image,
    topic: &str,
    partition: i32,
) -> Result<std::sync::Arc<PartitionHandle>, ErrorCode> {
    let topic_id = NamedTopic::Name(topic).id(image)?;
    let found = leader::find_made(context, image, TopicIdPartition { topic_id, partition }).await;
    found.map_err(|elsewhere| elsewhere.error)
}

async fn list(
    call: &Call,
    replica: &PartitionHandle,
    partition: &ListOffsetsPartition,
    isolation: Isolation,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    let epoch = LeaderEpoch::from_wire(partition.current_leader_epoch);
    let Some(query) = query(partition.timestamp)? else {
        return Ok(ListOffsetsPartitionResponse::default());
    };
    let listed = replica.list_offset(query, isolation, epoch).await;
    let listed = listed.map_err(|error| for_version(call.version, &error))?;
    if call.version == 0 {
        let earliest = replica.status().log_start_offset.0;
        return Ok(old_style(listed, earliest, partition.max_num_offsets));
    }
    Ok(listed.map_or_else(ListOffsetsPartitionResponse::default, |listed| {
        ListOffsetsPartitionResponse {
            timestamp: listed.timestamp.map_or(-1, |timestamp| timestamp.0),
            offset: listed.offset.0,
            leader_epoch: LeaderEpoch::to_wire(listed.leader_epoch),
            ..Default::default()
        }
    }))
}

/// Reads what is asked for; `None` for places in remote storage, of which there is none.
fn query(timestamp: i64) -> Result<Option<OffsetQuery>, ErrorCode> {
    match timestamp {
        LATEST_TIMESTAMP => Ok(Some(OffsetQuery::Latest)),
        EARLIEST_TIMESTAMP | EARLIEST_LOCAL_TIMESTAMP => Ok(Some(OffsetQuery::Earliest)),
        MAX_TIMESTAMP => Ok(Some(OffsetQuery::MaxTimestamp)),
        LATEST_TIERED_TIMESTAMP | EARLIEST_PENDING_UPLOAD_TIMESTAMP => Ok(None),
        0.. => Ok(Some(OffsetQuery::AtLeast(UnixMillis(timestamp)))),
        _ => Err(ErrorCode::InvalidRequest),
    }
}

/// Version 0 asks for a list of offsets before a time, newest first. The ends of the log are what its clients want.
fn old_style(
    listed: Option<ListedOffset>,
    earliest: i64,
    max_count: i32,
) -> ListOffsetsPartitionResponse {
    let mut offsets: Vec<i64> =
        listed.iter().map(|listed| listed.offset.0).chain(std::iter::once(earliest)).collect();
    offsets.dedup();
    offsets.truncate(usize::try_from(max_count).unwrap_or(0));
    ListOffsetsPartitionResponse { old_style_offsets: offsets, ..Default::default() }
}

/// OFFSET_NOT_AVAILABLE is known from version 5 on (KIP-207).
fn for_version(version: i16, error: &ListOffsetError) -> ErrorCode {
    match error.error_code() {
        ErrorCode::OffsetNotAvailable if version < 5 => ErrorCode::LeaderNotAvailable,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use model::Offset;

    use super::*;

    #[test]
    fn special_timestamps_are_kafkas() {
        assert_eq!(query(-1), Ok(Some(OffsetQuery::Latest)));
        assert_eq!(query(-2), Ok(Some(OffsetQuery::Earliest)));
        assert_eq!(query(-3), Ok(Some(OffsetQuery::MaxTimestamp)));
        assert_eq!(query(-4), Ok(Some(OffsetQuery::Earliest)));
        assert_eq!(query(-5), Ok(None));
        assert_eq!(query(5), Ok(Some(OffsetQuery::AtLeast(UnixMillis(5)))));
        assert_eq!(query(-7), Err(ErrorCode::InvalidRequest));
    }

    #[test]
    fn version_0_lists_ends_newest_first_as_many_as_are_wanted() {
        let end =
            |offset| ListedOffset { offset: Offset(offset), timestamp: None, leader_epoch: None };
        let offsets =
            |listed, earliest, count| old_style(listed, earliest, count).old_style_offsets;
        assert_eq!(offsets(Some(end(9)), 3, 10), [9, 3]);
        assert_eq!(offsets(Some(end(9)), 3, 1), [9]);
        assert_eq!(offsets(Some(end(3)), 3, 10), [3]);
        assert_eq!(offsets(None, 3, -1), [0_i64; 0]);
    }
}
