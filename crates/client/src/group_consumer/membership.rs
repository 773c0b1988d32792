//! What a member's parts have in common: its settings, its links to the coordinator, who it is, and whether anybody polls.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::GroupConsumerConfig;
use super::link::Link;
use crate::client::Client;
use crate::groups::wire::Committer;

/// Shared by a consumer, its heartbeats and its requests under way.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) config: GroupConsumerConfig,
    /// For JoinGroup and SyncGroup, which wait for other members.
    pub(super) joining: Link,
    /// For everything else.
    pub(super) link: Link,
    identity: Mutex<Identity>,
    /// When the last poll returned; `None` while one runs.
    idle_since: Mutex<Option<Instant>>,
}

/// Who a member is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// Its id; empty before the coordinator has given one.
    pub(super) member_id: String,
    /// The generation that it is in.
    pub(super) generation: Option<i32>,
}

impl Shared {
    pub(super) fn new(client: Client, config: GroupConsumerConfig) -> Self {
        // A broker that hangs must be given up in time to find the next coordinator within the session.
        let patience = (config.session_timeout / 3)
            .clamp(LEAST_PATIENCE, client.config().request_timeout.max(LEAST_PATIENCE));
        let link = || Link::new(client.clone(), config.group_id.clone(), patience);
        Self {
            joining: link(),
            link: link(),
            identity: Mutex::default(),
            idle_since: Mutex::new(Some(Instant::now())),
            client,
            config,
        }
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_identity(&self, identity: Identity) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// Returns who commits.
    pub(super) fn committer(&self) -> Committer {
        let identity = self.identity();
        Committer {
            member_id: identity.member_id,
            group_instance_id: self.config.group_instance_id.clone(),
            generation: identity.generation.unwrap_or(-1),
        }
    }

    /// Notes that somebody polls, until the value is dropped.
    pub(super) fn polling(&self) -> Polling<'_> {
        self.set_idle_since(None);
        Polling(self)
    }

    /// Returns for how long nobody has polled.
    pub(super) fn idle_for(&self) -> Duration {
        let since = *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map(|since| since.elapsed()).unwrap_or_default()
    }

    fn set_idle_since(&self, since: Option<Instant>) {
        *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// A poll that runs.
#[derive(Debug)]
pub(super) struct Polling<'a>(&'a Shared);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.set_idle_since(Some(Instant::now()));
    }
}

const LEAST_PATIENCE: Duration = Duration::from_secs(1);
