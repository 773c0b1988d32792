//! Commands as protobuf messages, both ways.

use std::collections::BTreeMap;

use model::{BrokerEpoch, BrokerId, ClusterId, LeaderEpoch, PartitionEpoch, TopicIdPartition};

use super::wire::{self, Decoded, required};
use super::{DecodeError, METADATA_VERSION};
use crate::metadata::command::{
    AllocateProducerIds, AlterConfigs, Assignment, Command, ConfigAlteration, ConfigChange,
    ConfigOperation, ConfigResource, ControlledShutdown, CreatePartitions, CreateTopics,
    DeleteTopics, ElectLeaders, Election, FenceBroker, FormCluster, IsrMember, IsrProposal,
    LastShutdown, NewPartitions, NewTopic, ProposeIsr, RegisterBroker, ReplicaLost, TopicSelector,
    UnfenceBroker, UpdateVoters, YieldLeadership,
};
use crate::metadata::image::broker::RaftId;
use crate::proto::controller as proto;
use proto::command::Kind;

pub(super) fn to_proto(command: &Command) -> proto::Command {
    let kind = match command {
        Command::FormCluster(command) => Kind::FormCluster(form_to_proto(command)),
        Command::RegisterBroker(command) => Kind::RegisterBroker(register_to_proto(command)),
        Command::UnfenceBroker(command) => Kind::UnfenceBroker(proto::UnfenceBroker {
            broker_id: command.broker_id.0,
            broker_epoch: command.broker_epoch.0,
            live: wire::live_to_proto(&command.live),
        }),
        Command::FenceBroker(command) => Kind::FenceBroker(proto::FenceBroker {
            broker_id: command.broker_id.0,
            broker_epoch: command.broker_epoch.0,
            fence_count: command.fence_count,
            live: wire::live_to_proto(&command.live),
        }),
        Command::ControlledShutdown(command) => {
            Kind::ControlledShutdown(proto::ControlledShutdown {
                broker_id: command.broker_id.0,
                broker_epoch: command.broker_epoch.0,
                live: wire::live_to_proto(&command.live),
            })
        }
        Command::ProposeIsr(command) => Kind::ProposeIsr(isr_to_proto(command)),
        Command::ReplicaLost(command) => Kind::ReplicaLost(proto::ReplicaLost {
            broker_id: command.broker_id.0,
            broker_epoch: command.broker_epoch.0,
            partitions: led_to_proto(&command.partitions),
            live: wire::live_to_proto(&command.live),
        }),
        Command::ElectLeaders(command) => Kind::ElectLeaders(elect_to_proto(command)),
        Command::YieldLeadership(command) => Kind::YieldLeadership(yield_to_proto(command)),
        Command::CreateTopics(command) => Kind::CreateTopics(proto::CreateTopics {
            topics: command.topics.iter().map(new_topic_to_proto).collect(),
            live: wire::live_to_proto(&command.live),
        }),
        Command::DeleteTopics(command) => Kind::DeleteTopics(proto::DeleteTopics {
            topics: command.topics.iter().map(selector_to_proto).collect(),
        }),
        Command::CreatePartitions(command) => Kind::CreatePartitions(proto::CreatePartitions {
            topics: command.topics.iter().map(new_partitions_to_proto).collect(),
            live: wire::live_to_proto(&command.live),
        }),
        Command::AlterConfigs(command) => Kind::AlterConfigs(proto::AlterConfigs {
            changes: command.changes.iter().map(config_change_to_proto).collect(),
        }),
        Command::AllocateProducerIds(command) => {
            Kind::AllocateProducerIds(proto::AllocateProducerIds {
                broker_id: command.broker_id.0,
                broker_epoch: command.broker_epoch.0,
            })
        }
        Command::UpdateVoters(command) => Kind::UpdateVoters(proto::UpdateVoters {
            voters: wire::voters_to_proto(&command.voters),
        }),
    };
    proto::Command { metadata_version: METADATA_VERSION, kind: Some(kind) }
}

