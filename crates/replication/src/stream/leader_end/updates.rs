//! What goes out to one follower: messages that are made when HTTP/2 asks for one, which is when the follower has granted room.
//!
//! Owns how the room of a message is shared among partitions (design 3b.2).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use log_storage::Minimum;
use tonic::Status;

use crate::config::ReplicationConfig;
use crate::partition_handle::{Class, MarkedCount, SendQueue};
use crate::stream::{proto, wire};

/// The messages of one stream.
#[derive(Debug)]
pub(super) struct Updates {
    queue: Arc<SendQueue>,
    /// `replica.fetch.response.max.bytes`.
    message_max_bytes: usize,
    /// `replica.fetch.max.bytes`.
    partition_max_bytes: usize,
}

impl Updates {
    pub(super) fn new(queue: Arc<SendQueue>, config: &ReplicationConfig) -> Self {
        Self {
            queue,
            message_max_bytes: config.replica_fetch_response_max_bytes,
            partition_max_bytes: config.replica_fetch_max_bytes,
        }
    }

    /// Builds the next message, from what is marked.
    ///
    /// Partitions whose acks wait for this follower come first; the others get at most half of a message and at least a quarter.
    fn next_message(&self, marked: MarkedCount) -> Option<proto::LeaderMessage> {
        let total = self.message_max_bytes;
        let in_sync_budget = if marked.others > 0 { total - total / 4 } else { total };
        let mut message = proto::LeaderMessage::default();
        let used = self.fill(&mut message, Class::InSync, marked.in_sync, in_sync_budget);
        if marked.others > 0 {
            let budget = total.saturating_sub(used).clamp(total / 4, total / 2);
            self.fill(&mut message, Class::Others, marked.others, budget);
        }
        (!message.updates.is_empty()).then_some(message)
    }

    /// Adds what the marked sessions of one class have, and returns the bytes of batches. A session that has more is marked again, at the end; `turns` bounds the
    /// turns, so that a message ends.
    fn fill(
        &self,
        message: &mut proto::LeaderMessage,
        class: Class,
        turns: usize,
        budget: usize,
    ) -> usize {
        let mut used = 0;
        for _ in 0..turns {
            if used >= budget || message.updates.len() >= MAX_UPDATES {
                break;
            }
            let Some(session) = self.queue.pop(class) else { break };
            let limit = (budget - used).min(self.partition_max_bytes);
            let minimum = if used == 0 { Minimum::OneBatch } else { Minimum::Nothing };
            let (update, has_more) = session.turn(limit, minimum);
            if let Some(update) = update {
                used += update.batches.len();
                message.updates.push(wire::update(session.partition().id(), update));
            }
            if has_more {
                session.mark();
            }
        }
        used
    }
}

impl Stream for Updates {
    type Item = Result<proto::LeaderMessage, Status>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.queue.register(task.waker());
        let Some(marked) = self.queue.marked() else { return Poll::Ready(None) };
        if let Some(message) = self.next_message(marked) {
            return Poll::Ready(Some(Ok(message)));
        }
        match self.queue.marked() {
            None => Poll::Ready(None),
            Some(MarkedCount { in_sync: 0, others: 0 }) => Poll::Pending,
            Some(_) => {
                // Turns that had nothing to send have used the marks up; what remains is for the next poll.
                task.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Drop for Updates {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Bound of one message's updates, so that a message of tiny updates stays small too.
const MAX_UPDATES: usize = 10_000;
