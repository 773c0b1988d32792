//! One command at work: the image it changes, and the record of what it changed.
//!
//! Owns the one way by which a partition's state changes, and with it the epochs and the floor's end: fenced members above the floor go with every change.

use std::sync::Arc;

use model::{BrokerEpoch, BrokerId, ErrorCode, TopicId, TopicIdPartition};

use super::floor;
use crate::metadata::changes::{Changes, RecordKey};
use crate::metadata::image::Image;
use crate::metadata::image::broker::BrokerRegistration;
use crate::metadata::image::partition::{PartitionState, Replica};
use crate::metadata::image::topic::Topic;
use crate::metadata::outcome::Refusal;

/// The image that a command changes, and what it changed so far.
#[derive(Debug)]
pub(super) struct Transition<'a> {
    pub(super) image: &'a mut Image,
    /// The command's place in the metadata log.
    pub(super) index: u64,
    pub(super) changes: Changes,
}

impl<'a> Transition<'a> {
    pub(super) fn begin(image: &'a mut Image, index: u64) -> Self {
        Self { image, index, changes: Changes::default() }
    }

    /// Checks that the sender is the broker that is registered.
    pub(super) fn check_broker(
        &self,
        broker_id: BrokerId,
        broker_epoch: BrokerEpoch,
    ) -> Result<&BrokerRegistration, Refusal> {
        let Some(broker) = self.image.broker(broker_id) else {
            return Err(Refusal::new(
                ErrorCode::BrokerIdNotRegistered,
                format!("broker {broker_id} is not registered"),
            ));
        };
        if broker.broker_epoch != broker_epoch {
            return Err(Refusal::new(
                ErrorCode::StaleBrokerEpoch,
                format!(
                    "broker {broker_id} is registered under epoch {}, not {broker_epoch}",
                    broker.broker_epoch
                ),
            ));
        }
        Ok(broker)
    }

    /// Returns a partition's state, to be changed and handed to [`Self::set_partition`].
    pub(super) fn partition(&self, partition: TopicIdPartition) -> Result<PartitionState, Refusal> {
        if let Some(state) = self.image.partition(partition) {
            return Ok(state.clone());
        }
        Err(match self.image.topic(partition.topic_id) {
            None => Refusal::new(
                ErrorCode::UnknownTopicId,
                format!("there is no topic with id {}", partition.topic_id),
            ),
            Some(topic) => Refusal::new(
                ErrorCode::UnknownTopicOrPartition,
                format!("topic {} has no partition {}", topic.name, partition.partition),
            ),
        })
    }

    /// Writes a broker's registration; every partition with a replica on it looks different now. Returns these partitions.
    pub(super) fn set_broker(&mut self, broker: BrokerRegistration) -> Vec<TopicIdPartition> {
        let broker_id = broker.broker_id;
        self.image.brokers.insert(broker_id, Arc::new(broker));
        self.changes.brokers.insert(broker_id);
        self.changes.records.insert(RecordKey::Broker(broker_id));
        let held: Vec<TopicIdPartition> = self
            .image
            .partitions()
            .filter(|(_, state)| state.is_replica(broker_id))
            .map(|(partition, _)| partition)
            .collect();
        self.changes.partitions.extend(held.iter().copied());
        held
    }

    /// Writes a topic's record and the indices derived from it.
    pub(super) fn set_topic(&mut self, topic: Topic) {
        let topic_id = topic.topic_id;
        self.image.topic_names.insert(Arc::clone(&topic.name), topic_id);
        self.image.collision_keys.insert(model::topic::collision_key(&topic.name), topic_id);
        self.image.topics.insert(topic_id, Arc::new(topic));
        self.touch_topic(topic_id);
        self.changes.records.insert(RecordKey::Topic(topic_id));
    }

    /// Notes that a topic looks different.
    pub(super) fn touch_topic(&mut self, topic_id: TopicId) {
        self.changes.topics.insert(topic_id);
    }

    /// Writes a new partition's first state.
    pub(super) fn add_partition(&mut self, partition: TopicIdPartition, state: PartitionState) {
        self.insert_partition(partition, state);
    }

    /// Ends a change of a partition that began with [`Self::partition`]: drops fenced members above the floor, then counts the epochs up if anything changed.
    pub(super) fn set_partition(&mut self, partition: TopicIdPartition, mut state: PartitionState) {
        let Some(old) = self.image.partitions.get(&partition).map(Arc::clone) else {
            return;
        };
        state.isr.sort_unstable();
        floor::drop_fenced(self.image, partition.topic_id, &mut state);
        if !state.isr.is_empty() {
            state.lost_members.clear();
        }
        if state == *old {
            return;
        }
        if state.leader != old.leader {
            state.leader_epoch = old.leader_epoch.next();
        }
        self.remember_leader(&mut state);
        state.partition_epoch = old.partition_epoch.next();
        self.insert_partition(partition, state);
    }

    /// Counts the partition epoch up without any other change: what a refused ISR proposal that matched costs.
    pub(super) fn consume_partition_epoch(&mut self, partition: TopicIdPartition) {
        let Some(old) = self.image.partitions.get(&partition) else {
            return;
        };
        let mut state = old.as_ref().clone();
        state.partition_epoch = state.partition_epoch.next();
        self.insert_partition(partition, state);
    }

    fn insert_partition(&mut self, partition: TopicIdPartition, state: PartitionState) {
        self.image.partitions.insert(partition, Arc::new(state));
        self.changes.partitions.insert(partition);
        self.changes.records.insert(RecordKey::Partition(partition));
    }

    fn remember_leader(&self, state: &mut PartitionState) {
        if let Some(broker) = state.leader.and_then(|leader| self.image.broker(leader)) {
            state.last_known_leader =
                Some(Replica { broker_id: broker.broker_id, directory_id: broker.directory_id });
        }
    }
}