pub(super) fn from_proto(message: proto::Command) -> Decoded<Command> {
    Ok(match required(message.kind, "command")? {
        Kind::FormCluster(message) => Command::FormCluster(FormCluster {
            cluster_id: ClusterId(message.cluster_id),
            voters: wire::voters(message.voters),
            configs: wire::configs(message.configs),
        }),
        Kind::RegisterBroker(message) => Command::RegisterBroker(register(message)?),
        Kind::UnfenceBroker(message) => Command::UnfenceBroker(UnfenceBroker {
            broker_id: BrokerId(message.broker_id),
            broker_epoch: BrokerEpoch(message.broker_epoch),
            live: wire::live(message.live),
        }),
        Kind::FenceBroker(message) => Command::FenceBroker(FenceBroker {
            broker_id: BrokerId(message.broker_id),
            broker_epoch: BrokerEpoch(message.broker_epoch),
            fence_count: message.fence_count,
            live: wire::live(message.live),
        }),
        Kind::ControlledShutdown(message) => Command::ControlledShutdown(ControlledShutdown {
            broker_id: BrokerId(message.broker_id),
            broker_epoch: BrokerEpoch(message.broker_epoch),
            live: wire::live(message.live),
        }),
        Kind::ProposeIsr(message) => Command::ProposeIsr(isr(message)?),
        Kind::ReplicaLost(message) => Command::ReplicaLost(ReplicaLost {
            broker_id: BrokerId(message.broker_id),
            broker_epoch: BrokerEpoch(message.broker_epoch),
            partitions: led(message.partitions)?,
            live: wire::live(message.live),
        }),
        Kind::ElectLeaders(message) => Command::ElectLeaders(elect(message)?),
        Kind::YieldLeadership(message) => Command::YieldLeadership(yield_leadership(message)?),
        Kind::CreateTopics(message) => Command::CreateTopics(CreateTopics {
            topics: message.topics.into_iter().map(new_topic).collect::<Decoded<_>>()?,
            live: wire::live(message.live),
        }),
        Kind::DeleteTopics(message) => Command::DeleteTopics(DeleteTopics {
            topics: message.topics.into_iter().map(selector).collect::<Decoded<_>>()?,
        }),
        Kind::CreatePartitions(message) => Command::CreatePartitions(CreatePartitions {
            topics: message.topics.into_iter().map(new_partitions).collect(),
            live: wire::live(message.live),
        }),
        Kind::AlterConfigs(message) => Command::AlterConfigs(AlterConfigs {
            changes: message.changes.into_iter().map(config_change).collect::<Decoded<_>>()?,
        }),
        Kind::AllocateProducerIds(message) => Command::AllocateProducerIds(AllocateProducerIds {
            broker_id: BrokerId(message.broker_id),
            broker_epoch: BrokerEpoch(message.broker_epoch),
        }),
        Kind::UpdateVoters(message) => {
            Command::UpdateVoters(UpdateVoters { voters: wire::voters(message.voters) })
        }
    })
}

fn form_to_proto(command: &FormCluster) -> proto::FormCluster {
    proto::FormCluster {
        cluster_id: command.cluster_id.0.clone(),
        voters: wire::voters_to_proto(&command.voters),
        configs: wire::configs_to_proto(&command.configs),
    }
}

fn register_to_proto(command: &RegisterBroker) -> proto::RegisterBroker {
    proto::RegisterBroker {
        broker_id: command.broker_id.0,
        incarnation_id: wire::id_bytes(command.incarnation_id.to_bytes()),
        directory_id: wire::id_bytes(command.directory_id.to_bytes()),
        raft_id: command.raft_id.0,
        stored_broker_epoch: command.stored_broker_epoch.map(|epoch| epoch.0),
        clean_shutdown: command.last_shutdown == LastShutdown::Clean,
        lost_replicas: wire::partitions_to_proto(&command.lost_replicas),
        endpoints: wire::endpoints_to_proto(&command.endpoints),
        replication_address: Some(wire::address_to_proto(&command.replication_address)),
        control_address: Some(wire::address_to_proto(&command.control_address)),
        rack: command.rack.clone(),
        open_session: command.open_session.map(|epoch| epoch.0),
        live: wire::live_to_proto(&command.live),
    }
}

