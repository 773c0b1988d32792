//! Consumer groups on this broker: the coordinator over the offsets topic's partitions that it leads, told of elections and deletions by the image applier.
//!
//! Owns the wiring alone. What a group is and what is written belongs to `coordinator`; who leads belongs to the metadata.

mod lag;
mod offsets_log;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use controller::Controller;
use controller::metadata::{Changes, Image};
use coordinator::config::CoordinatorConfig;
use coordinator::group::ids::{TopicIdentity, TopicName};
use coordinator::runtime::{
    CoordinatorParts, GroupCoordinator, GroupGauges, GroupMetrics, Leadership,
};
use model::{BrokerId, LeaderEpoch, TopicId, TopicIdPartition};
use protocol::partition_of_group;
use replication::Replicas;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;
use crate::topics::internal::OFFSETS_TOPIC;
use lag::GroupLag;
use offsets_log::OffsetsLog;

/// The consumer groups that this broker coordinates.
#[derive(Debug)]
pub(crate) struct Coordinators {
    own: BrokerId,
    groups: Arc<GroupCoordinator>,
    max_session_timeout: Duration,
    tasks: TaskTracker,
}

impl Coordinators {
    /// Starts a coordinator that coordinates nothing yet, and registers its metrics. Called on the data runtime.
    pub(crate) fn start(
        controller: &Controller,
        replicas: &Arc<Replicas>,
        config: CoordinatorConfig,
        metrics: &Metrics,
    ) -> Arc<Self> {
        let log = OffsetsLog::new(Arc::clone(replicas), controller.clone());
        let tasks = TaskTracker::new();
        let counters = GroupMetrics::default();
        let max_session_timeout = config.group.max_session_timeout;
        let groups = GroupCoordinator::start(CoordinatorParts {
            writer: Arc::new(log),
            config,
            metrics: counters.clone(),
            tasks: tasks.clone(),
            runtime: Handle::current(),
        });
        let lag = GroupLag::new(Arc::clone(&groups), Arc::clone(replicas), controller.clone());
        metrics.register(|registry| {
            counters.register(registry);
            registry.register_collector(Box::new(GroupGauges::new(Arc::clone(&groups))));
            registry.register_collector(Box::new(lag));
        });
        Arc::new(Self { own: controller.broker_id(), groups, max_session_timeout, tasks })
    }

    /// Returns the groups, to be asked.
    pub(crate) fn groups(&self) -> &GroupCoordinator {
        &self.groups
    }

    /// Returns the longest session timeout that a member may ask for.
    #[must_use]
    pub(crate) fn max_session_timeout(&self) -> Duration {
        self.max_session_timeout
    }

    /// Takes in the first image, after the replicas.
    pub(crate) fn start_with(&self, image: &Image) {
        let Some(topic) = image.topic_by_name(OFFSETS_TOPIC) else { return };
        for (id, _) in image.partitions_of(topic.topic_id) {
            self.changed(image, id);
        }
    }

    /// Takes in one step of the image, in log order, after the replicas took it in. Does not block.
    pub(crate) fn apply(&self, before: &Image, image: &Image, changes: &Changes) {
        let is_of_offsets = |image: &Image, id: &TopicIdPartition| {
            image.topic(id.topic_id).is_some_and(|topic| &*topic.name == OFFSETS_TOPIC)
        };
        let gone = changes
            .partitions
            .iter()
            .filter(|id| is_of_offsets(before, id) && !is_of_offsets(image, id));
        // First, since a topic of the same name may have come with the same step, and its leader epochs begin anew.
        for id in gone {
            if let Some(state) = before.partition(*id) {
                self.groups.resigned(leadership(*id, state.leader_epoch));
            }
        }
        for id in changes.partitions.iter().filter(|id| is_of_offsets(image, id)) {
            self.changed(image, *id);
        }
        let deleted = changes.topics.iter().filter(|id| image.topic(**id).is_none());
        let identity = |id: &TopicId| {
            let name = TopicName::from(&*before.topic(*id)?.name);
            Some(TopicIdentity { name, id: Some(*id) })
        };
        let deleted: Vec<_> = deleted.filter_map(identity).collect();
        if !deleted.is_empty() {
            self.groups.topics_deleted(&deleted);
        }
    }

    fn changed(&self, image: &Image, id: TopicIdPartition) {
        let Some(state) = image.partition(id) else { return };
        let leadership = leadership(id, state.leader_epoch);
        if state.leader == Some(self.own) {
            self.groups.elected(leadership);
        } else {
            self.groups.resigned(leadership);
        }
    }

    /// Answers everyone who waits, and lets no further request in.
    pub(crate) fn stop(&self) {
        self.groups.stop();
        self.tasks.close();
    }

    /// Waits until nothing of the coordinators runs any more, after [`Coordinators::stop`].
    pub(crate) async fn ended(&self) {
        self.tasks.wait().await;
    }
}

fn leadership(id: TopicIdPartition, leader_epoch: LeaderEpoch) -> Leadership {
    Leadership { topic_id: id.topic_id, partition: id.partition, leader_epoch }
}

/// Returns the partition of the offsets topic that keeps a group; `None` while there is no such topic.
pub(crate) fn partition_of(image: &Image, group_id: &str) -> Option<TopicIdPartition> {
    let topic = image.topic_by_name(OFFSETS_TOPIC)?;
    let count = NonZeroU32::new(u32::try_from(topic.partition_count).ok()?)?;
    let partition = partition_of_group(group_id, count);
    Some(TopicIdPartition { topic_id: topic.topic_id, partition })
}
