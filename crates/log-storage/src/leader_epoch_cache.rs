//! Leader epochs of a log and where each begins (Kafka's `LeaderEpochFileCache`, KIP-101, KIP-279).
//!
//! Owns the entries in memory and their text form. Invariant: entries increase strictly in epoch and in start offset. Writes no file: the text goes to
//! disk with a checkpoint and with a truncation.

use std::fmt::Write;

use model::{LeaderEpoch, Offset};

/// One epoch and the offset of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Offset of the first record of the epoch, or where it would be.
    pub start_offset: Offset,
}

/// The epochs of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaderEpochCache {
    entries: Vec<EpochEntry>,
}

/// Text that is no leader epoch checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("leader-epoch-checkpoint is malformed at line {line}")]
pub(crate) struct MalformedEpochs {
    /// The line's number, from 1.
    pub(crate) line: usize,
}

impl LeaderEpochCache {
    /// Returns the entries, oldest first.
    pub(crate) fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// Returns the latest epoch.
    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// Adds an entry, and drops those that it contradicts: of the same or a later epoch, or that begin at or behind it. An epoch that is known and began
    /// before is left as it is.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) {
        let is_known = |last: &EpochEntry| last.epoch == epoch && last.start_offset <= start_offset;
        if !self.entries.last().is_some_and(is_known) {
            self.entries.retain(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
            self.entries.push(EpochEntry { epoch, start_offset });
        }
    }

    /// Returns the greatest epoch that is at most the one asked for, and its end: the start of the next epoch, or the log end offset for the latest.
    pub(crate) fn end_offset_for(
        &self,
        epoch: LeaderEpoch,
        log_end_offset: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        let next = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let found = self.entries.get(next.checked_sub(1)?)?;
        let end = self.entries.get(next).map_or(log_end_offset, |entry| entry.start_offset);
        Some((found.epoch, end))
    }

    /// Returns the epoch to which the record at `offset` belongs.
    pub(crate) fn epoch_for(&self, offset: Offset) -> Option<LeaderEpoch> {
        let next = self.entries.partition_point(|entry| entry.start_offset <= offset);
        Some(self.entries.get(next.checked_sub(1)?)?.epoch)
    }

    /// Drops the entries that begin at or behind the log's new end, even where no data is removed.
    pub(crate) fn truncate_from_end(&mut self, end_offset: Offset) {
        self.entries.retain(|entry| entry.start_offset < end_offset);
    }

    /// Drops the entries of removed records; the one that covers the new start begins there.
    pub(crate) fn truncate_from_start(&mut self, start_offset: Offset) {
        let next = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        if let Some(covering) = next.checked_sub(1) {
            self.entries.drain(..covering);
            self.entries[0].start_offset = start_offset;
        }
    }

    /// Drops all.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Returns Kafka's text form: version 0, the number of entries, one "epoch offset" a line.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            writeln!(text, "{} {}", entry.epoch, entry.start_offset)
                .expect("writing to a string does not fail");
        }
        text
    }

    /// Reads the text form.
    pub(crate) fn from_text(text: &str) -> Result<Self, MalformedEpochs> {
        let mut lines = text.lines();
        if lines.next() != Some("0") {
            return Err(MalformedEpochs { line: 1 });
        }
        let expected: Option<usize> = lines.next().and_then(|line| line.parse().ok());
        let mut cache = Self::default();
        for (index, line) in lines.enumerate() {
            let entry = parse_entry(line).filter(|entry| {
                cache.entries.last().is_none_or(|last| {
                    last.epoch < entry.epoch && last.start_offset < entry.start_offset
                })
            });
            cache.entries.push(entry.ok_or(MalformedEpochs { line: index + 3 })?);
        }
        if expected == Some(cache.entries.len()) {
            Ok(cache)
        } else {
            Err(MalformedEpochs { line: 2 })
        }
    }
}

