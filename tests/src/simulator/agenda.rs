//! What happens when: the one clock of a simulation and the queue behind it.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use model::Timestamp;

/// Occurrences in the order of their moments; those of one moment in the order in which they were entered. Time moves by [`Agenda::next`] alone, and never back.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    now: Timestamp,
    /// Number of the newest entry.
    sequence: u64,
    queue: BinaryHeap<Reverse<Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    at: Timestamp,
    sequence: u64,
    occurrence: T,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self { now: Timestamp::ZERO, sequence: 0, queue: BinaryHeap::new() }
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Enters an occurrence for a moment; what should have been happens now.
    pub(crate) fn at(&mut self, at: Timestamp, occurrence: T) {
        self.sequence += 1;
        let entry = Entry { at: at.max(self.now), sequence: self.sequence, occurrence };
        self.queue.push(Reverse(entry));
    }

    /// Enters an occurrence for the end of a pause that begins now.
    pub(crate) fn after(&mut self, pause: Duration, occurrence: T) {
        self.at(self.now + pause, occurrence);
    }

    /// Moves time to the next occurrence and returns it with its number.
    pub(crate) fn next(&mut self) -> Option<(u64, T)> {
        let Reverse(entry) = self.queue.pop()?;
        self.now = entry.at;
        Some((entry.sequence, entry.occurrence))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurrences_come_in_the_order_of_time_and_then_of_entry() {
        let mut agenda = Agenda::new();
        agenda.after(Duration::from_millis(2), "third");
        agenda.after(Duration::from_millis(1), "first");
        agenda.after(Duration::from_millis(1), "second");
        assert_eq!(agenda.next(), Some((2, "first")));
        assert_eq!(agenda.next(), Some((3, "second")));
        agenda.at(Timestamp::ZERO, "too late");
        assert_eq!(agenda.next(), Some((4, "too late")));
        assert_eq!(agenda.now(), Timestamp::ZERO + Duration::from_millis(1));
        assert_eq!(agenda.next(), Some((1, "third")));
        assert_eq!(agenda.next(), None);
    }
}
