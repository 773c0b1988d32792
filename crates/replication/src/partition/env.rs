//! What a role sees of the rest of the machine during one step, and what both roles do with it.

use std::collections::VecDeque;

use model::{Offset, Timestamp};

use super::Options;
use super::action::Action;
use super::event::Generation;
use super::metadata::{FlushPolicy, PartitionMetadata};
use super::mutation::{Mutation, is_active};
use super::replica_log::ReplicaLog;

/// What a role sees of the rest of the machine during one step.
#[derive(Debug)]
pub(super) struct Env<'a> {
    pub(super) now: Timestamp,
    pub(super) options: &'a Options,
    pub(super) metadata: &'a PartitionMetadata,
    pub(super) log: &'a mut ReplicaLog,
    pub(super) actions: &'a mut VecDeque<Action>,
    /// The last generation that was used.
    pub(super) generation: &'a mut Generation,
}

impl Env<'_> {
    /// Returns the own countable offset.
    pub(super) fn countable(&self) -> Offset {
        if is_active(Mutation::AckBeforeFlush) {
            return self.log.countable(FlushPolicy::Deferred);
        }
        self.log.countable(self.metadata.flush_policy)
    }

    /// Raises the high watermark and says so when it moved.
    pub(super) fn raise_high_watermark(&mut self, to: Offset) {
        if let Some(high_watermark) = self.log.raise_high_watermark(to) {
            self.actions.push_back(Action::AdvanceHighWatermark { high_watermark });
        }
    }

    /// Returns the time one tick from now: the pace of repeats and pauses.
    pub(super) fn next_tick(&self) -> Timestamp {
        self.now + self.options.tick()
    }

    /// Returns the next whole tick of the clock: the pace of keep-alives. All partitions of a broker share these moments, so that an idle broker wakes
    /// once per tick and sends one message per stream, however many partitions it follows.
    pub(super) fn next_shared_tick(&self) -> Timestamp {
        let tick = u64::try_from(self.options.tick().as_nanos()).unwrap_or(u64::MAX).max(1);
        Timestamp((self.now.0 / tick).saturating_add(1).saturating_mul(tick))
    }
}