fn parse_entry(line: &str) -> Option<EpochEntry> {
    let (epoch, offset) = line.split_once(' ')?;
    Some(EpochEntry {
        epoch: LeaderEpoch::from_wire(epoch.parse().ok()?)?,
        start_offset: Offset::from_wire(offset.parse().ok()?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> LeaderEpochCache {
        let mut cache = LeaderEpochCache::default();
        for (epoch, offset) in entries {
            cache.assign(LeaderEpoch(*epoch), Offset(*offset));
        }
        cache
    }

    fn entries(cache: &LeaderEpochCache) -> Vec<(i32, i64)> {
        cache.entries().iter().map(|entry| (entry.epoch.0, entry.start_offset.0)).collect()
    }

    #[test]
    fn assigning_drops_what_it_contradicts() {
        for (assigned, expected) in [
            ((5, 30), vec![(1, 0), (3, 10), (4, 20), (5, 30)]),
            ((5, 20), vec![(1, 0), (3, 10), (5, 20)]),
            ((4, 25), vec![(1, 0), (3, 10), (4, 20)]),
            ((4, 15), vec![(1, 0), (3, 10), (4, 15)]),
            ((3, 30), vec![(1, 0), (3, 30)]),
            ((9, 0), vec![(9, 0)]),
        ] {
            let mut cache = cache(&[(1, 0), (3, 10), (4, 20)]);
            cache.assign(LeaderEpoch(assigned.0), Offset(assigned.1));
            assert_eq!(entries(&cache), expected, "after {assigned:?}");
        }
    }

    #[test]
    fn the_end_of_an_epoch_is_the_start_of_the_next_known_one() {
        let cache = cache(&[(1, 5), (3, 10), (4, 20)]);
        for (asked, expected) in [
            (0, None),
            (1, Some((1, 10))),
            (2, Some((1, 10))),
            (3, Some((3, 20))),
            (4, Some((4, 50))),
            (7, Some((4, 50))),
        ] {
            let found = cache.end_offset_for(LeaderEpoch(asked), Offset(50));
            assert_eq!(found.map(|(epoch, end)| (epoch.0, end.0)), expected, "epoch {asked}");
        }
        assert_eq!(LeaderEpochCache::default().end_offset_for(LeaderEpoch(1), Offset(0)), None);
    }

    #[test]
    fn truncation_drops_an_entry_that_begins_at_the_new_end() {
        let mut cache = cache(&[(1, 0), (3, 10), (4, 20)]);
        cache.truncate_from_end(Offset(20));
        assert_eq!(entries(&cache), [(1, 0), (3, 10)]);
    }

    #[test]
    fn the_entry_that_covers_the_new_start_moves_to_it() {
        for (start, expected) in [
            (0, vec![(1, 5), (3, 10), (4, 20)]),
            (12, vec![(3, 12), (4, 20)]),
            (20, vec![(4, 20)]),
            (99, vec![(4, 99)]),
        ] {
            let mut cache = cache(&[(1, 5), (3, 10), (4, 20)]);
            cache.truncate_from_start(Offset(start));
            assert_eq!(entries(&cache), expected, "start {start}");
        }
    }

    #[test]
    fn the_text_form_is_kafkas_and_malformed_text_is_refused() {
        let cache = cache(&[(1, 5), (3, 10)]);
        assert_eq!(cache.to_text(), "0\n2\n1 5\n3 10\n");
        assert_eq!(LeaderEpochCache::from_text(&cache.to_text()), Ok(cache));
        for text in [
            "",
            "1\n0\n",
            "0\n",
            "0\n2\n1 5\n",
            "0\n1\n1 5\n2 6\n",
            "0\n1\n-1 5\n",
            "0\n2\n3 5\n3 6\n",
            "0\n1\nx y\n",
        ] {
            assert!(LeaderEpochCache::from_text(text).is_err(), "{text:?}");
        }
    }
}
