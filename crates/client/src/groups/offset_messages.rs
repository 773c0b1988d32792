//! Committed offsets as the messages have them: requests made, responses read. No I/O.

use std::collections::BTreeMap;

use model::{LeaderEpoch, Offset, TopicPartition};
use protocol::codec::KafkaString;
use protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};

use super::{CommittedOffset, subject};
use crate::error::Error;
use crate::wire::{by_topic, numbers_by_topic, partition};

/// Who commits, when it is a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committer {
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) generation: i32,
}

/// Whether offsets are told while a transaction may still change them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stability {
    /// They are.
    Any,
    /// They are not: `UNSTABLE_OFFSET_COMMIT` says to ask again (KIP-447).
    Required,
}

/// Makes the request for the offsets of partitions, or of all. The fields of one group and of many are both filled: each version writes its own.
pub(crate) fn offset_fetch(
    group: &str,
    partitions: Option<&[TopicPartition]>,
    stability: Stability,
) -> OffsetFetchRequest {
    let topics = partitions.map(numbers_by_topic);
    let one = topics.as_ref().map(|topics| {
        let topic = |(name, partitions): (&&str, &Vec<i32>)| OffsetFetchRequestTopic {
            name: (*name).into(),
            partition_indexes: partitions.clone(),
        };
        topics.iter().map(topic).collect()
    });
    let many = topics.map(|topics| {
        let topic = |(name, partition_indexes): (&str, Vec<i32>)| OffsetFetchRequestTopics {
            name: name.into(),
            partition_indexes,
            ..OffsetFetchRequestTopics::default()
        };
        topics.into_iter().map(topic).collect()
    });
    OffsetFetchRequest {
        group_id: group.into(),
        topics: one,
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.into(),
            topics: many,
            ..OffsetFetchRequestGroup::default()
        }],
        require_stable: stability == Stability::Required,
    }
}

/// Reads an answer in whichever form its version has: one group, or a list of one.
pub(crate) fn fetched_offsets(
    group: &str,
    response: &OffsetFetchResponse,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>, Error> {
    Error::check(subject(group), response.error_code, None)?;
    let groups = || response.groups.iter().filter(|found| found.group_id == *group);
    for found in groups() {
        Error::check(subject(group), found.error_code, None)?;
    }
    // Two types with the same fields.
    let one = response.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|it| {
            let at = partition(&topic.name, it.partition_index);
            let place = (it.committed_offset, it.committed_leader_epoch, it.metadata.as_ref());
            (at, it.error_code, place)
        })
    });
    let many = groups().flat_map(|found| &found.topics).flat_map(|topic| {
        topic.partitions.iter().map(|it| {
            let at = partition(&topic.name, it.partition_index);
            let place = (it.committed_offset, it.committed_leader_epoch, it.metadata.as_ref());
            (at, it.error_code, place)
        })
    });
    let mut offsets = BTreeMap::new();
    for (at, error_code, (offset, leader_epoch, metadata)) in one.chain(many) {
        Error::check(at.to_string(), error_code, None)?;
        let Some(offset) = Offset::from_wire(offset) else { continue };
        let leader_epoch = LeaderEpoch::from_wire(leader_epoch);
        let metadata = metadata.map(String::from).unwrap_or_default();
        offsets.insert(at, CommittedOffset { offset, leader_epoch, metadata });
    }
    Ok(offsets)
}

/// Makes the request that commits offsets, as a member or, with `None`, from outside.
pub(crate) fn offset_commit(
    group: &str,
    committer: Option<&Committer>,
    offsets: &BTreeMap<TopicPartition, CommittedOffset>,
) -> OffsetCommitRequest {
    let partitions = offsets.iter().map(|(at, committed)| {
        let partition = OffsetCommitRequestPartition {
            partition_index: at.partition,
            committed_offset: committed.offset.0,
            committed_leader_epoch: LeaderEpoch::to_wire(committed.leader_epoch),
            committed_metadata: Some((&committed.metadata).into()),
            ..OffsetCommitRequestPartition::default()
        };
        (at, partition)
    });
    let topics = by_topic(partitions);
    let topics = topics.into_iter().map(|(name, partitions)| OffsetCommitRequestTopic {
        name: name.into(),
        partitions,
        ..OffsetCommitRequestTopic::default()
    });
    let request = OffsetCommitRequest {
        group_id: group.into(),
        topics: topics.collect(),
        ..OffsetCommitRequest::default()
    };
    match committer {
        None => request,
        Some(member) => OffsetCommitRequest {
            generation_id_or_member_epoch: member.generation,
            member_id: (&member.member_id).into(),
            group_instance_id: member.group_instance_id.as_ref().map(KafkaString::from),
            ..request
        },
    }
}

/// Returns the first refusal of an answer.
pub(crate) fn committed(response: &OffsetCommitResponse) -> Result<(), Error> {
    for topic in &response.topics {
        for result in &topic.partitions {
            let at = partition(&topic.name, result.partition_index);
            Error::check(at.to_string(), result.error_code, None)?;
        }
    }
    Ok(())
}
