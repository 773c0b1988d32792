//! Loading a shard after an election: the committed log from its start to its end is read and replayed into a new machine.
//!
//! The log's end at the election must be committed before the shard serves, or it would tell of what a failover takes back. Reading happens here, replay on a blocking
//! thread, one chunk ahead of each other; no lock is held meanwhile. The end of the leadership cancels it, and nothing but that: every failure is tried again.

mod complaints;
mod reader;
mod replay;

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use model::Offset;
use model::record_batch::BatchError;
use tokio::time::Instant;

use self::complaints::Complaints;
use self::reader::Reader;
use self::replay::{Replay, Skipped};
use super::ShardHandle;
use crate::runtime::context::Context;
use crate::runtime::machine::Machine;
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
struct LogContents<M: Machine> {
    replayed: Replayed<M>,
    /// What may have happened while nobody had the log loaded.
    suspicions: BTreeSet<M::Note>,
    skipped: Skipped,
}

/// What a shard is to serve.
#[derive(Debug)]
pub(super) struct Replayed<M> {
    pub(super) machine: M,
    /// The first offset that is kept.
    pub(super) log_start_offset: Offset,
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
    Record(#[source] Box<dyn Error + Send + Sync>),
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
pub(super) async fn run<M: Machine>(
    context: Arc<Context<M>>,
    shard: Arc<ShardHandle<M>>,
    cause: Cause,
) {
    let load = Box::pin(load(&context, &shard, cause));
    tokio::select! {
        () = shard.ended().cancelled() => {}
        () = load => {}
    }
}

async fn load<M: Machine>(context: &Arc<Context<M>>, shard: &Arc<ShardHandle<M>>, cause: Cause) {
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
            Ok(LogContents { replayed, suspicions, skipped }) => {
                tell(context, shard, &replayed, began.elapsed());
                skipped.tell(context, shard);
                shard.publish(replayed);
                look_again(context, shard, suspicions).await;
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

fn tell<M: Machine>(
    context: &Context<M>,
    shard: &ShardHandle<M>,
    replayed: &Replayed<M>,
    took: Duration,
) {
    context.metrics.loaded(took);
    let (partition, bytes) = (shard.name(), replayed.size_bytes);
    if took >= LONG {
        tracing::info!(%partition, bytes, ?took, "coordinator loaded");
    } else {
        tracing::debug!(%partition, bytes, ?took, "coordinator loaded");
    }
}

/// Tells the machine what its log makes one suspect, if it holds: it happened while no coordinator had this shard loaded.
///
/// A broker that hears of an election may not have heard yet of what the coordinator before it knew. So nothing is told until nobody who leads can be so far behind.
async fn look_again<M: Machine>(
    context: &Context<M>,
    shard: &ShardHandle<M>,
    mut suspicions: BTreeSet<M::Note>,
) {
    suspicions.retain(|suspicion| M::holds(suspicion, &*context.writer));
    if suspicions.is_empty() {
        return;
    }
    tokio::time::sleep(METADATA_LAG).await;
    suspicions.retain(|suspicion| M::holds(suspicion, &*context.writer));
    if !suspicions.is_empty() {
        shard.note(suspicions);
        shard.step_noted();
    }
}

async fn attempt<M: Machine>(
    context: &Arc<Context<M>>,
    shard: &Arc<ShardHandle<M>>,
    complaints: &mut Complaints,
) -> Result<LogContents<M>, LoadError> {
    let leadership = shard.leadership();
    let range = context.writer.log_range(leadership)?;
    let mut reader = Reader::new(context, shard, range, complaints).await;
    let mut replay = Replay::new(M::new(context.machine.clone()));
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
            let suspicions = replay.machine.suspicions();
            (replay, suspicions)
        },
        &context.runtime,
    );
    let (replay, suspicions) = looking.await.map_err(|_| LoadError::Cancelled)?;
    let Replay { machine, size_bytes, skipped } = replay;
    let log_end_offset = reader.position().max(range.log_end_offset);
    let log_start_offset = range.log_start_offset;
    let replayed = Replayed { machine, log_start_offset, log_end_offset, size_bytes };
    Ok(LogContents { replayed, suspicions, skipped })
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
