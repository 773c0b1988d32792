//! What a log knows of its idempotent and transactional producers, and what of it survives.
//!
//! Owns the state at the log's end ([`ProducerState`]), its snapshots, and the verifications under way. The state is a function of the batches below the log end, so it survives whatever they
//! survive: a restart reads the newest snapshot and replays the batches behind it; a truncation does the same below its point; a follower comes to the same by
//! appending. Only expiry forgets, by the local clock. Writes no file: a snapshot taken here goes to disk with the next checkpoint.

pub(crate) mod marker;
pub(crate) mod replay;
pub(crate) mod snapshot;
pub(crate) mod state;
pub(crate) mod transactions;
pub(crate) mod verification;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use model::record_batch::{BatchHeader, BatchProducer, EndTransactionMarker};
use model::{Offset, ProducerId, TransactionVersion, UnixMillis};

use snapshot::AbortedCounts;
use state::{ActiveProducer, Duplicate, ProducerState};
use transactions::AbortedTransaction;
use verification::{VerificationGuard, Verifications};

use crate::compaction::LastBatch;
use crate::error::AppendError;
use crate::mutation::{Mutation, is_active};

/// Whether a log keeps the state of idempotent producers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProducerTracking {
    /// Sequences are checked and kept.
    Tracked,
    /// Producer fields are ignored.
    Untracked,
}

/// The producers of one log, with their snapshots.
#[derive(Debug)]
pub(crate) struct Producers {
    state: ProducerState,
    verifications: Verifications,
    /// States at the starts of new segments, to be written with the next checkpoint.
    pending: Vec<PendingSnapshot>,
    /// Offsets of the snapshots on disk.
    on_disk: BTreeSet<Offset>,
}

/// The state below an offset, in its file form, waiting for a checkpoint to write it.
#[derive(Clone, Debug)]
pub(crate) struct PendingSnapshot {
    pub(crate) offset: Offset,
    pub(crate) bytes: Vec<u8>,
}

impl Producers {
    pub(crate) fn new(state: ProducerState, on_disk: BTreeSet<Offset>) -> Self {
        Self { state, verifications: Verifications::default(), pending: Vec::new(), on_disk }
    }

    /// Checks a client's batch; changes nothing. `Some` says that the log has the batch already.
    pub(crate) fn check_client(
        &self,
        header: &BatchHeader,
        guard: Option<VerificationGuard>,
    ) -> Result<Option<Duplicate>, AppendError> {
        if let Some(duplicate) = self.state.duplicate_of(header) {
            return Ok(Some(duplicate));
        }
        self.check_coordinators(header, guard)?;
        let verification = header.producer.and_then(|producer| self.verifications.of(producer.id));
        self.state.check_sequence(header, verification)?;
        Ok(None)
    }

    /// Checks a batch of a coordinator, which has no sequence.
    pub(crate) fn check_coordinators(
        &self,
        header: &BatchHeader,
        guard: Option<VerificationGuard>,
    ) -> Result<(), AppendError> {
        self.check_verified(header, guard)?;
        self.state.check_batch(header)
    }

    /// Checks that a batch of a transaction belongs to one that its coordinator knows of: to the one that is open here, or, when it is the first, by its guard
    /// (KIP-890). Else a late batch would open a transaction that nobody ends, and hold back every reader of what is committed.
    fn check_verified(
        &self,
        header: &BatchHeader,
        guard: Option<VerificationGuard>,
    ) -> Result<(), AppendError> {
        let Some(BatchProducer { id, epoch, .. }) = header.producer else {
            return Ok(());
        };
        let is_verified = !header.is_transactional()
            || self.state.is_in_transaction(id, epoch)
            || guard.is_some_and(|guard| self.verifications.is_valid(id, epoch, guard))
            || is_active(Mutation::VerificationSkipped);
        if is_verified {
            return Ok(());
        }
        let reason = "a record that is part of no open transaction";
        Err(AppendError::InvalidTransactionState { producer_id: id, reason })
    }

    /// Checks a marker.
    pub(crate) fn check_marker(
        &self,
        header: &BatchHeader,
        marker: EndTransactionMarker,
        version: TransactionVersion,
    ) -> Result<(), AppendError> {
        self.state.check_marker(header, marker, version)
    }

    /// Says whether a transactional batch of this producer would have to be verified.
    pub(crate) fn needs_verification(&self, producer: BatchProducer) -> bool {
        !self.state.is_in_transaction(producer.id, producer.epoch)
    }

    /// Begins a verification; `None` when none is needed.
    pub(crate) fn begin_verification(
        &mut self,
        producer: BatchProducer,
        version: TransactionVersion,
        now: UnixMillis,
    ) -> Option<VerificationGuard> {
        self.needs_verification(producer).then(|| self.verifications.begin(producer, version, now))
    }

    /// Takes note of a batch that is in the log, and of its marker. Returns the transaction that the marker aborted.
    pub(crate) fn update(
        &mut self,
        header: &BatchHeader,
        marker: Option<EndTransactionMarker>,
        appended_at: UnixMillis,
    ) -> Option<AbortedTransaction> {
        // The transaction is open from here on, or was ended: what was asked before says nothing about the next one.
        if let Some(producer) = header.producer.filter(|_| header.is_transactional()) {
            self.verifications.end(producer.id);
        }
        self.state.update(header, marker, appended_at)
    }

