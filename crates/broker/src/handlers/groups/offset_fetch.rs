//! OffsetFetch: reads committed offsets: of one group up to version 7, of several from version 8 on.
//!
//! Every version is brought to one form, a list of groups with their topics, and the answer back to the version's. An answer keeps the order of the request.

use std::collections::{BTreeSet, VecDeque};

use controller::metadata::Image;
use coordinator::group::ids::TopicName;
use coordinator::group::request::{FetchOffsets, Request, Stability};
use coordinator::group::response::{FetchedOffset, Response};
use coordinator::runtime::Refusal;
use model::{ErrorCode, LeaderEpoch, Offset, TopicId};
use protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};
use protocol::{KafkaString, VersionRange};

use super::{UNEXPECTED, answers, ask};
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 10 };

/// First version with an error of the whole request; before, each partition has it.
const TOP_ERROR_VERSION: i16 = 2;

/// First version with many groups (KIP-709).
const MANY_GROUPS_VERSION: i16 = 8;

/// First version that names topics by id.
const TOPIC_ID_VERSION: i16 = 10;

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let stability = if request.require_stable { Stability::Stable } else { Stability::Any };
    let asked =
        if call.version < MANY_GROUPS_VERSION { vec![only_group(request)] } else { request.groups };
    let mut named = BTreeSet::new();
    let is_first = |group: &OffsetFetchRequestGroup| named.insert(group.group_id.clone());
    let firsts: Vec<bool> = asked.iter().map(is_first).collect();
    let room = &answers::Room::of(context);
    let asked = asked.into_iter().zip(firsts).collect();
    let mut groups = answers::ask_each(asked, |(wanted, is_first)| async move {
        if room.is_full() {
            return failed(answers::TOO_LARGE, wanted.group_id);
        }
        // No client names a group or a partition twice, and each time would cost the answer the client's own words again.
        let answer = if !is_first || names_twice(&wanted) {
            failed(ErrorCode::InvalidRequest, wanted.group_id)
        } else {
            fetch_group(context, call, wanted, stability).await
        };
        room.take(size_bytes(&answer));
        answer
    })
    .await;
    for group in &groups {
        context.count_error(call.api_key, group.error_code);
    }
    if call.version >= MANY_GROUPS_VERSION {
        return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
    }
    old_form(call.version, groups.pop().unwrap_or_default())
}

fn failed(error_code: ErrorCode, group_id: KafkaString) -> OffsetFetchResponseGroup {
    OffsetFetchResponseGroup { error_code, group_id, ..OffsetFetchResponseGroup::default() }
}

/// Says whether a partition is asked for more than once.
fn names_twice(group: &OffsetFetchRequestGroup) -> bool {
    let mut named = BTreeSet::new();
    let topics = group.topics.iter().flatten();
    let mut partitions = topics.flat_map(|topic| {
        topic.partition_indexes.iter().map(|index| (&*topic.name, topic.topic_id, *index))
    });
    partitions.any(|partition| !named.insert(partition))
}

/// About how many bytes of an answer a group takes.
fn size_bytes(group: &OffsetFetchResponseGroup) -> usize {
    let of_partition = |one: &OffsetFetchResponsePartitions| {
        32 + one.metadata.as_ref().map_or(0, |metadata| metadata.len())
    };
    let of_topic = |topic: &OffsetFetchResponseTopics| {
        32 + topic.name.len() + topic.partitions.iter().map(of_partition).sum::<usize>()
    };
    32 + group.group_id.len() + group.topics.iter().map(of_topic).sum::<usize>()
}

/// Brings the one group of an older version to the form of the newer ones.
fn only_group(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..OffsetFetchRequestTopics::default()
        });
        topics.collect()
    });
    let group_id = request.group_id;
    OffsetFetchRequestGroup { group_id, topics, ..OffsetFetchRequestGroup::default() }
}

/// Brings the answer of one group to the form of the older versions.
fn old_form(version: i16, group: OffsetFetchResponseGroup) -> OffsetFetchResponse {
    let of_all = Some(group.error_code).filter(|code| code.is_error());
    let of_all = of_all.filter(|_| version < TOP_ERROR_VERSION);
    let topics = group.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|one| OffsetFetchResponsePartition {
            partition_index: one.partition_index,
            committed_offset: one.committed_offset,
            committed_leader_epoch: one.committed_leader_epoch,
            metadata: one.metadata,
            error_code: of_all.unwrap_or(one.error_code),
        });
        OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect() }
    });
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code: group.error_code,
        ..OffsetFetchResponse::default()
    }
}

