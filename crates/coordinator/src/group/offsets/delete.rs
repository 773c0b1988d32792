//! OffsetDelete, and what happens to offsets of topics that are deleted.

use std::collections::BTreeSet;

use model::ErrorCode;

use super::stored::{GroupOffsets, StoredOffset, tombstone};
use super::{Decision, GroupFacts};
use crate::group::ids::{GroupId, TopicIdentity};
use crate::group::mutation::{self, Mutation};
use crate::group::record::GroupRecord;
use crate::group::request::DeleteOffsets;
use crate::group::response::{DeleteOffsetsAnswer, Response};
use crate::group::state::GroupState;

/// Decides about a deletion (Kafka's `deleteOffsets`). A partition without a committed offset is no error. That its topic exists is for the handler to check.
pub(in crate::group) fn delete(
    group: Option<(&GroupFacts<'_>, &GroupOffsets)>,
    request: &DeleteOffsets,
) -> Decision {
    let answer =
        |error, partitions| Response::DeleteOffsets(DeleteOffsetsAnswer { error, partitions });
    let (facts, offsets) = match check(group) {
        Ok(group) => group,
        Err(error) => return Decision::answer(answer(error, Vec::new())),
    };
    let mut gone = BTreeSet::new();
    let mut codes = Vec::with_capacity(request.partitions.len());
    for (topic, partition) in &request.partitions {
        if facts.is_subscribed_to(topic) {
            codes.push(ErrorCode::GroupSubscribedToTopic);
            continue;
        }
        codes.push(ErrorCode::None);
        if offsets.get(topic, *partition).is_some() {
            gone.insert((topic, *partition));
        }
    }
    // However often the request names it, a partition has one tombstone.
    let records = gone
        .into_iter()
        .map(|(topic, partition)| tombstone(&request.group_id, topic, partition))
        .collect();
    Decision { records, response: answer(ErrorCode::None, codes) }
}

/// Kafka's `validateOffsetDelete`.
fn check<'a, 'b>(
    group: Option<(&'a GroupFacts<'b>, &'a GroupOffsets)>,
) -> Result<(&'a GroupFacts<'b>, &'a GroupOffsets), ErrorCode> {
    let (facts, offsets) = group.ok_or(ErrorCode::GroupIdNotFound)?;
    match facts.state {
        GroupState::Dead => Err(ErrorCode::GroupIdNotFound),
        GroupState::Empty => Ok((facts, offsets)),
        // Nobody but the members knows what they use.
        GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable
            if !facts.is_of_consumers() =>
        {
            Err(ErrorCode::NonEmptyGroup)
        }
        GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable => {
            Ok((facts, offsets))
        }
    }
}

/// Returns tombstones for what a group has committed of topics that are gone, whatever the group does (Kafka's `onPartitionsDeleted`): `most` of them at most.
///
/// An offset whose topic's id is known goes with that topic alone: its name may be a younger topic's by the time the deletion is heard of.
pub(in crate::group) fn delete_topics<'a>(
    group_id: &'a GroupId,
    offsets: &'a GroupOffsets,
    topics: &'a [TopicIdentity],
    most: usize,
) -> Vec<GroupRecord> {
    let is_of = |stored: &StoredOffset, topic: &TopicIdentity| {
        mutation::is_active(Mutation::TopicIdIgnored)
            || stored.topic_id().is_none_or(|id| topic.id == Some(id))
    };
    let of_topic = |topic: &'a TopicIdentity| {
        let of_name = offsets.of_topic(&topic.name).iter();
        let gone = of_name.filter(move |(_, stored)| is_of(stored, topic));
        gone.map(|(partition, _)| tombstone(group_id, &topic.name, *partition))
    };
    topics.iter().flat_map(of_topic).take(most).collect()
}
