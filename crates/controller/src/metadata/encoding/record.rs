//! The image as records: one per cluster, broker, topic, partition and configuration, for the store behind the image and for snapshots.
//!
//! Owns the keys' order: a tag, then the ids in big endian, so that the records of one topic lie together. Every value stays below 64 KiB.

use std::sync::Arc;

use imbl::OrdMap;
use model::{
    BrokerEpoch, BrokerId, ClusterId, LeaderEpoch, PartitionEpoch, ProducerId, TopicId,
    TopicIdPartition,
};
use prost::Message;

use super::wire::{self, Decoded, required};
use super::{DecodeError, METADATA_VERSION, check_version};
use crate::metadata::changes::RecordKey;
use crate::metadata::image::Image;
use crate::metadata::image::broker::{
    BrokerRegistration, BrokerState, MAX_REMEMBERED_DIRECTORIES, MAX_REMEMBERED_INCARNATIONS,
    RaftId,
};
use crate::metadata::image::partition::{Durability, PartitionState, Replica};
use crate::metadata::image::topic::Topic;
use crate::proto::controller as proto;

const CLUSTER: u8 = 1;
const CLUSTER_CONFIG: u8 = 2;
const BROKER: u8 = 3;
const BROKER_CONFIG: u8 = 4;
const TOPIC: u8 = 5;
const TOPIC_CONFIG: u8 = 6;
const PARTITION: u8 = 7;

/// Greatest epoch of a partition that a record may hold: no cluster counts that far, and counting on from it cannot overflow.
const MAX_EPOCH: i32 = 1 << 30;

impl RecordKey {
    /// Returns the key's bytes: distinct for distinct keys, and in the order in which records load.
    #[must_use]
    pub(crate) fn encode(&self) -> Vec<u8> {
        let broker = |tag: u8, broker_id: &BrokerId| {
            let mut bytes = vec![tag];
            bytes.extend(broker_id.0.to_be_bytes());
            bytes
        };
        let topic = |tag: u8, topic_id: TopicId| {
            let mut bytes = vec![tag];
            bytes.extend(topic_id.to_bytes());
            bytes
        };
        let (mut bytes, name) = match self {
            Self::Cluster => (vec![CLUSTER], None),
            Self::ClusterConfig(name) => (vec![CLUSTER_CONFIG], Some(name)),
            Self::Broker(broker_id) => (broker(BROKER, broker_id), None),
            Self::BrokerConfig(broker_id, name) => (broker(BROKER_CONFIG, broker_id), Some(name)),
            Self::Topic(topic_id) => (topic(TOPIC, *topic_id), None),
            Self::TopicConfig(topic_id, name) => (topic(TOPIC_CONFIG, *topic_id), Some(name)),
            Self::Partition(partition) => {
                let mut bytes = topic(PARTITION, partition.topic_id);
                bytes.extend(partition.partition.to_be_bytes());
                (bytes, None)
            }
        };
        bytes.extend(name.into_iter().flat_map(|name| name.bytes()));
        bytes
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`DecodeError::Field`] for bytes that [`Self::encode`] did not write.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (tag, rest) = bytes.split_first().ok_or(DecodeError::Field("record key"))?;
        match *tag {
            CLUSTER if rest.is_empty() => Ok(Self::Cluster),
            CLUSTER_CONFIG => Ok(Self::ClusterConfig(name(rest)?)),
            BROKER => Ok(Self::Broker(BrokerId(number(rest)?))),
            BROKER_CONFIG => {
                let (broker_id, rest) = split(rest, 4)?;
                Ok(Self::BrokerConfig(BrokerId(number(broker_id)?), name(rest)?))
            }
            TOPIC => Ok(Self::Topic(wire::topic_id(rest)?)),
            TOPIC_CONFIG => {
                let (topic_id, rest) = split(rest, 16)?;
                Ok(Self::TopicConfig(wire::topic_id(topic_id)?, name(rest)?))
            }
            PARTITION => {
                let (topic_id, rest) = split(rest, 16)?;
                let topic_id = wire::topic_id(topic_id)?;
                Ok(Self::Partition(TopicIdPartition { topic_id, partition: number(rest)? }))
            }
            _ => Err(DecodeError::Field("record key")),
        }
    }
}

