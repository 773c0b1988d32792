//! A partition's log in memory, with a flushed prefix: what the storage crate promises, without its bytes.
//!
//! A process crash keeps what the page cache holds; a power loss keeps the flushed prefix and perhaps some of what follows.

use std::collections::{BTreeMap, VecDeque};

use model::{LeaderEpoch, Offset};
use replication::partition::{EpochEntry, LogState, TruncationGeneration};

use crate::simulator::random::Random;

/// A batch of records. `payload` names its content: no two produced batches share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) base_offset: Offset,
    pub(super) count: i64,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) payload: u64,
    /// (producer, sequence) of an idempotent producer; a batch counts as one in the sequence.
    pub(super) producer: Option<(u64, u64)>,
}

impl Batch {
    pub(super) fn end_offset(&self) -> Offset {
        self.base_offset + self.count
    }
}

/// What the sequence check of an idempotent producer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SequenceCheck {
    New,
    /// Appended before, up to this end.
    Duplicate(Offset),
    OutOfOrder,
}

/// How many batches per producer are remembered (Kafka's five).
const REMEMBERED: usize = 5;

/// One replica's log.
#[derive(Clone, Debug)]
pub(super) struct ModelLog {
    state: LogState,
    batches: VecDeque<Batch>,
    epochs: Vec<EpochEntry>,
    producers: BTreeMap<u64, VecDeque<(u64, Offset)>>,
    /// Everything from here on is corrupt on the disk, whether or not anyone noticed.
    pub(super) corrupt_from: Option<Offset>,
}

