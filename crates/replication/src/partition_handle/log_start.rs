//! The log start offset: moved by retention, by DeleteRecords and by a coordinator, never above the high watermark; a follower's follows its leader's.
//!
//! Segments that fall out are removed on a storage thread.

use std::time::Duration;

use log_storage::Removal;
use model::{BrokerId, LeaderEpoch, Offset};

use super::effects::Effects;
use super::{PartitionHandle, State};
use crate::error::{DeleteRecordsError, NotServed};
use crate::partition::Event;

impl PartitionHandle {
    /// Removes what `retention.ms` and `retention.bytes` say, and forgets idempotent producers that are gone. Cheap when there is nothing.
    pub(crate) fn apply_retention(&self) {
        let now = self.host.clock.wall();
        self.with_state(|state, effects| {
            if state.is_removed {
                return;
            }
            state.log.expire_producers(now);
            let high_watermark = state.machine.high_watermark();
            if let Some(removal) = state.log.apply_retention(now, high_watermark) {
                effects.removals.push(removal);
                let log_start_offset = state.log.log_start_offset();
                state.machine.step(effects.now, Event::LogStartMoved { log_start_offset });
                effects.followers = true;
            }
        });
    }

    /// Deletes the records before an offset (`None`: before the high watermark) and waits until all live replicas have done so. Returns the low watermark: the
    /// lowest log start offset of them.
    ///
    /// # Errors
    /// Each variant of [`DeleteRecordsError`].
    pub async fn delete_records(
        &self,
        before: Option<Offset>,
        timeout: Duration,
    ) -> Result<Offset, DeleteRecordsError> {
        let deleted = self.delete_before(before)?;
        let wait = async {
            loop {
                // Made before the look, so that a change between look and wait is not missed.
                let moved = self.log_starts_moved.notified();
                let low_watermark = self.lock().low_watermark()?;
                if low_watermark >= deleted {
                    return Ok(low_watermark);
                }
                moved.await;
            }
        };
        tokio::time::timeout(timeout, wait).await.unwrap_or(Err(DeleteRecordsError::TimedOut))
    }

    /// Moves the log start offset up to `before`, whatever the topic's cleanup policy says, and does not wait for the replicas to follow: for a coordinator that has
    /// written again, further up, all that it still needs. An offset below the log start changes nothing.
    ///
    /// # Errors
    /// [`DeleteRecordsError::NotServed`] in any other leader epoch than `leader_epoch`; [`DeleteRecordsError::OutOfRange`].
    pub fn trim(
        &self,
        before: Offset,
        leader_epoch: LeaderEpoch,
    ) -> Result<(), DeleteRecordsError> {
        self.with_state(|state, effects| {
            state.check_leads(Some(leader_epoch))?;
            state.delete_before(Some(before), effects).map(|_offset| ())
        })
    }

    fn delete_before(&self, before: Option<Offset>) -> Result<Offset, DeleteRecordsError> {
        self.with_state(|state, effects| {
            state.check_leads(None)?;
            if !state.log.config().cleanup.deletes() {
                return Err(DeleteRecordsError::Policy);
            }
            state.delete_before(before, effects)
        })
    }

    /// Takes old segments off the disk on a storage thread, in two steps.
    pub(super) fn run_removal(&self, removal: Removal) {
        let Some(me) = self.me.upgrade() else { return };
        self.host.storage.run_job(move || match removal.run() {
            Ok(delayed) => {
                // Files that a full queue leaves behind go at the next start.
                let _ = me.host.storage.flusher.run_after(delayed.delay(), move || delayed.run());
            }
            Err(error) => me.host.storage.fatal(&error),
        });
    }
}

impl State {
    /// Moves the log start offset, and returns the offset before which nothing is kept any more.
    fn delete_before(
        &mut self,
        before: Option<Offset>,
        effects: &mut Effects,
    ) -> Result<Offset, DeleteRecordsError> {
        let high_watermark = self.machine.high_watermark();
        let offset = before.unwrap_or(high_watermark);
        if offset > high_watermark {
            return Err(DeleteRecordsError::OutOfRange { high_watermark });
        }
        effects.removals.extend(self.log.advance_log_start(offset));
        let log_start_offset = self.log.log_start_offset();
        self.machine.step(effects.now, Event::LogStartMoved { log_start_offset });
        effects.followers = true;
        Ok(offset)
    }

    /// Returns the lowest log start offset of the live replicas.
    fn low_watermark(&self) -> Result<Offset, NotServed> {
        self.check_leads(None)?;
        let own = self.log.log_start_offset();
        let Some(metadata) = self.machine.metadata() else { return Ok(own) };
        let of_follower =
            |follower: &BrokerId| self.log_start_of(*follower).unwrap_or(Offset::ZERO);
        let leader = metadata.leader;
        let followers = metadata
            .replicas
            .keys()
            .filter(|replica| Some(**replica) != leader && metadata.is_unfenced(**replica));
        Ok(followers.map(of_follower).fold(own, Offset::min))
    }
}
