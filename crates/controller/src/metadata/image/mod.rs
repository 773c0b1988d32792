//! The metadata image: all that the cluster agrees on, at one point of the metadata log.
//!
//! Owns the maps and the read accessors. The maps are persistent, so that a clone for publishing costs nothing that grows with the cluster.
//! Nothing but `apply` changes an image, and a snapshot or store that is read makes a new one.

pub(super) mod broker;
pub(super) mod config_values;
mod invariants;
pub(super) mod partition;
pub(super) mod queries;
pub(super) mod topic;

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use model::{BrokerEpoch, BrokerId, ClusterId, ProducerId, TopicId, TopicIdPartition};

pub use invariants::BrokenInvariant;

use broker::{BrokerRegistration, RaftId};
use config_values::ConfigValues;
use partition::{FlushPolicy, PartitionState};
use topic::Topic;

/// The cluster's metadata at one point of its log. [`Image::default`] is the state before the first command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub(in crate::metadata) cluster_id: Option<ClusterId>,
    pub(in crate::metadata) voters: OrdMap<BrokerId, RaftId>,
    pub(in crate::metadata) brokers: OrdMap<BrokerId, Arc<BrokerRegistration>>,
    pub(in crate::metadata) topics: OrdMap<TopicId, Arc<Topic>>,
    /// Derived from `topics`.
    pub(in crate::metadata) topic_names: OrdMap<Arc<str>, TopicId>,
    /// Derived from `topics`: the form in which names collide, to the one topic that has it.
    pub(in crate::metadata) collision_keys: OrdMap<String, TopicId>,
    pub(in crate::metadata) partitions: OrdMap<TopicIdPartition, Arc<PartitionState>>,
    pub(in crate::metadata) cluster_configs: OrdMap<String, String>,
    pub(in crate::metadata) broker_configs: OrdMap<(BrokerId, String), String>,
    pub(in crate::metadata) next_producer_id: ProducerId,
}

