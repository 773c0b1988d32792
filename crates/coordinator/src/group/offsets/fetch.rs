//! OffsetFetch of one group.

use model::ErrorCode;

use super::stored::{GroupOffsets, StoredOffset};
use crate::group::ids::TopicName;
use crate::group::request::FetchOffsets;
use crate::group::response::{CommittedOffset, FetchOffsetsAnswer, FetchedOffset, Response};

/// Answers a fetch; `offsets` is absent when there is no such group, which has no offsets then: no error (Kafka's `fetchOffsets`).
///
/// There are no transactions yet, so no offset is ever unstable.
pub(in crate::group) fn fetch(offsets: Option<&GroupOffsets>, request: FetchOffsets) -> Response {
    let answer = match request.partitions {
        Some(partitions) => partitions
            .into_iter()
            .map(|(topic, partition)| {
                let stored = offsets.and_then(|offsets| offsets.get(&topic, partition));
                fetched(topic, partition, stored)
            })
            .collect(),
        None => offsets
            .into_iter()
            .flat_map(GroupOffsets::iter)
            .map(|(topic, partition, stored)| fetched(topic.clone(), partition, Some(stored)))
            .collect(),
    };
    Response::FetchOffsets(FetchOffsetsAnswer { error: ErrorCode::None, offsets: answer })
}

fn fetched(topic: TopicName, partition: i32, stored: Option<&StoredOffset>) -> FetchedOffset {
    let committed = stored.map(|stored| CommittedOffset {
        offset: stored.offset,
        leader_epoch: stored.leader_epoch,
        metadata: stored.metadata().to_owned(),
    });
    FetchedOffset { topic, partition, committed, error: ErrorCode::None }
}
