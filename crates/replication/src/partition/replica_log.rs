//! What the machine knows of its own log: offsets, high watermark, leader epochs.
//!
//! Owns invariants 1 and 2. It mirrors facts; it never does I/O. Its copy of the epoch cache changes with the log's own, at the same facts.

use model::{LeaderEpoch, Offset};

use super::event::{Appended, LogState, TruncationGeneration};
use super::metadata::FlushPolicy;
use super::{EpochEntry, OpenedLog};

/// The log as the machine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReplicaLog {
    state: LogState,
    high_watermark: Offset,
    epochs: Vec<EpochEntry>,
}

impl ReplicaLog {
    /// Takes over what recovery found. The checkpointed high watermark is a hint: it is raised to the log's start and cut at its end.
    pub(super) fn new(opened: OpenedLog) -> Self {
        let OpenedLog { log, high_watermark, epochs } = opened;
        let hint = high_watermark.unwrap_or(log.log_start_offset).min(log.log_end_offset);
        Self { state: log, high_watermark: hint.max(log.log_start_offset), epochs }
    }

    pub(super) fn state(&self) -> LogState {
        self.state
    }

    pub(super) fn start(&self) -> Offset {
        self.state.log_start_offset
    }

    pub(super) fn end(&self) -> Offset {
        self.state.log_end_offset
    }

    pub(super) fn flushed(&self) -> Offset {
        self.state.flushed_offset
    }

    pub(super) fn generation(&self) -> TruncationGeneration {
        self.state.truncation_generation
    }

    pub(super) fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    pub(super) fn first_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.first().map(|entry| entry.epoch)
    }

    pub(super) fn last_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.last().map(|entry| entry.epoch)
    }

    /// Returns the countable offset: the flushed one where each message is flushed, else the log end offset.
    pub(super) fn countable(&self, policy: FlushPolicy) -> Offset {
        match policy {
            FlushPolicy::EachMessage => self.flushed(),
            FlushPolicy::Deferred => self.end(),
        }
    }

    /// Says whether the log ends below its (separately checkpointed) start, which only a restart there repairs.
    pub(super) fn ends_below_start(&self) -> bool {
        self.end() < self.start()
    }

    /// Takes in an append. Returns whether it counted.
    pub(super) fn append(&mut self, appended: &Appended) -> bool {
        if appended.truncation_generation < self.generation() {
            return false;
        }
        assert!(
            appended.log_end_offset >= self.end(),
            "an append never shortens the log: {} after {}",
            appended.log_end_offset,
            self.end()
        );
        if self.last_epoch() < Some(appended.leader_epoch) {
            self.assign_epoch(appended.leader_epoch);
        }
        self.state.log_end_offset = appended.log_end_offset;
        true
    }

    /// Takes in a flush. Returns whether the flushed offset moved.
    pub(super) fn flush(&mut self, offset: Offset, generation: TruncationGeneration) -> bool {
        let late = generation < self.generation()
            && !super::mutation::is_active(super::mutation::Mutation::LateFlushCounts);
        let offset = offset.min(self.end());
        if late || offset <= self.flushed() {
            return false;
        }
        self.state.flushed_offset = offset;
        true
    }

    /// Takes in a finished truncation or restart.
    pub(super) fn truncate(&mut self, state: LogState) {
        if state.log_start_offset == state.log_end_offset {
            self.epochs.clear();
        }
        self.epochs.retain(|entry| entry.start_offset < state.log_end_offset);
        self.state = state;
        self.state.flushed_offset = state.flushed_offset.min(state.log_end_offset);
        self.high_watermark =
            self.high_watermark.min(state.log_end_offset).max(state.log_start_offset);
        self.trim_epochs();
    }

    /// Takes in a new log start. The high watermark is never below it.
    pub(super) fn move_start(&mut self, offset: Offset) {
        self.state.log_start_offset = offset.max(self.start());
        self.high_watermark = self.high_watermark.max(self.start());
        self.trim_epochs();
    }

    /// Writes the entry of an epoch that begins at the log's end. Entries that conflict (same start, no data) give way.
    pub(super) fn assign_epoch(&mut self, epoch: LeaderEpoch) {
        let start_offset = self.end();
        self.epochs.retain(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
        self.epochs.push(EpochEntry { epoch, start_offset });
    }

    /// Returns the greatest epoch that is at most `asked`, with its exclusive end; for an epoch older than the log's first, that epoch and the first's start.
    /// `None` when the log has no epoch at all (LeaderEpochFileCache.endOffsetFor).
    pub(super) fn end_offset_for(&self, asked: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let first = self.epochs.first()?;
        let following = self.epochs.partition_point(|entry| entry.epoch <= asked);
        let end = self.epochs.get(following).map_or_else(|| self.end(), |entry| entry.start_offset);
        match following.checked_sub(1).and_then(|index| self.epochs.get(index)) {
            Some(entry) => Some((entry.epoch, end)),
            None => Some((asked, first.start_offset)),
        }
    }

    /// Raises the high watermark, never above the log's end. Returns the new value when it moved.
    pub(super) fn raise_high_watermark(&mut self, to: Offset) -> Option<Offset> {
        let to = to.min(self.end());
        if to <= self.high_watermark {
            return None;
        }
        self.high_watermark = to;
        Some(to)
    }

    /// Lowers the high watermark ahead of a truncation of a replica that may lose data.
    pub(super) fn lower_high_watermark(&mut self, to: Offset) {
        self.high_watermark = self.high_watermark.min(to).max(self.start());
    }

    /// Drops epochs that lie wholly below the log's start; the one that spans it begins there.
    fn trim_epochs(&mut self) {
        let start = self.start();
        let below = self.epochs.partition_point(|entry| entry.start_offset <= start);
        self.epochs.drain(..below.saturating_sub(1));
        if let Some(first) = self.epochs.first_mut() {
            first.start_offset = first.start_offset.max(start);
        }
    }
}
