//! Replays chunks of a log into a machine, and remembers what it could not read.

use bytes::Bytes;

use super::LoadError;
use super::complaints::causes;
use crate::group::Shard;
use crate::record_format::{self, DecodeError};
use crate::runtime::context::Context;
use crate::runtime::shard::ShardHandle;

/// A machine under replay.
pub(super) struct Replay {
    pub(super) machine: Shard,
    pub(super) size_bytes: u64,
    pub(super) skipped: Skipped,
}

impl Replay {
    pub(super) fn new(machine: Shard) -> Self {
        Self { machine, size_bytes: 0, skipped: Skipped::default() }
    }

    /// Replays the records of a chunk. Blocks: a chunk is some milliseconds of work.
    pub(super) fn chunk(mut self, bytes: &Bytes) -> Result<Self, LoadError> {
        for record in record_format::decode(bytes) {
            match record {
                Ok(record) => self.machine.replay(record),
                // One record of somebody else's must not keep all groups of the partition away.
                Err(error) if error.is_skippable() => self.skipped.add(error),
                Err(error) => return Err(error.into()),
            }
        }
        self.size_bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(self)
    }
}

/// Records that no coordinator of this version wrote.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    count: u64,
    first: Option<DecodeError>,
}

impl Skipped {
    fn add(&mut self, error: DecodeError) {
        self.count += 1;
        self.first.get_or_insert(error);
    }

    /// Counts them, and logs the first, which names its offset.
    pub(super) fn tell(&self, context: &Context, shard: &ShardHandle) {
        let Some(first) = &self.first else { return };
        let (partition, count, first) = (shard.leadership(), self.count, causes(first));
        tracing::warn!(%partition, count, first, "the log of a group coordinator has records that no coordinator of this version writes, and a load leaves them out: find who else writes into the topic");
        context.metrics.skipped(count);
    }
}