impl ModelLog {
    pub(super) fn new() -> Self {
        Self {
            state: LogState {
                log_start_offset: Offset::ZERO,
                log_end_offset: Offset::ZERO,
                flushed_offset: Offset::ZERO,
                truncation_generation: TruncationGeneration(0),
            },
            batches: VecDeque::new(),
            epochs: Vec::new(),
            producers: BTreeMap::new(),
            corrupt_from: None,
        }
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

    pub(super) fn epochs(&self) -> Vec<EpochEntry> {
        self.epochs.clone()
    }

    pub(super) fn batches(&self) -> impl DoubleEndedIterator<Item = &Batch> {
        self.batches.iter()
    }

    /// Iterates over the batches from an offset on, which is a batch's base or the end.
    pub(super) fn read(&self, from: Offset) -> impl Iterator<Item = &Batch> {
        let first = self.batches.partition_point(|batch| batch.base_offset < from);
        self.batches.range(first..)
    }

    /// Returns the batch that ends at this offset, or `None` where none does.
    pub(super) fn batch_ending_at(&self, end: Offset) -> Option<&Batch> {
        let index = self.batches.partition_point(|batch| batch.end_offset() < end);
        self.batches.get(index).filter(|batch| batch.end_offset() == end)
    }

    /// Checks an idempotent producer's sequence. A producer that the log does not know may begin anywhere, but not overtake itself: `oldest` is the
    /// first batch of its window, which a connection would have delivered before.
    pub(super) fn check_sequence(
        &self,
        producer: Option<(u64, u64)>,
        oldest: u64,
    ) -> SequenceCheck {
        let Some((producer, sequence)) = producer else { return SequenceCheck::New };
        let Some(known) = self.producers.get(&producer) else {
            let is_first = sequence == oldest;
            return if is_first { SequenceCheck::New } else { SequenceCheck::OutOfOrder };
        };
        if let Some((_, end)) = known.iter().find(|(known, _)| *known == sequence) {
            return SequenceCheck::Duplicate(*end);
        }
        match known.back() {
            Some((last, _)) if last + 1 != sequence => SequenceCheck::OutOfOrder,
            Some(_) | None => SequenceCheck::New,
        }
    }

    /// Appends a batch that begins at the log's end.
    pub(super) fn append(&mut self, batch: Batch) {
        assert_eq!(batch.base_offset, self.end(), "a log has no gaps");
        if self.epochs.last().is_none_or(|entry| entry.epoch < batch.leader_epoch) {
            self.assign_epoch(batch.leader_epoch);
        }
        self.state.log_end_offset = batch.end_offset();
        self.remember(&batch);
        self.batches.push_back(batch);
    }

    fn remember(&mut self, batch: &Batch) {
        if let Some((producer, sequence)) = batch.producer {
            let known = self.producers.entry(producer).or_default();
            known.push_back((sequence, batch.end_offset()));
            if known.len() > REMEMBERED {
                known.pop_front();
            }
        }
    }

    pub(super) fn assign_epoch(&mut self, epoch: LeaderEpoch) {
        let start_offset = self.end();
        self.epochs.retain(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
        self.epochs.push(EpochEntry { epoch, start_offset });
    }

    /// Completes a flush that began when the log ended at `end`, unless a truncation came between.
    pub(super) fn complete_flush(&mut self, end: Offset, generation: TruncationGeneration) {
        if generation == self.state.truncation_generation {
            self.state.flushed_offset = self.flushed().max(end);
        }
    }

    /// Cuts the log at a batch's end.
    pub(super) fn truncate_to(&mut self, offset: Offset) {
        let offset = offset.min(self.end());
        while self.batches.back().is_some_and(|batch| batch.base_offset >= offset) {
            self.batches.pop_back();
        }
        let end = self.batches.back().map_or_else(|| self.start(), Batch::end_offset);
        assert_eq!(end, offset, "logs are cut between batches");
        self.set_end(offset);
        if self.corrupt_from >= Some(offset) {
            self.corrupt_from = None;
        }
    }

    /// Drops everything and begins anew at the offset.
    pub(super) fn restart_at(&mut self, offset: Offset) {
        self.batches.clear();
        self.epochs.clear();
        self.state.log_start_offset = offset;
        self.corrupt_from = None;
        self.set_end(offset);
        self.state.flushed_offset = offset;
    }

    fn set_end(&mut self, end: Offset) {
        self.state.log_end_offset = end;
        self.state.flushed_offset = self.flushed().min(end);
        self.state.truncation_generation =
            TruncationGeneration(self.state.truncation_generation.0 + 1);
        self.epochs.retain(|entry| entry.start_offset < end);
        self.producers.clear();
        let batches = std::mem::take(&mut self.batches);
        batches.iter().for_each(|batch| self.remember(batch));
        self.batches = batches;
    }

    /// Moves the start to a batch's base.
    pub(super) fn advance_start(&mut self, offset: Offset) {
        self.state.log_start_offset = self.start().max(offset);
        while self.batches.front().is_some_and(|batch| batch.end_offset() <= offset) {
            self.batches.pop_front();
        }
        let below = self.epochs.partition_point(|entry| entry.start_offset <= offset);
        self.epochs.drain(..below.saturating_sub(1));
        if let Some(first) = self.epochs.first_mut() {
            first.start_offset = first.start_offset.max(offset);
        }
    }

    /// Loses power: some of what was not flushed is gone.
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        let kept: Vec<Offset> = self
            .batches
            .iter()
            .map(Batch::end_offset)
            .chain([self.flushed()])
            .filter(|end| *end >= self.flushed())
            .collect();
        // The flushed offset is always a batch's end, so the least of these is a legal cut.
        let cut = if random.percent(50) { self.flushed() } else { random.pick(&kept) };
        if cut < self.start() {
            // The start is kept apart from the bytes, so the log may end below it.
            self.batches.clear();
            self.set_end(cut);
        } else {
            self.truncate_to(cut);
        }
    }

    /// Opens after a restart: everything that is there is synced; epochs without data survive only if the checkpoint has them.
    pub(super) fn recover(&mut self, random: &mut Random) {
        self.state.flushed_offset = self.end();
        self.state.truncation_generation = TruncationGeneration(0);
        if random.percent(50) {
            let mut rebuilt: Vec<EpochEntry> = Vec::new();
            for batch in &self.batches {
                if rebuilt.last().is_none_or(|entry| entry.epoch < batch.leader_epoch) {
                    let start_offset = batch.base_offset.max(self.state.log_start_offset);
                    rebuilt.push(EpochEntry { epoch: batch.leader_epoch, start_offset });
                }
            }
            self.epochs = rebuilt;
        }
    }
}
