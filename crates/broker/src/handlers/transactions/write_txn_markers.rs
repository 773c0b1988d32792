//! WriteTxnMarkers: an operator's tool ends a transaction that hangs. Steadfast's own coordinators take another road.

use coordinator::transaction::ids::ProducerIdAndEpoch;
use model::record_batch::TransactionResult;
use model::{ErrorCode, LeaderEpoch, TopicIdPartition, TransactionVersion};
use protocol::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
};
use protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use protocol::{KafkaString, VersionRange};

use super::producer;
use crate::context::{Call, Context};
use crate::handlers::groups::answers;
use crate::transactions::Marker;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: WriteTxnMarkersRequest,
) -> WriteTxnMarkersResponse {
    // One after the other: of two markers for one partition the first goes first.
    let mut markers = Vec::with_capacity(request.markers.len());
    for marker in request.markers {
        markers.push(write(context, call, marker).await);
    }
    WriteTxnMarkersResponse { markers }
}

async fn write(
    context: &Context,
    call: &Call,
    asked: WritableTxnMarker,
) -> WritableTxnMarkerResult {
    let producer = producer(asked.producer_id, asked.producer_epoch);
    let marker = Marker {
        producer,
        result: TransactionResult::from_committed(asked.transaction_result),
        coordinator_epoch: LeaderEpoch(asked.coordinator_epoch),
        version: TransactionVersion::from_wire(asked.transaction_version),
    };
    let topics = asked.topics.into_iter();
    let each = topics.flat_map(|topic| {
        let name = topic.name;
        topic.partition_indexes.into_iter().map(move |index| (name.clone(), index))
    });
    let codes = answers::ask_each(each.collect(), |(name, index)| async move {
        let error_code = write_one(context, &name, index, marker).await;
        context.count_error(call.api_key, error_code);
        (name, WritableTxnMarkerPartitionResult { partition_index: index, error_code })
    });
    let mut topics: Vec<WritableTxnMarkerTopicResult> = Vec::new();
    for (name, partition) in codes.await {
        match topics.last_mut() {
            Some(last) if last.name == name => last.partitions.push(partition),
            _ => topics.push(WritableTxnMarkerTopicResult { name, partitions: vec![partition] }),
        }
    }
    let ProducerIdAndEpoch { id, .. } = producer;
    WritableTxnMarkerResult { producer_id: id.0, topics }
}

async fn write_one(
    context: &Context,
    name: &KafkaString,
    partition: i32,
    marker: Marker,
) -> ErrorCode {
    if marker.producer.id.0 < 0 || marker.producer.epoch.0 < 0 {
        return ErrorCode::InvalidRequest;
    }
    let id = {
        let image = context.controller.image();
        let Some(topic_id) = image.topic_id(name) else {
            return ErrorCode::UnknownTopicOrPartition;
        };
        let id = TopicIdPartition { topic_id, partition };
        match image.partition(id) {
            Some(state) if state.leader == Some(context.broker_id()) => id,
            Some(_) => return ErrorCode::NotLeaderOrFollower,
            None => return ErrorCode::UnknownTopicOrPartition,
        }
    };
    context.coordinators.local().write(id, marker).await
}
