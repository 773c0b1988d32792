//! Between the machine's values and the messages of the replication stream. Every field from the wire is checked here.

use bytes::Bytes;
use model::{BrokerEpoch, LeaderEpoch, Offset, TopicId, TopicIdPartition};

use super::proto;
use super::proto::partition_update::Content;
use crate::partition::{AnswerBody, FollowerFetch, Generation, LeaderAnswer};
use crate::partition_handle::Update;

/// A message that no peer of this version sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {0} is missing or out of its range")]
pub(crate) struct Malformed(&'static str);

fn key(id: TopicIdPartition) -> proto::PartitionKey {
    let (topic_id_high, topic_id_low) = id.topic_id.0.as_u64_pair();
    proto::PartitionKey { topic_id_high, topic_id_low, partition: id.partition }
}

fn read_key(key: Option<proto::PartitionKey>) -> Result<TopicIdPartition, Malformed> {
    let key = key.ok_or(Malformed("partition"))?;
    if key.partition < 0 {
        return Err(Malformed("partition"));
    }
    let topic_id = TopicId(uuid::Uuid::from_u64_pair(key.topic_id_high, key.topic_id_low));
    Ok(TopicIdPartition { topic_id, partition: key.partition })
}

fn read_offset(value: i64, field: &'static str) -> Result<Offset, Malformed> {
    Offset::from_wire(value).ok_or(Malformed(field))
}

fn read_epoch(value: i32, field: &'static str) -> Result<LeaderEpoch, Malformed> {
    LeaderEpoch::from_wire(value).ok_or(Malformed(field))
}

/// Makes a follower's message about one partition.
pub(crate) fn fetch(id: TopicIdPartition, fetch: &FollowerFetch) -> proto::Fetch {
    proto::Fetch {
        partition: Some(key(id)),
        leader_epoch: fetch.leader_epoch.0,
        generation: fetch.generation.0,
        fetch_offset: fetch.fetch_offset.0,
        last_fetched_epoch: fetch.last_fetched_epoch.map(|epoch| epoch.0),
        flushed_offset: fetch.flushed_offset.0,
        log_start_offset: fetch.log_start_offset.0,
    }
}

/// Reads a follower's message about one partition; the broker epoch is the stream's.
pub(crate) fn read_fetch(
    fetch: &proto::Fetch,
    broker_epoch: BrokerEpoch,
) -> Result<(TopicIdPartition, FollowerFetch), Malformed> {
    let last_fetched_epoch = fetch
        .last_fetched_epoch
        .map(|epoch| read_epoch(epoch, "last_fetched_epoch"))
        .transpose()?;
    let fetched = FollowerFetch {
        broker_epoch,
        leader_epoch: read_epoch(fetch.leader_epoch, "leader_epoch")?,
        generation: Generation(fetch.generation),
        fetch_offset: read_offset(fetch.fetch_offset, "fetch_offset")?,
        last_fetched_epoch,
        flushed_offset: read_offset(fetch.flushed_offset, "flushed_offset")?,
        log_start_offset: read_offset(fetch.log_start_offset, "log_start_offset")?,
    };
    if fetched.flushed_offset > fetched.fetch_offset {
        return Err(Malformed("flushed_offset"));
    }
    Ok((read_key(fetch.partition)?, fetched))
}

/// Makes a leader's message about one partition.
pub(crate) fn update(id: TopicIdPartition, update: Update) -> proto::PartitionUpdate {
    let Update { answer, batches } = update;
    let content = match answer.body {
        AnswerBody::Progress { high_watermark, log_start_offset } => {
            Content::Progress(proto::Progress {
                high_watermark: high_watermark.0,
                log_start_offset: log_start_offset.0,
                batches,
            })
        }
        AnswerBody::Diverging { epoch, end_offset, fetch_offset, last_fetched_epoch } => {
            Content::Divergence(proto::Divergence {
                epoch: epoch.0,
                end_offset: end_offset.0,
                fetch_offset: fetch_offset.0,
                last_fetched_epoch: last_fetched_epoch.map(|epoch| epoch.0),
            })
        }
        AnswerBody::OutOfRange { log_start_offset, fetch_offset } => {
            Content::OutOfRange(proto::OutOfRange {
                log_start_offset: log_start_offset.0,
                fetch_offset: fetch_offset.0,
            })
        }
    };
    proto::PartitionUpdate {
        partition: Some(key(id)),
        leader_epoch: answer.leader_epoch.0,
        generation: answer.generation.0,
        content: Some(content),
    }
}

/// Reads a leader's message about one partition.
pub(crate) fn read_update(
    update: proto::PartitionUpdate,
) -> Result<(TopicIdPartition, LeaderAnswer, Bytes), Malformed> {
    let id = read_key(update.partition)?;
    let (body, batches) = match update.content.ok_or(Malformed("content"))? {
        Content::Progress(progress) => (
            AnswerBody::Progress {
                high_watermark: read_offset(progress.high_watermark, "high_watermark")?,
                log_start_offset: read_offset(progress.log_start_offset, "log_start_offset")?,
            },
            progress.batches,
        ),
        Content::Divergence(divergence) => {
            let last_fetched_epoch = divergence
                .last_fetched_epoch
                .map(|epoch| read_epoch(epoch, "last_fetched_epoch"))
                .transpose()?;
            let body = AnswerBody::Diverging {
                epoch: read_epoch(divergence.epoch, "epoch")?,
                end_offset: read_offset(divergence.end_offset, "end_offset")?,
                fetch_offset: read_offset(divergence.fetch_offset, "fetch_offset")?,
                last_fetched_epoch,
            };
            (body, Bytes::new())
        }
        Content::OutOfRange(range) => {
            let body = AnswerBody::OutOfRange {
                log_start_offset: read_offset(range.log_start_offset, "log_start_offset")?,
                fetch_offset: read_offset(range.fetch_offset, "fetch_offset")?,
            };
            (body, Bytes::new())
        }
    };
    let answer = LeaderAnswer {
        leader_epoch: read_epoch(update.leader_epoch, "leader_epoch")?,
        generation: Generation(update.generation),
        body,
    };
    Ok((id, answer, batches))
}
