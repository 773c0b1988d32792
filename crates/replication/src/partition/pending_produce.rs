//! Produces that wait, ordered by the offset they wait for.
//!
//! Owns the second half of invariant 9: a waiter leaves exactly once. It is bounded by the requests that the broker has admitted.

use std::collections::{BTreeMap, BTreeSet};

use model::{Acks, Offset, Timestamp};

use super::event::{ProduceWaiter, WaiterId};

/// Waiters for the leader's countable offset (`acks=1`) and for the high watermark (`acks=all`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PendingProduce {
    leader: BTreeMap<(Offset, WaiterId), Timestamp>,
    all: BTreeMap<(Offset, WaiterId), Timestamp>,
    deadlines: BTreeSet<(Timestamp, WaiterId, Offset)>,
}

impl PendingProduce {
    /// Adds a waiter for `acks` 1 or all; `acks=0` waits for nothing and is never added.
    pub(super) fn add(&mut self, waiter: &ProduceWaiter) {
        let queue = match waiter.acks {
            Acks::None => return,
            Acks::Leader => &mut self.leader,
            Acks::All => &mut self.all,
        };
        queue.insert((waiter.end_offset, waiter.id), waiter.deadline);
        self.deadlines.insert((waiter.deadline, waiter.id, waiter.end_offset));
    }

    /// Removes and returns the waiters for `acks` whose end the offset has reached, lowest first.
    pub(super) fn reached(&mut self, acks: Acks, offset: Offset) -> Vec<(Offset, WaiterId)> {
        let queue = match acks {
            Acks::None => return Vec::new(),
            Acks::Leader => &mut self.leader,
            Acks::All => &mut self.all,
        };
        let mut done = Vec::new();
        while let Some(entry) = queue.first_entry().filter(|entry| entry.key().0 <= offset) {
            let ((end_offset, id), deadline) = entry.remove_entry();
            self.deadlines.remove(&(deadline, id, end_offset));
            done.push((end_offset, id));
        }
        done
    }

    /// Removes and returns the waiters whose deadline has come.
    pub(super) fn expired(&mut self, now: Timestamp) -> Vec<WaiterId> {
        let mut done = Vec::new();
        while let Some((deadline, id, end_offset)) = self.deadlines.first().copied()
            && deadline <= now
        {
            self.deadlines.remove(&(deadline, id, end_offset));
            self.leader.remove(&(end_offset, id));
            self.all.remove(&(end_offset, id));
            done.push(id);
        }
        done
    }

    /// Removes and returns all waiters, in the order of their offsets.
    pub(super) fn drain(&mut self) -> Vec<WaiterId> {
        self.deadlines.clear();
        let mut keys: Vec<_> = std::mem::take(&mut self.leader).into_keys().collect();
        keys.extend(std::mem::take(&mut self.all).into_keys());
        keys.sort_unstable();
        keys.into_iter().map(|(_, id)| id).collect()
    }

    /// Returns the earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _, _)| *deadline)
    }

    /// Returns the lowest offset that an `acks=all` waiter waits for.
    pub(super) fn lowest_all(&self) -> Option<Offset> {
        self.all.first_key_value().map(|((offset, _), _)| *offset)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }
}
