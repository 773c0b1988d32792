//! The rules: what each command does to the image.
//!
//! Owns [`apply()`], one `match` with one handler per command, and nothing that outlives it: a [`Transition`] is the image that a command changes and the list of
//! what it changed. Whatever a handler decides, it decides from command and image.
//!
//! What keeps acknowledged records:
//! - the *floor*: only loss takes a member out of an ISR unless enough unfenced members remain (`floor`, at whose end every change of a partition passes: `transition`);
//! - leaders come from ISR members that are live, registered and unfenced (`election`);
//! - a registration proves what its disk holds, and what it lost leaves the ISR in the same command (`registration`).

mod cluster;
mod config_checks;
mod configs;
mod election;
mod fencing;
mod floor;
mod isr;
mod placement;
mod registration;
mod topics;
mod transition;

use model::ErrorCode;

use super::changes::Changes;
use super::command::Command;
use super::image::Image;
use super::outcome::{Outcome, Refusal};
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
