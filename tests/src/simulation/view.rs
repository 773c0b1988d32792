//! What an image of the cluster's metadata says about the one partition that is simulated.

use controller::metadata::{BrokerState, Durability, FlushPolicy, Image};
use model::{BrokerId, TopicIdPartition};
use replication::partition::{self, Assignment, Fencing, PartitionMetadata, ReplicaMetadata};

/// Builds the partition machine's view of an image; `None` before the topic exists.
pub(super) fn partition_metadata(
    image: &Image,
    partition: TopicIdPartition,
) -> Option<PartitionMetadata> {
    let state = image.partition(partition)?;
    let replica = |broker_id: &BrokerId| {
        let broker = image.broker(*broker_id);
        let fencing = match broker.map(|broker| broker.state) {
            Some(BrokerState::Unfenced) => Fencing::Unfenced,
            Some(BrokerState::ShuttingDown) => Fencing::ShuttingDown,
            Some(BrokerState::Fenced) | None => Fencing::Fenced,
        };
        let broker_epoch = broker.map(|broker| broker.broker_epoch);
        let assignment = Assignment::Target;
        (*broker_id, ReplicaMetadata { broker_epoch, fencing, assignment })
    };
    Some(PartitionMetadata {
        leader: state.leader,
        leader_epoch: state.leader_epoch,
        partition_epoch: state.partition_epoch,
        isr: state.isr.iter().copied().collect(),
        replicas: state.replicas.iter().map(replica).collect(),
        effective_min_isr: image.effective_min_isr(partition),
        durability: match state.durability {
            Durability::Durable => partition::Durability::Durable,
            Durability::Lossy => partition::Durability::Lossy,
        },
        flush_policy: match image.flush_policy(partition.topic_id) {
            FlushPolicy::EveryMessage => partition::FlushPolicy::EachMessage,
            FlushPolicy::PageCache => partition::FlushPolicy::Deferred,
        },
    })
}
