//! A controller of a few lines: it applies ISR proposals by compare-and-set and hands every change to all brokers in one order.

use std::collections::BTreeMap;
use std::sync::Arc;

use log_storage::LogConfig;
use model::{BrokerEpoch, BrokerId, TopicIdPartition};
use replication::partition::{Fencing, PartitionMetadata};
use replication::{
    AssignedPartition, DirectoryProof, ImageUpdate, PartitionChange, RegisteredBroker,
    ReplicaRequest, Replicas,
};

#[derive(Default)]
pub(super) struct Controller {
    pub(super) next_epoch: i64,
    pub(super) registered: BTreeMap<BrokerId, RegisteredBroker>,
    pub(super) partitions: BTreeMap<TopicIdPartition, PartitionMetadata>,
    pub(super) replicas: BTreeMap<BrokerId, Arc<Replicas>>,
    pub(super) config: LogConfig,
    /// Whether ISR proposals are ignored.
    pub(super) is_deaf: bool,
    /// Updates that a broker has not been given yet.
    pub(super) held_back: BTreeMap<BrokerId, Vec<ImageUpdate>>,
}

impl Controller {
    pub(super) fn change(&self, broker: BrokerId, id: TopicIdPartition) -> Option<PartitionChange> {
        let metadata = self.partitions.get(&id)?;
        metadata.replicas.contains_key(&broker).then(|| {
            PartitionChange::Assigned(AssignedPartition {
                id,
                topic: Arc::from("topic"),
                metadata: metadata.clone(),
                config: Arc::new(self.config.clone()),
            })
        })
    }

    pub(super) fn publish(
        &mut self,
        brokers: Vec<RegisteredBroker>,
        partitions: &[TopicIdPartition],
    ) {
        for (broker, replicas) in &self.replicas {
            let update = ImageUpdate {
                brokers: brokers.clone(),
                partitions: partitions.iter().filter_map(|id| self.change(*broker, *id)).collect(),
            };
            match self.held_back.get_mut(broker) {
                Some(held_back) => held_back.push(update),
                None => replicas.apply(update),
            }
        }
    }

    /// Gives a broker its epoch and its first image, and tells the others; `begin` is called before anything else changes.
    pub(super) fn register(
        &mut self,
        broker: RegisteredBroker,
        proof: &DirectoryProof,
        replicas: &Arc<Replicas>,
        begin: impl FnOnce(BrokerEpoch, ImageUpdate),
    ) -> BrokerEpoch {
        self.next_epoch += 1;
        let (id, broker_epoch) = (broker.broker_id, BrokerEpoch(self.next_epoch));
        let broker = RegisteredBroker { broker_epoch, ..broker };
        self.registered.insert(id, broker.clone());
        let changed: Vec<_> = self
            .partitions
            .iter_mut()
            .filter_map(|(partition, metadata)| {
                let replica = metadata.replicas.get_mut(&id)?;
                if proof.lost.contains(partition) {
                    metadata.isr.remove(&id);
                }
                if metadata.leader == Some(id) {
                    // No incarnation leads in an epoch given to an earlier one.
                    metadata.leader_epoch = metadata.leader_epoch.next();
                    if proof.lost.contains(partition) {
                        metadata.leader = metadata.isr.first().copied();
                    }
                }
                replica.broker_epoch = Some(broker_epoch);
                replica.fencing = Fencing::Unfenced;
                metadata.partition_epoch = metadata.partition_epoch.next();
                Some(*partition)
            })
            .collect();
        self.publish(vec![broker], &changed);
        let image = ImageUpdate {
            brokers: self.registered.values().cloned().collect(),
            partitions: self
                .partitions
                .keys()
                .filter_map(|partition| self.change(id, *partition))
                .collect(),
        };
        begin(broker_epoch, image);
        self.replicas.insert(id, Arc::clone(replicas));
        broker_epoch
    }

    /// Hears a request of a replica.
    pub(super) fn requested(&mut self, request: &ReplicaRequest) {
        let id = request.partition();
        let is_deaf = self.is_deaf;
        let Some(metadata) = self.partitions.get_mut(&id).filter(|_| !is_deaf) else { return };
        match request {
            ReplicaRequest::AlterIsr { proposal, .. } => {
                if metadata.leader_epoch != proposal.leader_epoch
                    || metadata.partition_epoch != proposal.partition_epoch
                {
                    return;
                }
                metadata.isr = proposal.new_isr.iter().map(|(broker, _)| *broker).collect();
            }
            ReplicaRequest::ReplicaLost { leader_epoch, broker_epoch, .. } => {
                let replica = metadata
                    .replicas
                    .iter()
                    .find(|(_, replica)| replica.broker_epoch == Some(*broker_epoch));
                let Some((lost, _)) = replica else { return };
                if metadata.leader_epoch != *leader_epoch {
                    return;
                }
                metadata.isr.remove(lost);
                metadata.leader = metadata.isr.first().copied();
                metadata.leader_epoch = metadata.leader_epoch.next();
            }
            ReplicaRequest::GiveWay { leader_epoch, .. } => {
                if metadata.leader_epoch != *leader_epoch {
                    return;
                }
                let other = metadata.isr.iter().find(|member| Some(**member) != metadata.leader);
                metadata.leader = other.copied().or(metadata.leader);
                metadata.leader_epoch = metadata.leader_epoch.next();
            }
        }
        metadata.partition_epoch = metadata.partition_epoch.next();
        self.publish(Vec::new(), &[id]);
    }
}
