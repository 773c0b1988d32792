//! Queries for offsets.

use log_storage::{TimestampAndOffset, TimestampQuery};
use model::{LeaderEpoch, Offset, UnixMillis};

use super::read::Isolation;
use super::{PartitionHandle, State};
use crate::error::{FetchError, ListOffsetError, NotServed};
use crate::partition::ReplicaRole;

/// What ListOffsets asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The log start offset (−2 on the wire).
    Earliest,
    /// The high watermark, or the last stable offset (−1).
    Latest,
    /// The first record of the greatest timestamp (−3, KIP-734).
    MaxTimestamp,
    /// The first record with this timestamp or a later one.
    AtLeast(UnixMillis),
}

/// Answer to an offset query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset.
    pub offset: Offset,
    /// Timestamp of the record there, where the query was for one.
    pub timestamp: Option<UnixMillis>,
    /// Leader epoch of the record there, where known.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl PartitionHandle {
    /// Answers an offset query; `None` when no record qualifies. A query by time reads the disk, on a storage thread.
    ///
    /// # Errors
    /// [`ListOffsetError::NotServed`]; [`ListOffsetError::OffsetNotAvailable`] while a new leader does not know what is committed (not for `Earliest`).
    pub async fn list_offset(
        &self,
        query: OffsetQuery,
        isolation: Isolation,
        current_leader_epoch: Option<LeaderEpoch>,
    ) -> Result<Option<ListedOffset>, ListOffsetError> {
        let query = match query {
            OffsetQuery::Earliest => return self.earliest(current_leader_epoch).map(Some),
            OffsetQuery::Latest => return self.latest(current_leader_epoch, isolation).map(Some),
            OffsetQuery::MaxTimestamp => TimestampQuery::Latest,
            OffsetQuery::AtLeast(timestamp) => TimestampQuery::AtLeast(timestamp),
        };
        // A lookup that the log's head or tail changed under is made again; truncation ends the leadership, so this ends.
        loop {
            let (lookup, log_start_offset) = {
                let state = self.lock();
                let upper_bound = state.readable_end(current_leader_epoch, isolation)?;
                let lookup = state.log.timestamp_lookup(query, upper_bound);
                (lookup, state.log.log_start_offset())
            };
            let looking = self.host.storage.run_and_wait(move || lookup.execute());
            let Some(result) = looking.await else {
                return Err(NotServed::Storage.into());
            };
            match result {
                Ok(found) => return Ok(found.map(listed)),
                Err(error) => match self.read_failed(log_start_offset, &error) {
                    FetchError::Changed => {}
                    _ => return Err(ListOffsetError::Corrupt),
                },
            }
        }
    }

    fn earliest(&self, current: Option<LeaderEpoch>) -> Result<ListedOffset, ListOffsetError> {
        let state = self.lock();
        state.check_leads(current)?;
        let offset = state.log.log_start_offset();
        let leader_epoch = state.log.epoch_for(offset);
        Ok(ListedOffset { offset, timestamp: None, leader_epoch })
    }

    fn latest(
        &self,
        current: Option<LeaderEpoch>,
        isolation: Isolation,
    ) -> Result<ListedOffset, ListOffsetError> {
        let state = self.lock();
        let offset = state.readable_end(current, isolation)?;
        // Kafka names the leader's own epoch here: the next record will have it.
        let leader_epoch = match state.machine.role() {
            ReplicaRole::Leader(epoch) => Some(epoch),
            ReplicaRole::Follower(..) | ReplicaRole::Offline(_) => None,
        };
        Ok(ListedOffset { offset, timestamp: None, leader_epoch })
    }

    /// Returns the greatest epoch of the log that is at most `asked`, with its exclusive end (Kafka's OffsetForLeaderEpoch); `None` when there is none.
    ///
    /// # Errors
    /// [`NotServed`] when this broker does not lead the partition, or not in the epoch of the request.
    pub fn end_offset_for_leader_epoch(
        &self,
        asked: LeaderEpoch,
        current_leader_epoch: Option<LeaderEpoch>,
    ) -> Result<Option<(LeaderEpoch, Offset)>, NotServed> {
        let state = self.lock();
        state.check_leads(current_leader_epoch)?;
        Ok(state.machine.end_offset_for(asked))
    }
}

impl State {
    /// Returns the exclusive end of what a client may see.
    fn readable_end(
        &self,
        current: Option<LeaderEpoch>,
        isolation: Isolation,
    ) -> Result<Offset, ListOffsetError> {
        self.check_leads(current)?;
        self.machine.check_offsets_available().map_err(|_| ListOffsetError::OffsetNotAvailable)?;
        let high_watermark = self.machine.high_watermark();
        Ok(match isolation {
            Isolation::ReadUncommitted => high_watermark,
            Isolation::ReadCommitted => self.log.last_stable_offset(high_watermark),
        })
    }
}

fn listed(found: TimestampAndOffset) -> ListedOffset {
    ListedOffset {
        offset: found.offset,
        timestamp: Some(found.timestamp),
        leader_epoch: found.leader_epoch,
    }
}
