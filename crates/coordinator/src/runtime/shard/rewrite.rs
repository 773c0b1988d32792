//! The rewrite of a shard's log: the live records once more behind everything else, then a new log start.
//!
//! A load after it gives the same state, because what is replayed depends on the last record of each key alone: a key that is live when the cursor passes stands in the
//! rewrite, or behind it if it changed since; a key that died before has nothing behind the new start, and one that dies later has its tombstone there. Each chunk is
//! taken from the machine and appended under one hold of the shard's lock, so no step comes between; requests go on between chunks. The log is cut only when all of the
//! rewrite is committed, so a crash at any moment leaves a log that says the same. And it is never cut behind the first record of a transaction that was open when the rewrite began; what is
//! committed where one has something pending waits for its end (`live_walk`).

use std::sync::Arc;
use std::time::Duration;

use model::Offset;
use tokio::sync::SemaphorePermit;

use super::ShardHandle;
use super::log_size::RewriteStart;
use crate::runtime::context::Context;
use crate::runtime::machine::{LoadNumber, Machine};
use crate::runtime::partition_writer::WriteError;

/// Rewrites the log of one load of a shard, unless that state or the leadership ends before.
pub(super) async fn run<M: Machine>(
    context: Arc<Context<M>>,
    shard: Arc<ShardHandle<M>>,
    load: LoadNumber,
) {
    let trimmed = tokio::select! {
        () = shard.ended().cancelled() => return,
        trimmed = rewrite(&context, &shard, load) => trimmed,
    };
    if trimmed.is_some() {
        context.metrics.rewritten();
    }
    shard.rewrite_ended(load, trimmed);
}

/// Returns where the log now begins; `None` when the rewrite was given up.
async fn rewrite<M: Machine>(
    context: &Context<M>,
    shard: &ShardHandle<M>,
    load: LoadNumber,
) -> Option<RewriteStart> {
    let mut rewrite = Rewrite { context, shard, permit: None };
    let mut start = None;
    let mut cursor = None;
    let mut uncommitted_bytes = 0;
    loop {
        rewrite.wait_for_writes().await?;
        let chunk = shard.rewrite_chunk(load, cursor.as_ref())?;
        let start = *start.get_or_insert(chunk.start);
        cursor = chunk.next;
        uncommitted_bytes += chunk.size_bytes;
        if cursor.is_none() || uncommitted_bytes >= MAX_UNCOMMITTED_BYTES {
            rewrite.wait_until_committed(chunk.end_offset).await?;
            uncommitted_bytes = 0;
        }
        if cursor.is_none() {
            return rewrite.trim(start);
        }
        if chunk.size_bytes == 0 {
            // What is left waits for transactions to end.
            rewrite.pause().await;
        }
        tokio::task::yield_now().await;
    }
}

/// A rewrite that is under way.
struct Rewrite<'a, M: Machine> {
    context: &'a Context<M>,
    shard: &'a ShardHandle<M>,
    /// Given back while its partition makes no progress: others can be rewritten meanwhile.
    permit: Option<SemaphorePermit<'a>>,
}

impl<M: Machine> Rewrite<'_, M> {
    /// Waits for its turn, and until the partition takes writes; `None` when it will not take this leadership's any more.
    async fn wait_for_writes(&mut self) -> Option<()> {
        loop {
            if self.permit.is_none() {
                self.permit = Some(self.context.rewrites.acquire().await.ok()?);
            }
            match self.context.writer.admits(self.shard.leadership()) {
                Ok(()) => return Some(()),
                Err(WriteError::NotLeader) => return None,
                Err(_) => self.pause().await,
            }
        }
    }

    async fn wait_until_committed(&mut self, end_offset: Offset) -> Option<()> {
        loop {
            match self.shard.committed(end_offset).await {
                Ok(()) => return Some(()),
                Err(WriteError::TimedOut | WriteError::NotEnoughReplicas) => self.pause().await,
                Err(_) => return None,
            }
        }
    }

    async fn pause(&mut self) {
        self.permit = None;
        tokio::time::sleep(PAUSE).await;
    }

    fn trim(&self, start: RewriteStart) -> Option<RewriteStart> {
        let (partition, before) = (self.shard.name(), start.first_offset);
        match self.context.writer.trim(self.shard.leadership(), before) {
            Ok(()) => {
                tracing::debug!(%partition, %before, "log of a coordinator rewritten");
                Some(start)
            }
            Err(error) => {
                tracing::warn!(%partition, %before, %error, "the log of a coordinator is rewritten, but was not cut: the next rewrite tries again");
                None
            }
        }
    }
}

/// About how many bytes are written under one hold of the lock.
pub(super) const CHUNK_BYTES: usize = 64 << 10;

/// How much of a rewrite may wait to be committed: requests behind it wait for that too.
const MAX_UNCOMMITTED_BYTES: usize = 1 << 20;

/// How long it waits before it asks again whether the partition takes writes.
const PAUSE: Duration = Duration::from_millis(100);
