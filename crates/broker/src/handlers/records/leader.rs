//! Where the leader of a partition is: this broker's replica, or what a client is told instead.
//!
//! Owns the rule that a client is never sent to a leader that may be dead: LEADER_NOT_AVAILABLE makes impatient clients retry instead of
//! writing into nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use controller::metadata::{Image, PartitionState};
use model::{BrokerId, ErrorCode, TopicId, TopicIdPartition};
use protocol::messages::produce::{LeaderIdAndEpoch, NodeEndpoint};
use replication::{LeaderHint, PartitionHandle};

use crate::context::{Call, Context};

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

/// Finds this broker's replica of a partition that it leads, as far as its image knows; the replica itself has the last word.
pub(super) fn find(
    context: &Context,
    image: &Image,
    topic_id: TopicId,
    partition: i32,
) -> Result<Arc<PartitionHandle>, Elsewhere> {
    let id = TopicIdPartition { topic_id, partition };
    let Some(state) = image.partition(id) else {
        return Err(ErrorCode::UnknownTopicOrPartition.into());
    };
    let Some(leader) = state.leader else {
        return Err(ErrorCode::LeaderNotAvailable.into());
    };
    if leader == context.broker_id() {
        // The image is ahead of the replica while this is created or elected: a moment later it is there.
        let replica = context.replicas.get(&id);
        return replica.ok_or_else(|| ErrorCode::LeaderNotAvailable.into());
    }
    if context.is_doubtful(image, leader) {
        return Err(ErrorCode::LeaderNotAvailable.into());
    }
    let hint = LeaderHint { leader: Some(leader), leader_epoch: state.leader_epoch };
    Err(Elsewhere { error: ErrorCode::NotLeaderOrFollower, hint: Some(hint) })
}

/// The same, but waits a moment for a replica that is still being made: a client that was told of a new topic may be that fast, and Kafka never sends it away with
/// LEADER_NOT_AVAILABLE.
pub(super) async fn find_made(
    context: &Context,
    image: &Image,
    topic_id: TopicId,
    partition: i32,
) -> Result<Arc<PartitionHandle>, Elsewhere> {
    let found = find(context, image, topic_id, partition);
    let state = image.partition(TopicIdPartition { topic_id, partition });
    let is_own = |state: &PartitionState| state.leader == Some(context.broker_id());
    if found.is_ok() || !state.is_some_and(is_own) {
        return found;
    }
    context.until_there(topic_id, partition).await;
    find(context, image, topic_id, partition)
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
