//! What a log knows of its idempotent producers, and what of it survives.
//!
//! Owns the state at the log's end ([`ProducerState`]) and its snapshots. The state is a function of the batches below the log end, so it survives whatever they
//! survive: a restart reads the newest snapshot and replays the batches behind it; a truncation does the same below its point; a follower comes to the same by
//! appending. Only expiry forgets, by the local clock. Writes no file: a snapshot taken here goes to disk with the next checkpoint.

pub(crate) mod replay;
pub(crate) mod snapshot;
pub(crate) mod state;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use model::record_batch::BatchHeader;
use model::{Offset, ProducerId, UnixMillis};

use state::{Duplicate, ProducerState};

use crate::compaction::LastBatch;
use crate::error::AppendError;

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
        Self { state, pending: Vec::new(), on_disk }
    }

    /// Checks a batch against what is known of its producer; changes nothing. `Some` says that the log has the batch already.
    pub(crate) fn check(&self, header: &BatchHeader) -> Result<Option<Duplicate>, AppendError> {
        self.state.check(header)
    }

    /// Takes note of a batch that is in the log.
    pub(crate) fn update(&mut self, header: &BatchHeader, appended_at: UnixMillis) {
        self.state.update(header, appended_at);
    }

    /// Forgets those whose last append is older than `expiration`.
    pub(crate) fn expire(&mut self, now: UnixMillis, expiration: Duration) {
        self.state.expire(now, expiration);
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
    pub(crate) fn segment_begins(&mut self, base_offset: Offset) {
        self.pending.push(self.snapshot(base_offset));
    }

    /// Takes the snapshots that a checkpoint at `end_offset` writes: those that wait, and the present state.
    pub(crate) fn take_snapshots(&mut self, end_offset: Offset) -> Vec<PendingSnapshot> {
        let mut snapshots = std::mem::take(&mut self.pending);
        snapshots.retain(|snapshot| snapshot.offset != end_offset);
        snapshots.push(self.snapshot(end_offset));
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
        self.on_disk = on_disk;
        self.pending.retain(|snapshot| snapshot.offset < end_offset);
    }

    fn snapshot(&self, offset: Offset) -> PendingSnapshot {
        PendingSnapshot { offset, bytes: snapshot::encode(&self.state, offset) }
    }
}
