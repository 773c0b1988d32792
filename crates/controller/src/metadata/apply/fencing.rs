//! Brokers that come and go while registered: unfencing, fencing, controlled shutdown.
//!
//! Owns the transitions of [`BrokerState`]. A fence names (broker id, broker epoch, fence count) and is void if one differs from the image's.

use model::{DirectoryId, ErrorCode};

use super::election;
use super::floor;
use super::transition::Transition;
use crate::metadata::command::{ControlledShutdown, FenceBroker, UnfenceBroker};
use crate::metadata::image::broker::{BrokerRegistration, BrokerState, MAX_REMEMBERED_DIRECTORIES};
use crate::metadata::mutation::{self, Mutation};
use crate::metadata::outcome::{Outcome, Refusal};

/// Lets a broker serve: partitions that waited for it get leaders.
pub(super) fn unfence(transition: &mut Transition<'_>, command: &UnfenceBroker) -> Outcome {
    let mut broker = match transition.check_broker(command.broker_id, command.broker_epoch) {
        Ok(broker) => broker.clone(),
        Err(refusal) => return Outcome::Refused(refusal),
    };
    match broker.state {
        BrokerState::Unfenced => return Outcome::BrokerUnfenced,
        BrokerState::ShuttingDown => {
            return Outcome::Refused(Refusal::new(
                ErrorCode::InvalidRequest,
                format!("broker {} is shutting down", command.broker_id),
            ));
        }
        BrokerState::Fenced => {}
    }
    broker.state = BrokerState::Unfenced;
    let directory_id = broker.directory_id;
    remember_directory(&mut broker, directory_id);
    let mut live = command.live.clone();
    live.0.insert(command.broker_id, command.broker_epoch);
    for partition in transition.set_broker(broker) {
        election::look_again(transition, partition, &live);
    }
    Outcome::BrokerUnfenced
}

/// Notes that a directory was unfenced under the present epoch.
fn remember_directory(broker: &mut BrokerRegistration, directory_id: DirectoryId) {
    broker.known_directories.retain(|known| known.0 != directory_id);
    broker.known_directories.push((directory_id, broker.broker_epoch));
    if broker.known_directories.len() > MAX_REMEMBERED_DIRECTORIES {
        broker.known_directories.remove(0);
    }
}

/// Takes a silent broker out of leadership, and out of the ISRs that can spare it.
pub(super) fn fence(transition: &mut Transition<'_>, command: &FenceBroker) -> Outcome {
    let mut broker = match transition.check_broker(command.broker_id, command.broker_epoch) {
        Ok(broker) => broker.clone(),
        Err(refusal) => return Outcome::Refused(refusal),
    };
    let late = broker.fence_count != command.fence_count;
    if late && !mutation::is_active(Mutation::LateFenceCounts) {
        return Outcome::Refused(Refusal::new(
            ErrorCode::InvalidUpdateVersion,
            format!(
                "broker {} was fenced {} times, not {}",
                command.broker_id, broker.fence_count, command.fence_count
            ),
        ));
    }
    if broker.is_fenced() {
        return Outcome::BrokerFenced;
    }
    broker.state = BrokerState::Fenced;
    broker.fence_count = broker.fence_count.saturating_add(1);
    for partition in transition.set_broker(broker) {
        let Ok(mut state) = transition.partition(partition) else {
            continue;
        };
        if state.leader == Some(command.broker_id) {
            state.leader = election::choose(transition.image, &state, &command.live, None);
        }
        transition.set_partition(partition, state);
    }
    Outcome::BrokerFenced
}

/// Moves leaderships off a broker that wants to stop, then takes it out of the ISRs that can spare it.
pub(super) fn controlled_shutdown(
    transition: &mut Transition<'_>,
    command: &ControlledShutdown,
) -> Outcome {
    let mut broker = match transition.check_broker(command.broker_id, command.broker_epoch) {
        Ok(broker) => broker.clone(),
        Err(refusal) => return Outcome::Refused(refusal),
    };
    if broker.is_fenced() {
        // A fenced broker leads nothing; it may stop at once.
        return Outcome::ShuttingDown { leaderships_left: 0 };
    }
    broker.state = BrokerState::ShuttingDown;
    let broker_id = command.broker_id;
    let mut leaderships_left = 0;
    for partition in transition.set_broker(broker) {
        let Ok(mut state) = transition.partition(partition) else {
            continue;
        };
        if state.leader == Some(broker_id) {
            match election::choose(transition.image, &state, &command.live, None) {
                Some(leader) => state.leader = Some(leader),
                None => {
                    leaderships_left += 1;
                    continue;
                }
            }
        }
        if state.is_in_sync(broker_id) {
            floor::leave(transition.image, partition.topic_id, &mut state, broker_id);
        }
        transition.set_partition(partition, state);
    }
    Outcome::ShuttingDown { leaderships_left }
}
