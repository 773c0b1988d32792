//! Joins a group, or its next generation, and assigns as its leader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::{ErrorCode, TopicPartition};
use protocol::codec::KafkaString;
use protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use protocol::messages::sync_group::{
    SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};

use super::assignor::{Assignor, Participant};
use super::membership::{Identity, Membership};
use super::signal::Signal;
use crate::client::Client;
use crate::error::{Error, RequestError};
use crate::groups::Subscription;
use crate::groups::consumer_protocol::{self, PROTOCOL_TYPE};
use crate::metadata::Topics;
use crate::wire::millis;

/// A place in a generation.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    pub(super) generation: i32,
    pub(super) assignment: BTreeSet<TopicPartition>,
    /// Whether what the member owned before is lost, because the group had forgotten it.
    pub(super) has_lost: bool,
    /// Of the leader: what it assigned by.
    pub(super) assigned_by: Option<PartitionCounts>,
}

/// Topics that the members subscribe to, and their partitions; `None` for a topic that does not exist.
pub(super) type PartitionCounts = BTreeMap<String, Option<i32>>;

/// Joins the group, or its next generation, and waits for the assignment. `owned` is what the member keeps while it waits.
///
/// # Errors
/// What is final: a fenced static member, a group that is full, members that share no strategy; or [`Error::GaveUp`] when no coordinator
/// answered for `default.api.timeout.ms`.
pub(super) async fn join(
    membership: Arc<Membership>,
    mut owned: BTreeSet<TopicPartition>,
) -> Result<Joined, Error> {
    let mut backoff = membership.client.backoff();
    let mut has_lost = false;
    let mut attempt = 0;
    loop {
        let failure = match join_once(&membership, &owned).await {
            Ok(joined) => return Ok(Joined { has_lost, ..joined }),
            Err(failure) => failure,
        };
        attempt += 1;
        let is_asked_again = failure.code() == Some(ErrorCode::MemberIdRequired);
        match Signal::of(failure.clone()) {
            _ if is_asked_again => {}
            Signal::Rejoin => {}
            Signal::Lost => {
                has_lost = true;
                owned.clear();
                membership.forget(&failure);
            }
            Signal::Fine => {
                backoff.after(failure).await?;
                continue;
            }
            Signal::Final(failure) => return Err(failure),
        }
        // The coordinator answered, so that patience starts afresh; what it says over and over is not asked over and over without a pause.
        backoff = membership.client.backoff();
        if attempt > ATTEMPTS_WITHOUT_PAUSE {
            backoff.after(failure).await?;
        }
    }
}

async fn join_once(
    membership: &Membership,
    owned: &BTreeSet<TopicPartition>,
) -> Result<Joined, Error> {
    let joined = send_join(membership, owned).await?;
    let identity = Identity {
        member_id: String::from(&joined.member_id),
        generation: Some(joined.generation_id),
    };
    let name = joined.protocol_name.as_deref().unwrap_or_default();
    let assignor = Assignor::from_name(name).ok_or_else(|| Error::Broker {
        subject: membership.subject(),
        code: ErrorCode::InconsistentGroupProtocol,
        message: Some(format!("the group chose '{name}', which this member did not offer")),
    })?;
    let is_leader = joined.leader == joined.member_id && !joined.members.is_empty();
    let (assignments, assigned_by) = if is_leader {
        let (assignments, counts) = assign(membership, assignor, &joined).await?;
        // A static leader that came back is told that nothing changed; what it would assign is not wanted (KIP-814).
        (if joined.skip_assignment { Vec::new() } else { assignments }, Some(counts))
    } else {
        (Vec::new(), None)
    };
    // From here on the coordinator counts on this member; a leave must name it.
    membership.set_identity(identity.clone());
    let assignment = send_sync(membership, &identity, assignor, assignments).await?;
    let partitions =
        consumer_protocol::read_assignment(&assignment).ok_or_else(|| Error::Records {
            subject: membership.subject(),
            problem: "the leader's assignment cannot be read".to_owned(),
        })?;
    Ok(Joined {
        generation: joined.generation_id,
        assignment: partitions.into_iter().collect(),
        has_lost: false,
        assigned_by,
    })
}

