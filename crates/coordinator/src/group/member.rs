//! A member of a group.

use std::time::Duration;

use bytes::Bytes;
use model::Timestamp;

use super::ids::GroupInstanceId;
use super::request::{JoinProtocol, RequestId};

/// A member of a group. Its id is its key in [`Members`](super::members::Members).
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Static name (KIP-345).
    pub(super) group_instance_id: Option<GroupInstanceId>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout: Duration,
    pub(super) session_timeout: Duration,
    /// Its strategies, the preferred one first; names are unique. After a load only the chosen one is known.
    pub(super) protocols: Vec<JoinProtocol>,
    /// Its part as of the last assignment; empty before the first.
    pub(super) assignment: Bytes,
    pub(super) standing: Standing,
    /// The JoinGroup that waits for the rebalance; only while the group prepares one.
    pub(super) parked_join: Option<RequestId>,
    /// The SyncGroup that waits for the leader's assignment; only while the group waits for it.
    pub(super) parked_sync: Option<RequestId>,
    /// When it counts as gone unless it is heard from. Without meaning while a request of an established member is parked.
    pub(super) deadline: Timestamp,
    /// Where its entry in the timers stands, if it has one: at or before the deadline.
    pub(super) armed_at: Option<Timestamp>,
}

/// Whether a member was ever told that it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its first JoinGroup is not yet answered. Its client may be gone without our knowing, so it expires even while that waits.
    New,
    /// It was part of a generation.
    Established,
}

impl Member {
    /// Says whether silence does not count against it: it waits for us, not we for it.
    pub(super) fn is_waiting(&self) -> bool {
        self.standing == Standing::Established
            && (self.parked_join.is_some() || self.parked_sync.is_some())
    }

    /// Notes a sign of life. The deadline only moves on, so the entry in the timers stays right.
    pub(super) fn touch(&mut self, now: Timestamp) {
        self.deadline = self.deadline.max(now + self.session_timeout);
    }

    /// Returns what it says of itself under a strategy; empty if it does not know it.
    pub(super) fn metadata(&self, protocol_name: &str) -> Bytes {
        let protocol = self.protocols.iter().find(|protocol| protocol.name == protocol_name);
        protocol.map(|protocol| protocol.metadata.clone()).unwrap_or_default()
    }
}
