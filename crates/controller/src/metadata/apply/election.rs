//! Who leads: the one choice among live ISR members, and the commands that ask for it.
//!
//! Owns the rule that a leader is a member of the ISR that is registered, unfenced, not shutting down, and in the proposer's live set.
//! The one exception is a lossy partition whose ISR is empty: there the last known leader, on the directory it led from, leads again, and that is reported.

use std::collections::BTreeSet;

use model::{BrokerId, ErrorCode, LeaderEpoch, TopicIdPartition};

use super::transition::Transition;
use crate::metadata::command::{ElectLeaders, Election, LiveSet, YieldLeadership};
use crate::metadata::image::Image;
use crate::metadata::image::partition::{Durability, PartitionState};
use crate::metadata::mutation::{self, Mutation};
use crate::metadata::outcome::{Outcome, PartitionResult, Refusal};

/// Returns the first assigned replica that may lead, other than `except`.
pub(super) fn choose(
    image: &Image,
    state: &PartitionState,
    live: &LiveSet,
    except: Option<BrokerId>,
) -> Option<BrokerId> {
    state.replicas.iter().copied().find(|candidate| {
        Some(*candidate) != except
            && (state.is_in_sync(*candidate) || mutation::is_active(Mutation::ElectionOutsideIsr))
            && is_candidate(image, *candidate, live)
    })
}

/// Says whether a broker may be elected wherever it is in sync.
fn is_candidate(image: &Image, broker_id: BrokerId, live: &LiveSet) -> bool {
    image
        .broker(broker_id)
        .is_some_and(|broker| broker.is_active() && live.contains(broker_id, broker.broker_epoch))
}

/// Gives a partition without a leader one, if there is a candidate.
pub(super) fn fill_vacancy(image: &Image, state: &mut PartitionState, live: &LiveSet) {
    if state.leader.is_none() {
        state.leader = choose(image, state, live, None);
    }
}

/// Gives a lossy partition with an empty ISR its last known leader back, and says whether it did.
fn restore_lossy_leader(image: &Image, state: &mut PartitionState, live: &LiveSet) -> bool {
    let Some(last) = state.last_known_leader else {
        return false;
    };
    let on_known_directory =
        image.broker(last.broker_id).is_some_and(|broker| broker.directory_id == last.directory_id);
    let may_lead = state.isr.is_empty()
        && state.durability == Durability::Lossy
        && state.is_replica(last.broker_id)
        && on_known_directory
        && is_candidate(image, last.broker_id, live);
    if may_lead {
        state.isr = vec![last.broker_id];
        state.leader = Some(last.broker_id);
    }
    may_lead
}

/// Looks again at a partition that has no leader, or a fenced one.
pub(super) fn look_again(
    transition: &mut Transition<'_>,
    partition: TopicIdPartition,
    live: &LiveSet,
) {
    let Ok(mut state) = transition.partition(partition) else {
        return;
    };
    if state.leader.is_some_and(|leader| !transition.image.is_unfenced(leader)) {
        state.leader = None;
    }
    fill_vacancy(transition.image, &mut state, live);
    if state.leader.is_none() && restore_lossy_leader(transition.image, &mut state, live) {
        transition.changes.lossy_elections.insert(partition);
    }
    transition.set_partition(partition, state);
}

/// Elects leaders.
pub(super) fn elect_leaders(transition: &mut Transition<'_>, command: &ElectLeaders) -> Outcome {
    let partitions: Vec<TopicIdPartition> = match &command.partitions {
        Some(partitions) => partitions.clone(),
        None => transition.image.partitions.keys().copied().collect(),
    };
    let mut results = Vec::new();
    for partition in partitions {
        let result = match command.election {
            Election::Preferred => elect_preferred(transition, partition, &command.live),
            Election::Available => elect_available(transition, partition, &command.live),
        };
        let unneeded =
            result.as_ref().is_err_and(|refusal| refusal.code == ErrorCode::ElectionNotNeeded);
        if command.partitions.is_some() || !unneeded {
            results.push(PartitionResult { partition, result });
        }
    }
    Outcome::LeadersElected(results)
}

