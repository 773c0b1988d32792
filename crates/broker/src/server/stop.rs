//! The stop of a broker, step by step, each with a deadline of its own.
//!
//! Invariant: the clean mark is left only when every log was flushed and nothing appends any more; a step that misses its deadline leaves
//! the next start to be as after a crash, which loses nothing.

use std::time::Duration;

use anyhow::Context as _;
use controller::Controller;
use tokio_util::task::TaskTracker;

use super::start::Running;

/// For leaderships to move.
const HAND_OVER: Duration = Duration::from_secs(5);
/// How often a broker that stops looks whether it is the last one.
const ALONE_POLL: Duration = Duration::from_millis(100);
/// For replicas to acknowledge what was appended, so that it can be answered.
const ACKS: Duration = Duration::from_millis(500);
/// For requests in flight to be answered.
const DRAIN: Duration = Duration::from_secs(5);
/// For fetchers and the image applier to end.
const BACKGROUND: Duration = Duration::from_secs(5);
/// For all logs to be flushed.
const FLUSH: Duration = Duration::from_secs(20);
/// For Raft's leadership to move and the control plane to end.
const CONTROL_PLANE: Duration = Duration::from_secs(5);

/// Stops everything, in order.
pub(super) async fn stop(running: Running) -> anyhow::Result<()> {
    let Running { controller, replicas, flusher, directory, broker_epoch, .. } = &running;
    hand_over(controller).await;
    // Members that wait for one another are told to look for their coordinator again: their connections could not end otherwise.
    running.coordinators.stop();
    let drained = drain(&running).await;
    let coordinators = running.coordinators.ended();
    if tokio::time::timeout(BACKGROUND, coordinators).await.is_err() {
        tracing::warn!("coordinators did not end in time");
    }
    running.background_stop.cancel();
    let ended = end(&running.background, BACKGROUND, "replication").await;
    let (replicas, flusher) = (replicas.clone(), flusher.clone());
    let closing = tokio::task::spawn_blocking(move || {
        let closed = replicas.close();
        flusher.stop();
        closed
    });
    let flushed = match tokio::time::timeout(FLUSH, closing).await {
        Ok(closed) => {
            closed.context("closing the logs did not end")??;
            true
        }
        Err(_) => {
            tracing::warn!("the logs are not flushed in time");
            false
        }
    };
    if drained && ended && flushed {
        directory.mark_clean(*broker_epoch)?;
    }
    if tokio::time::timeout(CONTROL_PLANE, controller.shutdown()).await.is_err() {
        tracing::warn!("the control plane does not end in time");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Moves the leaderships to others, as far as there are any.
async fn hand_over(controller: &Controller) {
    let asked = controller.controlled_shutdown(HAND_OVER);
    let moved = tokio::select! {
        moved = tokio::time::timeout(HAND_OVER, asked) => moved.ok(),
        () = until_alone(controller) => {
            tracing::info!("no other broker is there to take leaderships over");
            return;
        }
    };
    match moved {
        Some(Ok(0)) => tracing::info!("all leaderships have moved"),
        Some(Ok(left)) => tracing::info!("{left} leaderships stay: no other replica can lead"),
        Some(Err(error)) => tracing::warn!("leaderships did not move: {error}"),
        None => tracing::warn!("leaderships did not move in time"),
    }
}

/// Waits until no other broker could take a leadership, so that a whole cluster that stops does not wait for itself.
async fn until_alone(controller: &Controller) {
    let own = controller.broker_id();
    loop {
        tokio::time::sleep(ALONE_POLL).await;
        let image = controller.image();
        if !image.brokers().any(|broker| broker.broker_id != own && broker.is_active()) {
            return;
        }
    }
}

/// Answers what is in flight. The last broker of a cluster that stops waits for no replica: producers are told to ask another leader, as they
/// would be after a leadership that moved.
async fn drain(running: &Running) -> bool {
    running.drain.cancel();
    running.connections.close();
    let _ended = tokio::time::timeout(ACKS, running.connections.wait()).await;
    running.no_more_acks.cancel();
    end(&running.connections, DRAIN, "client connections").await
}

async fn end(tasks: &TaskTracker, deadline: Duration, what: &str) -> bool {
    tasks.close();
    let ended = tokio::time::timeout(deadline, tasks.wait()).await.is_ok();
    if !ended {
        tracing::warn!("{what} did not end in time");
    }
    ended
}