impl Image {
    /// Returns the cluster's id; `None` before the cluster is formed.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&ClusterId> {
        self.cluster_id.as_ref()
    }

    /// Returns the recorded voters and the Raft ids of their storages.
    #[must_use]
    pub fn voters(&self) -> &OrdMap<BrokerId, RaftId> {
        &self.voters
    }

    /// Returns the first producer id that no block holds.
    #[must_use]
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// Returns a broker's registration.
    #[must_use]
    pub fn broker(&self, broker_id: BrokerId) -> Option<&BrokerRegistration> {
        self.brokers.get(&broker_id).map(Arc::as_ref)
    }

    /// Iterates over all registrations, by broker id.
    pub fn brokers(&self) -> impl Iterator<Item = &BrokerRegistration> + '_ {
        self.brokers.values().map(Arc::as_ref)
    }

    /// Says whether the broker is registered under this epoch.
    #[must_use]
    pub fn is_current(&self, broker_id: BrokerId, broker_epoch: BrokerEpoch) -> bool {
        self.broker(broker_id).is_some_and(|broker| broker.broker_epoch == broker_epoch)
    }

    /// Says whether the broker is registered and not fenced; one that shuts down is not fenced.
    #[must_use]
    pub fn is_unfenced(&self, broker_id: BrokerId) -> bool {
        self.broker(broker_id).is_some_and(|broker| !broker.is_fenced())
    }

    /// Says whether the broker may be given leaderships and may join ISRs: registered, unfenced, not shutting down.
    #[must_use]
    pub fn is_active(&self, broker_id: BrokerId) -> bool {
        self.broker(broker_id).is_some_and(BrokerRegistration::is_active)
    }

    /// Returns a topic by id.
    #[must_use]
    pub fn topic(&self, topic_id: TopicId) -> Option<&Topic> {
        self.topics.get(&topic_id).map(Arc::as_ref)
    }

    /// Returns a topic by name.
    #[must_use]
    pub fn topic_by_name(&self, name: &str) -> Option<&Topic> {
        self.topic(self.topic_id(name)?)
    }

    /// Returns the id of a topic's name.
    #[must_use]
    pub fn topic_id(&self, name: &str) -> Option<TopicId> {
        self.topic_names.get(name).copied()
    }

    /// Iterates over all topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> + '_ {
        self.topic_names.values().filter_map(|topic_id| self.topic(*topic_id))
    }

    /// Returns a partition's state.
    #[must_use]
    pub fn partition(&self, partition: TopicIdPartition) -> Option<&PartitionState> {
        self.partitions.get(&partition).map(Arc::as_ref)
    }

    /// Iterates over all partitions, by topic id and index.
    pub fn partitions(&self) -> impl Iterator<Item = (TopicIdPartition, &PartitionState)> + '_ {
        self.partitions.iter().map(|(partition, state)| (*partition, state.as_ref()))
    }

    /// Iterates over the partitions of a topic, by index.
    pub fn partitions_of(
        &self,
        topic_id: TopicId,
    ) -> impl Iterator<Item = (TopicIdPartition, &PartitionState)> + '_ {
        let first = TopicIdPartition { topic_id, partition: 0 };
        let last = TopicIdPartition { topic_id, partition: i32::MAX };
        self.partitions.range(first..=last).map(|(partition, state)| (*partition, state.as_ref()))
    }

    /// Returns the number of partitions.
    #[must_use]
    pub(crate) fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// Returns what is set cluster-wide (Kafka's dynamic default of brokers).
    #[must_use]
    pub fn cluster_configs(&self) -> &OrdMap<String, String> {
        &self.cluster_configs
    }

    /// Returns what is set for one broker (Kafka's dynamic per-broker configuration).
    #[must_use]
    pub(crate) fn broker_configs(&self, broker_id: BrokerId) -> BTreeMap<&str, &str> {
        self.broker_configs
            .range((broker_id, String::new())..)
            .take_while(|((owner, _), _)| *owner == broker_id)
            .map(|((_, key), value)| (key.as_str(), value.as_str()))
            .collect()
    }

    /// Returns what is set cluster-wide, and on a topic.
    pub(in crate::metadata) fn config_values<'a>(
        &'a self,
        topic: Option<&'a Topic>,
    ) -> ConfigValues<'a> {
        ConfigValues { cluster: &self.cluster_configs, topic: topic.map(|topic| &topic.configs) }
    }

    /// Returns the value of a key of cluster scope: what is set cluster-wide, else the key's default. `None` for a key without either, or one that metadata does not know.
    #[must_use]
    pub fn cluster_config(&self, key: &str) -> Option<&str> {
        self.config_values(None).of_cluster(key)
    }

    /// Returns the value of a topic's key: what is set on the topic, else cluster-wide (hours and minutes as milliseconds), else the key's default.
    /// `None` for a key without any, or an unknown one.
    #[must_use]
    pub fn topic_config(&self, topic: &Topic, key: &str) -> Option<String> {
        if log_storage::config::key(key).is_some() {
            let owned = |configs: &OrdMap<String, String>| {
                configs.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
            };
            let mut values = log_storage::config::effective_values(
                &owned(&topic.configs),
                &owned(&self.cluster_configs),
            );
            if let Some(value) = values.remove(key) {
                return Some(value);
            }
        }
        self.config_values(Some(topic)).of_topic(key).map(str::to_owned)
    }

    /// Returns `min.insync.replicas` of a topic, at least 1.
    #[must_use]
    pub fn min_insync_replicas(&self, topic_id: TopicId) -> usize {
        self.config_values(self.topic(topic_id)).min_insync_replicas()
    }

    /// Returns the effective min ISR of a partition (design decision 3), at least 1; 1 for a partition that is not there.
    #[must_use]
    pub fn effective_min_isr(&self, partition: TopicIdPartition) -> usize {
        let min_insync_replicas = self.min_insync_replicas(partition.topic_id);
        self.partition(partition).map_or(1, |state| state.effective_min_isr(min_insync_replicas))
    }

    /// Says what counts on the replicas of a topic at present.
    #[must_use]
    pub fn flush_policy(&self, topic_id: TopicId) -> FlushPolicy {
        self.config_values(self.topic(topic_id)).flush_policy()
    }

    /// Returns the partitions of a topic that is created without saying how many: `num.partitions`.
    #[must_use]
    pub fn default_partition_count(&self) -> i32 {
        self.config_values(None).cluster_integer("num.partitions").unwrap_or(1)
    }

    /// Returns the replication factor of a topic that is created without saying which: `default.replication.factor`, but no more than the cluster will have brokers.
    ///
    /// Brokers that are fenced, or configured as voters and not yet there, count: a topic must not be created quietly smaller because a broker is down.
    #[must_use]
    pub fn default_replication_factor(&self, configured_voters: usize) -> i16 {
        let brokers = self.brokers.len().max(self.voters.len()).max(configured_voters).max(1);
        let most = i16::try_from(brokers).unwrap_or(i16::MAX);
        let wanted =
            self.config_values(None).cluster_integer("default.replication.factor").unwrap_or(3);
        i16::try_from(wanted).unwrap_or(i16::MAX).clamp(1, most)
    }
}
