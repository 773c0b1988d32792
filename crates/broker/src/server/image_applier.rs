//! The image applier: the one task that steps this broker's partitions, and tells its coordinators of elections, when its image changes, in log order.
//!
//! It is also where the image's events become log lines, since it alone sees each image with the one before.

use std::sync::Arc;

use controller::metadata::{Changes, Image};
use controller::{ImageChange, ImageChanges};
use model::{BrokerId, TopicIdPartition};
use replication::Replicas;
use tokio_util::sync::CancellationToken;

use super::image_updates;
use crate::coordinators::Coordinators;

/// What the applier works with.
pub(super) struct ImageApplier {
    pub(super) own: BrokerId,
    pub(super) replicas: Arc<Replicas>,
    pub(super) coordinators: Arc<Coordinators>,
    /// The image that was applied last.
    pub(super) image: Arc<Image>,
}

impl ImageApplier {
    /// Applies changes until `stop` is cancelled or the control plane ends.
    pub(super) async fn run(mut self, mut changes: ImageChanges, stop: CancellationToken) {
        loop {
            let change = tokio::select! {
                change = changes.next() => change,
                () = stop.cancelled() => return,
            };
            let Some(ImageChange { image, changes: changed, .. }) = change else { return };
            if !changed.is_empty() {
                let update = image_updates::changed(&image, &changed, self.own);
                self.replicas.apply(update);
                self.coordinators.apply(&self.image, &image, &changed);
                self.tell(&image, &changed);
            }
            self.image = image;
        }
    }

    /// One line per event that matters to this broker's partitions; the control plane tells of brokers and leaders.
    fn tell(&self, image: &Image, changes: &Changes) {
        for partition in &changes.partitions {
            let (before, after) = (self.image.partition(*partition), image.partition(*partition));
            let (Some(before), Some(after)) = (before, after) else { continue };
            if after.leader == Some(self.own) && before.isr != after.isr {
                let name = name(image, *partition);
                tracing::info!("{name}: ISR {:?} -> {:?}", before.isr, after.isr);
            }
        }
    }
}

fn name(image: &Image, partition: TopicIdPartition) -> String {
    match image.topic(partition.topic_id) {
        Some(topic) => format!("{}-{}", topic.name, partition.partition),
        None => partition.to_string(),
    }
}