fn elect_preferred(
    transition: &mut Transition<'_>,
    partition: TopicIdPartition,
    live: &LiveSet,
) -> Result<BrokerId, Refusal> {
    let mut state = transition.partition(partition)?;
    let preferred = state.preferred_leader();
    if state.leader.is_some() && state.leader == preferred {
        return Err(not_needed());
    }
    let candidate = preferred.filter(|preferred| {
        state.is_in_sync(*preferred) && is_candidate(transition.image, *preferred, live)
    });
    let Some(leader) = candidate else {
        return Err(Refusal::new(
            ErrorCode::PreferredLeaderNotAvailable,
            "the preferred replica is not live or not in sync",
        ));
    };
    state.leader = Some(leader);
    transition.set_partition(partition, state);
    Ok(leader)
}

fn elect_available(
    transition: &mut Transition<'_>,
    partition: TopicIdPartition,
    live: &LiveSet,
) -> Result<BrokerId, Refusal> {
    let state = transition.partition(partition)?;
    if state.leader.is_some_and(|leader| transition.image.is_unfenced(leader)) {
        return Err(not_needed());
    }
    look_again(transition, partition, live);
    transition.partition(partition)?.leader.ok_or_else(|| {
        Refusal::new(ErrorCode::EligibleLeadersNotAvailable, "no live replica is in sync")
    })
}

fn not_needed() -> Refusal {
    Refusal::new(ErrorCode::ElectionNotNeeded, "the partition has that leader")
}

/// Moves leaderships off a leader that cannot commit; the ISRs stay as they are.
pub(super) fn yield_leadership(
    transition: &mut Transition<'_>,
    command: &YieldLeadership,
) -> Outcome {
    if let Err(refusal) = transition.check_broker(command.broker_id, command.broker_epoch) {
        return Outcome::Refused(refusal);
    }
    let results = command.partitions.iter().map(|(partition, leader_epoch)| PartitionResult {
        partition: *partition,
        result: yield_one(transition, command, *partition, *leader_epoch),
    });
    Outcome::LeadershipYielded(results.collect())
}

fn yield_one(
    transition: &mut Transition<'_>,
    command: &YieldLeadership,
    partition: TopicIdPartition,
    leader_epoch: LeaderEpoch,
) -> Result<BrokerId, Refusal> {
    let mut state = transition.partition(partition)?;
    if state.leader != Some(command.broker_id) || state.leader_epoch != leader_epoch {
        return Err(Refusal::new(
            ErrorCode::FencedLeaderEpoch,
            format!("broker {} does not lead in epoch {leader_epoch}", command.broker_id),
        ));
    }
    let others = choose(transition.image, &state, &command.live, Some(command.broker_id));
    let Some(leader) = others else {
        return Err(Refusal::new(
            ErrorCode::EligibleLeadersNotAvailable,
            "no other live replica is in sync",
        ));
    };
    state.leader = Some(leader);
    transition.set_partition(partition, state);
    Ok(leader)
}

/// What the rule says of an image as it stands, for the controller that looks whether an election would help.
impl Image {
    /// Returns the leaderless partitions for which an election among `live` would find a leader now.
    #[must_use]
    pub fn electable_partitions(&self, live: &LiveSet) -> Vec<TopicIdPartition> {
        let candidates = candidates(self, live);
        self.select(|_, state| {
            state.leader.is_none_or(|leader| !self.is_unfenced(leader))
                && (state.isr.iter().any(|member| candidates.contains(member))
                    || restore_lossy_leader(self, &mut state.clone(), live))
        })
    }

    /// Returns the partitions whose preferred replica could lead, were it elected now, and does not.
    #[must_use]
    pub(crate) fn imbalanced_partitions(&self, live: &LiveSet) -> Vec<TopicIdPartition> {
        let candidates = candidates(self, live);
        self.select(|_, state| {
            state.preferred_leader().is_some_and(|preferred| {
                state.leader != Some(preferred)
                    && state.is_in_sync(preferred)
                    && candidates.contains(&preferred)
            })
        })
    }
}

/// Returns the brokers that may be elected wherever they are in sync.
fn candidates(image: &Image, live: &LiveSet) -> BTreeSet<BrokerId> {
    image
        .brokers()
        .map(|broker| broker.broker_id)
        .filter(|broker_id| is_candidate(image, *broker_id, live))
        .collect()
}
