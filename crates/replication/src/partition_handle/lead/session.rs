//! One partition on one stream to a follower: its mark, and its turn when the stream has room.
//!
//! Bytes are read in the turn, so only when the follower has granted room for them: from the page cache on the stream's own thread, else on a storage thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use log_storage::{Minimum, ReadError, ReadPlan, continued_at};
use model::record_batch::{BatchError, Batches, verify_crc};
use model::{BrokerEpoch, BrokerId, Offset};

use super::Turn;
use super::send_queue::{Class, SendQueue};
use super::send_state::{SendState, Trust};
use crate::partition::LeaderAnswer;
use crate::partition_handle::PartitionHandle;

/// One partition on one stream.
#[derive(Debug)]
pub(crate) struct Session {
    queue: Arc<SendQueue>,
    partition: Arc<PartitionHandle>,
    is_queued: AtomicBool,
    /// Whether it stands in the queue for a cold read.
    is_waiting: AtomicBool,
    is_in_sync: AtomicBool,
    sending: Mutex<Sending>,
}

#[derive(Debug, Default)]
struct Sending {
    state: SendState,
    cold: Cold,
}

/// A read that a storage thread does because the bytes are not in the page cache.
#[derive(Debug, Default)]
enum Cold {
    #[default]
    None,
    Reading,
    Read(SendState, LeaderAnswer, Result<Bytes, ReadError>),
}

/// What a stream sends of one partition.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) answer: LeaderAnswer,
    /// Whole batches, or nothing.
    pub(crate) batches: Bytes,
}

impl Session {
    /// Makes the session of a partition on the stream that takes from a queue.
    pub(crate) fn new(queue: &Arc<SendQueue>, partition: Arc<PartitionHandle>) -> Arc<Self> {
        Arc::new(Self {
            queue: Arc::clone(queue),
            partition,
            is_queued: AtomicBool::new(false),
            is_waiting: AtomicBool::new(false),
            is_in_sync: AtomicBool::new(false),
            sending: Mutex::default(),
        })
    }

    /// The follower.
    pub(super) fn follower(&self) -> BrokerId {
        self.queue.follower()
    }

    /// The follower's incarnation.
    pub(super) fn broker_epoch(&self) -> BrokerEpoch {
        self.queue.broker_epoch()
    }

    /// The partition.
    pub(crate) fn partition(&self) -> &Arc<PartitionHandle> {
        &self.partition
    }

    /// Notes whether the follower is in the partition's ISR: it is served first then.
    pub(super) fn set_in_sync(&self, is_in_sync: bool) {
        self.is_in_sync.store(is_in_sync, Ordering::Relaxed);
    }

    /// Notes that the partition has something new for the follower, and wakes the stream. Called without any partition's lock.
    pub(crate) fn mark(self: &Arc<Self>) {
        if self.is_queued.swap(true, Ordering::SeqCst) {
            return;
        }
        let class =
            if self.is_in_sync.load(Ordering::Relaxed) { Class::InSync } else { Class::Others };
        self.queue.push(class, Arc::clone(self));
    }

    /// Notes that the stream took it out of the queue. Before the look at the partition, so that whatever is appended after the look marks the session again.
    pub(super) fn unqueued(&self) {
        self.is_queued.store(false, Ordering::SeqCst);
    }

    /// Notes that it waits for a cold read; says whether it did not before.
    pub(super) fn begin_waiting(&self) -> bool {
        !self.is_waiting.swap(true, Ordering::SeqCst)
    }

    pub(super) fn end_waiting(&self) {
        self.is_waiting.store(false, Ordering::SeqCst);
    }

    /// Takes the partition's turn: what to send of it, and whether there is more.
    pub(crate) fn turn(
        self: &Arc<Self>,
        max_bytes: usize,
        minimum: Minimum,
    ) -> (Option<Update>, bool) {
        let mut sending = self.lock();
        match std::mem::take(&mut sending.cold) {
            Cold::None => {}
            Cold::Reading => {
                sending.cold = Cold::Reading;
                return (None, false);
            }
            Cold::Read(began, answer, result) => {
                self.queue.end_cold_read();
                // Another position may have come meanwhile; what was read for the old one is void then.
                if sending.state.continues(&began) {
                    return self.read(&mut sending, answer, result);
                }
            }
        }
        match self.partition.follower_turn(self, &mut sending.state, max_bytes, minimum) {
            Turn::Nothing => (None, sending.state.has_more() && minimum == Minimum::Nothing),
            Turn::Answer(answer) => {
                let update = Update { answer, batches: Bytes::new() };
                (Some(update), sending.state.has_more() && minimum == Minimum::Nothing)
            }
            Turn::Batches(answer, plan) if plan.is_hot() => {
                let result = plan.execute();
                self.read(&mut sending, answer, result)
            }
            Turn::Batches(answer, plan) => {
                if !self.queue.begin_cold_read(self) {
                    return (None, false);
                }
                sending.cold = Cold::Reading;
                let began = sending.state;
                drop(sending);
                self.read_cold(began, answer, plan);
                (None, false)
            }
        }
    }

    /// Reads on a storage thread, then marks the session for the turn that sends it.
    fn read_cold(self: &Arc<Self>, began: SendState, answer: LeaderAnswer, plan: ReadPlan) {
        let me = Arc::clone(self);
        self.partition.host.storage.run_job(move || {
            let result = plan.execute();
            me.lock().cold = Cold::Read(began, answer, result);
            me.mark();
        });
    }

    /// Turns what was read into an update.
    fn read(
        &self,
        sending: &mut Sending,
        answer: LeaderAnswer,
        result: Result<Bytes, ReadError>,
    ) -> (Option<Update>, bool) {
        let next_offset = sending.state.next_offset();
        let checked = result.and_then(|batches| {
            let batches = continued_at(batches, next_offset);
            check(&batches, next_offset, sending.state.trust())
                .map(|end_offset| (batches, end_offset))
        });
        match checked {
            // Fewer bytes than the plan promised: the next turn plans anew.
            Ok((_, None)) => (None, true),
            Ok((batches, Some(end_offset))) => {
                sending.state.advance(end_offset);
                self.partition.host.metrics.replicated_out(batches.len());
                (Some(Update { answer, batches }), sending.state.has_more())
            }
            Err(ReadError::Changed | ReadError::OffsetOutOfRange { .. }) => (None, true),
            Err(error) => {
                self.partition.replica_read_failed(next_offset, &error);
                (None, false)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sending> {
        self.sending.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

/// Looks through what was read for a follower and returns where the last batch ends; `None` when there is none.
fn check(batches: &[u8], from: Offset, trust: Trust) -> Result<Option<Offset>, ReadError> {
    let mut end_offset = None;
    for batch in Batches::whole(batches) {
        let offset = end_offset.unwrap_or(from);
        let corrupt = |error: BatchError| ReadError::Corrupt { offset, reason: error.to_string() };
        let batch = batch.map_err(corrupt)?;
        if trust == Trust::Doubted {
            verify_crc(batch.bytes).map_err(corrupt)?;
        }
        end_offset = Some(batch.header.next_offset());
    }
    Ok(end_offset)
}
