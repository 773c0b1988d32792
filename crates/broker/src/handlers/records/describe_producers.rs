//! DescribeProducers: what the partitions that this broker leads know of their producers, by which an operator finds transactions that hang (KIP-664).

use controller::metadata::Image;
use log_storage::ActiveProducer;
use model::{ErrorCode, Offset, TopicIdPartition};
use protocol::VersionRange;
use protocol::messages::describe_producers::{PartitionResponse, ProducerState, TopicResponse};
use protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};

use super::leader;
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;
use crate::handlers::named_topic::NamedTopic;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let image = context.controller.image();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for partition_index in topic.partition_indexes {
            let described = describe(context, &image, &topic.name, partition_index).await;
            let answer = match described {
                Ok(active_producers) => {
                    PartitionResponse { active_producers, ..PartitionResponse::default() }
                }
                Err(error_code) => {
                    context.count_error(call.api_key, error_code);
                    PartitionResponse { error_code, ..PartitionResponse::default() }
                }
            };
            partitions.push(PartitionResponse { partition_index, ..answer });
        }
        topics.push(TopicResponse { name: topic.name, partitions });
    }
    DescribeProducersResponse { topics, ..DescribeProducersResponse::default() }
}

async fn describe(
    context: &Context,
    image: &Image,
    topic: &str,
    partition: i32,
) -> Result<Vec<ProducerState>, ErrorCode> {
    let topic_id = NamedTopic::Name(topic).id(image)?;
    let id = TopicIdPartition { topic_id, partition };
    let replica = leader::find_made(context, image, id).await;
    let replica = replica.map_err(|elsewhere| elsewhere.error)?;
    let active = replica.active_producers().map_err(|error| error.error_code())?;
    Ok(active.iter().map(state).collect())
}

fn state(active: &ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: active.id.0,
        producer_epoch: i32::from(active.epoch.0),
        last_sequence: active.last_sequence.unwrap_or(-1),
        last_timestamp: active.last_timestamp.0,
        coordinator_epoch: active.coordinator_epoch.unwrap_or(-1),
        current_txn_start_offset: Offset::to_wire(active.transaction_start_offset),
    }
}