async fn send_join(
    membership: &Membership,
    owned: &BTreeSet<TopicPartition>,
) -> Result<JoinGroupResponse, Error> {
    let config = &membership.config;
    let identity = membership.identity();
    let subscription = Subscription {
        topics: config.topics.clone(),
        owned: owned.iter().cloned().collect(),
        generation: identity.generation,
        rack: None,
    };
    let metadata =
        consumer_protocol::write_subscription(&subscription).map_err(RequestError::from)?;
    let protocols = config.assignors.iter().map(|assignor| JoinGroupRequestProtocol {
        name: assignor.name().into(),
        metadata: metadata.clone(),
    });
    let request = JoinGroupRequest {
        group_id: (&config.group_id).into(),
        session_timeout_ms: millis(config.session_timeout),
        rebalance_timeout_ms: millis(config.rebalance_timeout),
        member_id: identity.member_id.into(),
        group_instance_id: config.group_instance_id.as_ref().map(KafkaString::from),
        protocol_type: PROTOCOL_TYPE.into(),
        protocols: protocols.collect(),
        reason: None,
    };
    let check = |response: JoinGroupResponse| {
        if response.error_code == ErrorCode::MemberIdRequired {
            let member_id = String::from(&response.member_id);
            membership.set_identity(Identity { member_id, generation: None });
        }
        Error::check(membership.subject(), response.error_code, None)?;
        Ok(response)
    };
    // The answer comes when every member has joined or been thrown out.
    membership.joining.ask(&request, config.rebalance_timeout + JOIN_MARGIN, check).await
}

async fn send_sync(
    membership: &Membership,
    identity: &Identity,
    assignor: Assignor,
    assignments: Vec<SyncGroupRequestAssignment>,
) -> Result<Bytes, Error> {
    let config = &membership.config;
    let request = SyncGroupRequest {
        group_id: (&config.group_id).into(),
        generation_id: identity.generation.unwrap_or(-1),
        member_id: (&identity.member_id).into(),
        group_instance_id: config.group_instance_id.as_ref().map(KafkaString::from),
        protocol_type: Some(PROTOCOL_TYPE.into()),
        protocol_name: Some(assignor.name().into()),
        assignments,
    };
    let check = |response: SyncGroupResponse| {
        Error::check(membership.subject(), response.error_code, None)?;
        Ok(response.assignment)
    };
    membership.joining.ask(&request, config.rebalance_timeout + JOIN_MARGIN, check).await
}

/// Computes what each member gets.
async fn assign(
    membership: &Membership,
    assignor: Assignor,
    joined: &JoinGroupResponse,
) -> Result<(Vec<SyncGroupRequestAssignment>, PartitionCounts), Error> {
    let mut participants = Vec::with_capacity(joined.members.len());
    for member in &joined.members {
        let subscription = consumer_protocol::read_subscription(&member.metadata);
        // A member whose metadata nobody can read gets nothing, which is better than that nobody gets anything.
        let subscription = subscription.unwrap_or_default();
        participants.push(Participant {
            member_id: String::from(&member.member_id),
            group_instance_id: member.group_instance_id.as_ref().map(String::from),
            topics: subscription.topics,
            owned: subscription.owned,
            generation: subscription.generation,
        });
    }
    let topics: BTreeSet<_> =
        participants.iter().flat_map(|participant| participant.topics.iter().cloned()).collect();
    let topics: Vec<_> = topics.into_iter().collect();
    let counts = partition_counts(&membership.client, &topics).await?;
    let existing: BTreeMap<_, _> = counts
        .iter()
        .filter_map(|(topic, count)| count.map(|count| (topic.clone(), count)))
        .collect();
    let plan = assignor.assign(&participants, &existing);
    let assignments = plan.into_iter().map(|(member_id, partitions)| {
        let assignment = consumer_protocol::write_assignment(&partitions)?;
        Ok(SyncGroupRequestAssignment { member_id: member_id.into(), assignment })
    });
    let assignments = assignments.collect::<Result<_, _>>().map_err(RequestError::Encode)?;
    Ok((assignments, counts))
}

/// Asks for the numbers of partitions of topics.
pub(super) async fn partition_counts(
    client: &Client,
    topics: &[String],
) -> Result<PartitionCounts, Error> {
    let metadata = client.refresh_metadata(Topics::Named(topics)).await?;
    let counts = topics.iter().map(|name| {
        let topic = metadata.topics.get(name).filter(|topic| !topic.error_code.is_error());
        let count = topic.map(|topic| i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX));
        (name.clone(), count)
    });
    Ok(counts.collect())
}

/// How much longer than the rebalance itself its answer may take.
const JOIN_MARGIN: Duration = Duration::from_secs(5);

/// Answers that ask for another attempt and get one at once: a member id, a rebalance that overtook another, a lost identity.
const ATTEMPTS_WITHOUT_PAUSE: u32 = 4;
