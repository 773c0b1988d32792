//! Who is in sync: leaders' proposals, and loss.
//!
//! Owns the checks of a proposal, which is a compare-and-set on leader epoch and partition epoch, and the one way in which a member leaves whatever the floor: loss.

use std::collections::BTreeSet;

use model::{BrokerId, ErrorCode, LeaderEpoch, PartitionEpoch, TopicId, TopicIdPartition};

use super::election;
use super::floor;
use super::transition::Transition;
use crate::metadata::command::{IsrProposal, ProposeIsr, ReplicaLost};
use crate::metadata::image::Image;
use crate::metadata::image::partition::{PartitionState, Replica};
use crate::metadata::mutation::{self, Mutation};
use crate::metadata::outcome::{IsrAltered, Outcome, PartitionResult, Refusal};

/// Takes a member that lost data out, whatever the floor, and its leadership with it. `survivor` is the directory that still holds the data, if it comes back.
pub(super) fn lose_member(
    state: &mut PartitionState,
    broker_id: BrokerId,
    survivor: Option<Replica>,
) {
    if !state.is_in_sync(broker_id) || mutation::is_active(Mutation::LostReplicaStays) {
        return;
    }
    state.isr.retain(|member| *member != broker_id);
    if state.leader == Some(broker_id) {
        state.leader = None;
    }
    if state.isr.is_empty() {
        state.lost_members = survivor.into_iter().collect();
    }
}

/// Applies leaders' proposals, in the order of Kafka's `ReplicationControlManager.validateAlterPartitionData`.
pub(super) fn propose(transition: &mut Transition<'_>, command: &ProposeIsr) -> Outcome {
    if let Err(refusal) = transition.check_broker(command.broker_id, command.broker_epoch) {
        return Outcome::Refused(refusal);
    }
    let results = command.proposals.iter().map(|proposal| PartitionResult {
        partition: proposal.partition,
        result: propose_one(transition, command.broker_id, proposal),
    });
    Outcome::IsrProposed(results.collect())
}

fn propose_one(
    transition: &mut Transition<'_>,
    leader: BrokerId,
    proposal: &IsrProposal,
) -> Result<IsrAltered, Refusal> {
    let mut state = transition.partition(proposal.partition)?;
    check_sender(&state, leader, proposal.leader_epoch, proposal.partition_epoch)?;
    // From here on the proposal matches what it was made for: whatever comes of it, a late copy must not match again.
    let before = state.clone();
    let verdict = check_members(transition.image, leader, &state, proposal).and_then(|()| {
        state.isr = proposal.isr.iter().map(|member| member.broker_id).collect();
        check_floor(transition.image, proposal.partition.topic_id, &before, &state)
    });
    if let Err(refusal) = verdict {
        if mutation::is_active(Mutation::RefusedProposalKeepsPartitionEpoch) {
            return Err(refusal);
        }
        transition.consume_partition_epoch(proposal.partition);
        return Err(refusal);
    }
    transition.set_partition(proposal.partition, state);
    let mut settled = transition.partition(proposal.partition)?;
    if settled.partition_epoch == before.partition_epoch {
        // The proposal asked for what is there: its leader still waits to see an outcome in its image.
        transition.consume_partition_epoch(proposal.partition);
        settled = transition.partition(proposal.partition)?;
    }
    Ok(IsrAltered {
        leader: settled.leader,
        leader_epoch: settled.leader_epoch,
        partition_epoch: settled.partition_epoch,
        isr: settled.isr,
    })
}

fn check_sender(
    state: &PartitionState,
    leader: BrokerId,
    leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
) -> Result<(), Refusal> {
    if leader_epoch > state.leader_epoch || partition_epoch > state.partition_epoch {
        return Err(Refusal::new(
            ErrorCode::NotController,
            format!(
                "the proposal is newer (leader epoch {leader_epoch}, partition epoch {partition_epoch}) than the metadata ({}, {})",
                state.leader_epoch, state.partition_epoch
            ),
        ));
    }
    if leader_epoch < state.leader_epoch {
        return Err(Refusal::new(
            ErrorCode::FencedLeaderEpoch,
            format!("the leader epoch is {}, not {leader_epoch}", state.leader_epoch),
        ));
    }
    if state.leader != Some(leader) {
        return Err(Refusal::new(
            ErrorCode::InvalidRequest,
            format!("broker {leader} does not lead the partition"),
        ));
    }
    if partition_epoch < state.partition_epoch {
        return Err(Refusal::new(
            ErrorCode::InvalidUpdateVersion,
            format!("the partition epoch is {}, not {partition_epoch}", state.partition_epoch),
        ));
    }
    Ok(())
}

