//! This broker's image, mapped to what its replicas need to know.
//!
//! Pure: from an image (and what changed in it) to an [`ImageUpdate`]. `replication` does not know `controller`; this is the one bridge.

use std::collections::BTreeMap;
use std::sync::Arc;

use controller::metadata::{
    self, BrokerRegistration, BrokerState, Changes, Image, PartitionState, RecordKey, Topic,
};
use log_storage::LogConfig;
use log_storage::config::effective_values;
use model::{BrokerId, TopicId, TopicIdPartition};
use replication::partition::{
    Assignment, Durability, Fencing, FlushPolicy, PartitionMetadata, ReplicaMetadata,
};
use replication::{AssignedPartition, ImageUpdate, PartitionChange, RegisteredBroker};

/// Returns the whole image as an update: every registered broker, and every partition that has a replica on this one.
pub(super) fn whole(image: &Image, own: BrokerId) -> ImageUpdate {
    let mut configs = Configs::new(image);
    let partitions = image
        .partitions()
        .filter(|(_, state)| state.is_replica(own))
        .filter_map(|(id, state)| assigned(image, &mut configs, id, state));
    let partitions = partitions.map(PartitionChange::Assigned).collect();
    ImageUpdate { brokers: image.brokers().map(registered).collect(), partitions }
}

/// Returns what changed, as far as this broker's replicas are concerned.
pub(super) fn changed(image: &Image, changes: &Changes, own: BrokerId) -> ImageUpdate {
    let mut configs = Configs::new(image);
    let brokers = changes.brokers.iter().filter_map(|id| image.broker(*id)).map(registered);
    let mut ids = changes.partitions.clone();
    if changes.records.iter().any(|record| matches!(record, RecordKey::ClusterConfig(_))) {
        // Any log's configuration may follow from it.
        let all = image.partitions().filter(|(_, state)| state.is_replica(own));
        ids.extend(all.map(|(id, _)| id));
    }
    let partitions = ids.into_iter().filter_map(|id| match image.partition(id) {
        Some(state) if state.is_replica(own) => {
            assigned(image, &mut configs, id, state).map(PartitionChange::Assigned)
        }
        Some(_) | None => Some(PartitionChange::Removed(id)),
    });
    let partitions = partitions.collect();
    ImageUpdate { brokers: brokers.collect(), partitions }
}

/// Effective configurations by topic, each made once per update.
struct Configs<'a> {
    image: &'a Image,
    cluster: BTreeMap<String, String>,
    by_topic: BTreeMap<TopicId, Arc<LogConfig>>,
}

impl<'a> Configs<'a> {
    fn new(image: &'a Image) -> Self {
        let cluster = image.cluster_configs().iter();
        let cluster = cluster.map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { image, cluster, by_topic: BTreeMap::new() }
    }

    fn of(&mut self, topic: &Topic) -> Arc<LogConfig> {
        if let Some(known) = self.by_topic.get(&topic.topic_id) {
            return Arc::clone(known);
        }
        let own = topic.configs.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let values = effective_values(&own, &self.cluster);
        // Values are checked before they enter the metadata; one that an older version let in has its default.
        let config = LogConfig::from_values(&values).unwrap_or_else(|error| {
            tracing::error!(topic = %topic.name, "the topic has its default configuration: {error}");
            LogConfig::default()
        });
        let config = Arc::new(config);
        self.by_topic.insert(topic.topic_id, Arc::clone(&config));
        config
    }
}

fn registered(broker: &BrokerRegistration) -> RegisteredBroker {
    RegisteredBroker {
        broker_id: broker.broker_id,
        broker_epoch: broker.broker_epoch,
        directory_id: broker.directory_id,
        replication_host: broker.replication_address.host.clone(),
        replication_port: broker.replication_address.port,
    }
}

fn assigned(
    image: &Image,
    configs: &mut Configs<'_>,
    id: TopicIdPartition,
    state: &PartitionState,
) -> Option<AssignedPartition> {
    let topic = configs.image.topic(id.topic_id)?;
    Some(AssignedPartition {
        id,
        topic: Arc::clone(&topic.name),
        metadata: partition(image, id, state),
        config: configs.of(topic),
    })
}

fn partition(image: &Image, id: TopicIdPartition, state: &PartitionState) -> PartitionMetadata {
    let replicas = state.replicas.iter().map(|broker| {
        let assignment = if state.adding_replicas.contains(broker) {
            Assignment::Adding
        } else if state.removing_replicas.contains(broker) {
            Assignment::Removing
        } else {
            Assignment::Target
        };
        (*broker, replica(image.broker(*broker), assignment))
    });
    PartitionMetadata {
        leader: state.leader,
        leader_epoch: state.leader_epoch,
        partition_epoch: state.partition_epoch,
        isr: state.isr.iter().copied().collect(),
        replicas: replicas.collect(),
        effective_min_isr: image.effective_min_isr(id),
        durability: match state.durability {
            metadata::Durability::Durable => Durability::Durable,
            metadata::Durability::Lossy => Durability::Lossy,
        },
        flush_policy: match image.flush_policy(id.topic_id) {
            metadata::FlushPolicy::EveryMessage => FlushPolicy::EachMessage,
            metadata::FlushPolicy::PageCache => FlushPolicy::Deferred,
        },
    }
}

fn replica(broker: Option<&BrokerRegistration>, assignment: Assignment) -> ReplicaMetadata {
    let fencing = match broker.map(|broker| broker.state) {
        Some(BrokerState::Unfenced) => Fencing::Unfenced,
        Some(BrokerState::ShuttingDown) => Fencing::ShuttingDown,
        Some(BrokerState::Fenced) | None => Fencing::Fenced,
    };
    ReplicaMetadata { broker_epoch: broker.map(|broker| broker.broker_epoch), fencing, assignment }
}
