//! What goes on beside requests: timers, the streams to leaders, checkpoints, retention, compaction, `flush.ms`. The tasks only wait; the work is done on storage threads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Replicas;
use crate::local_broker::LocalBroker;
use crate::partition_handle::Host;
use crate::stream::follower_end;

impl Replicas {
    pub(super) fn spawn_background(&self) {
        let Some(running) = self.local.running() else { return };
        let host = Arc::clone(&self.local.host);
        let stop = running.stop.clone();
        running
            .tasks
            .spawn_on(async move { host.timers.run(host.clock, stop).await }, &running.runtime);
        running.tasks.spawn_on(follower_end::run(Arc::clone(&self.local)), &running.runtime);
        let config = &self.local.config;
        self.spawn_every(config.high_watermark_checkpoint_interval, |local| persist(&local.host));
        self.spawn_every(config.flush_checkpoint_interval, checkpoint_all);
        self.spawn_every(config.retention_check_interval, |local| {
            for partition in local.partitions().values() {
                partition.apply_retention();
            }
        });
        self.spawn_cleaner();
        self.spawn_every(FLUSH_CHECK_INTERVAL, |local| {
            for partition in local.partitions().values() {
                partition.flush_if_due();
            }
        });
    }

    /// Runs a job on a storage thread again and again, with a pause between the end of one run and the start of the next.
    fn spawn_every(&self, pause: Duration, job: fn(&LocalBroker)) {
        let Some(running) = self.local.running() else { return };
        let local = Arc::clone(&self.local);
        let stop = running.stop.clone();
        let repeat = async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                let (done, finished) = oneshot::channel();
                let shared = Arc::clone(&local);
                let queued = local.host.storage.flusher.run(move || {
                    job(&shared);
                    // The loop may have been stopped meanwhile.
                    let _ = done.send(());
                });
                // When the queue is full, the next round does it.
                if queued.is_ok() {
                    let _ = finished.await;
                }
            }
        };
        running.tasks.spawn_on(repeat, &running.runtime);
    }
}

fn persist(host: &Host) {
    if let Err(error) = host.storage.checkpoints.persist() {
        host.storage.fatal(&error);
    }
}

fn checkpoint_all(local: &LocalBroker) {
    for partition in local.partitions().values() {
        // A failure was reported and ends the process.
        if partition.checkpoint().is_err() {
            return;
        }
    }
    persist(&local.host);
}

/// How often `flush.ms` is looked at.
const FLUSH_CHECK_INTERVAL: Duration = Duration::from_secs(1);
