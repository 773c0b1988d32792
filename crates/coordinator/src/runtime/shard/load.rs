//! Loading a shard after an election: the committed log from its start to its end is read and replayed into a new machine.
//!
//! The log's end at the election must be committed before the shard serves, or it would tell of what a failover takes back. Reading happens here, replay on a blocking
//! thread, one chunk ahead of each other; no lock is held meanwhile. The end of the leadership cancels it, and nothing but that: every failure is tried again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::Offset;
use model::record_batch::{BatchError, Batches};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use super::ShardHandle;
use crate::group::Shard;
use crate::group::ids::TopicIdentity;
use crate::record_format::{self, DecodeError};
use crate::runtime::context::Context;
use crate::runtime::partition_writer::{ReadError, WriteError};

/// Why a shard is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// This broker was elected.
    Election,
    /// The state was thrown away: the log did not take what it says.
    FailedAppend,
}

/// What an attempt has read.
#[derive(Debug)]
struct Loaded {
    replayed: Replayed,
    /// Topics with offsets.
    topics: BTreeSet<TopicIdentity>,
    skipped: Skipped,
}

/// What a shard is to serve.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) machine: Shard,
    /// Everything before it is committed and replayed.
    pub(super) log_end_offset: Offset,
    /// From the log start to the log end.
    pub(super) size_bytes: u64,
}

