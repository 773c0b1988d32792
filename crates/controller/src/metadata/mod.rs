//! The metadata machine: who the brokers are, which topics there are, who leads each partition and who is in its ISR.
//!
//! One entry of the metadata log is one [`Command`]; [`apply()`] decides about it and changes the [`Image`], on every broker alike, from command and image alone.
//! It is total: a bad command earns a [`Refusal`] and changes nothing, except that a refused ISR proposal which matched leader, leader epoch and
//! partition epoch consumes the partition epoch, or a late copy of it could be applied after the leader went back to the old ISR.
//!
//! The rooms, each of which uses those above it alone: `image` is the state (brokers, topics, partitions, configurations, and what holds of them);
//! `command`, `outcome` and `changes` are what goes in and what comes out; `apply` holds the rules, one handler per command; `encoding` is all of it as bytes.
//!
//! No I/O, no clock, no randomness, no unordered maps in here.

mod apply;
mod changes;
mod command;
mod encoding;
mod image;
mod mutation;
mod outcome;

pub use apply::{Applied, apply, preview};
pub use changes::{Changes, RecordKey};
pub(crate) use command::Repetition;
pub use command::{
    AllocateProducerIds, AlterConfigs, Assignment, Command, ConfigAlteration, ConfigChange,
    ConfigOperation, ConfigResource, ControlledShutdown, CreatePartitions, CreateTopics,
    DeleteTopics, ElectLeaders, Election, FenceBroker, FormCluster, IsrMember, IsrProposal,
    LastShutdown, LiveSet, NewPartitions, NewTopic, ProposeIsr, RegisterBroker, ReplicaLost,
    TopicSelector, UnfenceBroker, UpdateVoters, YieldLeadership,
};
pub(crate) use encoding::DecodeError;
pub use image::broker::{
    Address, BrokerRegistration, BrokerState, DirectoryProof, Endpoint, RaftId, SecurityProtocol,
};
pub use image::partition::{Durability, FlushPolicy, PartitionState, Replica};
pub use image::queries::ReplicaCondition;
pub use image::topic::Topic;
pub use image::{BrokenInvariant, Image};
pub use mutation::Mutation;
#[cfg(feature = "mutations")]
pub use mutation::{activate, activate_in_process};
pub use outcome::{
    BrokerRegistered, IsrAltered, Outcome, PartitionResult, ProducerIdBlock, Refusal, TopicCreated,
    TopicResult,
};

#[cfg(test)]
mod tests;
