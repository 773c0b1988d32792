//! What waits inside a partition: producers for their acknowledgement, and committed bytes to be counted for long polls.

use std::collections::VecDeque;

use model::Offset;
use tokio::sync::oneshot;

use crate::error::ProduceError;
use crate::partition::WaiterId;

/// How a producer is told.
pub(super) type ProduceSender = oneshot::Sender<Result<(), ProduceError>>;

/// The senders of producers that wait, by the dense ids that the machine knows them by.
///
/// Bounded by the requests in flight. Ids complete nearly in order, so a ring that begins at the oldest open one needs no hashing.
#[derive(Debug, Default)]
pub(super) struct ProduceWaiters {
    first: u64,
    ring: VecDeque<Option<ProduceSender>>,
}

impl ProduceWaiters {
    /// The id of the next waiter.
    pub(super) fn next_id(&self) -> WaiterId {
        let count = u64::try_from(self.ring.len()).expect("a length in memory fits 64 bits");
        WaiterId(self.first + count)
    }

    /// Adds the waiter with the next id; without a sender when it is done already.
    pub(super) fn push(&mut self, sender: Option<ProduceSender>) {
        self.ring.push_back(sender);
        self.trim();
    }

    /// Takes a waiter out.
    pub(super) fn take(&mut self, id: WaiterId) -> Option<ProduceSender> {
        let index = usize::try_from(id.0.checked_sub(self.first)?).ok()?;
        let sender = self.ring.get_mut(index)?.take();
        self.trim();
        sender
    }

    fn trim(&mut self) {
        while let Some(None) = self.ring.front() {
            self.ring.pop_front();
            self.first += 1;
        }
    }
}

/// Counts the bytes that an offset has passed, the high watermark or the last stable offset, so that a long poll knows when it has enough.
#[derive(Debug, Default)]
pub(super) struct CommitMeter {
    /// Bytes appended since the replica was opened.
    appended_bytes: u64,
    /// Of those, bytes below the offset.
    committed_bytes: u64,
    /// End offset of each append above the offset, with the bytes appended up to there.
    uncommitted: VecDeque<(Offset, u64)>,
}

impl CommitMeter {
    /// Notes an append.
    pub(super) fn appended(&mut self, end_offset: Offset, size_bytes: usize) {
        self.appended_bytes += u64::try_from(size_bytes).expect("a length in memory fits 64 bits");
        // A partition whose commits stand still holds its producers back by their own limits; beyond this, appends are merged.
        if self.uncommitted.len() >= MAX_UNCOMMITTED_ENTRIES
            && let Some(last) = self.uncommitted.back_mut()
        {
            *last = (end_offset, self.appended_bytes);
            return;
        }
        self.uncommitted.push_back((end_offset, self.appended_bytes));
    }

    /// Notes a truncation.
    pub(super) fn truncated(&mut self, log_end_offset: Offset) {
        self.uncommitted.retain(|(end_offset, _)| *end_offset <= log_end_offset);
    }

    /// Notes where the offset stands now and returns how many bytes it passed.
    pub(super) fn committed(&mut self, offset: Offset) -> u64 {
        let before = self.committed_bytes;
        while let Some((end_offset, bytes)) = self.uncommitted.front()
            && *end_offset <= offset
        {
            self.committed_bytes = *bytes;
            self.uncommitted.pop_front();
        }
        self.committed_bytes - before
    }

    /// Bytes that the offset has passed since the replica was opened.
    pub(super) fn committed_bytes(&self) -> u64 {
        self.committed_bytes
    }
}

/// Bound of the entries of a [`CommitMeter`].
const MAX_UNCOMMITTED_ENTRIES: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_dense_when_waiters_complete_out_of_order() {
        let mut waiters = ProduceWaiters::default();
        let mut receivers = Vec::new();
        for id in 0..3 {
            assert_eq!(waiters.next_id(), WaiterId(id));
            let (sender, receiver) = oneshot::channel();
            waiters.push(Some(sender));
            receivers.push(receiver);
        }
        assert!(waiters.take(WaiterId(1)).is_some());
        assert!(waiters.take(WaiterId(1)).is_none());
        assert!(waiters.take(WaiterId(0)).is_some());
        assert_eq!(waiters.next_id(), WaiterId(3));
        waiters.push(None);
        assert!(waiters.take(WaiterId(2)).is_some());
        assert_eq!(waiters.next_id(), WaiterId(4));
        assert!(waiters.ring.is_empty());
    }

    #[test]
    fn committed_bytes_are_those_of_whole_appends_below_the_high_watermark() {
        let mut meter = CommitMeter::default();
        meter.appended(Offset(2), 100);
        meter.appended(Offset(5), 50);
        assert_eq!(meter.committed(Offset(4)), 100);
        assert_eq!(meter.committed(Offset(5)), 50);
        meter.appended(Offset(9), 10);
        meter.truncated(Offset(5));
        meter.appended(Offset(6), 1);
        assert_eq!(
            meter.committed(Offset(6)),
            11,
            "bytes that were cut away still count as a hint"
        );
        assert_eq!(meter.committed_bytes(), 161);
    }
}
