//! Writes markers into partitions that this broker leads. Those of the offsets topic go by the group coordinator: a group's offsets appear or vanish with the marker.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use controller::Controller;
use coordinator::group::request::{CompleteTransaction, Request};
use coordinator::group::response::Response;
use coordinator::runtime::GroupCoordinator;
use model::record_batch::EndTransactionMarker;
use model::{ErrorCode, TopicIdPartition};
use replication::{Replicas, TransactionMarker};

use super::Marker;
use crate::error_code::ToErrorCode as _;
use crate::topics::internal::OFFSETS_TOPIC;

/// The partitions that this broker leads, as far as markers are concerned.
#[derive(Clone)]
pub(crate) struct LocalPartitions {
    controller: Controller,
    replicas: Arc<Replicas>,
    groups: Arc<GroupCoordinator>,
}

impl fmt::Debug for LocalPartitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalPartitions")
    }
}

impl LocalPartitions {
    pub(crate) fn new(
        controller: Controller,
        replicas: Arc<Replicas>,
        groups: Arc<GroupCoordinator>,
    ) -> Self {
        Self { controller, replicas, groups }
    }

    /// Writes a marker, and returns when it is committed, or the code of what is wrong.
    pub(crate) async fn write(&self, id: TopicIdPartition, marker: Marker) -> ErrorCode {
        let Marker { producer, result, coordinator_epoch, version } = marker;
        let end = EndTransactionMarker { result, coordinator_epoch: coordinator_epoch.0 };
        if self.is_of_offsets(id) {
            let request = Request::CompleteTransaction(CompleteTransaction {
                producer_id: producer.id,
                producer_epoch: producer.epoch,
                marker: end,
                transaction_version: version.to_wire().into(),
            });
            return match self.groups.handle(id.partition, request).await {
                Ok(Response::CompleteTransaction(code)) => code,
                Ok(_) => ErrorCode::UnknownServerError,
                Err(refusal) => refusal.error_code(),
            };
        }
        let Some(replica) = self.replicas.get(&id) else {
            return ErrorCode::NotLeaderOrFollower;
        };
        let marker = TransactionMarker {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            marker: end,
            version,
        };
        match replica.write_marker(&marker, None, PATIENCE).await {
            Ok(_) => ErrorCode::None,
            Err(error) => error.error_code(),
        }
    }

    fn is_of_offsets(&self, id: TopicIdPartition) -> bool {
        let image = self.controller.image();
        image.topic(id.topic_id).is_some_and(|topic| &*topic.name == OFFSETS_TOPIC)
    }
}

/// How long a marker may wait for the replicas before whoever carries it looks again where the partition is.
const PATIENCE: Duration = Duration::from_secs(5);
