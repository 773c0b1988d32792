//! Outcomes as protobuf messages, both ways.

use model::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, PartitionEpoch, ProducerId};

use super::DecodeError;
use super::command::{resource, resource_to_proto};
use super::wire::{self, Decoded, required};
use crate::metadata::outcome::{
    BrokerRegistered, IsrAltered, Outcome, PartitionResult, ProducerIdBlock, Refusal, TopicCreated,
    TopicResult,
};
use crate::proto::controller as proto;
use proto::outcome::Kind;

pub(super) fn to_proto(outcome: &Outcome) -> proto::Outcome {
    let kind = match outcome {
        Outcome::Refused(refusal) => Kind::Refused(refusal_to_proto(refusal)),
        Outcome::ClusterFormed => Kind::ClusterFormed(proto::Done {}),
        Outcome::BrokerRegistered(registered) => Kind::BrokerRegistered(proto::BrokerRegistered {
            broker_epoch: registered.broker_epoch.0,
            directory_proof: wire::proof_to_proto(registered.directory_proof),
        }),
        Outcome::BrokerUnfenced => Kind::BrokerUnfenced(proto::Done {}),
        Outcome::BrokerFenced => Kind::BrokerFenced(proto::Done {}),
        Outcome::ShuttingDown { leaderships_left } => Kind::ShuttingDown(*leaderships_left),
        Outcome::IsrProposed(results) => Kind::IsrProposed(proto::IsrProposed {
            results: results.iter().map(isr_result_to_proto).collect(),
        }),
        Outcome::ReplicasLost(results) => {
            Kind::ReplicasLost(partitions_to_proto(results, |()| None))
        }
        Outcome::LeadersElected(results) => {
            Kind::LeadersElected(partitions_to_proto(results, |leader| Some(leader.0)))
        }
        Outcome::LeadershipYielded(results) => {
            Kind::LeadershipYielded(partitions_to_proto(results, |leader| Some(leader.0)))
        }
        Outcome::TopicsCreated(results) => {
            Kind::TopicsCreated(topics_to_proto(results, |created| Some(*created)))
        }
        Outcome::TopicsDeleted(results) => Kind::TopicsDeleted(topics_to_proto(results, |()| None)),
        Outcome::PartitionsCreated(results) => {
            Kind::PartitionsCreated(topics_to_proto(results, |()| None))
        }
        Outcome::ConfigsAltered(results) => {
            let results = results.iter().map(|(resource, result)| proto::ConfigResult {
                resource: Some(resource_to_proto(resource)),
                refused: result.as_ref().err().map(refusal_to_proto),
            });
            Kind::ConfigsAltered(proto::ConfigsAltered { results: results.collect() })
        }
        Outcome::ProducerIdsAllocated(block) => {
            Kind::ProducerIdsAllocated(proto::ProducerIdBlock {
                first: block.first.0,
                count: block.count,
            })
        }
        Outcome::VotersUpdated => Kind::VotersUpdated(proto::Done {}),
    };
    proto::Outcome { kind: Some(kind) }
}

pub(super) fn from_proto(message: proto::Outcome) -> Decoded<Outcome> {
    Ok(match required(message.kind, "outcome")? {
        Kind::Refused(message) => Outcome::Refused(refusal(message)?),
        Kind::ClusterFormed(proto::Done {}) => Outcome::ClusterFormed,
        Kind::BrokerRegistered(message) => Outcome::BrokerRegistered(BrokerRegistered {
            broker_epoch: BrokerEpoch(message.broker_epoch),
            directory_proof: wire::proof(message.directory_proof)?,
        }),
        Kind::BrokerUnfenced(proto::Done {}) => Outcome::BrokerUnfenced,
        Kind::BrokerFenced(proto::Done {}) => Outcome::BrokerFenced,
        Kind::ShuttingDown(leaderships_left) => Outcome::ShuttingDown { leaderships_left },
        Kind::IsrProposed(message) => Outcome::IsrProposed(
            message.results.into_iter().map(isr_result).collect::<Decoded<_>>()?,
        ),
        Kind::ReplicasLost(message) => Outcome::ReplicasLost(partitions(message, |_| Ok(()))?),
        Kind::LeadersElected(message) => Outcome::LeadersElected(partitions(message, leader)?),
        Kind::LeadershipYielded(message) => {
            Outcome::LeadershipYielded(partitions(message, leader)?)
        }
        Kind::TopicsCreated(message) => Outcome::TopicsCreated(topics(message, topic_created)?),
        Kind::TopicsDeleted(message) => Outcome::TopicsDeleted(topics(message, |_| Ok(()))?),
        Kind::PartitionsCreated(message) => {
            Outcome::PartitionsCreated(topics(message, |_| Ok(()))?)
        }
        Kind::ConfigsAltered(message) => {
            let result = |message: proto::ConfigResult| {
                Ok((resource(message.resource)?, unless_refused(message.refused, || Ok(()))?))
            };
            Outcome::ConfigsAltered(
                message.results.into_iter().map(result).collect::<Decoded<_>>()?,
            )
        }
        Kind::ProducerIdsAllocated(message) => Outcome::ProducerIdsAllocated(ProducerIdBlock {
            first: ProducerId(message.first),
            count: message.count,
        }),
        Kind::VotersUpdated(proto::Done {}) => Outcome::VotersUpdated,
    })
}