fn register(message: proto::RegisterBroker) -> Decoded<RegisterBroker> {
    Ok(RegisterBroker {
        broker_id: BrokerId(message.broker_id),
        incarnation_id: wire::incarnation_id(&message.incarnation_id)?,
        directory_id: wire::directory_id(&message.directory_id)?,
        raft_id: RaftId(message.raft_id),
        stored_broker_epoch: message.stored_broker_epoch.map(BrokerEpoch),
        last_shutdown: if message.clean_shutdown {
            LastShutdown::Clean
        } else {
            LastShutdown::Unclean
        },
        lost_replicas: wire::partitions(message.lost_replicas)?,
        endpoints: wire::endpoints(message.endpoints)?,
        replication_address: wire::address(message.replication_address)?,
        control_address: wire::address(message.control_address)?,
        rack: message.rack,
        open_session: message.open_session.map(BrokerEpoch),
        live: wire::live(message.live),
    })
}

fn isr_to_proto(command: &ProposeIsr) -> proto::ProposeIsr {
    let member = |member: &IsrMember| proto::BrokerIncarnation {
        broker_id: member.broker_id.0,
        broker_epoch: member.broker_epoch.0,
    };
    let proposals = command.proposals.iter().map(|proposal| proto::IsrProposal {
        partition: Some(wire::partition_to_proto(proposal.partition)),
        leader_epoch: proposal.leader_epoch.0,
        partition_epoch: proposal.partition_epoch.0,
        isr: proposal.isr.iter().map(member).collect(),
    });
    proto::ProposeIsr {
        broker_id: command.broker_id.0,
        broker_epoch: command.broker_epoch.0,
        proposals: proposals.collect(),
    }
}

fn isr(message: proto::ProposeIsr) -> Decoded<ProposeIsr> {
    let member = |member: proto::BrokerIncarnation| IsrMember {
        broker_id: BrokerId(member.broker_id),
        broker_epoch: BrokerEpoch(member.broker_epoch),
    };
    let proposal = |proposal: proto::IsrProposal| {
        Ok(IsrProposal {
            partition: wire::partition(proposal.partition)?,
            leader_epoch: LeaderEpoch(proposal.leader_epoch),
            partition_epoch: PartitionEpoch(proposal.partition_epoch),
            isr: proposal.isr.into_iter().map(member).collect(),
        })
    };
    Ok(ProposeIsr {
        broker_id: BrokerId(message.broker_id),
        broker_epoch: BrokerEpoch(message.broker_epoch),
        proposals: message.proposals.into_iter().map(proposal).collect::<Decoded<_>>()?,
    })
}

fn elect_to_proto(command: &ElectLeaders) -> proto::ElectLeaders {
    let election = match command.election {
        Election::Preferred => proto::Election::Preferred,
        Election::Available => proto::Election::Available,
    };
    proto::ElectLeaders {
        election: election.into(),
        all_partitions: command.partitions.is_none(),
        partitions: wire::partitions_to_proto(command.partitions.as_deref().unwrap_or_default()),
        live: wire::live_to_proto(&command.live),
    }
}

fn elect(message: proto::ElectLeaders) -> Decoded<ElectLeaders> {
    let election = match proto::Election::try_from(message.election) {
        Ok(proto::Election::Preferred) => Election::Preferred,
        Ok(proto::Election::Available) => Election::Available,
        Ok(proto::Election::Unspecified) | Err(_) => return Err(DecodeError::Field("election")),
    };
    let partitions = wire::partitions(message.partitions)?;
    Ok(ElectLeaders {
        election,
        partitions: (!message.all_partitions).then_some(partitions),
        live: wire::live(message.live),
    })
}

