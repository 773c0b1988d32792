//! The commands of scripts about offsets, and the rewrite of the log.
//!
//! * `commit offsets=t:0:5,u:1:7:words id=1 epoch= metadata= retention=`; `metadata=x*4097` repeats a text
//! * `fetch partitions=t:0,u:1 stable=yes`, `delete-offsets partitions=t:0,u:1`
//! * `rewrite limit=`: appends the next chunk of a rewrite, each record alone by default; after the last one the log loses what lies before the first

use std::time::Duration;

use bytes::Bytes;
use model::{LeaderEpoch, Offset};
use protocol::consumer_protocol::ConsumerProtocolSubscription;
use scripts::{Arguments, Span};

use super::commands::{group, topic, topic_id};
use super::transaction_commands::ScriptLog;
use crate::group::ids::TopicName;
use crate::group::record::GroupRecord;
use crate::group::request::{
    CommitOffsets, DeleteOffsets, FetchOffsets, MemberRef, OffsetToCommit, Stability,
};
use crate::group::{RewriteCursor, Shard};

pub(super) fn commit(arguments: &Arguments<'_>, member: MemberRef) -> CommitOffsets {
    let said = metadata(arguments.text("metadata").unwrap_or_default());
    let one = |topic, partition, offset, metadata| OffsetToCommit {
        topic,
        topic_id: topic_id(arguments),
        partition,
        offset: Offset(offset),
        leader_epoch: arguments.get("epoch").map(LeaderEpoch),
        metadata,
    };
    let listed = arguments.words("offsets").into_iter().map(|item| {
        let mut parts = item.split(':');
        let mut part = || parts.next().expect("topic:partition:offset, and perhaps its metadata");
        let (topic, partition) = (part().into(), part().parse().expect("a partition"));
        let offset = part().parse().expect("an offset");
        one(topic, partition, offset, parts.next().map_or_else(|| said.clone(), metadata))
    });
    let offsets = if arguments.has("offsets") {
        listed.collect()
    } else {
        let partition = arguments.get("partition").unwrap_or(0);
        let offset = arguments.get("offset").unwrap_or(0);
        vec![one(topic(arguments), partition, offset, said)]
    };
    CommitOffsets {
        member,
        offsets,
        retention: arguments.get("retention").map(|Span(it): Span| -> Duration { it }),
    }
}

pub(super) fn fetch(arguments: &Arguments<'_>) -> FetchOffsets {
    FetchOffsets {
        group_id: group(arguments),
        partitions: arguments.has("partitions").then(|| partitions(arguments)),
        stability: match arguments.text("stable") {
            Some("yes") => Stability::Stable,
            _ => Stability::Any,
        },
    }
}

pub(super) fn delete(arguments: &Arguments<'_>) -> DeleteOffsets {
    let partitions = if arguments.has("partitions") {
        partitions(arguments)
    } else {
        vec![(topic(arguments), arguments.get("partition").unwrap_or(0))]
    };
    DeleteOffsets { group_id: group(arguments), partitions }
}

/// Returns what a consumer says of itself that subscribes to these topics.
pub(super) fn subscription(topics: &[&str]) -> Bytes {
    let topics = topics.iter().map(|topic| (*topic).into()).collect();
    let subscription =
        ConsumerProtocolSubscription { topics, ..ConsumerProtocolSubscription::default() };
    subscription.encode().expect("names are short")
}

fn partitions(arguments: &Arguments<'_>) -> Vec<(TopicName, i32)> {
    arguments.words("partitions").into_iter().map(topic_partition).collect()
}

fn topic_partition(text: &str) -> (TopicName, i32) {
    let (topic, partition) = text.rsplit_once(':').expect("topic:partition");
    (topic.into(), partition.parse().expect("a partition"))
}

fn metadata(text: &str) -> String {
    match text.split_once('*') {
        Some((text, count)) => text.repeat(count.parse().expect("a count")),
        None => text.to_owned(),
    }
}

/// A rewrite of a script's log that has begun.
pub(super) struct Rewrite {
    /// Offset of its first record in the log, or of what is needed before it.
    first: usize,
    cursor: RewriteCursor,
}

impl Rewrite {
    /// Appends the next chunk to the log. Returns its records, and whether the rewrite goes on; if not, the log begins with the rewrite's first record.
    pub(super) fn go_on(
        rewrite: &mut Option<Self>,
        shard: &Shard,
        limit_bytes: usize,
        log: &mut ScriptLog,
    ) -> Vec<GroupRecord> {
        let before = rewrite.take();
        let needed = |offset: Offset| usize::try_from(offset.0).expect("it is small");
        let start = || shard.needed_from().map_or_else(|| log.end(), needed).min(log.end());
        let first = before.as_ref().map_or_else(start, |before| before.first);
        let (records, next) =
            shard.live_records(before.as_ref().map(|before| &before.cursor), limit_bytes);
        log.append(records.clone());
        *rewrite = next.map(|cursor| Self { first, cursor });
        if rewrite.is_none() {
            log.trim(first);
        }
        records
    }
}
