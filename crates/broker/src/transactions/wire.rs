//! Between the types of this broker and those of the wire and of its parts.

use coordinator::transaction::ids::{ProducerIdAndEpoch, TransactionVersion as Shown};
use model::record_batch::TransactionResult;
use model::{
    ErrorCode, LeaderEpoch, ProducerEpoch, ProducerId, TopicId, TopicIdPartition,
    TransactionVersion,
};
use uuid::Uuid;

use super::{Marker, proto};

/// Why something on the wire cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

pub(super) fn version(version: Shown) -> TransactionVersion {
    if version.bumps_epochs() { TransactionVersion::V2 } else { TransactionVersion::V0 }
}

pub(super) fn write_marker(id: u64, partition: TopicIdPartition, marker: Marker) -> proto::Marker {
    let (topic_id_high, topic_id_low) = partition.topic_id.0.as_u64_pair();
    proto::Marker {
        id,
        topic_id_high,
        topic_id_low,
        partition: partition.partition,
        producer_id: marker.producer.id.0,
        producer_epoch: i32::from(marker.producer.epoch.0),
        commit: marker.result.is_commit(),
        coordinator_epoch: marker.coordinator_epoch.0,
        transaction_version: i32::from(marker.version.to_wire()),
    }
}

pub(super) fn read_marker(read: &proto::Marker) -> Result<(TopicIdPartition, Marker), Malformed> {
    let topic_id = TopicId(Uuid::from_u64_pair(read.topic_id_high, read.topic_id_low));
    let marker = Marker {
        producer: read_producer(read.producer_id, read.producer_epoch)?,
        result: TransactionResult::from_committed(read.commit),
        coordinator_epoch: LeaderEpoch::from_wire(read.coordinator_epoch)
            .ok_or(Malformed("a marker without a coordinator epoch"))?,
        version: TransactionVersion::from_wire(
            i8::try_from(read.transaction_version).unwrap_or(i8::MAX),
        ),
    };
    Ok((TopicIdPartition { topic_id, partition: read.partition }, marker))
}

pub(super) fn read_producer(id: i64, epoch: i32) -> Result<ProducerIdAndEpoch, Malformed> {
    let epoch = i16::try_from(epoch).map_err(|_| Malformed("an epoch out of range"))?;
    if id < 0 || epoch < 0 {
        return Err(Malformed("no producer"));
    }
    Ok(ProducerIdAndEpoch { id: ProducerId(id), epoch: ProducerEpoch(epoch) })
}

pub(super) fn write_code(code: ErrorCode) -> i32 {
    i32::from(code.to_wire())
}

pub(super) fn read_code(code: i32) -> ErrorCode {
    let code = i16::try_from(code).unwrap_or_else(|_| ErrorCode::UnknownServerError.to_wire());
    ErrorCode::from_wire(code)
}
