//! Registration: it ends the old incarnation, and proves what the disk holds.
//!
//! Owns the judgement of a directory. A broker is in an ISR by what the directory of its registration holds: a replica that was lost, a directory that
//! counts as wiped, or one that is not the directory of the last registration leaves every ISR in the same command, whatever the floor.

use std::collections::BTreeSet;

use model::{BrokerEpoch, BrokerId, ErrorCode, TopicIdPartition};

use super::election;
use super::isr;
use super::transition::Transition;
use crate::metadata::command::{LastShutdown, RegisterBroker};
use crate::metadata::image::Image;
use crate::metadata::image::broker::{
    BrokerRegistration, BrokerState, DirectoryProof, Endpoint, MAX_REMEMBERED_INCARNATIONS,
};
use crate::metadata::image::partition::{Durability, PartitionState, Replica};
use crate::metadata::mutation::{self, Mutation};
use crate::metadata::outcome::{BrokerRegistered, Outcome, Refusal};

/// Most listeners of one broker.
const MAX_ENDPOINTS: usize = 64;

/// Longest listener, host and rack names, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Registers a broker's process.
pub(super) fn register(transition: &mut Transition<'_>, command: &RegisterBroker) -> Outcome {
    let previous = transition.image.broker(command.broker_id).cloned();
    if let Some(registered) = &previous
        && registered.incarnation_id == command.incarnation_id
    {
        return Outcome::BrokerRegistered(BrokerRegistered {
            broker_epoch: registered.broker_epoch,
            directory_proof: registered.directory_proof,
        });
    }
    let broker = match judge(transition, command, previous.as_ref()) {
        Ok(broker) => broker,
        Err(refusal) => return Outcome::Refused(refusal),
    };
    let outcome = Outcome::BrokerRegistered(BrokerRegistered {
        broker_epoch: broker.broker_epoch,
        directory_proof: broker.directory_proof,
    });
    let succession = Succession {
        command,
        proof: broker.directory_proof,
        previous: previous.map(|registered| Replica {
            broker_id: registered.broker_id,
            directory_id: registered.directory_id,
        }),
        lost: command.lost_replicas.iter().copied().collect(),
    };
    for partition in transition.set_broker(broker) {
        let Ok(mut state) = transition.partition(partition) else {
            continue;
        };
        succession.settle(transition.image, partition, &mut state);
        transition.set_partition(partition, state);
    }
    outcome
}

/// Decides whether the process may register, and what its record is.
fn judge(
    transition: &Transition<'_>,
    command: &RegisterBroker,
    previous: Option<&BrokerRegistration>,
) -> Result<BrokerRegistration, Refusal> {
    check_form(command)?;
    let Ok(index) = i64::try_from(transition.index) else {
        return Err(Refusal::new(ErrorCode::InvalidRegistration, "the metadata log is full"));
    };
    if let Some(registered) = previous {
        check_succession(command, registered)?;
    }
    let mut superseded = previous.map(|old| old.superseded.clone()).unwrap_or_default();
    superseded.extend(previous.map(|old| old.incarnation_id));
    if superseded.len() > MAX_REMEMBERED_INCARNATIONS {
        superseded.remove(0);
    }
    Ok(BrokerRegistration {
        broker_id: command.broker_id,
        broker_epoch: BrokerEpoch(index),
        incarnation_id: command.incarnation_id,
        directory_id: command.directory_id,
        directory_proof: prove_directory(command, previous),
        raft_id: command.raft_id,
        endpoints: command.endpoints.clone(),
        replication_address: command.replication_address.clone(),
        control_address: command.control_address.clone(),
        rack: command.rack.clone(),
        state: BrokerState::Fenced,
        fence_count: 0,
        known_directories: previous.map(|old| old.known_directories.clone()).unwrap_or_default(),
        superseded,
    })
}

/// Checks numbers and lengths.
fn check_form(command: &RegisterBroker) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::InvalidRegistration, message));
    if command.broker_id < BrokerId(0) {
        return invalid("a broker id is 0 or greater");
    }
    if command.endpoints.len() > MAX_ENDPOINTS {
        return invalid("too many listeners");
    }
    let listeners: BTreeSet<&str> =
        command.endpoints.iter().map(|endpoint: &Endpoint| endpoint.listener.as_str()).collect();
    if listeners.len() != command.endpoints.len() {
        return invalid("two listeners have the same name");
    }
    let hosts = command.endpoints.iter().map(|endpoint| endpoint.address.host.as_str());
    let addresses = [&command.replication_address, &command.control_address];
    let mut names = hosts
        .chain(listeners)
        .chain(addresses.into_iter().map(|address| address.host.as_str()))
        .chain(command.rack.as_deref());
    if names.any(|name| name.len() > MAX_NAME_BYTES) {
        return invalid("a listener, host or rack name is too long");
    }
    Ok(())
}