fn check_members(
    image: &Image,
    leader: BrokerId,
    state: &PartitionState,
    proposal: &IsrProposal,
) -> Result<(), Refusal> {
    let members: BTreeSet<BrokerId> = proposal.isr.iter().map(|member| member.broker_id).collect();
    let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    if members.len() != proposal.isr.len() {
        return invalid("the proposed ISR names a broker twice".to_owned());
    }
    if let Some(stranger) = members.iter().find(|member| !state.is_replica(**member)) {
        return invalid(format!("broker {stranger} holds no replica of the partition"));
    }
    if !members.contains(&leader) {
        return invalid("the proposed ISR lacks the leader".to_owned());
    }
    // Members that stay are not held against fence and epoch: the floor keeps fenced ones, and one that restarted kept its records or has left by its registration.
    for member in proposal.isr.iter().filter(|member| !state.is_in_sync(member.broker_id)) {
        let ineligible = |why: &str| {
            Err(Refusal::new(
                ErrorCode::IneligibleReplica,
                format!("broker {} cannot join the ISR: {why}", member.broker_id),
            ))
        };
        match image.broker(member.broker_id) {
            None => return ineligible("it is not registered"),
            Some(broker)
                if broker.broker_epoch != member.broker_epoch
                    && !mutation::is_active(Mutation::StaleIncarnationJoins) =>
            {
                return ineligible("it restarted since");
            }
            Some(broker) if broker.is_fenced() => return ineligible("it is fenced"),
            Some(broker) if !broker.is_active() => return ineligible("it is shutting down"),
            Some(_) => {}
        }
    }
    Ok(())
}

fn check_floor(
    image: &Image,
    topic_id: TopicId,
    before: &PartitionState,
    after: &PartitionState,
) -> Result<(), Refusal> {
    let removes = before.isr.iter().any(|member| !after.is_in_sync(*member));
    if removes && !floor::suffices(image, topic_id, after) {
        let floor = after.effective_min_isr(image.min_insync_replicas(topic_id));
        return Err(Refusal::new(
            ErrorCode::IneligibleReplica,
            format!("fewer than {floor} unfenced members would remain in the ISR"),
        ));
    }
    Ok(())
}

/// Takes replicas out of their ISRs on their own broker's word.
pub(super) fn replica_lost(transition: &mut Transition<'_>, command: &ReplicaLost) -> Outcome {
    if let Err(refusal) = transition.check_broker(command.broker_id, command.broker_epoch) {
        return Outcome::Refused(refusal);
    }
    let results = command.partitions.iter().map(|(partition, leader_epoch)| PartitionResult {
        partition: *partition,
        result: lose_one(transition, command, *partition, *leader_epoch),
    });
    Outcome::ReplicasLost(results.collect())
}

fn lose_one(
    transition: &mut Transition<'_>,
    command: &ReplicaLost,
    partition: TopicIdPartition,
    leader_epoch: LeaderEpoch,
) -> Result<(), Refusal> {
    let broker_id = command.broker_id;
    let mut state = transition.partition(partition)?;
    if state.leader_epoch != leader_epoch {
        return Err(Refusal::new(
            ErrorCode::FencedLeaderEpoch,
            format!("the leader epoch is {}, not {leader_epoch}", state.leader_epoch),
        ));
    }
    if !state.is_replica(broker_id) {
        return Err(Refusal::new(
            ErrorCode::InvalidRequest,
            format!("broker {broker_id} holds no replica of the partition"),
        ));
    }
    lose_member(&mut state, broker_id, None);
    state.lost_members.retain(|member| member.broker_id != broker_id);
    // The epoch ends even where the leader stays: it alone voids what the leader heard from this replica before, and any proposal in flight
    // that would let it in again while it is being cut.
    state.leader_epoch = state.leader_epoch.next();
    election::fill_vacancy(transition.image, &mut state, &command.live);
    transition.set_partition(partition, state);
    Ok(())
}
