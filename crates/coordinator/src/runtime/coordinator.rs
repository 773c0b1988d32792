//! The consumer groups of this broker: which partitions it coordinates, told of elections in log order, and the way of a request to its shard.
//!
//! Owns the table of the leaderships that last. Its lock is held for a look or a change alone, never while a shard's is taken.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use futures_util::future::join_all;
use model::Offset;
use tokio::time::Instant;
use uuid::Uuid;

use super::context::{Context, CoordinatorParts};
use super::partition_writer::Leadership;
use super::refusal::Refusal;
use super::shard::ShardHandle;
use crate::group::ShardCounts;
use crate::group::ids::{GroupId, MemberId, TopicIdentity, TopicName};
use crate::group::record::GroupRecord;
use crate::group::request::{JoinGroup, ListGroups, Request};
use crate::group::response::{ListedGroup, Response};

/// The consumer groups that this broker coordinates.
#[derive(Debug)]
pub struct GroupCoordinator {
    context: Arc<Context>,
    /// The leaderships that last, by partition.
    shards: RwLock<BTreeMap<i32, Arc<ShardHandle>>>,
}

/// One committed offset, for whoever computes a lag.
#[derive(Clone, Copy, Debug)]
pub struct CommittedPosition<'a> {
    /// The group.
    pub group_id: &'a GroupId,
    /// The topic.
    pub topic: &'a TopicName,
    /// Number of the topic's partition.
    pub partition: i32,
    /// The next offset to read.
    pub offset: Offset,
}

impl GroupCoordinator {
    /// Starts a coordinator that coordinates nothing yet.
    #[must_use]
    pub fn start(parts: CoordinatorParts) -> Arc<Self> {
        let context = Arc::new(Context::new(parts));
        let timers = Arc::clone(&context);
        context.spawn(async move { timers.timers.run(timers.stop.clone()).await });
        Arc::new(Self { context, shards: RwLock::default() })
    }

    /// Notes that this broker was elected: the partition is loaded, then serves. Called in log order; an epoch that is not newer than the one that is known changes nothing. The
    /// partition of a new topic takes the place of the old topic's. Does not block.
    pub fn elected(&self, leadership: Leadership) {
        let shard = ShardHandle::new(&self.context, leadership);
        let before = {
            let mut shards = self.shards_mut();
            let known = shards.get(&leadership.partition);
            if self.context.stop.is_cancelled()
                || known.is_some_and(|known| {
                    let known = known.leadership();
                    known.is_of_same_partition(&leadership)
                        && known.leader_epoch >= leadership.leader_epoch
                })
            {
                return;
            }
            shards.insert(leadership.partition, Arc::clone(&shard))
        };
        self.end(before);
        shard.begin_load();
    }

    /// Notes that from this leader epoch on this broker does not lead the partition, or that the partition is gone: every leadership of it up to that epoch ends, and whoever waits is
    /// told. Called in log order. Does not block.
    pub fn resigned(&self, leadership: Leadership) {
        let ended = {
            let mut shards = self.shards_mut();
            let is_ended = shards.get(&leadership.partition).is_some_and(|known| {
                let known = known.leadership();
                known.is_of_same_partition(&leadership)
                    && known.leader_epoch <= leadership.leader_epoch
            });
            if !is_ended {
                return;
            }
            shards.remove(&leadership.partition)
        };
        self.end(ended);
    }

    /// Notes that topics are gone from the metadata: their committed offsets go, before any request from now on and as soon as the partitions take writes. Does not block.
    pub fn topics_deleted(&self, topics: &[TopicIdentity]) {
        let shards = self.all_shards();
        for shard in &shards {
            shard.note_deleted_topics(topics);
        }
        self.context.spawn(async move {
            for shard in shards {
                shard.delete_noted_topics();
                tokio::task::yield_now().await;
            }
        });
    }

    /// Lets the coordinator of a partition answer a request to one group.
    ///
    /// The member id that a JoinGroup may need is drawn here. Dropping the future leaves a request to its effects.
    ///
    /// # Errors
    /// See [`Refusal`]. After [`Refusal::NotAvailable`] a write may still be committed.
    pub async fn handle(&self, partition: i32, mut request: Request) -> Result<Response, Refusal> {
        let is_commit = matches!(request, Request::CommitOffsets(_));
        if let Request::Join(join) = &mut request {
            join.drawn_member_id = draw_member_id(join);
        }
        let began = Instant::now();
        let shard = self.shards().get(&partition).cloned();
        let result = match shard {
            Some(shard) => shard.answer(request).await,
            None => Err(Refusal::NotCoordinator),
        };
        match &result {
            Ok(_) if is_commit => {
                self.context.metrics.committed(began.elapsed());
            }
            Ok(_) => {}
            Err(refusal) => self.context.metrics.refused(*refusal),
        }
        result
    }

