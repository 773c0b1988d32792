//! Producers: idempotent ones with a window, that retry until acknowledged, and plain ones for each `acks`.

use std::collections::VecDeque;
use std::time::Duration;

use model::{Acks, Timestamp};

/// A batch that waits for its acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingBatch {
    pub(super) payload: u64,
    pub(super) count: i64,
    /// Number in the producer's sequence.
    pub(super) sequence: u64,
    /// The attempt that is under way; `None` while it waits to be sent.
    pub(super) attempt: Option<(u64, Timestamp)>,
    pub(super) retry_at: Timestamp,
}

/// One producer.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) acks: Acks,
    pub(super) is_idempotent: bool,
    pub(super) window: u64,
    pub(super) pending: VecDeque<PendingBatch>,
    pub(super) next_sequence: u64,
    pub(super) acknowledged_count: u64,
}

/// How long a client waits for an answer.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_millis(700);

impl Client {
    pub(super) fn new(id: u64) -> Self {
        let (acks, is_idempotent, window) = match id {
            0 | 1 => (Acks::All, true, 3),
            2 => (Acks::All, false, 1),
            3 => (Acks::Leader, false, 1),
            _ => (Acks::None, false, 1),
        };
        Self {
            id,
            acks,
            is_idempotent,
            window,
            pending: VecDeque::new(),
            next_sequence: 0,
            acknowledged_count: 0,
        }
    }

    /// Makes the next batch, if the window has room: it spans sequences, so that a batch whose answer got lost stays among the remembered ones.
    pub(super) fn produce(&mut self, now: Timestamp, count: i64) {
        let oldest = self.pending.front().map_or(self.next_sequence, |batch| batch.sequence);
        if self.next_sequence - oldest < self.window {
            let sequence = self.next_sequence;
            self.next_sequence += 1;
            self.pending.push_back(PendingBatch {
                payload: self.id << 32 | sequence,
                count,
                sequence,
                attempt: None,
                retry_at: now,
            });
        }
    }

    /// Gives up attempts that took too long, and returns the batches to send now, in order.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<usize> {
        for batch in &mut self.pending {
            if batch.attempt.is_some_and(|(_, sent)| now.since(sent) > REQUEST_TIMEOUT) {
                batch.attempt = None;
                batch.retry_at = now;
            }
        }
        let due = self.pending.iter().enumerate();
        due.filter(|(_, batch)| batch.attempt.is_none() && batch.retry_at <= now)
            .map(|(index, _)| index)
            .collect()
    }

    /// Takes in an answer. An error of an attempt that was given up says nothing any more; a success always counts.
    pub(super) fn answered(
        &mut self,
        payload: u64,
        attempt: u64,
        is_ok: bool,
        retry_at: Timestamp,
    ) {
        let Some(index) = self.pending.iter().position(|batch| batch.payload == payload) else {
            return;
        };
        let batch = &mut self.pending[index];
        if is_ok {
            self.pending.remove(index);
            self.acknowledged_count += 1;
        } else if batch.attempt.is_some_and(|(current, _)| current == attempt) {
            // A plain producer with acks below all does not insist.
            if self.acks == Acks::All {
                batch.attempt = None;
                batch.retry_at = retry_at;
            } else {
                self.pending.remove(index);
            }
        }
    }
}
