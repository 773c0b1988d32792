//! DescribeTopicPartitions: partitions page by page, with the members of the ISR that are fenced as eligible leaders (KIP-966).

use controller::metadata::{Image, PartitionState, Topic};
use model::topic::validate_topic_name;
use model::{BrokerId, ErrorCode};
use protocol::VersionRange;
use protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};

use crate::context::{Call, Context};
use crate::handlers::authorized_operations;
use crate::topics::internal::is_internal;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

/// Most partitions of one page, whatever is asked for (Kafka's `max.request.partition.size.limit`).
const MAX_PARTITIONS: usize = 2_000;

pub(crate) async fn handle(
    context: &Context,
    _call: &Call,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let image = context.controller.image();
    let mut names: Vec<String> = if request.topics.is_empty() {
        image.topics().map(|topic| (*topic.name).to_owned()).collect()
    } else {
        request.topics.iter().map(|topic| String::from(&topic.name)).collect()
    };
    names.sort();
    names.dedup();
    let begin = request.cursor.as_ref();
    if let Some(cursor) = begin {
        names.retain(|name| name.as_str() >= &*cursor.topic_name);
    }
    let asked = usize::try_from(request.response_partition_limit).unwrap_or(MAX_PARTITIONS);
    let mut left = asked.clamp(1, MAX_PARTITIONS);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        if left == 0 {
            response.next_cursor = Some(Cursor { topic_name: name.into(), partition_index: 0 });
            break;
        }
        let Some(topic) = image.topic_by_name(&name) else {
            response.topics.push(unknown(name));
            left -= 1;
            continue;
        };
        let first = begin.filter(|cursor| cursor.topic_name == name);
        let first = first.map_or(0, |cursor| cursor.partition_index.max(0));
        let described = describe(&image, topic, first, left);
        left -= described.partitions.len();
        let end = first.saturating_add(i32::try_from(described.partitions.len()).unwrap_or(0));
        response.topics.push(described);
        if end < topic.partition_count {
            response.next_cursor = Some(Cursor { topic_name: name.into(), partition_index: end });
            break;
        }
    }
    response
}

fn unknown(name: String) -> DescribeTopicPartitionsResponseTopic {
    let error_code = if validate_topic_name(&name).is_err() {
        ErrorCode::InvalidTopicException
    } else {
        ErrorCode::UnknownTopicOrPartition
    };
    DescribeTopicPartitionsResponseTopic {
        error_code,
        is_internal: is_internal(&name),
        name: Some(name.into()),
        ..Default::default()
    }
}

fn describe(
    image: &Image,
    topic: &Topic,
    first: i32,
    limit: usize,
) -> DescribeTopicPartitionsResponseTopic {
    let partitions = image
        .partitions_of(topic.topic_id)
        .filter(|(id, _)| id.partition >= first)
        .take(limit)
        .map(|(id, state)| partition(image, id.partition, state));
    DescribeTopicPartitionsResponseTopic {
        name: Some((&*topic.name).into()),
        topic_id: topic.topic_id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.collect(),
        topic_authorized_operations: authorized_operations::TOPIC,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn partition(
    image: &Image,
    index: i32,
    state: &PartitionState,
) -> DescribeTopicPartitionsResponsePartition {
    let unfenced = |broker: &&BrokerId| image.is_unfenced(**broker);
    let fenced = |broker: &&BrokerId| !image.is_unfenced(**broker);
    let last_leader = state.last_known_leader.filter(|_| state.isr.is_empty());
    DescribeTopicPartitionsResponsePartition {
        error_code: match state.leader {
            Some(_) => ErrorCode::None,
            None => ErrorCode::LeaderNotAvailable,
        },
        partition_index: index,
        leader_id: state.leader.map_or(-1, |leader| leader.0),
        leader_epoch: state.leader_epoch.0,
        replica_nodes: numbers(state.replicas.iter()),
        isr_nodes: numbers(state.isr.iter().filter(unfenced)),
        eligible_leader_replicas: Some(numbers(state.isr.iter().filter(fenced))),
        last_known_elr: Some(last_leader.iter().map(|replica| replica.broker_id.0).collect()),
        offline_replicas: numbers(state.replicas.iter().filter(fenced)),
    }
}

fn numbers<'a>(brokers: impl Iterator<Item = &'a BrokerId>) -> Vec<i32> {
    brokers.map(|broker| broker.0).collect()
}