fn yield_to_proto(command: &YieldLeadership) -> proto::YieldLeadership {
    proto::YieldLeadership {
        broker_id: command.broker_id.0,
        broker_epoch: command.broker_epoch.0,
        partitions: led_to_proto(&command.partitions),
        live: wire::live_to_proto(&command.live),
    }
}

fn yield_leadership(message: proto::YieldLeadership) -> Decoded<YieldLeadership> {
    Ok(YieldLeadership {
        broker_id: BrokerId(message.broker_id),
        broker_epoch: BrokerEpoch(message.broker_epoch),
        partitions: led(message.partitions)?,
        live: wire::live(message.live),
    })
}

fn led_to_proto(partitions: &[(TopicIdPartition, LeaderEpoch)]) -> Vec<proto::LedPartition> {
    let led = partitions.iter().map(|(partition, epoch)| proto::LedPartition {
        partition: Some(wire::partition_to_proto(*partition)),
        leader_epoch: epoch.0,
    });
    led.collect()
}

fn led(partitions: Vec<proto::LedPartition>) -> Decoded<Vec<(TopicIdPartition, LeaderEpoch)>> {
    let led = partitions
        .into_iter()
        .map(|led| Ok((wire::partition(led.partition)?, LeaderEpoch(led.leader_epoch))));
    led.collect()
}

fn manual_to_proto(assignments: &[Vec<BrokerId>]) -> proto::ManualAssignment {
    let partitions = assignments
        .iter()
        .map(|replicas| proto::Replicas { broker_ids: wire::broker_ids_to_proto(replicas) });
    proto::ManualAssignment { partitions: partitions.collect() }
}

fn manual(message: proto::ManualAssignment) -> Vec<Vec<BrokerId>> {
    let partitions = message.partitions.into_iter();
    partitions.map(|replicas| wire::broker_ids(replicas.broker_ids)).collect()
}

fn new_topic_to_proto(topic: &NewTopic) -> proto::NewTopic {
    use proto::new_topic::Assignment as Message;
    let assignment = match &topic.assignment {
        Assignment::Placed { partition_count, replication_factor, start } => {
            Message::Placed(proto::PlacedAssignment {
                partition_count: *partition_count,
                replication_factor: i32::from(*replication_factor),
                start: *start,
            })
        }
        Assignment::Manual(assignments) => Message::Manual(manual_to_proto(assignments)),
    };
    proto::NewTopic {
        name: topic.name.clone(),
        topic_id: wire::id_bytes(topic.topic_id.to_bytes()),
        assignment: Some(assignment),
        configs: wire::configs_to_proto(&topic.configs),
    }
}

fn new_topic(message: proto::NewTopic) -> Decoded<NewTopic> {
    use proto::new_topic::Assignment as Message;
    let assignment = match required(message.assignment, "assignment")? {
        Message::Placed(placed) => Assignment::Placed {
            partition_count: placed.partition_count,
            replication_factor: i16::try_from(placed.replication_factor)
                .map_err(|_| DecodeError::Field("replication factor"))?,
            start: placed.start,
        },
        Message::Manual(assignments) => Assignment::Manual(manual(assignments)),
    };
    Ok(NewTopic {
        name: message.name,
        topic_id: wire::topic_id(&message.topic_id)?,
        assignment,
        configs: wire::configs(message.configs),
    })
}

fn selector_to_proto(selector: &TopicSelector) -> proto::TopicSelector {
    use proto::topic_selector::Kind as Message;
    let kind = match selector {
        TopicSelector::Name(name) => Message::Name(name.clone()),
        TopicSelector::Id(topic_id) => Message::TopicId(wire::id_bytes(topic_id.to_bytes())),
    };
    proto::TopicSelector { kind: Some(kind) }
}

fn selector(message: proto::TopicSelector) -> Decoded<TopicSelector> {
    use proto::topic_selector::Kind as Message;
    match required(message.kind, "topic")? {
        Message::Name(name) => Ok(TopicSelector::Name(name)),
        Message::TopicId(bytes) => wire::topic_id(&bytes).map(TopicSelector::Id),
    }
}

