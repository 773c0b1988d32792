//! The follower's end of the streams: one task per leader broker, for all partitions that it leads.

mod connection;
mod fetcher;

use std::sync::Arc;

use crate::local_broker::LocalBroker;

/// Fetches from each leader that partitions here follow, until the broker stops.
pub(crate) async fn run(local: Arc<LocalBroker>) {
    let Some(running) = local.running() else { return };
    loop {
        let leader = tokio::select! {
            () = running.stop.cancelled() => return,
            leader = local.host.outboxes.next_wanted() => leader,
        };
        running.tasks.spawn_on(fetcher::run(Arc::clone(&local), leader), &running.runtime);
    }
}
