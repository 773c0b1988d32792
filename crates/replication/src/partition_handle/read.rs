//! Reads by consumers: bounded by the high watermark, planned under the lock, executed off it.

use std::error::Error;

use bytes::Bytes;
use log_storage::{Minimum, ReadError, ReadPlan};
use model::{LeaderEpoch, Offset};

use super::fetch_waiter::FetchWaiter;
use super::{PartitionHandle, State};
use crate::error::FetchError;
use crate::partition::mutation::{Mutation, is_active};
use crate::partition::{Event, ReplicaRole};

/// What a consumer may see (Kafka's `isolation.level`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Everything below the high watermark.
    #[default]
    ReadUncommitted,
    /// Everything below the last stable offset.
    ReadCommitted,
}

/// A consumer's read of one partition.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    /// The first offset wanted.
    pub offset: Offset,
    /// The most bytes wanted.
    pub max_bytes: usize,
    /// What if the first batch alone is larger (KIP-74).
    pub minimum: Minimum,
    /// What may be seen.
    pub isolation: Isolation,
    /// The leader epoch in the client's metadata (KIP-320).
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// Epoch of the last record that the client has read (KIP-320, `LastFetchedEpoch`): a divergence is answered instead of records.
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

/// A read that was planned: the partition's offsets at that moment, and how to get the bytes.
#[derive(Debug)]
pub struct Readable {
    /// Exclusive end of what is committed.
    pub high_watermark: Offset,
    /// Exclusive end of what is decided; the high watermark where no transaction is open.
    pub last_stable_offset: Offset,
    /// The first offset that is kept.
    pub log_start_offset: Offset,
    /// The client's log of records differs from this one: the greatest common epoch and its end (KIP-595). There are no records then.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    offset: Offset,
    plan: Option<ReadPlan>,
    position: WatchPosition,
}

impl Readable {
    /// Says that there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plan.as_ref().is_none_or(ReadPlan::is_empty)
    }

    /// The moment of the plan, for [`PartitionHandle::watch`].
    #[must_use]
    pub fn position(&self) -> WatchPosition {
        self.position
    }
}

/// How much had been committed in a partition at some moment; what comes later counts for a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchPosition {
    committed_bytes: u64,
}

impl PartitionHandle {
    /// Plans a read. Cheap: no file is touched.
    ///
    /// # Errors
    /// [`FetchError::NotServed`] when this broker does not lead the partition, or not in the epoch of the request; [`FetchError::OutOfRange`].
    pub fn read(&self, request: &ReadRequest) -> Result<Readable, FetchError> {
        let state = self.lock();
        state.check_leads(request.current_leader_epoch)?;
        let high_watermark = if is_active(Mutation::UncommittedReads) {
            state.log.log_end_offset()
        } else {
            state.machine.high_watermark()
        };
        let log_start_offset = state.log.log_start_offset();
        if request.offset < log_start_offset {
            return Err(FetchError::OutOfRange { log_start_offset, high_watermark });
        }
        let mut readable = Readable {
            high_watermark,
            last_stable_offset: high_watermark,
            log_start_offset,
            diverging: request
                .last_fetched_epoch
                .and_then(|epoch| state.divergence(epoch, request.offset)),
            offset: request.offset,
            plan: None,
            position: WatchPosition { committed_bytes: state.meter.committed_bytes() },
        };
        if readable.diverging.is_some() {
            return Ok(readable);
        }
        // Offsets up to the log end exist: a consumer may have seen them committed, and a new leader does not know it yet.
        if request.offset > state.log.log_end_offset() {
            return Err(FetchError::OutOfRange { log_start_offset, high_watermark });
        }
        if request.offset < high_watermark && request.max_bytes > 0 {
            let plan = state.log.read(log_storage::ReadRequest {
                from: request.offset,
                upper_bound: match request.isolation {
                    Isolation::ReadUncommitted => readable.high_watermark,
                    Isolation::ReadCommitted => readable.last_stable_offset,
                },
                max_bytes: request.max_bytes,
                minimum: request.minimum,
            });
            readable.plan = Some(
                plan.map_err(|_| FetchError::OutOfRange { log_start_offset, high_watermark })?,
            );
        }
        Ok(readable)
    }

    /// Reads the records of a plan: at once when they are in the page cache, else on a storage thread.
    ///
    /// # Errors
    /// [`FetchError::Changed`] when the log's head was removed or its tail truncated meanwhile; [`FetchError::Corrupt`] when the bytes on the disk are damaged,
    /// which also stops this replica.
    pub async fn records(&self, readable: Readable) -> Result<Bytes, FetchError> {
        let offset = readable.offset;
        let Some(plan) = readable.plan.filter(|plan| !plan.is_empty()) else {
            return Ok(Bytes::new());
        };
        let result = if plan.is_hot() {
            plan.execute()
        } else {
            let read = self.host.storage.run_and_wait(move || plan.execute());
            read.await.ok_or(FetchError::Changed)?
        };
        match result {
            Ok(bytes) => {
                self.host.metrics.read(bytes.len());
                Ok(bytes)
            }
            Err(error) => Err(self.read_failed(offset, &error)),
        }
    }

    /// Counts into `waiter` what is committed in this partition after `position`; loss of the leadership ends the wait at once.
    pub fn watch(&self, waiter: &FetchWaiter, position: WatchPosition) {
        let watcher = waiter.watcher();
        let mut state = self.lock();
        if !matches!(state.machine.role(), ReplicaRole::Leader(_)) {
            drop(state);
            if watcher.finish() {
                watcher.wake();
            }
            return;
        }
        let missed = state.meter.committed_bytes().saturating_sub(position.committed_bytes);
        if missed > 0 && watcher.add(i64::try_from(missed).unwrap_or(i64::MAX)) {
            drop(state);
            watcher.wake();
            return;
        }
        state.watchers.push(watcher);
    }

    /// Judges a read that began at an offset and failed: damage to the disk stops the replica.
    pub(super) fn read_failed(&self, from: Offset, error: &ReadError) -> FetchError {
        match error {
            ReadError::OffsetOutOfRange { .. } | ReadError::Changed => FetchError::Changed,
            ReadError::Corrupt { .. } | ReadError::Io { .. } => {
                self.replica_read_failed(from, error);
                FetchError::Corrupt
            }
        }
    }

    /// Judges a read for a follower that failed.
    pub(crate) fn replica_read_failed(&self, offset: Offset, error: &ReadError) {
        match error {
            ReadError::OffsetOutOfRange { .. } | ReadError::Changed => {}
            ReadError::Corrupt { offset, .. } => self.corruption_found(*offset, error),
            ReadError::Io { .. } => self.corruption_found(offset, error),
        }
    }

    fn corruption_found(&self, offset: Offset, error: &ReadError) {
        tracing::error!(partition = %self.name(), %offset, error = error as &dyn Error, "bytes of the log are damaged");
        self.step(Event::CorruptionFound { offset });
    }
}

impl State {
    /// Compares a client's history with the log (KIP-595): `Some` says where they part.
    fn divergence(&self, last_epoch: LeaderEpoch, offset: Offset) -> Option<(LeaderEpoch, Offset)> {
        let (epoch, end_offset) = self.machine.end_offset_for(last_epoch)?;
        (epoch < last_epoch || end_offset < offset).then_some((epoch, end_offset))
    }
}
