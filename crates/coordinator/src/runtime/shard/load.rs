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

/// What is told of a load that does not end: each kind at once, and again each minute for as long as it lasts.
#[derive(Debug, Default)]
struct Complaints {
    damage: Reminder,
    delay: Reminder,
}

impl Complaints {
    fn failed(&mut self, shard: &ShardHandle, error: &LoadError) {
        let partition = shard.leadership();
        if error.is_damage() {
            if self.damage.is_due(Instant::now()) {
                let cause = causes(error);
                tracing::error!(%partition, cause, "the log of a group coordinator cannot be read, so its groups are not served: stop this broker, so that another replica leads; if that one cannot read it either, keep the partition's directory and report this line");
            }
        } else if self.delay.is_due(Instant::now()) {
            let cause = causes(error);
            tracing::warn!(%partition, cause, "the load of a group coordinator failed, trying again");
        }
    }

    fn not_committed(&mut self, shard: &ShardHandle, end_offset: Offset) {
        if self.delay.is_due(Instant::now()) {
            let partition = shard.leadership();
            tracing::warn!(%partition, %end_offset, "a group coordinator waits for replicas to commit its log's end, and does not serve before: see which of the partition's replicas are not in sync");
        }
    }
}

/// Lets something be told at first, then once a while.
#[derive(Debug, Default)]
struct Reminder {
    told_at: Option<Instant>,
}

impl Reminder {
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.told_at.is_none_or(|at| now.duration_since(at) >= REMINDER_INTERVAL);
        if is_due {
            self.told_at = Some(now);
        }
        is_due
    }
}

/// Returns an error with all its causes, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
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
    let mut reader = Reader {
        context,
        shard,
        position: range.log_start_offset,
        end_offset: range.log_end_offset,
        permit: Some(permit(context).await),
        complaints,
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
    Ok(LogContents { replayed: Replayed { machine, log_end_offset, size_bytes }, topics, skipped })
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
    complaints: &'a mut Complaints,
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
        let (partition, count, first) = (shard.leadership(), self.count, causes(first));
        tracing::warn!(%partition, count, first, "the log of a group coordinator has records that no coordinator of this version writes, and a load leaves them out: find who else writes into the topic");
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

/// Replicas that take longer than this to commit the log's end are told of: after an election they need a moment.
const LONG_WAIT: Duration = Duration::from_secs(5);

/// How often one is reminded of what lasts.
const REMINDER_INTERVAL: Duration = Duration::from_secs(60);

/// A load that takes this long is told of.
const LONG: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_at_once_and_then_each_minute() {
        let (mut reminder, start) = (Reminder::default(), Instant::now());
        let told = [0, 1, 59, 60, 61, 119, 120, 500]
            .map(|seconds| reminder.is_due(start + Duration::from_secs(seconds)));
        assert_eq!(told, [true, false, false, true, false, false, true, true]);
    }

    #[test]
    fn a_damaged_record_is_named_with_its_offset_and_what_is_wrong_with_it() {
        let mut builder = model::record_batch::BatchBuilder::new(Default::default());
        let record = model::record_batch::NewRecord { key: Some(&[0, 1, 0]), ..Default::default() };
        builder.append(&record).expect("a record of three bytes fits");
        let batch = Bytes::from(builder.build().expect("so does its batch"));
        let error = record_format::decode(&batch).find_map(Result::err).expect("half a key");
        let error = LoadError::from(error);
        assert!(error.is_damage());
        let cause = causes(&error);
        let place = "a record is damaged: the key of the record at offset 0 cannot be read: ";
        let what = cause.strip_prefix(place).expect("it says where");
        assert!(what.starts_with("OffsetCommitKey.group"), "and what: {what}");
    }
}
