//! Who a member is, and how it speaks to its coordinator under that name.
//!
//! The one place where the member's id and generation change: its polls, its heartbeats and its requests under way all see them here.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::ErrorCode;
use protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use tokio::time::Instant;

use super::GroupConsumerConfig;
use crate::client::Client;
use crate::coordinator_link::Link;
use crate::error::Error;
use crate::groups::coordinators::CoordinatorKey;
use crate::groups::offset_messages::Committer;
use crate::groups::subject;

/// Membership by a consumer, its heartbeats and its requests under way.
#[derive(Debug)]
pub(super) struct Membership {
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

impl Membership {
    pub(super) fn new(client: Client, config: GroupConsumerConfig) -> Self {
        // A broker that hangs must be given up in time to find the next coordinator within the session.
        let patience = (config.session_timeout / 3)
            .clamp(LEAST_PATIENCE, client.config().request_timeout.max(LEAST_PATIENCE));
        let key = CoordinatorKey::of_group(&config.group_id);
        let link = || Link::new(client.clone(), key.clone(), patience);
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

    /// Names the group in an error.
    pub(super) fn subject(&self) -> String {
        subject(&self.config.group_id)
    }

    /// Forgets the generation, and the member id too where that is not known any more.
    pub(super) fn forget(&self, failure: &Error) {
        let member_id = match failure.code() {
            Some(ErrorCode::UnknownMemberId) => String::new(),
            _ => self.identity().member_id,
        };
        self.set_identity(Identity { member_id, generation: None });
    }

    /// Tells the coordinator once that this member lives.
    ///
    /// # Errors
    /// [`Error`]; see [`Signal::of`](super::signal::Signal::of).
    pub(super) async fn beat(&self) -> Result<(), Error> {
        let committer = self.committer();
        let request = HeartbeatRequest {
            group_id: (&self.config.group_id).into(),
            generation_id: committer.generation,
            member_id: committer.member_id.into(),
            group_instance_id: committer.group_instance_id.map(Into::into),
        };
        let check =
            |response: HeartbeatResponse| Error::check(self.subject(), response.error_code, None);
        self.link.ask(&request, Duration::ZERO, check).await
    }

    /// Leaves the group, so that the others need not wait for the end of the session. A static member does not leave: its place waits for it.
    ///
    /// # Errors
    /// [`Error`] of the one attempt.
    pub(super) async fn leave(&self) -> Result<(), Error> {
        let config = &self.config;
        let identity = self.identity();
        if identity.member_id.is_empty() || config.group_instance_id.is_some() {
            return Ok(());
        }
        let request = LeaveGroupRequest {
            group_id: (&config.group_id).into(),
            member_id: (&identity.member_id).into(),
            members: vec![MemberIdentity {
                member_id: (&identity.member_id).into(),
                group_instance_id: None,
                reason: None,
            }],
        };
        self.set_identity(Identity::default());
        let check = |response: LeaveGroupResponse| {
            Error::check(self.subject(), response.error_code, None)?;
            let member = response.members.first();
            let code = member.map_or(ErrorCode::None, |member| member.error_code);
            Error::check(self.subject(), code, None)
        };
        self.link.ask(&request, Duration::ZERO, check).await
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
pub(super) struct Polling<'a>(&'a Membership);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.set_idle_since(Some(Instant::now()));
    }
}

const LEAST_PATIENCE: Duration = Duration::from_secs(1);