    /// Lists the groups of all partitions that this broker coordinates.
    ///
    /// # Errors
    /// [`Refusal::LoadInProgress`] while a partition is loaded, as Kafka; [`Refusal::NotAvailable`] when what a shard knows is not committed in time.
    pub async fn list(&self, request: ListGroups) -> Result<Vec<ListedGroup>, Refusal> {
        let shards = self.all_shards();
        let answers = shards.iter().map(|shard| shard.answer(Request::List(request.clone())));
        let mut groups = Vec::new();
        for answer in join_all(answers).await {
            match answer {
                Ok(Response::List(listed)) => groups.extend(listed),
                Ok(_) | Err(Refusal::NotCoordinator) => {}
                Err(refusal) => {
                    self.context.metrics.refused(refusal);
                    return Err(refusal);
                }
            }
        }
        Ok(groups)
    }

    /// Counts what the loaded shards hold, uncommitted changes included; and all rebalances since the start, those of shards that are gone too.
    #[must_use]
    pub fn counts(&self) -> ShardCounts {
        let mut sum = ShardCounts::default();
        for counts in self.all_shards().iter().filter_map(|shard| shard.counts()) {
            for (state, count) in counts.groups {
                *sum.groups.entry(state).or_default() += count;
            }
            sum.member_count += counts.member_count;
            sum.offset_count += counts.offset_count;
        }
        sum.completed_rebalance_count = self.context.completed_rebalances.load(Ordering::Relaxed);
        sum
    }

    /// Visits committed offsets of the loaded shards, uncommitted changes included, `limit` at most. Requests go on meanwhile: each shard's lock is held for a chunk at a time, and never during a visit.
    pub fn for_each_committed(&self, limit: usize, mut visit: impl FnMut(CommittedPosition<'_>)) {
        let mut left = limit;
        for shard in self.all_shards() {
            let mut cursor = None;
            loop {
                let (records, next) = shard.live_records(cursor.as_ref(), VISIT_BYTES);
                for record in &records {
                    let GroupRecord::Offset { group_id, topic, partition, value: Some(value) } =
                        record
                    else {
                        continue;
                    };
                    if left == 0 {
                        return;
                    }
                    left -= 1;
                    let (partition, offset) = (*partition, value.offset);
                    visit(CommittedPosition { group_id, topic, partition, offset });
                }
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
        }
    }

    /// Ends every leadership: whoever waits is told [`Refusal::NotCoordinator`], as is everyone who asks from now on. The tasks end soon after.
    pub fn stop(&self) {
        self.context.stop.cancel();
        let shards = std::mem::take(&mut *self.shards_mut());
        for shard in shards.into_values() {
            shard.end();
        }
    }

    /// Ends a leadership off the caller's thread: its state may be large.
    fn end(&self, shard: Option<Arc<ShardHandle>>) {
        if let Some(shard) = shard {
            shard.ended().cancel();
            self.context.spawn(async move { shard.end() });
        }
    }

    fn all_shards(&self) -> Vec<Arc<ShardHandle>> {
        self.shards().values().cloned().collect()
    }

    fn shards(&self) -> RwLockReadGuard<'_, BTreeMap<i32, Arc<ShardHandle>>> {
        self.shards.read().expect("a panic ends the process, so no lock is ever poisoned")
    }

    fn shards_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<i32, Arc<ShardHandle>>> {
        self.shards.write().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

/// Draws an id as Kafka does: the static name or the client's id, a dash, a random UUID. Of a long name only the beginning.
fn draw_member_id(join: &JoinGroup) -> MemberId {
    let name = join.group_instance_id.as_ref().map_or(join.client_id.as_str(), |id| id.as_str());
    let name = &name[..name.floor_char_boundary(MAX_NAME_BYTES)];
    format!("{name}-{}", Uuid::new_v4()).as_str().into()
}

/// Most bytes of a drawn member id before the dash: whatever names a client brings, its id fits every text field on the wire and in records. Clients take ids as they come.
const MAX_NAME_BYTES: usize = 255;

/// About how many bytes of records are looked at under one hold of a shard's lock.
const VISIT_BYTES: usize = 64 << 10;
