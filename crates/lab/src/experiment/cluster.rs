//! The cluster as the nemesis must see it: topics under test, their leaders, whether they are in sync.

use crate::nemesis::Cluster;
use crate::target::NodeId;
use crate::workload::{ClusterView, TopicPlan, WorkloadError};

/// A cluster and the topics of an experiment.
#[derive(Debug)]
pub(crate) struct ObservedCluster {
    view: ClusterView,
    topics: Vec<TopicPlan>,
}

impl ObservedCluster {
    /// # Errors
    /// When librdkafka refuses the addresses.
    pub(crate) fn new(bootstrap: &str, topics: &[TopicPlan]) -> Result<Self, WorkloadError> {
        Ok(Self { view: ClusterView::new(bootstrap)?, topics: topics.to_vec() })
    }
}

impl Cluster for ObservedCluster {
    fn leader_of(&self, topic: &str, partition: i32) -> Option<NodeId> {
        self.view.leader_of(topic, partition)
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
