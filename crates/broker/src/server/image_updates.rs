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
            tracing::error!(topic = %topic.name, "the topic has its default configuration until the value is changed: {error}");
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

#[cfg(test)]
mod tests {
    use controller::metadata::{
        Address, AlterConfigs, Assignment as Placement, Command, ConfigAlteration, ConfigChange,
        ConfigOperation, ConfigResource, CreateTopics, DeleteTopics, FormCluster, LastShutdown,
        LiveSet, NewTopic, RaftId, RegisterBroker, TopicSelector, UnfenceBroker, apply,
    };
    use model::{BrokerEpoch, ClusterId, DirectoryId, IncarnationId};

    use super::*;

    /// An image that commands are applied to, one index after the other.
    #[derive(Default)]
    struct History {
        image: Image,
        index: u64,
    }

    impl History {
        fn apply(&mut self, command: &Command) -> Changes {
            self.index += 1;
            apply(&mut self.image, self.index, command).changes
        }

        fn with_brokers(count: i32) -> Self {
            let mut history = Self::default();
            history.apply(&Command::FormCluster(FormCluster {
                cluster_id: ClusterId("AAAAAAAAAAAAAAAAAAAAAA".to_owned()),
                voters: BTreeMap::new(),
                configs: BTreeMap::from([("min.insync.replicas".to_owned(), "2".to_owned())]),
            }));
            for id in 1..=count {
                history.add_broker(id);
            }
            history
        }

        fn add_broker(&mut self, id: i32) {
            let address = Address { host: format!("host-{id}"), port: 9_192 };
            let bytes = [u8::try_from(id).unwrap(); 16];
            self.apply(&Command::RegisterBroker(RegisterBroker {
                broker_id: BrokerId(id),
                incarnation_id: IncarnationId::from_bytes(bytes),
                directory_id: DirectoryId::from_bytes(bytes),
                raft_id: RaftId(u64::try_from(id).unwrap()),
                stored_broker_epoch: None,
                last_shutdown: LastShutdown::Unclean,
                lost_replicas: Vec::new(),
                endpoints: Vec::new(),
                replication_address: address.clone(),
                control_address: address,
                rack: None,
                open_session: None,
                live: LiveSet::default(),
            }));
            let broker_epoch = BrokerEpoch(i64::try_from(self.index).unwrap());
            let broker_id = BrokerId(id);
            let live = LiveSet::default();
            self.apply(&Command::UnfenceBroker(UnfenceBroker { broker_id, broker_epoch, live }));
        }

        fn create(&mut self, replicas: &[i32]) -> Changes {
            let replicas = replicas.iter().copied().map(BrokerId).collect();
            let live = self.image.brokers().map(|one| (one.broker_id, one.broker_epoch)).collect();
            self.apply(&Command::CreateTopics(CreateTopics {
                topics: vec![NewTopic {
                    name: "t".to_owned(),
                    topic_id: TopicId::from_bytes([9; 16]),
                    assignment: Placement::Manual(vec![replicas]),
                    configs: BTreeMap::new(),
                }],
                live,
            }))
        }
    }

    fn only(update: ImageUpdate) -> PartitionChange {
        let [change]: [PartitionChange; 1] = update.partitions.try_into().unwrap();
        change
    }

    fn only_assigned(update: ImageUpdate) -> AssignedPartition {
        match only(update) {
            PartitionChange::Assigned(assigned) => assigned,
            PartitionChange::Removed(id) => panic!("{id} is removed"),
        }
    }

    #[test]
    fn a_new_topic_reaches_the_brokers_that_hold_it_and_no_other() {
        let mut history = History::with_brokers(3);
        let changes = history.create(&[2, 1]);
        let assigned = only_assigned(changed(&history.image, &changes, BrokerId(1)));
        assert_eq!(&*assigned.topic, "t");
        assert_eq!(assigned.metadata.leader, Some(BrokerId(2)));
        assert_eq!(assigned.metadata.effective_min_isr, 2);
        assert_eq!(assigned.metadata.flush_policy, FlushPolicy::EachMessage);
        assert!(assigned.metadata.is_unfenced(BrokerId(1)));
        let elsewhere = only(changed(&history.image, &changes, BrokerId(3)));
        assert!(matches!(elsewhere, PartitionChange::Removed(_)));
    }

    #[test]
    fn the_whole_image_has_every_broker_and_only_the_own_partitions() {
        let mut history = History::with_brokers(3);
        history.create(&[2, 1]);
        let update = whole(&history.image, BrokerId(3));
        assert_eq!(update.brokers.len(), 3);
        assert_eq!(update.brokers[1].replication_host, "host-2");
        assert!(update.partitions.is_empty());
        assert_eq!(whole(&history.image, BrokerId(2)).partitions.len(), 1);
    }

    #[test]
    fn a_deleted_topic_is_removed() {
        let mut history = History::with_brokers(2);
        history.create(&[2, 1]);
        let topics = vec![TopicSelector::Name("t".to_owned())];
        let changes = history.apply(&Command::DeleteTopics(DeleteTopics { topics }));
        let gone = only(changed(&history.image, &changes, BrokerId(1)));
        assert!(matches!(gone, PartitionChange::Removed(_)));
    }

    #[test]
    fn a_configuration_of_the_cluster_reaches_the_logs_that_do_not_set_their_own() {
        let mut history = History::with_brokers(2);
        history.create(&[2, 1]);
        let set = ConfigOperation::Set("2097152".to_owned());
        let operations = vec![("log.segment.bytes".to_owned(), set)];
        let changes = history.apply(&Command::AlterConfigs(AlterConfigs {
            changes: vec![ConfigChange {
                resource: ConfigResource::Cluster,
                alteration: ConfigAlteration::Incremental(operations),
            }],
        }));
        let assigned = only_assigned(changed(&history.image, &changes, BrokerId(1)));
        assert_eq!(assigned.config.segment_bytes, 2 << 20);
    }
}
