//! Where the leader of a partition is: this broker's replica, or what a client is told instead.
//!
//! Owns the rule that a client is never sent to a leader that may be dead: LEADER_NOT_AVAILABLE makes impatient clients retry instead of
//! writing into nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use controller::metadata::Image;
use model::{BrokerId, ErrorCode, TopicIdPartition};
use protocol::messages::produce::{LeaderIdAndEpoch, NodeEndpoint};
use replication::{LeaderHint, PartitionHandle};

use crate::context::{Call, Context};
use crate::handlers::{brokers, waits};

/// Why a partition is not served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// The code for the client.
    pub(super) error: ErrorCode,
    /// Where to go, when that is known.
    pub(super) hint: Option<LeaderHint>,
}

impl From<ErrorCode> for Elsewhere {
    fn from(error: ErrorCode) -> Self {
        Self { error, hint: None }
    }
}

/// Finds this broker's replica of a partition that it leads, as far as its image knows; the replica itself has the last word. `None` while the replica is being made: the
/// image is ahead of it when the partition is new.
pub(super) fn find(
    context: &Context,
    image: &Image,
    id: TopicIdPartition,
) -> Result<Option<Arc<PartitionHandle>>, Elsewhere> {
    let Some(state) = image.partition(id) else {
        return Err(ErrorCode::UnknownTopicOrPartition.into());
    };
    let Some(leader) = state.leader else {
        return Err(ErrorCode::LeaderNotAvailable.into());
    };
    if leader == context.broker_id() {
        let replica = context.replicas.get(&id);
        if replica.is_none() && context.replicas.is_without_room(&id) {
            return Err(ErrorCode::KafkaStorageError.into());
        }
        return Ok(replica);
    }
    if brokers::is_doubtful(context, image, leader) {
        return Err(ErrorCode::LeaderNotAvailable.into());
    }
    let hint = LeaderHint { leader: Some(leader), leader_epoch: state.leader_epoch };
    Err(Elsewhere { error: ErrorCode::NotLeaderOrFollower, hint: Some(hint) })
}

/// The same, but waits a moment for a replica that is being made: a client that was told of a new topic may be that fast, and Kafka never sends it away with
/// LEADER_NOT_AVAILABLE.
pub(super) async fn find_made(
    context: &Context,
    image: &Image,
    id: TopicIdPartition,
) -> Result<Arc<PartitionHandle>, Elsewhere> {
    if let Some(replica) = find(context, image, id)? {
        return Ok(replica);
    }
    let made = waits::until_made(&context.replicas, id).await;
    made.ok_or_else(|| ErrorCode::LeaderNotAvailable.into())
}

/// Collects the addresses of the leaders that a response names (KIP-951).
#[derive(Debug, Default)]
pub(super) struct Hints {
    endpoints: BTreeMap<BrokerId, NodeEndpoint>,
}

impl Hints {
    /// Returns the tagged field for a partition, and remembers the leader's address.
    pub(super) fn name(
        &mut self,
        image: &Image,
        call: &Call,
        hint: Option<LeaderHint>,
    ) -> LeaderIdAndEpoch {
        let Some(LeaderHint { leader: Some(leader), leader_epoch }) = hint else {
            return LeaderIdAndEpoch::default();
        };
        let Some(broker) = image.broker(leader) else { return LeaderIdAndEpoch::default() };
        let Some(endpoint) = broker.endpoint(&call.listener.name) else {
            return LeaderIdAndEpoch::default();
        };
        self.endpoints.entry(leader).or_insert_with(|| NodeEndpoint {
            node_id: leader.0,
            host: endpoint.address.host.as_str().into(),
            port: i32::from(endpoint.address.port),
            rack: broker.rack.as_deref().map(Into::into),
        });
        LeaderIdAndEpoch { leader_id: leader.0, leader_epoch: leader_epoch.0 }
    }

    /// Returns the addresses.
    pub(super) fn into_endpoints(self) -> Vec<NodeEndpoint> {
        self.endpoints.into_values().collect()
    }
}
