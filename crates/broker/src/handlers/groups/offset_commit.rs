//! OffsetCommit: stores the offsets of a group.
//!
//! What the versions differ in is resolved here: topics by name or by id, times to live, codes that older clients do not know. Versions 0 and 1 are stored as all others:
//! version 0 was ZooKeeper's, and the times of version 1 are the broker's.

use std::time::Duration;

use controller::metadata::Image;
use coordinator::group::request::{CommitOffsets, OffsetToCommit, Request};
use coordinator::group::response::Response;
use model::{ErrorCode, LeaderEpoch, Offset, TopicIdPartition};
use protocol::VersionRange;
use protocol::messages::offset_commit::{
    OffsetCommitRequestTopic, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::{UNEXPECTED, ask, wire};
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;
use crate::handlers::named_topic::NamedTopic;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 10 };

/// First version that names topics by id.
const TOPIC_ID_VERSION: i16 = 10;

/// First version whose clients know that a group may not be found (KIP-848).
const NOT_FOUND_VERSION: i16 = 9;

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    // Of each partition, in the request's order: what is wrong with it, or nothing.
    let mut refused = Vec::new();
    let mut offsets = Vec::new();
    {
        let image = context.controller.image();
        for topic in &request.topics {
            sort_out(call, &image, topic, &mut refused, &mut offsets);
        }
    }
    let mut codes = committed_codes(context, call, &request, offsets).await.into_iter();
    let mut refused = refused.into_iter();
    let mut next = || match refused.next() {
        Some(Some(refused)) => refused,
        _ => codes.next().unwrap_or(UNEXPECTED),
    };
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let error_code = next();
            context.count_error(call.api_key, error_code);
            let partition_index = partition.partition_index;
            OffsetCommitResponsePartition { partition_index, error_code }
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic { name: topic.name, topic_id: topic.topic_id, partitions }
    });
    OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() }
}

/// Commits, and returns one code for each offset as the version knows it.
async fn committed_codes(
    context: &Context,
    call: &Call,
    request: &OffsetCommitRequest,
    offsets: Vec<OffsetToCommit>,
) -> Vec<ErrorCode> {
    let count = offsets.len();
    let codes = commit(context, request, offsets).await;
    let codes = codes.unwrap_or_else(|error| vec![error; count]);
    codes.into_iter().map(|code| for_version(call.version, code)).collect()
}

/// Parts the offsets of a topic into those to commit and those of a partition that does not exist.
fn sort_out(
    call: &Call,
    image: &Image,
    topic: &OffsetCommitRequestTopic,
    refused: &mut Vec<Option<ErrorCode>>,
    offsets: &mut Vec<OffsetToCommit>,
) {
    let named = match call.version {
        TOPIC_ID_VERSION.. => NamedTopic::Id(topic.topic_id),
        _ => NamedTopic::Name(&topic.name),
    };
    let name = named.find(image).map(|known| (known.topic_id, (&*known.name).into()));
    for one in &topic.partitions {
        let (topic_id, name) = match &name {
            Ok(known) => known,
            Err(code) => {
                refused.push(Some(*code));
                continue;
            }
        };
        let partition = one.partition_index;
        let id = TopicIdPartition { topic_id: *topic_id, partition };
        if image.partition(id).is_none() {
            refused.push(Some(ErrorCode::UnknownTopicOrPartition));
            continue;
        }
        refused.push(None);
        offsets.push(OffsetToCommit {
            topic: coordinator::group::ids::TopicName::clone(name),
            topic_id: Some(*topic_id),
            partition,
            offset: Offset(one.committed_offset),
            leader_epoch: LeaderEpoch::from_wire(one.committed_leader_epoch),
            metadata: one.committed_metadata.as_ref().map(String::from).unwrap_or_default(),
        });
    }
}

/// Lets the coordinator store offsets; without any there is nothing to ask, as with Kafka.
async fn commit(
    context: &Context,
    request: &OffsetCommitRequest,
    offsets: Vec<OffsetToCommit>,
) -> Result<Vec<ErrorCode>, ErrorCode> {
    if offsets.is_empty() {
        return Ok(Vec::new());
    }
    let member = wire::member(
        &request.group_id,
        &request.member_id,
        request.group_instance_id.as_ref(),
        request.generation_id_or_member_epoch,
    );
    let retention = retention(request.retention_time_ms);
    let commit = Request::CommitOffsets(CommitOffsets { member, offsets, retention });
    match ask(context, &request.group_id, commit).await {
        Ok(Response::CommitOffsets(codes)) => Ok(codes),
        Ok(_) => Err(UNEXPECTED),
        Err(refusal) => Err(refusal.error_code()),
    }
}

/// Reads a time to live: −1 is the broker's, any other negative one is over already.
fn retention(millis: i64) -> Option<Duration> {
    (millis != -1).then(|| Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

/// To an older client a member of a group that does not exist is one of a generation that does not.
fn for_version(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::GroupIdNotFound if version < NOT_FOUND_VERSION => ErrorCode::IllegalGeneration,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_minus_one_is_the_brokers_own_retention() {
        assert_eq!(retention(-1), None);
        assert_eq!(retention(-2), Some(Duration::ZERO));
        assert_eq!(retention(5), Some(Duration::from_millis(5)));
    }

    #[test]
    fn a_group_that_is_not_found_is_an_illegal_generation_to_old_clients() {
        assert_eq!(for_version(8, ErrorCode::GroupIdNotFound), ErrorCode::IllegalGeneration);
        assert_eq!(for_version(9, ErrorCode::GroupIdNotFound), ErrorCode::GroupIdNotFound);
    }
}