fn split(bytes: &[u8], at: usize) -> Decoded<(&[u8], &[u8])> {
    bytes.split_at_checked(at).ok_or(DecodeError::Field("record key"))
}

fn number(bytes: &[u8]) -> Decoded<i32> {
    let bytes = bytes.try_into().map_err(|_| DecodeError::Field("record key"))?;
    Ok(i32::from_be_bytes(bytes))
}

fn name(bytes: &[u8]) -> Decoded<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Field("record key"))
}

impl Image {
    /// Returns the value of a record; `None` for one that is not there, which a store removes.
    #[must_use]
    pub(crate) fn record(&self, key: &RecordKey) -> Option<Vec<u8>> {
        let config = |value: &String| proto::ConfigRecord { value: value.clone() }.encode_to_vec();
        match key {
            RecordKey::Cluster => Some(cluster_to_proto(self).encode_to_vec()),
            RecordKey::ClusterConfig(name) => self.cluster_configs.get(name).map(config),
            RecordKey::Broker(broker_id) => {
                self.broker(*broker_id).map(|broker| broker_to_proto(broker).encode_to_vec())
            }
            RecordKey::BrokerConfig(broker_id, name) => {
                self.broker_configs.get(&(*broker_id, name.clone())).map(config)
            }
            RecordKey::Topic(topic_id) => self.topic(*topic_id).map(|topic| {
                let name = topic.name.to_string();
                proto::TopicRecord { name, partition_count: topic.partition_count }.encode_to_vec()
            }),
            RecordKey::TopicConfig(topic_id, name) => {
                self.topic(*topic_id).and_then(|topic| topic.configs.get(name)).map(config)
            }
            RecordKey::Partition(partition) => {
                self.partition(*partition).map(|state| partition_to_proto(state).encode_to_vec())
            }
        }
    }

    /// Iterates over the keys of all records, by ascending bytes.
    pub(crate) fn record_keys(&self) -> impl Iterator<Item = RecordKey> + '_ {
        let topic_configs = self.topics.values().flat_map(|topic| {
            let names = topic.configs.keys();
            names.map(|name| RecordKey::TopicConfig(topic.topic_id, name.clone()))
        });
        let broker_configs = self.broker_configs.keys();
        std::iter::once(RecordKey::Cluster)
            .chain(self.cluster_configs.keys().cloned().map(RecordKey::ClusterConfig))
            .chain(self.brokers.keys().copied().map(RecordKey::Broker))
            .chain(broker_configs.map(|(id, name)| RecordKey::BrokerConfig(*id, name.clone())))
            .chain(self.topics.keys().copied().map(RecordKey::Topic))
            .chain(topic_configs)
            .chain(self.partitions.keys().copied().map(RecordKey::Partition))
    }

    /// Reads an image from the records of a store, in any order.
    ///
    /// # Errors
    /// A record that cannot be read, or records that make no legal image.
    pub(crate) fn from_records<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        records: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, DecodeError> {
        let mut image = Self::default();
        let mut topic_configs = Vec::new();
        for (key, value) in records {
            match (RecordKey::decode(key.as_ref())?, value.as_ref()) {
                (RecordKey::TopicConfig(topic_id, name), value) => {
                    topic_configs.push((topic_id, name, config(value)?));
                }
                (key, value) => image.load(key, value)?,
            }
        }
        for (topic_id, name, value) in topic_configs {
            // A topic's configurations wait for the topic, since the store may name them in any order.
            let topic = required(image.topics.get(&topic_id), "topic of a configuration")?;
            let mut topic = topic.as_ref().clone();
            topic.configs.insert(name, value);
            image.topics.insert(topic_id, Arc::new(topic));
        }
        image.check_invariants().map_err(DecodeError::Image)?;
        Ok(image)
    }

    fn load(&mut self, key: RecordKey, value: &[u8]) -> Decoded<()> {
        match key {
            RecordKey::Cluster => {
                let record = proto::ClusterRecord::decode(value)?;
                check_version(record.metadata_version)?;
                self.cluster_id = record.cluster_id.map(ClusterId);
                self.voters = OrdMap::from(wire::voters(record.voters));
                self.next_producer_id = ProducerId(record.next_producer_id);
            }
            RecordKey::ClusterConfig(name) => {
                self.cluster_configs.insert(name, config(value)?);
            }
            RecordKey::Broker(broker_id) => {
                let broker = broker(broker_id, proto::BrokerRecord::decode(value)?)?;
                self.brokers.insert(broker_id, Arc::new(broker));
            }
            RecordKey::BrokerConfig(broker_id, name) => {
                self.broker_configs.insert((broker_id, name), config(value)?);
            }
            RecordKey::Topic(topic_id) => self.load_topic(topic_id, value)?,
            RecordKey::TopicConfig(..) => return Err(DecodeError::Field("topic configuration")),
            RecordKey::Partition(partition) => {
                let state = partition_state(proto::PartitionRecord::decode(value)?)?;
                self.partitions.insert(partition, Arc::new(state));
            }
        }
        Ok(())
    }

    fn load_topic(&mut self, topic_id: TopicId, value: &[u8]) -> Decoded<()> {
        let record = proto::TopicRecord::decode(value)?;
        let name: Arc<str> = Arc::from(record.name.as_str());
        self.topic_names.insert(Arc::clone(&name), topic_id);
        self.collision_keys.insert(model::topic::collision_key(&name), topic_id);
        let partition_count = record.partition_count;
        let topic = Topic { topic_id, name, partition_count, configs: OrdMap::new() };
        self.topics.insert(topic_id, Arc::new(topic));
        Ok(())
    }

    /// Returns the whole image as bytes: equal images have equal bytes. Whoever keeps them adds a digest.
    #[must_use]
    pub(crate) fn to_snapshot(&self) -> Vec<u8> {
        let records = self.record_keys().filter_map(|key| {
            let value = self.record(&key)?;
            Some(proto::SnapshotRecord { key: key.encode().into(), value: value.into() })
        });
        let records = records.collect();
        proto::Snapshot { metadata_version: METADATA_VERSION, records }.encode_to_vec()
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// [`DecodeError::NewerVersion`] for one of a newer level, else whatever is wrong with the bytes.
    pub(crate) fn from_snapshot(bytes: &[u8]) -> Result<Self, DecodeError> {
        let snapshot = proto::Snapshot::decode(bytes)?;
        check_version(snapshot.metadata_version)?;
        Self::from_records(snapshot.records.into_iter().map(|record| (record.key, record.value)))
    }
}

