//! The task that tells the coordinator that a member lives, and the member what the coordinator says.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::pending;
use model::ErrorCode;
use protocol::messages::heartbeat::HeartbeatRequest;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::membership::leave;
use super::shared::Shared;
use crate::error::Error;
use crate::groups::subject;

/// What a member has to do.
#[derive(Clone, Debug)]
pub(super) enum Signal {
    /// Nothing.
    Fine,
    /// Join again: the group rebalances.
    Rejoin,
    /// Join anew: the group does not know this member any more.
    Lost,
    /// End.
    Final(Error),
}

/// The running task; it ends when the value is dropped. It goes on while the member prepares to join again.
#[derive(Debug)]
pub(super) struct Heartbeat {
    signal: watch::Receiver<Signal>,
    _end: DropGuard,
}

impl Heartbeat {
    /// Starts to send heartbeats of the generation that the member is in now.
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let tasks = shared.client.tasks();
        let token = tasks.token.child_token();
        let (sender, signal) = watch::channel(Signal::Fine);
        tasks.tracker.spawn(beat(shared.clone(), token.clone(), sender));
        Self { signal, _end: token.drop_guard() }
    }

    /// Waits for something to do; for ever where there are no heartbeats. Cancel-safe.
    pub(super) async fn signal(heartbeat: Option<&mut Self>) -> Signal {
        let Some(heartbeat) = heartbeat else { return pending().await };
        match heartbeat.signal.wait_for(|signal| !matches!(signal, Signal::Fine)).await {
            Ok(signal) => signal.clone(),
            // The task has ended without a word: the client is stopped.
            Err(_) => Signal::Final(Error::Stopped),
        }
    }
}

async fn beat(shared: Arc<Shared>, token: CancellationToken, sender: watch::Sender<Signal>) {
    let beating = async {
        let mut wait = shared.config.heartbeat_interval;
        loop {
            tokio::time::sleep(wait).await;
            if shared.idle_for() > shared.config.rebalance_timeout {
                // Whoever holds partitions and does not read must give them up (`max.poll.interval.ms`). A static member is thrown out by its
                // session, as Kafka's clients have it.
                tracing::warn!(
                    group = shared.config.group_id,
                    "no poll in time, leaving the group"
                );
                if let Err(error) = leave(&shared).await {
                    tracing::debug!(group = shared.config.group_id, %error, "cannot leave the group");
                }
                return Signal::Lost;
            }
            match send(&shared).await {
                Ok(()) => wait = shared.config.heartbeat_interval,
                Err(failure) => match judge(failure) {
                    // The coordinator is looked for at once, and then not faster than this.
                    Signal::Fine => wait = RETRY_WAIT.min(shared.config.heartbeat_interval),
                    // The member lives until it has joined again, which may take its user a while.
                    Signal::Rejoin => {
                        sender.send_replace(Signal::Rejoin);
                        wait = shared.config.heartbeat_interval;
                    }
                    signal => return signal,
                },
            }
        }
    };
    let signal = tokio::select! {
        biased;
        () = token.cancelled() => return,
        signal = beating => signal,
    };
    sender.send_replace(signal);
    token.cancelled().await;
}

async fn send(shared: &Shared) -> Result<(), Error> {
    let committer = shared.committer();
    let request = HeartbeatRequest {
        group_id: (&shared.config.group_id).into(),
        generation_id: committer.generation,
        member_id: committer.member_id.into(),
        group_instance_id: committer.group_instance_id.map(Into::into),
    };
    let check = |response: protocol::messages::heartbeat::HeartbeatResponse| {
        Error::check(subject(&shared.config.group_id), response.error_code, None)
    };
    shared.link.ask(&request, Duration::ZERO, check).await
}

/// Says what a refused heartbeat, commit or sync means for a member; [`Signal::Fine`] for what passes by itself.
pub(super) fn judge(failure: Error) -> Signal {
    match failure.code() {
        Some(ErrorCode::RebalanceInProgress) => Signal::Rejoin,
        Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => Signal::Lost,
        _ if failure.is_retriable_at_coordinator() => Signal::Fine,
        _ => Signal::Final(failure),
    }
}

const RETRY_WAIT: Duration = Duration::from_millis(100);
