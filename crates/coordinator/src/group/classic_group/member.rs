//! A member of a group.

use std::time::Duration;

use bytes::Bytes;
use model::Timestamp;

use crate::group::ids::GroupInstanceId;
use crate::group::request::{JoinProtocol, RequestId};

/// A member of a group. Its id is its key in [`Members`](super::members::Members).
#[derive(Clone, Debug)]
pub(in crate::group) struct Member {
    /// Static name (KIP-345).
    pub(in crate::group) group_instance_id: Option<GroupInstanceId>,
    pub(in crate::group) client_id: String,
    pub(in crate::group) client_host: String,
    pub(in crate::group) rebalance_timeout: Duration,
    pub(in crate::group) session_timeout: Duration,
    /// Its strategies, the preferred one first; names are unique. After a load only the chosen one is known.
    pub(in crate::group) protocols: Vec<JoinProtocol>,
    /// Its part as of the last assignment; empty before the first.
    pub(in crate::group) assignment: Bytes,
    pub(in crate::group) standing: Standing,
    /// The JoinGroup that waits for the rebalance; only while the group prepares one.
    pub(in crate::group) parked_join: Option<RequestId>,
    /// The SyncGroup that waits for the leader's assignment; only while the group waits for it.
    pub(in crate::group) parked_sync: Option<RequestId>,
    /// When it counts as gone unless it is heard from. Without meaning while a request of an established member is parked.
    pub(in crate::group) deadline: Timestamp,
    /// Where its entry in the timers stands, if it has one: at or before the deadline.
    pub(in crate::group) armed_at: Option<Timestamp>,
}

/// Whether a member was ever told that it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::group) enum Standing {
    /// Its first JoinGroup is not yet answered. Its client may be gone without our knowing, so it expires even while that waits.
    New,
    /// It was part of a generation.
    Established,
}

impl Member {
    /// Says whether silence does not count against it: it waits for us, not we for it.
    pub(in crate::group) fn is_waiting(&self) -> bool {
        self.standing == Standing::Established
            && (self.parked_join.is_some() || self.parked_sync.is_some())
    }

    /// Notes a sign of life. The deadline only moves on, so the entry in the timers stays right.
    pub(in crate::group) fn touch(&mut self, now: Timestamp) {
        self.deadline = self.deadline.max(now + self.session_timeout);
    }

    /// Returns what it says of itself under a strategy; empty if it does not know it.
    pub(in crate::group) fn metadata(&self, protocol_name: &str) -> Bytes {
        let protocol = self.protocols.iter().find(|protocol| protocol.name == protocol_name);
        protocol.map(|protocol| protocol.metadata.clone()).unwrap_or_default()
    }
}