fn new_partitions_to_proto(topic: &NewPartitions) -> proto::NewPartitions {
    proto::NewPartitions {
        name: topic.name.clone(),
        total_count: topic.total_count,
        assignments: topic.assignments.as_deref().map(manual_to_proto),
        start: topic.start,
    }
}

fn new_partitions(message: proto::NewPartitions) -> NewPartitions {
    NewPartitions {
        name: message.name,
        total_count: message.total_count,
        assignments: message.assignments.map(manual),
        start: message.start,
    }
}

fn config_change_to_proto(change: &ConfigChange) -> proto::ConfigChange {
    use proto::config_change::Alteration as Message;
    let alteration = match &change.alteration {
        ConfigAlteration::Incremental(operations) => {
            let operations = operations.iter().map(|(name, operation)| {
                use proto::ConfigOperationKind as Kind;
                let (kind, value) = match operation {
                    ConfigOperation::Set(value) => (Kind::Set, value.clone()),
                    ConfigOperation::Delete => (Kind::Delete, String::new()),
                    ConfigOperation::Append(value) => (Kind::Append, value.clone()),
                    ConfigOperation::Subtract(value) => (Kind::Subtract, value.clone()),
                };
                proto::ConfigOperation { name: name.clone(), kind: kind.into(), value }
            });
            Message::Incremental(proto::IncrementalAlteration { operations: operations.collect() })
        }
        ConfigAlteration::Replace(values) => {
            Message::Replace(proto::ReplacingAlteration { configs: wire::configs_to_proto(values) })
        }
    };
    proto::ConfigChange {
        resource: Some(resource_to_proto(&change.resource)),
        alteration: Some(alteration),
    }
}

fn config_change(message: proto::ConfigChange) -> Decoded<ConfigChange> {
    use proto::config_change::Alteration as Message;
    let alteration = match required(message.alteration, "alteration")? {
        Message::Incremental(incremental) => {
            let operations = incremental.operations.into_iter().map(config_operation);
            ConfigAlteration::Incremental(operations.collect::<Decoded<_>>()?)
        }
        Message::Replace(values) => {
            let values: BTreeMap<String, String> = wire::configs(values.configs);
            ConfigAlteration::Replace(values)
        }
    };
    Ok(ConfigChange { resource: resource(message.resource)?, alteration })
}

fn config_operation(message: proto::ConfigOperation) -> Decoded<(String, ConfigOperation)> {
    use proto::ConfigOperationKind as Kind;
    let operation = match Kind::try_from(message.kind) {
        Ok(Kind::Set) => ConfigOperation::Set(message.value),
        Ok(Kind::Delete) => ConfigOperation::Delete,
        Ok(Kind::Append) => ConfigOperation::Append(message.value),
        Ok(Kind::Subtract) => ConfigOperation::Subtract(message.value),
        Ok(Kind::Unspecified) | Err(_) => return Err(DecodeError::Field("operation")),
    };
    Ok((message.name, operation))
}

pub(super) fn resource_to_proto(resource: &ConfigResource) -> proto::ConfigResource {
    use proto::config_resource::Kind as Message;
    let kind = match resource {
        ConfigResource::Topic(name) => Message::Topic(name.clone()),
        ConfigResource::Broker(broker_id) => Message::Broker(broker_id.0),
        ConfigResource::Cluster => Message::Cluster(proto::ClusterResource {}),
    };
    proto::ConfigResource { kind: Some(kind) }
}

pub(super) fn resource(message: Option<proto::ConfigResource>) -> Decoded<ConfigResource> {
    use proto::config_resource::Kind as Message;
    let kind = message.and_then(|resource| resource.kind);
    Ok(match required(kind, "resource")? {
        Message::Topic(name) => ConfigResource::Topic(name),
        Message::Broker(broker_id) => ConfigResource::Broker(BrokerId(broker_id)),
        Message::Cluster(proto::ClusterResource {}) => ConfigResource::Cluster,
    })
}
