//! Proposing at the active controller itself.
//!
//! Owns what only the active controller can put into a command: the brokers it has heard in its own term, and the session that still stands
//! in a registration's way. Waits out the moments in which a new leader may not write yet.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::liveness::SessionId;
use super::roster::Roster;
use crate::metadata::Command;
use crate::raft::{Proposed, RaftNode};

/// How long a leader that may not write just now (its lease has not begun, or leadership is moving) is asked again.
const NOT_WRITTEN_PATIENCE: Duration = Duration::from_millis(500);
const NOT_WRITTEN_PAUSE: Duration = Duration::from_millis(3);
/// Longest wait for a commit: beyond it this leader has no quorum, and nobody knows what becomes of the entry.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The way into the metadata log, for whoever acts on the active controller. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Proposer {
    pub(crate) raft: Arc<RaftNode>,
    pub(crate) roster: Arc<Roster>,
}

impl Proposer {
    /// Completes a command with what this controller knows, proposes it, and waits until it is applied here.
    ///
    /// `session` is the one by which the command came; `None` for the controller's own.
    pub(crate) async fn propose(
        &self,
        mut command: Command,
        session: Option<SessionId>,
    ) -> Proposed {
        let begun = Instant::now();
        loop {
            self.complete(&mut command, session);
            let encoded = Bytes::from(command.encode());
            match timeout(COMMIT_TIMEOUT, self.raft.propose(encoded)).await {
                Err(_) => return Proposed::Unknown,
                Ok(Proposed::NotWritten)
                    if self.roster.is_open() && begun.elapsed() < NOT_WRITTEN_PATIENCE =>
                {
                    sleep(NOT_WRITTEN_PAUSE).await;
                }
                Ok(proposed) => return proposed,
            }
        }
    }

    fn complete(&self, command: &mut Command, session: Option<SessionId>) {
        if let Command::RegisterBroker(registration) = command {
            // Without a session the number matches none, so that every open one counts.
            let own = session.unwrap_or(SessionId(0));
            registration.open_session = self.roster.open_session(registration.broker_id, own);
        }
        if let Some(live) = command.live_mut() {
            *live = self.roster.live();
        }
    }
}