    /// Returns where the earliest transaction begins that is open, or whose marker is not committed yet.
    pub(crate) fn first_unstable(&self, high_watermark: Offset) -> Option<Offset> {
        self.state.transactions.first_unstable(high_watermark)
    }

    /// Returns where the earliest open transaction begins.
    pub(crate) fn first_open(&self) -> Option<Offset> {
        self.state.transactions.first_open()
    }

    /// Takes note of what is committed.
    pub(crate) fn committed(&mut self, high_watermark: Offset) {
        self.state.transactions.committed(high_watermark);
    }

    /// Returns what is known of each producer.
    pub(crate) fn active(&self) -> Vec<ActiveProducer> {
        self.state.active()
    }

    /// Forgets those whose last append is older than `expiration`.
    pub(crate) fn expire(&mut self, now: UnixMillis, expiration: Duration) {
        self.state.expire(now, expiration);
        self.verifications.expire(now, expiration);
    }

    /// Returns the last batch of each, which compaction must not forget.
    pub(crate) fn last_batches(&self, stable_offset: Offset) -> HashMap<ProducerId, LastBatch> {
        let last = self.state.producers.iter().map(|(id, entry)| {
            let mut offsets = entry.batches.iter().rev().map(|batch| batch.last_offset);
            let last = LastBatch {
                epoch: entry.epoch,
                last_data_offset: offsets.clone().next(),
                last_stable_data_offset: offsets.find(|offset| *offset < stable_offset),
            };
            (*id, last)
        });
        last.collect()
    }

    /// Returns the sequence that each producer's next batch must have.
    #[cfg(test)]
    pub(crate) fn next_sequences(&self) -> Vec<(ProducerId, i32)> {
        let next =
            |batch: &state::RememberedBatch| batch.last_sequence().wrapping_add(1) & i32::MAX;
        let of = |entry: &state::ProducerEntry| entry.batches.back().map_or(0, next);
        self.state.producers.iter().map(|(id, entry)| (*id, of(entry))).collect()
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.state.producers.len()
    }

    /// Returns the local time of the latest append of all.
    pub(crate) fn last_append(&self) -> Option<UnixMillis> {
        self.state.producers.values().map(|entry| entry.appended_at).max()
    }

    /// Keeps the state at the start of a new segment, which a truncation to there will ask for.
    pub(crate) fn segment_begins(&mut self, base_offset: Offset, aborted: &AbortedCounts) {
        self.pending.push(self.snapshot(base_offset, aborted));
    }

    /// Takes the snapshots that a checkpoint at `end_offset` writes: those that wait, and the present state.
    pub(crate) fn take_snapshots(
        &mut self,
        end_offset: Offset,
        aborted: &AbortedCounts,
    ) -> Vec<PendingSnapshot> {
        let mut snapshots = std::mem::take(&mut self.pending);
        snapshots.retain(|snapshot| snapshot.offset != end_offset);
        snapshots.push(self.snapshot(end_offset, aborted));
        snapshots
    }

    /// Returns the snapshots that nobody needs any more. The two newest stay, since the recovery point on disk may still be the older one's; so do those at the
    /// starts of segments, for truncation.
    pub(crate) fn obsolete(&self, begins_segment: impl Fn(Offset) -> bool) -> Vec<Offset> {
        let newest = self.on_disk.iter().rev().take(2).copied().min();
        self.on_disk
            .iter()
            .copied()
            .filter(|offset| newest.is_some_and(|newest| *offset < newest))
            .filter(|offset| !begins_segment(*offset))
            .collect()
    }

    /// Takes note of what a checkpoint wrote and removed.
    pub(crate) fn checkpointed(&mut self, written: Vec<Offset>, removed: &[Offset]) {
        self.on_disk.retain(|offset| !removed.contains(offset));
        self.on_disk.extend(written);
    }

    /// Takes note that segments left the log, and the snapshots at their starts with them.
    pub(crate) fn segments_removed(&mut self, base_offsets: &[Offset]) {
        self.on_disk.retain(|offset| !base_offsets.contains(offset));
        self.pending.retain(|snapshot| !base_offsets.contains(&snapshot.offset));
    }

    /// Takes note that what lies below an offset was cleaned: the snapshots inside go, since what stands between them and the present state may have gone (a marker that
    /// ends a transaction which they say is open). Replayed as a whole, a cleaned log tells the truth.
    pub(crate) fn cleaned_below(&mut self, end_offset: Offset) {
        self.on_disk.retain(|offset| *offset >= end_offset);
        self.pending.retain(|snapshot| snapshot.offset >= end_offset);
    }

    /// Returns the offsets of the snapshots on disk, oldest first.
    pub(crate) fn snapshots_on_disk(&self) -> Vec<Offset> {
        self.on_disk.iter().copied().collect()
    }

    /// Takes over what a truncation to `end_offset` left.
    pub(crate) fn truncated(
        &mut self,
        state: ProducerState,
        on_disk: BTreeSet<Offset>,
        end_offset: Offset,
    ) {
        self.state = state;
        self.verifications = Verifications::default();
        self.on_disk = on_disk;
        self.pending.retain(|snapshot| snapshot.offset < end_offset);
    }

    fn snapshot(&self, offset: Offset, aborted: &AbortedCounts) -> PendingSnapshot {
        PendingSnapshot { offset, bytes: snapshot::encode(&self.state, aborted, offset) }
    }
}