fn config(value: &[u8]) -> Decoded<String> {
    Ok(proto::ConfigRecord::decode(value)?.value)
}

fn cluster_to_proto(image: &Image) -> proto::ClusterRecord {
    proto::ClusterRecord {
        metadata_version: METADATA_VERSION,
        cluster_id: image.cluster_id.as_ref().map(|cluster_id| cluster_id.0.clone()),
        voters: wire::voters_to_proto(image.voters.iter()),
        next_producer_id: image.next_producer_id.0,
    }
}

fn broker_to_proto(broker: &BrokerRegistration) -> proto::BrokerRecord {
    let state = match broker.state {
        BrokerState::Fenced => proto::BrokerState::Fenced,
        BrokerState::Unfenced => proto::BrokerState::Unfenced,
        BrokerState::ShuttingDown => proto::BrokerState::ShuttingDown,
    };
    let known = broker.known_directories.iter().map(|(directory, epoch)| proto::KnownDirectory {
        directory_id: wire::id_bytes(directory.to_bytes()),
        broker_epoch: epoch.0,
    });
    let superseded = broker.superseded.iter().map(|id| wire::id_bytes(id.to_bytes()));
    proto::BrokerRecord {
        broker_epoch: broker.broker_epoch.0,
        incarnation_id: wire::id_bytes(broker.incarnation_id.to_bytes()),
        directory_id: wire::id_bytes(broker.directory_id.to_bytes()),
        directory_proof: wire::proof_to_proto(broker.directory_proof),
        raft_id: broker.raft_id.0,
        endpoints: wire::endpoints_to_proto(&broker.endpoints),
        replication_address: Some(wire::address_to_proto(&broker.replication_address)),
        control_address: Some(wire::address_to_proto(&broker.control_address)),
        rack: broker.rack.clone(),
        state: state.into(),
        fence_count: broker.fence_count,
        known_directories: known.collect(),
        superseded: superseded.collect(),
    }
}