/// Why one attempt failed.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("the log cannot be read")]
    Read(#[from] ReadError),
    #[error("the log's end at the election is not committed")]
    NotCommitted(#[from] WriteError),
    #[error("a batch is damaged")]
    Batch(#[from] BatchError),
    #[error("a record is damaged")]
    Record(#[from] DecodeError),
    #[error("nothing could be read at offset {0}, which is committed")]
    Stuck(Offset),
    #[error("the replay was cancelled")]
    Cancelled,
}

/// Loads a shard and lets it serve, unless its leadership ends before.
pub(super) async fn run(context: Arc<Context>, shard: Arc<ShardHandle>, cause: Cause) {
    let load = Box::pin(load(&context, &shard, cause));
    tokio::select! {
        () = shard.ended().cancelled() => {}
        () = load => {}
    }
}

async fn load(context: &Arc<Context>, shard: &Arc<ShardHandle>, cause: Cause) {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    if cause == Cause::FailedAppend {
        // What refused the append may last; a load for each request that comes meanwhile would only add to it.
        tokio::time::sleep(AFTER_FAILED_APPEND).await;
    }
    loop {
        match attempt(context, shard).await {
            Ok(Loaded { replayed, topics, skipped }) => {
                tell(context, shard, &replayed, began.elapsed());
                skipped.tell(context, shard);
                shard.publish(replayed);
                delete_unknown_topics(context, shard, topics).await;
                return;
            }
            // The replica hears of its election by the same image, perhaps a moment later.
            Err(LoadError::Read(ReadError::NotLeader)) => {
                tokio::time::sleep(NOT_LEADER_PAUSE).await;
                continue;
            }
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(shard = %shard.leadership(), %error, source, "load failed, trying again");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn tell(context: &Context, shard: &ShardHandle, replayed: &Replayed, took: Duration) {
    context.metrics.loaded(took);
    let (shard, bytes) = (shard.leadership(), replayed.size_bytes);
    if took >= LONG {
        tracing::info!(%shard, bytes, ?took, "group coordinator loaded");
    } else {
        tracing::debug!(%shard, bytes, ?took, "group coordinator loaded");
    }
}

/// Deletes the offsets of topics that the metadata do not know: they went away while no coordinator had this shard loaded.
///
/// A broker that hears of an election may not have heard yet of a topic that the coordinator before it took commits for. So the offsets stay until nobody who leads can be so far behind.
async fn delete_unknown_topics(
    context: &Context,
    shard: &ShardHandle,
    mut topics: BTreeSet<TopicIdentity>,
) {
    topics.retain(|topic| !context.writer.topic_exists(topic));
    if topics.is_empty() {
        return;
    }
    tokio::time::sleep(METADATA_LAG).await;
    let unknown = topics.into_iter().filter(|topic| !context.writer.topic_exists(topic));
    let unknown: Vec<_> = unknown.collect();
    if !unknown.is_empty() {
        shard.note_deleted_topics(&unknown);
        shard.delete_noted_topics();
    }
}

async fn attempt(context: &Arc<Context>, shard: &Arc<ShardHandle>) -> Result<Loaded, LoadError> {
    let leadership = shard.leadership();
    let range = context.writer.log_range(leadership)?;
    let mut reader = Reader {
        context,
        shard,
        position: range.log_start_offset,
        end_offset: range.log_end_offset,
        permit: Some(permit(context).await),
    };
    let mut replay = Replay::new(Shard::new(context.config.group.clone()));
    let mut chunk = reader.next().await?;
    while let Some(bytes) = chunk {
        let replaying =
            context.tasks.spawn_blocking_on(move || replay.chunk(&bytes), &context.runtime);
        let (replayed, next) = tokio::join!(replaying, reader.next());
        replay = replayed.map_err(|_| LoadError::Cancelled)??;
        chunk = next?;
    }
    let looking = context.tasks.spawn_blocking_on(
        move || {
            let topics = replay.machine.committed_topics();
            (replay, topics)
        },
        &context.runtime,
    );
    let (replay, topics) = looking.await.map_err(|_| LoadError::Cancelled)?;
    let Replay { machine, size_bytes, skipped } = replay;
    let log_end_offset = reader.position.max(range.log_end_offset);
    Ok(Loaded { replayed: Replayed { machine, log_end_offset, size_bytes }, topics, skipped })
}

async fn permit(context: &Context) -> SemaphorePermit<'_> {
    context.loads.acquire().await.expect("the semaphore is never closed")
}

/// Reads the log chunk by chunk, up to its end at the election.
struct Reader<'a> {
    context: &'a Context,
    shard: &'a ShardHandle,
    position: Offset,
    end_offset: Offset,
    /// Given back while the rest is not committed yet: others can read meanwhile.
    permit: Option<SemaphorePermit<'a>>,
}

impl Reader<'_> {
    /// Returns the next chunk; `None` behind the end.
    async fn next(&mut self) -> Result<Option<Bytes>, LoadError> {
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
        let max_bytes = self.context.config.load_buffer_bytes.min(MAX_CHUNK_BYTES);
        self.context.writer.read(self.shard.leadership(), self.position, max_bytes).await
    }

    /// Waits for as long as it takes: while too few replicas are in sync nothing is committed, and the shard cannot serve.
    async fn wait_until_committed(&self) -> Result<(), WriteError> {
        loop {
            match self.shard.committed(self.end_offset).await {
                Err(WriteError::TimedOut) => {}
                Err(WriteError::NotEnoughReplicas) => tokio::time::sleep(FIRST_PAUSE).await,
                result => return result,
            }
        }
    }
}

/// A machine under replay.
struct Replay {
    machine: Shard,
    size_bytes: u64,
    skipped: Skipped,
}

impl Replay {
    fn new(machine: Shard) -> Self {
        Self { machine, size_bytes: 0, skipped: Skipped::default() }
    }

    /// Replays the records of a chunk. Blocks: a chunk is some milliseconds of work.
    fn chunk(mut self, bytes: &Bytes) -> Result<Self, LoadError> {
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
struct Skipped {
    count: u64,
    first: Option<DecodeError>,
}

impl Skipped {
    fn add(&mut self, error: DecodeError) {
        self.count += 1;
        self.first.get_or_insert(error);
    }

    /// Counts them, and logs the first, which names its offset.
    fn tell(&self, context: &Context, shard: &ShardHandle) {
        let Some(first) = &self.first else { return };
        let (shard, count) = (shard.leadership(), self.count);
        let source = std::error::Error::source(first).map(ToString::to_string);
        tracing::warn!(%shard, count, %first, source, "group log has records that are left out");
        context.metrics.skipped(count);
    }
}

/// Most bytes of one chunk: larger ones would not make it faster, only more of them stand in memory at once.
const MAX_CHUNK_BYTES: usize = 4 << 20;

/// The first pause after a failed attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// How long a load waits before it asks again whether the replica leads.
const NOT_LEADER_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a shard whose append failed stays unloaded at least.
const AFTER_FAILED_APPEND: Duration = Duration::from_millis(100);

/// How far a broker that leads may be behind the metadata: `broker.session.timeout.ms` later it would be fenced. With room to spare.
const METADATA_LAG: Duration = Duration::from_secs(30);

/// A load that takes this long is told of.
const LONG: Duration = Duration::from_millis(500);
