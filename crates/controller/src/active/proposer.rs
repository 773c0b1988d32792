//! Proposing at the active controller itself.
//!
//! Owns what only the active controller can put into a command: the brokers it has heard in its own term, and the session that still stands
//! in a registration's way. Waits out the moments in which a new leader may not write yet.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use crate::active::liveness::SessionId;
use crate::metadata::{Command, LiveSet};
use crate::plane::Plane;
use crate::raft::Proposed;

/// How long a leader that may not write just now (its lease has not begun, or leadership is moving) is asked again.
const NOT_WRITTEN_PATIENCE: Duration = Duration::from_millis(500);
const NOT_WRITTEN_PAUSE: Duration = Duration::from_millis(3);
/// Longest wait for a commit: beyond it this leader has no quorum, and nobody knows what becomes of the entry.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

impl Plane {
    /// Completes a command with what this controller knows, proposes it, and waits until it is applied here.
    pub(crate) async fn propose_here(
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
                    if self.leadership.is_active() && begun.elapsed() < NOT_WRITTEN_PATIENCE =>
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
            registration.open_session = self.leadership.open_session(registration.broker_id, own);
        }
        if let Some(live) = live_set(command) {
            *live = self.leadership.live();
        }
    }
}

/// Returns the live set of a command that may elect.
fn live_set(command: &mut Command) -> Option<&mut LiveSet> {
    match command {
        Command::RegisterBroker(command) => Some(&mut command.live),
        Command::UnfenceBroker(command) => Some(&mut command.live),
        Command::FenceBroker(command) => Some(&mut command.live),
        Command::ControlledShutdown(command) => Some(&mut command.live),
        Command::ReplicaLost(command) => Some(&mut command.live),
        Command::ElectLeaders(command) => Some(&mut command.live),
        Command::YieldLeadership(command) => Some(&mut command.live),
        Command::CreateTopics(command) => Some(&mut command.live),
        Command::CreatePartitions(command) => Some(&mut command.live),
        Command::FormCluster(_)
        | Command::ProposeIsr(_)
        | Command::DeleteTopics(_)
        | Command::AlterConfigs(_)
        | Command::AllocateProducerIds(_)
        | Command::UpdateVoters(_) => None,
    }
}
