//! Reads by consumers: bounded by the high watermark or the last stable offset, planned under the lock, executed off it.

use std::error::Error;

use bytes::Bytes;
use log_storage::{AbortedLookup, AbortedTransaction, Minimum, ReadError, ReadPlan};
use model::record_batch::Batches;
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
    /// Where a reader of what is committed learns what was aborted.
    aborted: Option<AbortedLookup>,
    position: WatchPosition,
}

/// What a read brought.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// Whole batches.
    pub records: Bytes,
    /// The aborted transactions that overlap them, in the order of their markers; of a read of what is committed alone.
    pub aborted_transactions: Vec<AbortedTransaction>,
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

/// How much a reader could see of a partition at some moment; what comes later counts for a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchPosition {
    isolation: Isolation,
    readable_bytes: u64,
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
            last_stable_offset: state.log.last_stable_offset(high_watermark),
            log_start_offset,
            diverging: request
                .last_fetched_epoch
                .and_then(|epoch| state.divergence(epoch, request.offset)),
            offset: request.offset,
            plan: None,
            aborted: None,
            position: WatchPosition {
                isolation: request.isolation,
                readable_bytes: state.readable_bytes(request.isolation),
            },
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
            if request.isolation == Isolation::ReadCommitted && !readable.is_empty() {
                readable.aborted = Some(state.log.aborted_lookup(request.offset));
            }
        }
        Ok(readable)
    }

    /// Reads the records of a plan: at once when they are in the page cache, else on a storage thread.
    ///
    /// # Errors
    /// [`FetchError::Changed`] when the log's head was removed or its tail truncated meanwhile; [`FetchError::Corrupt`] when the bytes on the disk are damaged,
    /// which also stops this replica.
    pub async fn records(&self, readable: Readable) -> Result<Bytes, FetchError> {
        self.fetch(readable).await.map(|fetched| fetched.records)
    }

    /// Reads the records of a plan, and the aborted transactions among them, as [`Self::records`] does.
    ///
    /// # Errors
    /// Those of [`Self::records`].
    pub async fn fetch(&self, readable: Readable) -> Result<Fetched, FetchError> {
        let Readable { offset, plan, aborted, .. } = readable;
        let Some(plan) = plan.filter(|plan| !plan.is_empty()) else {
            return Ok(Fetched::default());
        };
        let is_hot = plan.is_hot() && aborted.as_ref().is_none_or(AbortedLookup::is_hot);
        let result = if is_hot {
            execute(&plan, aborted.as_ref())
        } else {
            let storage = &self.host.storage;
            let read = storage.run_and_wait(move || execute(&plan, aborted.as_ref()));
            read.await.ok_or(FetchError::Changed)?
        };
        match result {
            Ok(fetched) => {
                self.host.metrics.read(fetched.records.len());
                Ok(fetched)
            }
            Err(error) => Err(self.read_failed(offset, &error)),
        }
    }

    /// Counts into `waiter` what becomes readable in this partition after `position`, at the isolation of the read that it is of: what is committed, or what is stable.
    /// Loss of the leadership ends the wait at once.
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
        let WatchPosition { isolation, readable_bytes } = position;
        let missed = state.readable_bytes(isolation).saturating_sub(readable_bytes);
        if missed > 0 && watcher.add(i64::try_from(missed).unwrap_or(i64::MAX)) {
            drop(state);
            watcher.wake();
            return;
        }
        match isolation {
            Isolation::ReadUncommitted => state.watchers.push(watcher),
            Isolation::ReadCommitted => state.stable_watchers.push(watcher),
        }
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

/// Reads records, and then what was aborted as far as they go.
fn execute(plan: &ReadPlan, aborted: Option<&AbortedLookup>) -> Result<Fetched, ReadError> {
    let records = plan.execute()?;
    let Some(aborted) = aborted else {
        return Ok(Fetched { records, aborted_transactions: Vec::new() });
    };
    let last = Batches::whole(&records).map_while(Result::ok).last();
    let aborted_transactions = match last {
        Some(last) => aborted.execute(last.header.next_offset())?,
        None => Vec::new(),
    };
    Ok(Fetched { records, aborted_transactions })
}

impl State {
    /// Counts what readers could see since the replica was opened.
    fn readable_bytes(&self, isolation: Isolation) -> u64 {
        match isolation {
            Isolation::ReadUncommitted => self.meter.committed_bytes(),
            Isolation::ReadCommitted => self.stable_meter.committed_bytes(),
        }
    }

    /// Compares a client's history with the log (KIP-595): `Some` says where they part.
    fn divergence(&self, last_epoch: LeaderEpoch, offset: Offset) -> Option<(LeaderEpoch, Offset)> {
        let (epoch, end_offset) = self.machine.end_offset_for(last_epoch)?;
        (epoch < last_epoch || end_offset < offset).then_some((epoch, end_offset))
    }
}
