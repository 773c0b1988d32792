//! Turns image changes into log lines: who leads a partition now, and how long that took.
//!
//! Owns the image it compares with, nothing else.

use std::sync::Arc;

use model::{BrokerId, Timestamp, TopicIdPartition};
use prometheus_client::metrics::histogram::Histogram;

use crate::image_feed::ImageChange;
use crate::metadata::{Image, PartitionState};

/// Most lines for one change; the rest is counted.
const MAX_LINES: usize = 20;

/// Reports elections on the active controller.
pub(crate) struct ElectionReport {
    previous: Arc<Image>,
    /// How long elections took.
    seconds: Histogram,
}

impl ElectionReport {
    pub(crate) fn new(image: Arc<Image>, seconds: Histogram) -> Self {
        Self { previous: image, seconds }
    }

    /// Writes a line for each partition whose leader changed. `broken_at` answers when the connection to a broker broke.
    pub(crate) fn report(
        &mut self,
        change: &ImageChange,
        now: Timestamp,
        broken_at: impl Fn(BrokerId) -> Option<Timestamp>,
    ) {
        let mut count: usize = 0;
        for partition in &change.changes.partitions {
            let (Some(before), Some(after)) =
                (self.previous.partition(*partition), change.image.partition(*partition))
            else {
                continue;
            };
            if before.leader_epoch == after.leader_epoch {
                continue;
            }
            count += 1;
            let since = before.leader.and_then(&broken_at);
            if let (Some(at), Some(_)) = (since, after.leader) {
                self.seconds.observe(now.since(at).as_secs_f64());
            }
            if count <= MAX_LINES {
                tracing::info!(
                    "{}",
                    line(
                        &change.image,
                        *partition,
                        before,
                        after,
                        since.map(|at| now.since(at).as_millis())
                    )
                );
            }
        }
        if count > MAX_LINES {
            tracing::info!("and {} more partitions have new leaders", count - MAX_LINES);
        }
        for partition in &change.changes.lossy_elections {
            tracing::error!(
                "{}: acknowledged records may be lost: the last known leader leads again, and no other replica holds them",
                name(&change.image, *partition)
            );
        }
        self.previous = Arc::clone(&change.image);
    }
}

fn line(
    image: &Image,
    partition: TopicIdPartition,
    before: &PartitionState,
    after: &PartitionState,
    millis: Option<u128>,
) -> String {
    let leader =
        |leader: Option<BrokerId>| leader.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let mut line = format!(
        "{}: leader {} -> {}, epoch {}",
        name(image, partition),
        leader(before.leader),
        leader(after.leader),
        after.leader_epoch
    );
    if let Some(millis) = millis {
        line.push_str(&format!(", {millis} ms"));
    }
    line
}

fn name(image: &Image, partition: TopicIdPartition) -> String {
    match image.topic(partition.topic_id) {
        Some(topic) => format!("{}-{}", topic.name, partition.partition),
        None => partition.to_string(),
    }
}
