//! What falls due when: the pure half of a driver's timers.
//!
//! Owns the order of the entries. It reads no clock and waits for nothing: the driver around it holds the lock, sleeps until the earliest entry and asks for what is due.
//! An entry is never taken back. Whoever needs a later deadline than it has inserted lets the entry come due and ignores it.

use std::collections::BTreeMap;

use crate::timestamp::Timestamp;

/// Items by the time at which they fall due; of two that fall due together, the one inserted first comes first.
#[derive(Clone, Debug)]
pub struct Deadlines<T> {
    entries: BTreeMap<(Timestamp, u64), T>,
    /// How many entries there ever were: what tells two of the same time apart.
    inserted_count: u64,
}

impl<T> Deadlines<T> {
    /// Adds an entry. Returns whether it is now the earliest, so that whoever sleeps until the earliest must be woken.
    pub fn insert(&mut self, at: Timestamp, item: T) -> bool {
        let is_earliest = self.earliest().is_none_or(|earliest| at < earliest);
        self.entries.insert((at, self.inserted_count), item);
        self.inserted_count += 1;
        is_earliest
    }

    /// Returns when the earliest entry falls due, `None` if there is none.
    #[must_use]
    pub fn earliest(&self) -> Option<Timestamp> {
        self.entries.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the earliest entry, with its time, if it is due at `now`.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, T)> {
        let entry = self.entries.first_entry()?;
        let (at, _) = *entry.key();
        (at <= now).then(|| (at, entry.remove()))
    }

    /// Returns the number of entries, due ones included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }
}

impl<T> Default for Deadlines<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), inserted_count: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_due(deadlines: &mut Deadlines<&'static str>, now: u64) -> Vec<(u64, &'static str)> {
        std::iter::from_fn(|| deadlines.pop_due(Timestamp(now)))
            .map(|(at, item)| (at.0, item))
            .collect()
    }

    #[test]
    fn an_entry_is_due_at_its_time_and_not_before() {
        let mut deadlines = Deadlines::default();
        deadlines.insert(Timestamp(5), "five");
        assert_eq!(deadlines.pop_due(Timestamp(4)), None);
        assert_eq!(deadlines.count(), 1);
        assert_eq!(deadlines.pop_due(Timestamp(5)), Some((Timestamp(5), "five")));
        assert_eq!(deadlines.pop_due(Timestamp(5)), None);
        assert_eq!(deadlines.count(), 0);
    }

    #[test]
    fn entries_come_in_the_order_of_their_times_and_then_of_their_insertion() {
        let mut deadlines = Deadlines::default();
        for (at, item) in [(7, "c"), (3, "a"), (7, "d"), (5, "b"), (9, "later")] {
            deadlines.insert(Timestamp(at), item);
        }
        assert_eq!(all_due(&mut deadlines, 8), [(3, "a"), (5, "b"), (7, "c"), (7, "d")]);
        assert_eq!(deadlines.earliest(), Some(Timestamp(9)));
    }

    #[test]
    fn only_an_entry_before_all_others_is_the_earliest() {
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.earliest(), None);
        assert!(deadlines.insert(Timestamp(5), "first"));
        assert!(!deadlines.insert(Timestamp(5), "at the same time"));
        assert!(!deadlines.insert(Timestamp(6), "later"));
        assert!(deadlines.insert(Timestamp(4), "earlier"));
        assert_eq!(all_due(&mut deadlines, 9).len(), 4);
        assert!(deadlines.insert(Timestamp(8), "alone again"));
    }
}
