//! One task per leader: it keeps a stream open, appends what comes over it and lets the partitions acknowledge.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use model::BrokerId;
use tonic::{Status, Streaming};

use super::connection::connect;
use crate::local_broker::{LocalBroker, Running};
use crate::partition::{Event, ReplicaRole};
use crate::partition_handle::{LeaderMessage, Outbox};
use crate::stream::{proto, wire};

/// Fetches from one leader until the broker stops or nothing is led there any more.
pub(super) async fn run(local: Arc<LocalBroker>, leader: BrokerId) {
    let Some(running) = local.running() else { return };
    let mut pause = FIRST_PAUSE;
    // The first failure of an outage is told, and its end.
    let mut is_cut_off = false;
    while !running.stop.is_cancelled() && !retire(&local, leader) {
        let outbox = Arc::new(Outbox::default());
        match connect(&local, running, leader, &outbox).await {
            Ok(updates) => {
                (pause, is_cut_off) = (FIRST_PAUSE, false);
                tracing::info!(%leader, "the replication stream to a leader is open");
                local.host.outboxes.set_open(leader, Some(&outbox));
                for partition in local.partitions().values() {
                    partition.step(Event::StreamOpened { leader });
                }
                let end = receive(&local, running, leader, updates).await;
                local.host.outboxes.set_open(leader, None);
                outbox.close();
                tracing::info!(%leader, %end, "the replication stream to a leader ended");
            }
            Err(error) if is_cut_off => {
                tracing::debug!(%leader, error = &error as &dyn Error, "still no replication stream to a leader");
            }
            Err(error) => {
                is_cut_off = true;
                tracing::info!(%leader, error = &error as &dyn Error, "no replication stream to a leader: trying again until there is one");
            }
        }
        tokio::select! {
            () = running.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(local.config.reconnect_backoff_max.max(FIRST_PAUSE));
    }
}

/// Ends the task when no partition follows the leader any more; says whether it does.
fn retire(local: &LocalBroker, leader: BrokerId) -> bool {
    local.host.outboxes.retire(leader, || {
        local.partitions().values().any(|partition| {
            matches!(partition.role(), ReplicaRole::Follower(followed, _) if followed == leader)
        })
    })
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("this broker stops")]
    Stopped,
    #[error("the leader closed it")]
    Closed,
    #[error("the connection failed: {}", .0.message())]
    Failed(Status),
    #[error("the leader sent a malformed message: {0}")]
    Malformed(wire::Malformed),
}

async fn receive(
    local: &LocalBroker,
    running: &Running,
    leader: BrokerId,
    mut updates: Streaming<proto::LeaderMessage>,
) -> End {
    let mut unyielded_bytes = 0;
    loop {
        let message = tokio::select! {
            () = running.stop.cancelled() => return End::Stopped,
            message = updates.message() => message,
        };
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => return End::Closed,
            Err(status) => return End::Failed(status),
        };
        for update in message.updates {
            match wire::read_update(update) {
                Ok((id, answer, batches)) => {
                    unyielded_bytes += batches.len();
                    if let Some(partition) = local.partition(&id) {
                        partition.leader_answered(&LeaderMessage {
                            leader,
                            answer,
                            batches: &batches,
                        });
                    }
                }
                Err(malformed) => return End::Malformed(malformed),
            }
        }
        // Bytes that are there already make no await point, and other tasks of this thread wait.
        if unyielded_bytes >= YIELD_AFTER_BYTES {
            unyielded_bytes = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Pause before the first reconnect.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Bytes that are appended before other tasks get a turn.
const YIELD_AFTER_BYTES: usize = 256 << 10;
