//! What goes on beside requests: timers, checkpoints, retention, `flush.ms`. The tasks only wait; the work is done on storage threads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Replicas;
use crate::context::Context;

impl Replicas {
    pub(super) fn spawn_background(&self) {
        let Some(running) = self.context.running.get() else { return };
        let context = Arc::clone(&self.context);
        let stop = running.stop.clone();
        running.tasks.spawn_on(
            async move { context.timers.run(context.clock, stop).await },
            &running.runtime,
        );
        let config = &self.context.config;
        self.spawn_every(config.high_watermark_checkpoint_interval, persist);
        self.spawn_every(config.flush_checkpoint_interval, checkpoint_all);
        self.spawn_every(config.retention_check_interval, |context| {
            for partition in context.partitions.load().values() {
                partition.apply_retention();
            }
        });
        self.spawn_every(FLUSH_CHECK_INTERVAL, |context| {
            for partition in context.partitions.load().values() {
                partition.flush_if_due();
            }
        });
    }

    /// Runs a job on a storage thread again and again, with a pause between the end of one run and the start of the next.
    fn spawn_every(&self, pause: Duration, job: fn(&Arc<Context>)) {
        let Some(running) = self.context.running.get() else { return };
        let context = Arc::clone(&self.context);
        let stop = running.stop.clone();
        let repeat = async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                let (done, finished) = oneshot::channel();
                let shared = Arc::clone(&context);
                let queued = context.flusher.run(move || {
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

fn persist(context: &Arc<Context>) {
    if let Err(error) = context.storage.checkpoints.persist() {
        context.fatal(&error);
    }
}

fn checkpoint_all(context: &Arc<Context>) {
    for partition in context.partitions.load().values() {
        // A failure was reported and ends the process.
        if partition.checkpoint().is_err() {
            return;
        }
    }
    persist(context);
}

/// How often `flush.ms` is looked at.
const FLUSH_CHECK_INTERVAL: Duration = Duration::from_secs(1);
