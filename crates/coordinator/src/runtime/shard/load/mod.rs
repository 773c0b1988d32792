//! Loading a shard after an election: the committed log from its start to its end is read and replayed into a new machine.
//!
//! The log's end at the election must be committed before the shard serves, or it would tell of what a failover takes back. Reading happens here, replay on a blocking
//! thread, one chunk ahead of each other; no lock is held meanwhile. The end of the leadership cancels it, and nothing but that: every failure is tried again.

mod complaints;
mod reader;
mod replay;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::Offset;
use model::record_batch::BatchError;
use tokio::time::Instant;

use self::complaints::Complaints;
use self::reader::Reader;
use self::replay::{Replay, Skipped};
use super::ShardHandle;
use crate::group::Shard;
use crate::group::ids::TopicIdentity;
use crate::record_format::DecodeError;
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
struct LogContents {
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

impl LoadError {
    /// Says whether the log itself is at fault, so that no further attempt on this broker will do better.
    fn is_damage(&self) -> bool {
        match self {
            Self::Batch(_) | Self::Record(_) | Self::Stuck(_) => true,
            Self::Read(_) | Self::NotCommitted(_) | Self::Cancelled => false,
        }
    }
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
    let mut complaints = Complaints::default();
    let mut pause = FIRST_PAUSE;
    if cause == Cause::FailedAppend {
        // What refused the append may last; a load for each request that comes meanwhile would only add to it.
        tokio::time::sleep(AFTER_FAILED_APPEND).await;
    }
    context.writer.made(shard.leadership()).await;
    loop {
        match attempt(context, shard, &mut complaints).await {
            Ok(LogContents { replayed, topics, skipped }) => {
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
            Err(error) => complaints.failed(shard, &error),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn tell(context: &Context, shard: &ShardHandle, replayed: &Replayed, took: Duration) {
    context.metrics.loaded(took);
    let (partition, bytes) = (shard.leadership(), replayed.size_bytes);
    if took >= LONG {
        tracing::info!(%partition, bytes, ?took, "group coordinator loaded");
    } else {
        tracing::debug!(%partition, bytes, ?took, "group coordinator loaded");
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

async fn attempt(
    context: &Arc<Context>,
    shard: &Arc<ShardHandle>,
    complaints: &mut Complaints,
) -> Result<LogContents, LoadError> {
    let leadership = shard.leadership();
    let range = context.writer.log_range(leadership)?;
    let mut reader = Reader::new(context, shard, range, complaints).await;
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
    let log_end_offset = reader.position().max(range.log_end_offset);
    Ok(LogContents { replayed: Replayed { machine, log_end_offset, size_bytes }, topics, skipped })
}

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
