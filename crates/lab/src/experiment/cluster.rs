//! The cluster as the nemesis must see it: topics under test, their leaders, whether they are in sync.

use crate::nemesis::Cluster;
use crate::target::NodeId;
use crate::workload::{ClusterView, TopicPlan, WorkloadError, coordinator_of};

/// A cluster, and the topics and groups of an experiment.
#[derive(Debug)]
pub(crate) struct ObservedCluster {
    view: ClusterView,
    bootstrap: String,
    topics: Vec<TopicPlan>,
    groups: Vec<String>,
}

impl ObservedCluster {
    /// # Errors
    /// When librdkafka refuses the addresses.
    pub(crate) fn new(
        bootstrap: &str,
        topics: &[TopicPlan],
        groups: Vec<String>,
    ) -> Result<Self, WorkloadError> {
        let (view, bootstrap) = (ClusterView::new(bootstrap)?, bootstrap.to_owned());
        Ok(Self { view, bootstrap, topics: topics.to_vec(), groups })
    }
}

impl Cluster for ObservedCluster {
    fn leader_of(&self, topic: &str, partition: i32) -> Option<NodeId> {
        self.view.leader_of(topic, partition)
    }

    fn replicas_of(&self, topic: &str, partition: i32) -> Vec<NodeId> {
        self.view.replicas_of(topic, partition)
    }

    fn groups(&self) -> Vec<String> {
        self.groups.clone()
    }

    fn coordinator_of(&self, group: &str) -> Option<NodeId> {
        coordinator_of(&self.bootstrap, group)
    }

    fn controller(&self) -> Option<NodeId> {
        self.view.controller()
    }

    fn in_sync(&self) -> bool {
        self.topics.iter().all(|topic| self.view.in_sync(&topic.name))
    }

    fn topics(&self) -> Vec<(String, i32)> {
        self.topics.iter().map(|topic| (topic.name.clone(), topic.partitions)).collect()
    }
}
