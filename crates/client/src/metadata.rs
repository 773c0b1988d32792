//! What the client knows of the cluster: brokers, topics, partitions and their leaders.

use std::collections::BTreeMap;

use model::{BrokerId, ErrorCode, LeaderEpoch, TopicId};
use protocol::messages::MetadataResponse;
use protocol::messages::metadata::{MetadataResponsePartition, MetadataResponseTopic};

use crate::wire::address;

/// The cluster as the newest responses described it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// A broker that takes administrative requests.
    pub controller: Option<BrokerId>,
    /// The live brokers.
    pub brokers: BTreeMap<BrokerId, Broker>,
    /// The topics that were asked for, by name.
    pub topics: BTreeMap<String, Topic>,
}

/// A live broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: BrokerId,
    /// Host and port where it is reached, `host:port`.
    pub address: String,
    /// Its rack.
    pub rack: Option<String>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Error of the topic, [`ErrorCode::None`] when it is there.
    pub error_code: ErrorCode,
    /// Its id; zero when the broker does not tell.
    pub id: TopicId,
    /// Whether it is the cluster's own.
    pub is_internal: bool,
    /// Its partitions, by number.
    pub partitions: BTreeMap<i32, Partition>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Error of the partition.
    pub error_code: ErrorCode,
    /// Its leader.
    pub leader: Option<BrokerId>,
    /// The leader's epoch, when the broker tells.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Assigned replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Replicas in sync.
    pub isr: Vec<BrokerId>,
    /// Assigned replicas that are offline.
    pub offline_replicas: Vec<BrokerId>,
}

/// Which topics a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topics<'a> {
    /// Every topic of the cluster.
    All,
    /// None: brokers only.
    None,
    /// These.
    Named(&'a [String]),
}

impl Metadata {
    /// Takes in a response. The brokers are replaced. The topics are replaced too when the response is about all of them, otherwise only those that it names;
    /// a partition of the same topic id keeps its state when the response knows only an older leader epoch, so that a broker that is behind cannot
    /// lead the client back (KIP-320).
    pub fn merge(&mut self, response: &MetadataResponse, topics: Topics<'_>) {
        self.cluster_id = response.cluster_id.as_ref().map(String::from);
        self.controller = (response.controller_id >= 0).then_some(BrokerId(response.controller_id));
        self.brokers = response
            .brokers
            .iter()
            .map(|broker| {
                let id = BrokerId(broker.node_id);
                let address = address(&broker.host, broker.port);
                (id, Broker { id, address, rack: broker.rack.as_ref().map(String::from) })
            })
            .collect();
        let old = match topics {
            Topics::All => std::mem::take(&mut self.topics),
            Topics::None | Topics::Named(_) => BTreeMap::new(),
        };
        for topic in &response.topics {
            let Some(name) = topic.name.as_ref().map(String::from) else { continue };
            let new = Topic::from_wire(topic);
            let known = old.get(&name).or_else(|| self.topics.get(&name));
            let merged = match known {
                Some(known) if known.id == new.id => new.newer_of(known),
                _ => new,
            };
            self.topics.insert(name, merged);
        }
    }

    /// Returns a partition, if it is known.
    #[must_use]
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.topics.get(topic)?.partitions.get(&partition)
    }
}

impl Topic {
    fn from_wire(topic: &MetadataResponseTopic) -> Self {
        let partitions = topic
            .partitions
            .iter()
            .map(|partition| (partition.partition_index, Partition::from_wire(partition)));
        Self {
            error_code: topic.error_code,
            id: topic.topic_id,
            is_internal: topic.is_internal,
            partitions: partitions.collect(),
        }
    }

    fn newer_of(mut self, known: &Self) -> Self {
        for (index, partition) in &mut self.partitions {
            if let Some(known) = known.partitions.get(index)
                && known.leader_epoch > partition.leader_epoch
                && partition.leader_epoch.is_some()
            {
                *partition = known.clone();
            }
        }
        self
    }
}

impl Partition {
    fn from_wire(partition: &MetadataResponsePartition) -> Self {
        let brokers = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
        Self {
            error_code: partition.error_code,
            leader: (partition.leader_id >= 0).then_some(BrokerId(partition.leader_id)),
            leader_epoch: LeaderEpoch::from_wire(partition.leader_epoch),
            replicas: brokers(&partition.replica_nodes),
            isr: brokers(&partition.isr_nodes),
            offline_replicas: brokers(&partition.offline_replicas),
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::metadata::MetadataResponseBroker;

    use super::*;

    fn response(id: u8, leader: i32, epoch: i32) -> MetadataResponse {
        let partition = MetadataResponsePartition {
            leader_id: leader,
            leader_epoch: epoch,
            ..MetadataResponsePartition::default()
        };
        MetadataResponse {
            brokers: vec![MetadataResponseBroker {
                node_id: 1,
                host: "::1".into(),
                port: 9092,
                rack: None,
            }],
            topics: vec![MetadataResponseTopic {
                name: Some("t".into()),
                topic_id: TopicId::from_bytes([id; 16]),
                partitions: vec![partition],
                ..MetadataResponseTopic::default()
            }],
            ..MetadataResponse::default()
        }
    }

    fn leader(metadata: &Metadata) -> Option<i32> {
        metadata.partition("t", 0)?.leader.map(|leader| leader.0)
    }

    #[test]
    fn a_broker_that_is_behind_cannot_lead_the_client_back() {
        let mut metadata = Metadata::default();
        metadata.merge(&response(1, 1, 5), Topics::All);
        metadata.merge(&response(1, 2, 4), Topics::All);
        assert_eq!(leader(&metadata), Some(1));
        metadata.merge(&response(1, 2, 6), Topics::All);
        assert_eq!(leader(&metadata), Some(2));
    }

    #[test]
    fn a_topic_that_was_created_again_starts_with_new_epochs() {
        let mut metadata = Metadata::default();
        metadata.merge(&response(1, 1, 5), Topics::All);
        metadata.merge(&response(2, 2, 0), Topics::All);
        assert_eq!(leader(&metadata), Some(2));
    }

    #[test]
    fn a_response_about_all_topics_forgets_those_that_are_gone() {
        let mut metadata = Metadata::default();
        metadata.merge(&response(1, 1, 5), Topics::All);
        let brokers_only = MetadataResponse { topics: vec![], ..response(1, 1, 5) };
        metadata.merge(&brokers_only, Topics::None);
        assert_eq!(leader(&metadata), Some(1));
        metadata.merge(&brokers_only, Topics::All);
        assert!(metadata.topics.is_empty());
        assert_eq!(metadata.brokers[&BrokerId(1)].address, "[::1]:9092");
    }
}
