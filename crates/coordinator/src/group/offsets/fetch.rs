//! OffsetFetch of one group.

use model::ErrorCode;

use super::Stored;
use super::stored::StoredOffset;
use crate::group::ids::TopicName;
use crate::group::request::{FetchOffsets, Stability};
use crate::group::response::{CommittedOffset, FetchOffsetsAnswer, FetchedOffset, Response};

/// Answers a fetch; `stored` is absent when there is no such group, which has no offsets then: no error (Kafka's `fetchOffsets`).
///
/// Where offsets must be stable, a partition for which a transaction has one pending has an error in place of its own (KIP-447): the client asks again.
pub(in crate::group) fn fetch(stored: Option<Stored<'_>>, request: FetchOffsets) -> Response {
    let is_unstable = |topic: &TopicName, partition| {
        request.stability == Stability::Stable
            && stored.is_some_and(|stored| stored.pending.contains(topic, partition))
    };
    let answer = match request.partitions {
        Some(partitions) => partitions
            .into_iter()
            .map(|(topic, partition)| {
                if is_unstable(&topic, partition) {
                    return unstable(topic, partition);
                }
                let offset = stored.and_then(|stored| stored.committed.get(&topic, partition));
                fetched(topic, partition, offset)
            })
            .collect(),
        // As in Kafka, a partition for which nothing but pending offsets is known is not among all.
        None => stored
            .into_iter()
            .flat_map(|stored| stored.committed.iter())
            .map(|(topic, partition, offset)| match is_unstable(topic, partition) {
                true => unstable(topic.clone(), partition),
                false => fetched(topic.clone(), partition, Some(offset)),
            })
            .collect(),
    };
    Response::FetchOffsets(FetchOffsetsAnswer { error: ErrorCode::None, offsets: answer })
}

fn unstable(topic: TopicName, partition: i32) -> FetchedOffset {
    let error = ErrorCode::UnstableOffsetCommit;
    FetchedOffset { topic, partition, committed: None, error }
}

fn fetched(topic: TopicName, partition: i32, stored: Option<&StoredOffset>) -> FetchedOffset {
    let committed = stored.map(|stored| CommittedOffset {
        offset: stored.offset,
        leader_epoch: stored.leader_epoch,
        metadata: stored.metadata().to_owned(),
    });
    FetchedOffset { topic, partition, committed, error: ErrorCode::None }
}
