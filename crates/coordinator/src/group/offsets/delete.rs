//! OffsetDelete, and what happens to offsets of topics that are deleted.

use std::collections::BTreeSet;

use model::ErrorCode;

use super::stored::{StoredOffset, tombstone};
use super::{Decision, GroupFacts, Stored};
use crate::group::ids::{GroupId, TopicIdentity};
use crate::group::mutation::{self, Mutation};
use crate::group::record::GroupRecord;
use crate::group::request::DeleteOffsets;
use crate::group::response::{DeleteOffsetsAnswer, Response};
use crate::group::state::GroupState;

/// Decides about a deletion (Kafka's `deleteOffsets`). A partition without an offset is no error; a pending one is deleted as a committed one is. That its topic exists is for the handler to check.
pub(in crate::group) fn delete(
    group: Option<(&GroupFacts<'_>, Stored<'_>)>,
    request: &DeleteOffsets,
) -> Decision {
    let answer =
        |error, partitions| Response::DeleteOffsets(DeleteOffsetsAnswer { error, partitions });
    let (facts, stored) = match check(group) {
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
        let is_pending = stored.pending.contains(topic, *partition);
        if is_pending || stored.committed.get(topic, *partition).is_some() {
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
    group: Option<(&'a GroupFacts<'b>, Stored<'a>)>,
) -> Result<(&'a GroupFacts<'b>, Stored<'a>), ErrorCode> {
    let (facts, stored) = group.ok_or(ErrorCode::GroupIdNotFound)?;
    match facts.state {
        GroupState::Dead => Err(ErrorCode::GroupIdNotFound),
        GroupState::Empty => Ok((facts, stored)),
        // Nobody but the members knows what they use.
        GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable
            if !facts.is_of_consumers() =>
        {
            Err(ErrorCode::NonEmptyGroup)
        }
        GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable => {
            Ok((facts, stored))
        }
    }
}

/// What a group has of topics that are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::group) struct OfGoneTopics {
    /// The tombstones to write.
    pub(in crate::group) records: Vec<GroupRecord>,
    /// Topics with partitions of which one offset goes and another one stays, for a transaction that is open: to be looked at again when it has ended.
    pub(in crate::group) undecided: Vec<TopicIdentity>,
}

/// Returns tombstones for what a group has committed of topics that are gone, or is to commit with a transaction, whatever the group does (Kafka's `onPartitionsDeleted`): `most` of them at
/// most.
///
/// An offset whose topic's id is known goes with that topic alone: its name may be a younger topic's by the time the deletion is heard of. A tombstone takes all of a partition's offsets along,
/// so it waits while one of them is the younger topic's.
pub(in crate::group) fn delete_topics(
    group_id: &GroupId,
    stored: Stored<'_>,
    topics: &[TopicIdentity],
    most: usize,
) -> OfGoneTopics {
    let Stored { committed, pending } = stored;
    let mut found = OfGoneTopics { records: Vec::new(), undecided: Vec::new() };
    for topic in topics {
        let of_committed = committed.of_topic(&topic.name).iter().map(|(partition, _)| *partition);
        let partitions: BTreeSet<i32> = of_committed.chain(pending.of_topic(&topic.name)).collect();
        let mut is_undecided = false;
        for partition in partitions {
            if found.records.len() == most {
                return found;
            }
            let committed = committed.get(&topic.name, partition).map(StoredOffset::topic_id);
            let ids = committed.into_iter().chain(pending.topic_ids(&topic.name, partition));
            let are_gone = ids.map(|id| id.is_none_or(|id| topic.id == Some(id)));
            let (goes, stays) = are_gone.fold((false, false), |(goes, stays), is_gone| {
                (goes || is_gone, stays || !is_gone)
            });
            if (goes && !stays) || mutation::is_active(Mutation::TopicIdIgnored) {
                found.records.push(tombstone(group_id, &topic.name, partition));
            }
            is_undecided |= goes && stays;
        }
        if is_undecided {
            found.undecided.push(topic.clone());
        }
    }
    found
}
