//! What an image of the cluster's metadata does to the replica: a step of the machine, and the topic's configuration.

use std::sync::Arc;

use log_storage::{LogConfig, Retirement};

use super::PartitionHandle;
use crate::partition::{Event, OfflineReason, PartitionMetadata, ReplicaRole};
use crate::storage::partition_directory::LostMark;

impl PartitionHandle {
    /// Steps an image of the partition, and takes over the topic's configuration.
    pub(crate) fn metadata_changed(&self, metadata: PartitionMetadata, config: &LogConfig) {
        let is_member = metadata.isr.contains(&self.host.broker_id);
        let is_marked = self.with_state(|state, effects| {
            if state.log.config() != config {
                // What was left to the page cache counts only once it is flushed, if every message is to be from now on.
                effects.flush = config.flush_messages < state.log.config().flush_messages;
                state.log.set_config(config.clone());
            }
            if self.recompression.load().as_deref() != config.recompression.as_ref() {
                self.recompression.store(config.recompression.map(Arc::new));
            }
            if let Some(before) = state.machine.metadata()
                && before.leader == Some(self.host.broker_id)
            {
                self.host.metrics.isr_changed(before, &metadata);
            }
            state.machine.step(effects.now, Event::MetadataChanged(metadata));
            // The live replicas may be others now, and the leader another.
            effects.log_starts = true;
            if let Some(metadata) = state.machine.metadata() {
                for link in &state.followers {
                    link.note_isr(metadata);
                }
            }
            // While the loss is declared and not yet applied, the image still shows a member: the mark must outlive a crash until then.
            let is_lost =
                matches!(state.machine.role(), ReplicaRole::Offline(OfflineReason::Lost(_)));
            state.mark == LostMark::Present && !is_lost
        });
        // A replica that counts again has nothing left of its loss.
        if is_marked
            && is_member
            && let Some(me) = self.me.upgrade()
        {
            self.host.storage.run_job(move || me.remove_lost_mark());
        }
    }

    /// Stops the replica for good: whoever waits is told, and nothing is written or flushed any more. Its directory may be deleted once the retirement has run.
    pub(crate) fn remove(&self) -> Retirement {
        self.with_state(|state, effects| {
            state.is_removed = true;
            effects.log_starts = true;
            let retirement = state.log.retire();
            if let Some(mut metadata) = state.machine.metadata().cloned() {
                metadata.leader = None;
                metadata.leader_epoch = metadata.leader_epoch.next();
                metadata.partition_epoch = metadata.partition_epoch.next();
                metadata.replicas.remove(&self.host.broker_id);
                metadata.isr.remove(&self.host.broker_id);
                state.machine.step(effects.now, Event::MetadataChanged(metadata));
            }
            retirement
        })
    }
}
