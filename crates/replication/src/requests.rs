//! What replicas ask of the controller, as values that the broker carries.
//!
//! The queue holds at most one request of each kind per partition, a later one in the place of an earlier one, so it is bounded by the number of partitions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use model::{BrokerEpoch, LeaderEpoch, TopicIdPartition};
use tokio::sync::Notify;

use crate::partition::{AlterIsr, LossReason};

/// A replica's request to the controller. No answer comes back here: the image shows the outcome (design rule 3a.5), and a request without an outcome is repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaRequest {
    /// Change the ISR, by compare-and-set.
    AlterIsr {
        /// The partition.
        partition: TopicIdPartition,
        /// The proposal.
        proposal: AlterIsr,
    },
    /// This broker's replica lost data that it had flushed, or stopped: take it out of the ISR (3a.7). The lost mark is on the disk already.
    ReplicaLost {
        /// The partition.
        partition: TopicIdPartition,
        /// The epoch in which it is declared, and which it ends.
        leader_epoch: LeaderEpoch,
        /// This broker's registration.
        broker_epoch: BrokerEpoch,
        /// Why.
        reason: LossReason,
    },
    /// This broker leads but cannot commit: elect another live ISR member (3a.15).
    GiveWay {
        /// The partition.
        partition: TopicIdPartition,
        /// The epoch that is to end.
        leader_epoch: LeaderEpoch,
        /// This broker's registration.
        broker_epoch: BrokerEpoch,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    AlterIsr,
    ReplicaLost,
    GiveWay,
}

impl ReplicaRequest {
    /// The partition that it is about.
    #[must_use]
    pub fn partition(&self) -> TopicIdPartition {
        match self {
            Self::AlterIsr { partition, .. }
            | Self::ReplicaLost { partition, .. }
            | Self::GiveWay { partition, .. } => *partition,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::AlterIsr { .. } => Kind::AlterIsr,
            Self::ReplicaLost { .. } => Kind::ReplicaLost,
            Self::GiveWay { .. } => Kind::GiveWay,
        }
    }
}

/// The merged queue.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    order: VecDeque<(TopicIdPartition, Kind)>,
    latest: BTreeMap<(TopicIdPartition, Kind), ReplicaRequest>,
}

impl Requests {
    /// Adds a request, in the place of an earlier one of its kind and partition. Called without any partition's lock.
    pub(crate) fn push(&self, request: ReplicaRequest) {
        let key = (request.partition(), request.kind());
        let mut state = self.lock();
        if state.latest.insert(key, request).is_none() {
            state.order.push_back(key);
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Waits for the next request.
    pub(crate) async fn next(&self) -> ReplicaRequest {
        loop {
            if let Some(request) = self.pop() {
                return request;
            }
            self.filled.notified().await;
        }
    }

    fn pop(&self) -> Option<ReplicaRequest> {
        let mut state = self.lock();
        let key = state.order.pop_front()?;
        state.latest.remove(&key)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

#[cfg(test)]
mod tests {
    use model::TopicId;

    use super::*;

    fn give_way(partition: i32, leader_epoch: i32) -> ReplicaRequest {
        ReplicaRequest::GiveWay {
            partition: TopicIdPartition { topic_id: TopicId::default(), partition },
            leader_epoch: LeaderEpoch(leader_epoch),
            broker_epoch: BrokerEpoch(1),
        }
    }

    #[test]
    fn a_later_request_takes_the_place_of_an_earlier_one() {
        let requests = Requests::default();
        for request in [give_way(0, 1), give_way(1, 1), give_way(0, 2)] {
            requests.push(request);
        }
        assert_eq!(requests.pop(), Some(give_way(0, 2)));
        assert_eq!(requests.pop(), Some(give_way(1, 1)));
        assert_eq!(requests.pop(), None);
    }
}
