//! Positions of a log's newest batches, so that a read at the tail needs neither index nor scan.
//!
//! Owns at most [`CAPACITY`] positions, no bytes. Invariant: the batches are consecutive, the last one ends at the log end.

use std::collections::VecDeque;

use model::Offset;

/// Where one batch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchPosition {
    /// Base offset of the segment that holds it.
    pub(crate) segment: Offset,
    /// The batch's first offset.
    pub(crate) base_offset: Offset,
    /// The offset behind its last.
    pub(crate) next_offset: Offset,
    /// Position of its first byte in the segment.
    pub(crate) position: u64,
    /// Its size in bytes.
    pub(crate) size_bytes: usize,
}

/// The newest batches of a log.
#[derive(Debug, Default)]
pub(crate) struct RecentBatches {
    batches: VecDeque<BatchPosition>,
}

impl RecentBatches {
    /// Adds the batch that was just appended; the oldest is forgotten when there are too many.
    pub(crate) fn push(&mut self, batch: BatchPosition) {
        if self.batches.len() == CAPACITY {
            self.batches.pop_front();
        }
        self.batches.push_back(batch);
    }

    /// Returns the batches from the one that holds `offset` on; `None` when that is older than all, or not there yet.
    pub(crate) fn from(&self, offset: Offset) -> Option<impl Iterator<Item = &BatchPosition>> {
        let first = self.batches.partition_point(|batch| batch.next_offset <= offset);
        let found = self.batches.get(first).is_some_and(|batch| batch.base_offset <= offset);
        found.then(|| self.batches.range(first..))
    }

    /// Forgets those that begin below an offset: their segment is another one now.
    pub(crate) fn forget_below(&mut self, offset: Offset) {
        let count = self.batches.partition_point(|batch| batch.base_offset < offset);
        self.batches.drain(..count);
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.batches.clear();
    }
}

/// Ten kilobytes a partition at most; at 16 KiB a batch it reaches 4 MiB back, far more than a follower in sync lags.
const CAPACITY: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_offset_is_found_until_it_is_too_old() {
        let mut recent = RecentBatches::default();
        for number in 0..300_i64 {
            recent.push(BatchPosition {
                segment: Offset(0),
                base_offset: Offset(number * 2),
                next_offset: Offset(number * 2 + 2),
                position: u64::try_from(number).unwrap() * 100,
                size_bytes: 100,
            });
        }
        let first =
            |offset| recent.from(Offset(offset)).map(|mut found| found.next().unwrap().position);
        assert_eq!(first(599), Some(29_900));
        assert_eq!(first(88), Some(4_400));
        assert_eq!(first(87), None);
        assert_eq!(first(600), None);
    }
}
