//! The metadata machine: who the brokers are, which topics there are, who leads each partition and who is in its ISR.
//!
//! One entry of the metadata log is one [`Command`]; [`apply`] decides about it and changes the [`Image`], on every broker alike, from command and image alone.
//! It is total: a bad command earns a [`Refusal`] and changes nothing, except that a refused ISR proposal which matched leader, leader epoch and
//! partition epoch consumes the partition epoch, or a late copy of it could be applied after the leader went back to the old ISR.
//!
//! What keeps acknowledged records:
//! - the *floor*: only loss takes a member out of an ISR unless enough unfenced members remain (`isr`);
//! - leaders come from ISR members that are live, registered and unfenced (`election`);
//! - a registration proves what its disk holds, and what it lost leaves the ISR in the same command (`registration`).
//!
//! No I/O, no clock, no randomness, no unordered maps in here.

mod broker;
mod changes;
mod cluster;
mod command;
mod config_rules;
mod configs;
mod election;
mod encoding;
mod fencing;
mod image;
mod invariants;
mod isr;
mod mutation;
mod outcome;
mod partition;
mod placement;
mod queries;
mod registration;
mod topic;
mod topics;
mod transition;

use model::ErrorCode;

pub use broker::{
    Address, BrokerRegistration, BrokerState, DirectoryProof, Endpoint, MAX_REMEMBERED_DIRECTORIES,
    MAX_REMEMBERED_INCARNATIONS, RaftId, SecurityProtocol,
};
pub use changes::{Changes, RecordKey};
pub use command::{
    AllocateProducerIds, AlterConfigs, Assignment, Command, ConfigAlteration, ConfigChange,
    ConfigOperation, ConfigResource, ControlledShutdown, CreatePartitions, CreateTopics,
    DeleteTopics, ElectLeaders, Election, FenceBroker, FormCluster, IsrMember, IsrProposal,
    LastShutdown, LiveSet, NewPartitions, NewTopic, ProposeIsr, RegisterBroker, ReplicaLost,
    TopicSelector, UnfenceBroker, UpdateVoters, YieldLeadership,
};
pub use encoding::{DecodeError, METADATA_VERSION};
pub use image::Image;
pub use invariants::BrokenInvariant;
pub use mutation::Mutation;
#[cfg(feature = "mutations")]
pub use mutation::activate;
pub use outcome::{
    BrokerRegistered, IsrAltered, Outcome, PartitionResult, ProducerIdBlock, Refusal, TopicCreated,
    TopicResult,
};
pub use partition::{Durability, FlushPolicy, PartitionState, Replica};
pub use queries::ReplicaCondition;
pub use topic::Topic;

use transition::Transition;

/// What became of a command, and what it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The answer for whoever proposed it.
    pub outcome: Outcome,
    /// What changed in the image.
    pub changes: Changes,
}

/// Applies the command at `index` of the metadata log. The same commands at the same indices make the same image everywhere.
///
/// The index becomes the broker epoch of a registration.
pub fn apply(image: &mut Image, index: u64, command: &Command) -> Applied {
    let mut transition = Transition::begin(image, index);
    let outcome = decide(&mut transition, command);
    Applied { outcome, changes: transition.changes }
}

fn decide(transition: &mut Transition<'_>, command: &Command) -> Outcome {
    if transition.image.cluster_id().is_none() && !matches!(command, Command::FormCluster(_)) {
        return Outcome::Refused(Refusal::new(
            ErrorCode::NotController,
            "the cluster is not formed yet",
        ));
    }
    match command {
        Command::FormCluster(command) => cluster::form(transition, command),
        Command::RegisterBroker(command) => registration::register(transition, command),
        Command::UnfenceBroker(command) => fencing::unfence(transition, command),
        Command::FenceBroker(command) => fencing::fence(transition, command),
        Command::ControlledShutdown(command) => fencing::controlled_shutdown(transition, command),
        Command::ProposeIsr(command) => isr::propose(transition, command),
        Command::ReplicaLost(command) => isr::replica_lost(transition, command),
        Command::ElectLeaders(command) => election::elect_leaders(transition, command),
        Command::YieldLeadership(command) => election::yield_leadership(transition, command),
        Command::CreateTopics(command) => topics::create(transition, command),
        Command::DeleteTopics(command) => topics::delete(transition, command),
        Command::CreatePartitions(command) => topics::create_partitions(transition, command),
        Command::AlterConfigs(command) => configs::alter(transition, command),
        Command::AllocateProducerIds(command) => {
            cluster::allocate_producer_ids(transition, command)
        }
        Command::UpdateVoters(command) => cluster::update_voters(transition, command),
    }
}

/// Says what [`apply`] would answer, and leaves the image as it is: `validate_only`.
#[must_use]
pub fn preview(image: &Image, index: u64, command: &Command) -> Outcome {
    apply(&mut image.clone(), index, command).outcome
}

#[cfg(test)]
mod tests;
