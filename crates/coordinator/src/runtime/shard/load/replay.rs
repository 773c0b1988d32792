//! Replays chunks of a log into a machine, and remembers what it could not read.

use std::error::Error;

use bytes::Bytes;

use super::LoadError;
use super::complaints::causes;
use crate::runtime::context::Context;
use crate::runtime::machine::Machine;
use crate::runtime::shard::ShardHandle;

/// A machine under replay.
pub(super) struct Replay<M> {
    pub(super) machine: M,
    pub(super) size_bytes: u64,
    pub(super) skipped: Skipped,
}

impl<M: Machine> Replay<M> {
    pub(super) fn new(machine: M) -> Self {
        Self { machine, size_bytes: 0, skipped: Skipped::default() }
    }

    /// Replays the records of a chunk. Blocks: a chunk is some milliseconds of work.
    pub(super) fn chunk(mut self, bytes: &Bytes) -> Result<Self, LoadError> {
        let Self { machine, skipped, .. } = &mut self;
        // One record of somebody else's must not keep all of the partition away.
        let replayed = machine.replay_batches(bytes, &mut |error| skipped.add(Box::new(error)));
        replayed.map_err(|error| LoadError::Record(Box::new(error)))?;
        self.size_bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(self)
    }
}

/// Records that no coordinator of this version wrote.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    count: u64,
    first: Option<Box<dyn Error + Send + Sync>>,
}

impl Skipped {
    fn add(&mut self, error: Box<dyn Error + Send + Sync>) {
        self.count += 1;
        self.first.get_or_insert(error);
    }

    /// Counts them, and logs the first, which names its offset.
    pub(super) fn tell<M: Machine>(&self, context: &Context<M>, shard: &ShardHandle<M>) {
        let Some(first) = &self.first else { return };
        let (partition, count, first) = (shard.name(), self.count, causes(first.as_ref()));
        tracing::warn!(%partition, count, first, "the log of a coordinator has records that no coordinator of this version writes, and a load leaves them out: find who else writes into the topic");
        context.metrics.skipped(count);
    }
}