async fn fetch_group(
    context: &Context,
    call: &Call,
    wanted: OffsetFetchRequestGroup,
    stability: Stability,
) -> OffsetFetchResponseGroup {
    let OffsetFetchRequestGroup { group_id, topics, .. } = wanted;
    let topics = topics.map(|topics| resolve(call, &context.controller.image(), topics));
    let partitions = topics.as_ref().map(|topics| {
        let known = topics.iter().filter_map(|topic| Some((topic, topic.name.as_ref()?)));
        let known = known.flat_map(|(topic, name)| {
            topic.partitions.iter().map(|partition| (name.clone(), *partition))
        });
        known.collect()
    });
    let fetch = FetchOffsets { group_id: group_id.as_str().into(), partitions, stability };
    let answer = match ask(context, &group_id, Request::FetchOffsets(fetch)).await {
        Ok(Response::FetchOffsets(answer)) if !answer.error.is_error() => Ok(answer.offsets),
        Ok(Response::FetchOffsets(answer)) => Err(answer.error),
        Ok(_) => Err(UNEXPECTED),
        // Consumers before 3.9 know no COORDINATOR_NOT_AVAILABLE here; with NOT_COORDINATOR they look for the coordinator and ask again (as Kafka).
        Err(Refusal::NotAvailable) => Err(ErrorCode::NotCoordinator),
        Err(refusal) => Err(refusal.error_code()),
    };
    match (answer, topics) {
        (Ok(offsets), Some(topics)) => {
            let topics = asked_for(topics, offsets.into());
            OffsetFetchResponseGroup { group_id, topics, error_code: ErrorCode::None }
        }
        (Ok(offsets), None) => {
            let topics = all(call, &context.controller.image(), offsets);
            OffsetFetchResponseGroup { group_id, topics, error_code: ErrorCode::None }
        }
        (Err(error_code), topics) => {
            // Versions 0 and 1 have no other place for the error than the partitions.
            let topics = if call.version < TOP_ERROR_VERSION { topics } else { None };
            let topics = asked_for(topics.unwrap_or_default(), VecDeque::new());
            OffsetFetchResponseGroup { group_id, topics, error_code }
        }
    }
}

/// A topic of a request.
#[derive(Debug)]
struct AskedTopic {
    wire_name: KafkaString,
    topic_id: TopicId,
    /// Its name, when it is known. By name it always is: offsets outlive what the metadata know.
    name: Option<TopicName>,
    partitions: Vec<i32>,
}

fn resolve(call: &Call, image: &Image, topics: Vec<OffsetFetchRequestTopics>) -> Vec<AskedTopic> {
    let resolved = topics.into_iter().map(|topic| {
        let name = if call.version >= TOPIC_ID_VERSION {
            image.topic(topic.topic_id).map(|known| TopicName::from(&*known.name))
        } else {
            Some(topic.name.as_str().into())
        };
        let OffsetFetchRequestTopics { name: wire_name, topic_id, partition_indexes } = topic;
        AskedTopic { wire_name, topic_id, name, partitions: partition_indexes }
    });
    resolved.collect()
}

/// Lays the offsets out as they were asked for.
fn asked_for(
    topics: Vec<AskedTopic>,
    mut offsets: VecDeque<FetchedOffset>,
) -> Vec<OffsetFetchResponseTopics> {
    let topics = topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition_index| {
            let partition_index = *partition_index;
            let found = topic.name.as_ref().and_then(|_| offsets.pop_front());
            let error_code =
                if topic.name.is_some() { ErrorCode::None } else { ErrorCode::UnknownTopicId };
            found.map_or_else(
                || OffsetFetchResponsePartitions {
                    partition_index,
                    error_code,
                    ..OffsetFetchResponsePartitions::default()
                },
                position,
            )
        });
        let partitions = partitions.collect();
        OffsetFetchResponseTopics { name: topic.wire_name, topic_id: topic.topic_id, partitions }
    });
    topics.collect()
}

/// Groups all offsets of a group by topic. By id, a topic that is gone cannot be named and is left out, as with Kafka.
fn all(call: &Call, image: &Image, offsets: Vec<FetchedOffset>) -> Vec<OffsetFetchResponseTopics> {
    let mut topics: Vec<OffsetFetchResponseTopics> = Vec::new();
    let mut last: Option<TopicName> = None;
    for offset in offsets {
        if last.as_ref() != Some(&offset.topic) {
            topics.push(OffsetFetchResponseTopics {
                name: offset.topic.as_str().into(),
                topic_id: image.topic_id(offset.topic.as_str()).unwrap_or_default(),
                partitions: Vec::new(),
            });
            last = Some(offset.topic.clone());
        }
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(position(offset));
        }
    }
    if call.version >= TOPIC_ID_VERSION {
        topics.retain(|topic| topic.topic_id != TopicId::default());
    }
    topics
}

fn position(fetched: FetchedOffset) -> OffsetFetchResponsePartitions {
    let FetchedOffset { partition, committed, error, .. } = fetched;
    let metadata = committed.as_ref().map(|committed| committed.metadata.as_str());
    OffsetFetchResponsePartitions {
        partition_index: partition,
        committed_offset: Offset::to_wire(committed.as_ref().map(|committed| committed.offset)),
        committed_leader_epoch: LeaderEpoch::to_wire(
            committed.as_ref().and_then(|committed| committed.leader_epoch),
        ),
        metadata: Some(metadata.unwrap_or_default().into()),
        error_code: error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(error_code: ErrorCode) -> OffsetFetchResponseGroup {
        let partitions = vec![OffsetFetchResponsePartitions::default()];
        let topics =
            vec![OffsetFetchResponseTopics { name: "t".into(), partitions, ..Default::default() }];
        OffsetFetchResponseGroup { group_id: "g".into(), topics, error_code }
    }

    #[test]
    fn the_oldest_versions_have_the_error_in_each_partition() {
        let answer = old_form(1, group(ErrorCode::NotCoordinator));
        assert_eq!(answer.topics[0].partitions[0].error_code, ErrorCode::NotCoordinator);
        let answer = old_form(2, group(ErrorCode::NotCoordinator));
        assert_eq!(answer.error_code, ErrorCode::NotCoordinator);
        assert_eq!(answer.topics[0].partitions[0].error_code, ErrorCode::None);
    }
}
