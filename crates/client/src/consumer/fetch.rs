//! One fetch: its request, and the way to the broker and back.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use model::{BrokerId, LeaderEpoch, Offset, TopicPartition};
use protocol::messages::fetch::{FetchPartition, FetchTopic};
use protocol::messages::{FetchRequest, FetchResponse};

use super::ConsumerConfig;
use crate::client::Client;
use crate::error::RequestError;
use crate::metadata::Metadata;
use crate::wire::{by_topic, millis};

/// Partitions of one leader, and the offset of each to go on at.
pub(super) type Asked = Vec<(Arc<TopicPartition>, Offset)>;

/// A fetch that is over.
#[derive(Debug)]
pub(super) struct FetchDone {
    pub(super) broker: BrokerId,
    pub(super) asked: Asked,
    pub(super) result: Result<FetchResponse, RequestError>,
}

/// Makes a fetch under the leader epochs that are known now.
pub(super) fn fetch(
    client: &Client,
    config: &ConsumerConfig,
    broker: BrokerId,
    asked: Asked,
) -> BoxFuture<'static, FetchDone> {
    let request = request(&client.metadata(), config, &asked);
    let (client, max_wait) = (client.clone(), config.max_wait);
    Box::pin(async move {
        let sent = async {
            let connection = client.connection(broker).await?;
            connection.submit(&request, max_wait).await?.response().await
        };
        let result = sent.await;
        FetchDone { broker, asked, result }
    })
}

fn request(
    metadata: &Metadata,
    config: &ConsumerConfig,
    asked: &[(Arc<TopicPartition>, Offset)],
) -> FetchRequest {
    let partitions = asked.iter().map(|(at, next)| {
        let known = metadata.partition(&at.topic, at.partition);
        let epoch = known.and_then(|known| known.leader_epoch);
        let partition = FetchPartition {
            partition: at.partition,
            current_leader_epoch: LeaderEpoch::to_wire(epoch),
            fetch_offset: next.0,
            partition_max_bytes: config.max_partition_bytes,
            ..FetchPartition::default()
        };
        (&**at, partition)
    });
    let topics = by_topic(partitions).into_iter().map(|(topic, partitions)| FetchTopic {
        topic: topic.into(),
        partitions,
        ..FetchTopic::default()
    });
    FetchRequest {
        max_wait_ms: millis(config.max_wait),
        min_bytes: config.min_bytes,
        max_bytes: config.max_bytes,
        isolation_level: config.isolation_level.to_wire(),
        topics: topics.collect(),
        ..FetchRequest::default()
    }
}