fn broker(broker_id: BrokerId, record: proto::BrokerRecord) -> Decoded<BrokerRegistration> {
    let state = match proto::BrokerState::try_from(record.state) {
        Ok(proto::BrokerState::Fenced) => BrokerState::Fenced,
        Ok(proto::BrokerState::Unfenced) => BrokerState::Unfenced,
        Ok(proto::BrokerState::ShuttingDown) => BrokerState::ShuttingDown,
        Ok(proto::BrokerState::Unspecified) | Err(_) => {
            return Err(DecodeError::Field("broker state"));
        }
    };
    if record.known_directories.len() > MAX_REMEMBERED_DIRECTORIES
        || record.superseded.len() > MAX_REMEMBERED_INCARNATIONS
    {
        return Err(DecodeError::Field("memory of a broker"));
    }
    let known = |known: proto::KnownDirectory| {
        Ok((wire::directory_id(&known.directory_id)?, BrokerEpoch(known.broker_epoch)))
    };
    let superseded = record.superseded.iter();
    Ok(BrokerRegistration {
        broker_id,
        broker_epoch: BrokerEpoch(record.broker_epoch),
        incarnation_id: wire::incarnation_id(&record.incarnation_id)?,
        directory_id: wire::directory_id(&record.directory_id)?,
        directory_proof: wire::proof(record.directory_proof)?,
        raft_id: RaftId(record.raft_id),
        endpoints: wire::endpoints(record.endpoints)?,
        replication_address: wire::address(record.replication_address)?,
        control_address: wire::address(record.control_address)?,
        rack: record.rack,
        state,
        fence_count: record.fence_count,
        known_directories: record
            .known_directories
            .into_iter()
            .map(known)
            .collect::<Decoded<_>>()?,
        superseded: superseded.map(|id| wire::incarnation_id(id)).collect::<Decoded<_>>()?,
    })
}

fn replica_to_proto(replica: &Replica) -> proto::ReplicaRecord {
    proto::ReplicaRecord {
        broker_id: replica.broker_id.0,
        directory_id: wire::id_bytes(replica.directory_id.to_bytes()),
    }
}

fn replica(record: proto::ReplicaRecord) -> Decoded<Replica> {
    Ok(Replica {
        broker_id: BrokerId(record.broker_id),
        directory_id: wire::directory_id(&record.directory_id)?,
    })
}

fn partition_to_proto(state: &PartitionState) -> proto::PartitionRecord {
    let durability = match state.durability {
        Durability::Durable => proto::Durability::Durable,
        Durability::Lossy => proto::Durability::Lossy,
    };
    proto::PartitionRecord {
        replicas: wire::broker_ids_to_proto(&state.replicas),
        adding_replicas: wire::broker_ids_to_proto(&state.adding_replicas),
        removing_replicas: wire::broker_ids_to_proto(&state.removing_replicas),
        isr: wire::broker_ids_to_proto(&state.isr),
        leader: state.leader.map(|leader| leader.0),
        leader_epoch: state.leader_epoch.0,
        partition_epoch: state.partition_epoch.0,
        durability: durability.into(),
        lost_members: state.lost_members.iter().map(replica_to_proto).collect(),
        last_known_leader: state.last_known_leader.as_ref().map(replica_to_proto),
    }
}

fn partition_state(record: proto::PartitionRecord) -> Decoded<PartitionState> {
    let durability = match proto::Durability::try_from(record.durability) {
        Ok(proto::Durability::Durable) => Durability::Durable,
        Ok(proto::Durability::Lossy) => Durability::Lossy,
        Ok(proto::Durability::Unspecified) | Err(_) => {
            return Err(DecodeError::Field("durability"));
        }
    };
    let epochs = 0..=MAX_EPOCH;
    if !epochs.contains(&record.leader_epoch) || !epochs.contains(&record.partition_epoch) {
        return Err(DecodeError::Field("epoch"));
    }
    Ok(PartitionState {
        replicas: wire::broker_ids(record.replicas),
        adding_replicas: wire::broker_ids(record.adding_replicas),
        removing_replicas: wire::broker_ids(record.removing_replicas),
        isr: wire::broker_ids(record.isr),
        leader: record.leader.map(BrokerId),
        leader_epoch: LeaderEpoch(record.leader_epoch),
        partition_epoch: PartitionEpoch(record.partition_epoch),
        durability,
        lost_members: record.lost_members.into_iter().map(replica).collect::<Decoded<_>>()?,
        last_known_leader: record.last_known_leader.map(replica).transpose()?,
    })
}
