//! The small conversions that commands, outcomes and records share.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::{BrokerEpoch, BrokerId, DirectoryId, IncarnationId, TopicId, TopicIdPartition};

use super::DecodeError;
use crate::metadata::command::LiveSet;
use crate::metadata::image::broker::{Address, DirectoryProof, Endpoint, RaftId, SecurityProtocol};
use crate::proto::controller as proto;

pub(super) type Decoded<T> = Result<T, DecodeError>;

/// Returns what a message must have.
pub(super) fn required<T>(field: Option<T>, name: &'static str) -> Decoded<T> {
    field.ok_or(DecodeError::Field(name))
}

pub(super) fn id_bytes(bytes: [u8; 16]) -> Bytes {
    Bytes::copy_from_slice(&bytes)
}

fn sixteen(bytes: &[u8], name: &'static str) -> Decoded<[u8; 16]> {
    bytes.try_into().map_err(|_| DecodeError::Field(name))
}

pub(super) fn topic_id(bytes: &[u8]) -> Decoded<TopicId> {
    sixteen(bytes, "topic id").map(TopicId::from_bytes)
}

pub(super) fn directory_id(bytes: &[u8]) -> Decoded<DirectoryId> {
    sixteen(bytes, "directory id").map(DirectoryId::from_bytes)
}

pub(super) fn incarnation_id(bytes: &[u8]) -> Decoded<IncarnationId> {
    sixteen(bytes, "incarnation id").map(IncarnationId::from_bytes)
}

pub(super) fn partition_to_proto(partition: TopicIdPartition) -> proto::TopicIdPartition {
    proto::TopicIdPartition {
        topic_id: id_bytes(partition.topic_id.to_bytes()),
        partition: partition.partition,
    }
}

pub(super) fn partition(message: Option<proto::TopicIdPartition>) -> Decoded<TopicIdPartition> {
    let message = required(message, "partition")?;
    Ok(TopicIdPartition { topic_id: topic_id(&message.topic_id)?, partition: message.partition })
}

pub(super) fn partitions_to_proto(partitions: &[TopicIdPartition]) -> Vec<proto::TopicIdPartition> {
    partitions.iter().copied().map(partition_to_proto).collect()
}

pub(super) fn partitions(messages: Vec<proto::TopicIdPartition>) -> Decoded<Vec<TopicIdPartition>> {
    messages.into_iter().map(|message| partition(Some(message))).collect()
}

pub(super) fn live_to_proto(live: &LiveSet) -> Vec<proto::BrokerIncarnation> {
    let brokers = live.0.iter();
    brokers
        .map(|(broker_id, broker_epoch)| proto::BrokerIncarnation {
            broker_id: broker_id.0,
            broker_epoch: broker_epoch.0,
        })
        .collect()
}

pub(super) fn live(messages: Vec<proto::BrokerIncarnation>) -> LiveSet {
    messages
        .into_iter()
        .map(|message| (BrokerId(message.broker_id), BrokerEpoch(message.broker_epoch)))
        .collect()
}

pub(super) fn broker_ids_to_proto(broker_ids: &[BrokerId]) -> Vec<i32> {
    broker_ids.iter().map(|broker_id| broker_id.0).collect()
}

pub(super) fn broker_ids(numbers: Vec<i32>) -> Vec<BrokerId> {
    numbers.into_iter().map(BrokerId).collect()
}

pub(super) fn voters_to_proto<'a>(
    voters: impl IntoIterator<Item = (&'a BrokerId, &'a RaftId)>,
) -> Vec<proto::Voter> {
    voters
        .into_iter()
        .map(|(broker_id, raft_id)| proto::Voter { broker_id: broker_id.0, raft_id: raft_id.0 })
        .collect()
}

pub(super) fn voters(messages: Vec<proto::Voter>) -> BTreeMap<BrokerId, RaftId> {
    messages
        .into_iter()
        .map(|message| (BrokerId(message.broker_id), RaftId(message.raft_id)))
        .collect()
}

pub(super) fn configs_to_proto(configs: &BTreeMap<String, String>) -> Vec<proto::ConfigEntry> {
    configs
        .iter()
        .map(|(name, value)| proto::ConfigEntry { name: name.clone(), value: value.clone() })
        .collect()
}

pub(super) fn configs(messages: Vec<proto::ConfigEntry>) -> BTreeMap<String, String> {
    messages.into_iter().map(|message| (message.name, message.value)).collect()
}

pub(super) fn address_to_proto(address: &Address) -> proto::Address {
    proto::Address { host: address.host.clone(), port: u32::from(address.port) }
}

pub(super) fn address(message: Option<proto::Address>) -> Decoded<Address> {
    let message = required(message, "address")?;
    let port = u16::try_from(message.port).map_err(|_| DecodeError::Field("port"))?;
    Ok(Address { host: message.host, port })
}

pub(super) fn endpoints_to_proto(endpoints: &[Endpoint]) -> Vec<proto::Endpoint> {
    endpoints
        .iter()
        .map(|endpoint| proto::Endpoint {
            listener: endpoint.listener.clone(),
            address: Some(address_to_proto(&endpoint.address)),
            security_protocol: i32::from(endpoint.security_protocol.to_wire()),
        })
        .collect()
}

pub(super) fn endpoints(messages: Vec<proto::Endpoint>) -> Decoded<Vec<Endpoint>> {
    let endpoint = |message: proto::Endpoint| {
        let protocol = i16::try_from(message.security_protocol).ok();
        Ok(Endpoint {
            listener: message.listener,
            address: address(message.address)?,
            security_protocol: required(
                protocol.and_then(SecurityProtocol::from_wire),
                "security protocol",
            )?,
        })
    };
    messages.into_iter().map(endpoint).collect()
}

pub(super) fn proof_to_proto(proof: DirectoryProof) -> i32 {
    let message = match proof {
        DirectoryProof::Intact => proto::DirectoryProof::Intact,
        DirectoryProof::Returned => proto::DirectoryProof::Returned,
        DirectoryProof::Wiped => proto::DirectoryProof::Wiped,
    };
    message.into()
}

pub(super) fn proof(number: i32) -> Decoded<DirectoryProof> {
    match proto::DirectoryProof::try_from(number) {
        Ok(proto::DirectoryProof::Intact) => Ok(DirectoryProof::Intact),
        Ok(proto::DirectoryProof::Returned) => Ok(DirectoryProof::Returned),
        Ok(proto::DirectoryProof::Wiped) => Ok(DirectoryProof::Wiped),
        Ok(proto::DirectoryProof::Unspecified) | Err(_) => {
            Err(DecodeError::Field("directory proof"))
        }
    }
}