/// Checks that the process may take the place of the one that is registered.
fn check_succession(
    command: &RegisterBroker,
    registered: &BrokerRegistration,
) -> Result<(), Refusal> {
    if registered.superseded.contains(&command.incarnation_id) {
        return Err(Refusal::new(
            ErrorCode::StaleBrokerEpoch,
            format!("this process of broker {} was superseded", command.broker_id),
        ));
    }
    let epoch = registered.broker_epoch;
    let has_session =
        command.open_session == Some(epoch) || command.live.contains(command.broker_id, epoch);
    let refused =
        |message: String| Err(Refusal::new(ErrorCode::DuplicateBrokerRegistration, message));
    if has_session && registered.directory_id != command.directory_id {
        return refused(format!(
            "broker {} has a session from directory {}",
            command.broker_id, registered.directory_id
        ));
    }
    // The lock on the data directory keeps two processes off one directory. So whoever read an older epoch there than the living session's
    // asked before that session began, and its word must not take that session's replicas for wiped.
    let last_unfenced = registered.last_unfenced_epoch(command.directory_id);
    if has_session && command.stored_broker_epoch < last_unfenced {
        return refused(format!(
            "broker {} has a session under an epoch that this registration does not know",
            command.broker_id
        ));
    }
    Ok(())
}

/// Judges the directory by the epoch it holds.
fn prove_directory(
    command: &RegisterBroker,
    previous: Option<&BrokerRegistration>,
) -> DirectoryProof {
    let Some(registered) = previous else {
        return DirectoryProof::Wiped;
    };
    let last_unfenced = registered.last_unfenced_epoch(command.directory_id);
    match (command.stored_broker_epoch, last_unfenced) {
        (Some(stored), Some(last)) if stored >= last => {
            if registered.directory_id == command.directory_id {
                DirectoryProof::Intact
            } else {
                DirectoryProof::Returned
            }
        }
        (Some(_) | None, Some(_) | None) => DirectoryProof::Wiped,
    }
}

/// What the end of one incarnation and the proof of the next mean for a partition.
struct Succession<'a> {
    command: &'a RegisterBroker,
    proof: DirectoryProof,
    /// Where the broker's membership in ISRs comes from.
    previous: Option<Replica>,
    lost: BTreeSet<TopicIdPartition>,
}

impl Succession<'_> {
    fn settle(&self, image: &Image, partition: TopicIdPartition, state: &mut PartitionState) {
        let broker_id = self.command.broker_id;
        let replica = Replica { broker_id, directory_id: self.command.directory_id };
        let named_lost = self.lost.contains(&partition);
        let unclean_on_lossy = state.durability == Durability::Lossy
            && self.command.last_shutdown == LastShutdown::Unclean
            && !mutation::is_active(Mutation::UncleanRestartStays);
        let holds_all = !named_lost && !unclean_on_lossy;
        if self.proof != DirectoryProof::Intact {
            // The copy that was in sync lies on a directory that is not here, or not as it was: it may come back.
            isr::lose_member(state, broker_id, self.previous);
        } else if !holds_all {
            let was_last = state.isr == [broker_id];
            isr::lose_member(state, broker_id, None);
            if was_last && !named_lost {
                stand_in_for_a_lost_leader(image, state, replica);
            }
        }
        if named_lost {
            state.lost_members.retain(|member| *member != replica);
        }
        let came_back = self.proof != DirectoryProof::Wiped && holds_all;
        if came_back && state.isr.is_empty() && state.lost_members.contains(&replica) {
            state.isr = vec![broker_id];
        }
        let leads_on = mutation::is_active(Mutation::OldIncarnationLeadsOn);
        if state.leader == Some(broker_id) && !leads_on {
            state.leader = None;
        }
        election::fill_vacancy(image, state, &self.command.live);
    }
}

/// Makes the last member of a lossy partition, of whose copy the tail alone is in doubt, its last known leader, if the directory of that one is not
/// there any more: nobody could ever lead the partition again otherwise.
fn stand_in_for_a_lost_leader(image: &Image, state: &mut PartitionState, replica: Replica) {
    let is_there = |last: Replica| {
        image.broker(last.broker_id).is_some_and(|broker| broker.directory_id == last.directory_id)
    };
    if !state.last_known_leader.is_some_and(is_there) {
        state.last_known_leader = Some(replica);
    }
}