fn refusal_to_proto(refusal: &Refusal) -> proto::Refusal {
    proto::Refusal { code: i32::from(refusal.code.to_wire()), message: refusal.message.clone() }
}

fn refusal(message: proto::Refusal) -> Decoded<Refusal> {
    let code = i16::try_from(message.code).map_err(|_| DecodeError::Field("error code"))?;
    let code = ErrorCode::from_wire(code);
    if code == ErrorCode::None {
        return Err(DecodeError::Field("error code"));
    }
    Ok(Refusal { code, message: message.message })
}

/// Reads a result: a refusal if there is one, else what `success` reads.
fn unless_refused<T>(
    refused: Option<proto::Refusal>,
    success: impl FnOnce() -> Decoded<T>,
) -> Decoded<Result<T, Refusal>> {
    match refused {
        Some(message) => refusal(message).map(Err),
        None => success().map(Ok),
    }
}

fn isr_result_to_proto(result: &PartitionResult<IsrAltered>) -> proto::IsrResult {
    use proto::isr_result::Result as Message;
    let message = match &result.result {
        Err(refusal) => Message::Refused(refusal_to_proto(refusal)),
        Ok(altered) => Message::Altered(proto::IsrAltered {
            leader: altered.leader.map(|leader| leader.0),
            leader_epoch: altered.leader_epoch.0,
            partition_epoch: altered.partition_epoch.0,
            isr: wire::broker_ids_to_proto(&altered.isr),
        }),
    };
    proto::IsrResult {
        partition: Some(wire::partition_to_proto(result.partition)),
        result: Some(message),
    }
}

fn isr_result(message: proto::IsrResult) -> Decoded<PartitionResult<IsrAltered>> {
    use proto::isr_result::Result as Message;
    let result = match required(message.result, "result")? {
        Message::Refused(message) => Err(refusal(message)?),
        Message::Altered(message) => Ok(IsrAltered {
            leader: message.leader.map(BrokerId),
            leader_epoch: LeaderEpoch(message.leader_epoch),
            partition_epoch: PartitionEpoch(message.partition_epoch),
            isr: wire::broker_ids(message.isr),
        }),
    };
    Ok(PartitionResult { partition: wire::partition(message.partition)?, result })
}

fn partitions_to_proto<T>(
    results: &[PartitionResult<T>],
    leader: impl Fn(&T) -> Option<i32>,
) -> proto::PartitionResults {
    let results = results.iter().map(|result| proto::PartitionResult {
        partition: Some(wire::partition_to_proto(result.partition)),
        refused: result.result.as_ref().err().map(refusal_to_proto),
        leader: result.result.as_ref().ok().and_then(&leader),
    });
    proto::PartitionResults { results: results.collect() }
}

fn partitions<T>(
    message: proto::PartitionResults,
    success: impl Fn(&proto::PartitionResult) -> Decoded<T>,
) -> Decoded<Vec<PartitionResult<T>>> {
    let result = |mut message: proto::PartitionResult| {
        Ok(PartitionResult {
            result: unless_refused(message.refused.take(), || success(&message))?,
            partition: wire::partition(message.partition)?,
        })
    };
    message.results.into_iter().map(result).collect()
}

fn leader(message: &proto::PartitionResult) -> Decoded<BrokerId> {
    required(message.leader, "leader").map(BrokerId)
}

fn topics_to_proto<T>(
    results: &[TopicResult<T>],
    created: impl Fn(&T) -> Option<TopicCreated>,
) -> proto::TopicResults {
    let results = results.iter().map(|result| {
        let created = result.result.as_ref().ok().and_then(&created);
        proto::TopicResult {
            name: result.name.clone(),
            topic_id: result.topic_id.map(|topic_id| wire::id_bytes(topic_id.to_bytes())),
            refused: result.result.as_ref().err().map(refusal_to_proto),
            partition_count: created.map(|created| created.partition_count),
            replication_factor: created.map(|created| i32::from(created.replication_factor)),
        }
    });
    proto::TopicResults { results: results.collect() }
}

fn topics<T>(
    message: proto::TopicResults,
    success: impl Fn(&proto::TopicResult) -> Decoded<T>,
) -> Decoded<Vec<TopicResult<T>>> {
    let result = |mut message: proto::TopicResult| {
        Ok(TopicResult {
            result: unless_refused(message.refused.take(), || success(&message))?,
            topic_id: message.topic_id.as_deref().map(wire::topic_id).transpose()?,
            name: message.name,
        })
    };
    message.results.into_iter().map(result).collect()
}

fn topic_created(message: &proto::TopicResult) -> Decoded<TopicCreated> {
    let factor = required(message.replication_factor, "replication factor")?;
    Ok(TopicCreated {
        partition_count: required(message.partition_count, "partition count")?,
        replication_factor: i16::try_from(factor)
            .map_err(|_| DecodeError::Field("replication factor"))?,
    })
}
