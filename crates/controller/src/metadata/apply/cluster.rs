//! What concerns the cluster as a whole: its identity, its voters, its producer ids.

use std::collections::BTreeMap;

use imbl::OrdMap;
use model::{BrokerId, ErrorCode, ProducerId};

use super::config_checks;
use super::transition::Transition;
use crate::metadata::changes::RecordKey;
use crate::metadata::command::{AllocateProducerIds, FormCluster, UpdateVoters};
use crate::metadata::image::broker::RaftId;
use crate::metadata::outcome::{Outcome, ProducerIdBlock, Refusal};

/// Producer ids that one allocation takes (Kafka's block size).
pub(super) const PRODUCER_ID_BLOCK_SIZE: i32 = 1_000;

/// Longest cluster id in bytes; Kafka's have 22.
const MAX_CLUSTER_ID_BYTES: usize = 64;

/// Most voters; Raft is served by three.
const MAX_VOTERS: usize = 64;

/// Gives a blank cluster its identity.
pub(super) fn form(transition: &mut Transition<'_>, command: &FormCluster) -> Outcome {
    if let Some(cluster_id) = transition.image.cluster_id() {
        if *cluster_id == command.cluster_id {
            return Outcome::ClusterFormed;
        }
        return Outcome::Refused(Refusal::new(
            ErrorCode::InconsistentClusterId,
            format!("the cluster is {cluster_id}"),
        ));
    }
    if command.cluster_id.0.is_empty() || command.cluster_id.0.len() > MAX_CLUSTER_ID_BYTES {
        return Outcome::Refused(Refusal::new(
            ErrorCode::InvalidRequest,
            format!("a cluster id has 1 to {MAX_CLUSTER_ID_BYTES} bytes"),
        ));
    }
    let seed = config_checks::check_count(command.configs.len()).and_then(|()| {
        let mut settings = command.configs.iter();
        settings.try_for_each(|(name, value)| config_checks::check_cluster(name, value))
    });
    if let Err(refusal) = seed.and_then(|()| check_voters(&command.voters)) {
        return Outcome::Refused(refusal);
    }
    transition.image.cluster_id = Some(command.cluster_id.clone());
    transition.image.voters = OrdMap::from(&command.voters);
    transition.changes.records.insert(RecordKey::Cluster);
    for (name, value) in &command.configs {
        transition.image.cluster_configs.insert(name.clone(), value.clone());
        transition.changes.records.insert(RecordKey::ClusterConfig(name.clone()));
    }
    Outcome::ClusterFormed
}

/// Records who votes.
pub(super) fn update_voters(transition: &mut Transition<'_>, command: &UpdateVoters) -> Outcome {
    if let Err(refusal) = check_voters(&command.voters) {
        return Outcome::Refused(refusal);
    }
    let voters = OrdMap::from(&command.voters);
    if transition.image.voters != voters {
        let before = std::mem::replace(&mut transition.image.voters, voters);
        transition.changes.brokers.extend(before.keys().copied());
        transition.changes.brokers.extend(command.voters.keys().copied());
        transition.changes.records.insert(RecordKey::Cluster);
    }
    Outcome::VotersUpdated
}

fn check_voters(voters: &BTreeMap<BrokerId, RaftId>) -> Result<(), Refusal> {
    if voters.len() > MAX_VOTERS {
        return Err(Refusal::new(
            ErrorCode::InvalidRequest,
            format!("at most {MAX_VOTERS} brokers vote"),
        ));
    }
    Ok(())
}

/// Takes the next block of producer ids.
pub(super) fn allocate_producer_ids(
    transition: &mut Transition<'_>,
    command: &AllocateProducerIds,
) -> Outcome {
    if let Err(refusal) = transition.check_broker(command.broker_id, command.broker_epoch) {
        return Outcome::Refused(refusal);
    }
    let first = transition.image.next_producer_id;
    let Some(next) = first.0.checked_add(i64::from(PRODUCER_ID_BLOCK_SIZE)) else {
        return Outcome::Refused(Refusal::new(
            ErrorCode::PolicyViolation,
            "all producer ids are taken",
        ));
    };
    transition.image.next_producer_id = ProducerId(next);
    transition.changes.records.insert(RecordKey::Cluster);
    Outcome::ProducerIdsAllocated(ProducerIdBlock { first, count: PRODUCER_ID_BLOCK_SIZE })
}
