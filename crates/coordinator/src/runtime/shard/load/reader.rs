//! Reads a log chunk by chunk, from its start to its end at the election, of which everything must be committed.

use std::time::Duration;

use bytes::Bytes;
use model::Offset;
use model::record_batch::Batches;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use super::complaints::Complaints;
use super::{FIRST_PAUSE, LoadError};
use crate::runtime::context::Context;
use crate::runtime::machine::Machine;
use crate::runtime::partition_writer::{LogRange, ReadError, WriteError};
use crate::runtime::shard::ShardHandle;

/// Reads the log chunk by chunk, up to its end at the election.
pub(super) struct Reader<'a, M: Machine> {
    context: &'a Context<M>,
    shard: &'a ShardHandle<M>,
    position: Offset,
    end_offset: Offset,
    /// Given back while the rest is not committed yet: others can read meanwhile.
    permit: Option<SemaphorePermit<'a>>,
    complaints: &'a mut Complaints,
}

impl<'a, M: Machine> Reader<'a, M> {
    /// Waits for its turn.
    pub(super) async fn new(
        context: &'a Context<M>,
        shard: &'a ShardHandle<M>,
        range: LogRange,
        complaints: &'a mut Complaints,
    ) -> Self {
        Self {
            context,
            shard,
            position: range.log_start_offset,
            end_offset: range.log_end_offset,
            permit: Some(permit(context).await),
            complaints,
        }
    }

    /// Returns the offset behind what was read.
    pub(super) fn position(&self) -> Offset {
        self.position
    }

    /// Returns the next chunk; `None` behind the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, LoadError> {
        if self.position >= self.end_offset {
            return Ok(None);
        }
        let mut bytes = self.read().await?;
        if bytes.is_empty() {
            self.permit = None;
            self.wait_until_committed().await?;
            self.permit = Some(permit(self.context).await);
            bytes = self.read().await?;
        }
        let mut next = self.position;
        for batch in Batches::whole(&bytes) {
            next = batch?.header.next_offset();
        }
        if next <= self.position {
            return Err(LoadError::Stuck(self.position));
        }
        self.position = next;
        Ok(Some(bytes))
    }

    async fn read(&self) -> Result<Bytes, ReadError> {
        let max_bytes = self.context.load_buffer_bytes.min(MAX_CHUNK_BYTES);
        self.context.writer.read(self.shard.leadership(), self.position, max_bytes).await
    }

    /// Waits for as long as it takes: while too few replicas are in sync nothing is committed, and the shard cannot serve.
    async fn wait_until_committed(&mut self) -> Result<(), WriteError> {
        let began = Instant::now();
        loop {
            match self.shard.committed(self.end_offset).await {
                Err(WriteError::TimedOut) => {}
                Err(WriteError::NotEnoughReplicas) => tokio::time::sleep(FIRST_PAUSE).await,
                result => return result,
            }
            if began.elapsed() >= LONG_WAIT {
                self.complaints.not_committed(self.shard, self.end_offset);
            }
        }
    }
}

async fn permit<M: Machine>(context: &Context<M>) -> SemaphorePermit<'_> {
    context.loads.acquire().await.expect("the semaphore is never closed")
}

/// Most bytes of one chunk: larger ones would not make it faster, only more of them stand in memory at once.
const MAX_CHUNK_BYTES: usize = 4 << 20;

/// Replicas that take longer than this to commit the log's end are told of: after an election they need a moment.
const LONG_WAIT: Duration = Duration::from_secs(5);
