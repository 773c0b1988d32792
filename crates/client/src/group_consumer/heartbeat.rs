//! The task that tells the coordinator that a member lives, and the member what the coordinator says.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::pending;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::membership::Membership;
use super::signal::Signal;
use crate::error::Error;
use crate::wire::millis;

/// The running task; it ends when the value is dropped. It goes on while the member prepares to join again.
#[derive(Debug)]
pub(super) struct Heartbeat {
    signal: watch::Receiver<Signal>,
    _end: DropGuard,
}

impl Heartbeat {
    /// Starts to send heartbeats of the generation that the member is in now.
    pub(super) fn start(membership: &Arc<Membership>) -> Self {
        let tasks = membership.client.tasks();
        let token = tasks.token.child_token();
        let (sender, signal) = watch::channel(Signal::Fine);
        tasks.tracker.spawn(beat(membership.clone(), token.clone(), sender));
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

async fn beat(
    membership: Arc<Membership>,
    token: CancellationToken,
    sender: watch::Sender<Signal>,
) {
    let beating = async {
        let mut wait = membership.config.heartbeat_interval;
        loop {
            tokio::time::sleep(wait).await;
            if membership.idle_for() > membership.config.rebalance_timeout {
                // Whoever holds partitions and does not read must give them up (`max.poll.interval.ms`). A static member is thrown out by its
                // session, as Kafka's clients have it.
                tracing::warn!(
                    group = membership.config.group_id,
                    max_poll_interval_ms = millis(membership.config.rebalance_timeout),
                    "no poll within max.poll.interval.ms, leaving the group: poll sooner or raise it"
                );
                if let Err(error) = membership.leave().await {
                    tracing::debug!(group = membership.config.group_id, %error, "cannot leave the group");
                }
                return Signal::Lost;
            }
            match membership.beat().await {
                Ok(()) => wait = membership.config.heartbeat_interval,
                Err(failure) => match Signal::of(failure) {
                    // The coordinator is looked for at once, and then not faster than this.
                    Signal::Fine => wait = RETRY_WAIT.min(membership.config.heartbeat_interval),
                    // The member lives until it has joined again, which may take its user a while.
                    Signal::Rejoin => {
                        sender.send_replace(Signal::Rejoin);
                        wait = membership.config.heartbeat_interval;
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

const RETRY_WAIT: Duration = Duration::from_millis(100);
