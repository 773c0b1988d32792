//! The consumer groups of this broker: the way of a request to its shard, and what is read off all of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::Offset;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::context::{Context, ContextParts};
use super::group_machine::NoMessages;
use super::metrics::GroupMetrics;
use super::partition_writer::{Leadership, PartitionWriter};
use super::refusal::Refusal;
use super::shards::Shards;
use crate::config::CoordinatorConfig;
use crate::group::ids::{GroupId, MemberId, TopicIdentity, TopicName};
use crate::group::record::GroupRecord;
use crate::group::request::{JoinGroup, ListGroups, Request};
use crate::group::response::{ListedGroup, Response};
use crate::group::{Shard, ShardCounts};

/// What a coordinator of groups is made of.
#[derive(Debug)]
pub struct CoordinatorParts {
    /// The offsets topic's log on this broker.
    pub writer: Arc<dyn PartitionWriter>,
    /// Settings.
    pub config: CoordinatorConfig,
    /// Counters, registered by whoever has the registry.
    pub metrics: GroupMetrics,
    /// What all tasks belong to: after [`GroupCoordinator::stop`] it runs empty.
    pub tasks: TaskTracker,
    /// Where they run. Replay runs on its blocking threads.
    pub runtime: Handle,
}

/// The consumer groups that this broker coordinates.
#[derive(Debug)]
pub struct GroupCoordinator {
    shards: Shards<Shard>,
    metrics: GroupMetrics,
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
        let CoordinatorParts { writer, config, metrics, tasks, runtime } = parts;
        let context = Context::new(ContextParts {
            writer,
            outlet: Arc::new(NoMessages),
            machine: config.group,
            commit_timeout: config.commit_timeout,
            load_buffer_bytes: config.load_buffer_bytes,
            metrics: metrics.shards().clone(),
            tasks,
            runtime,
        });
        Arc::new(Self { shards: Shards::start(context), metrics })
    }

    /// Notes that this broker was elected: the partition is loaded, then serves. Called in log order; an epoch that is not newer than the one that is known changes nothing. The
    /// partition of a new topic takes the place of the old topic's. Does not block.
    pub fn elected(&self, leadership: Leadership) {
        self.shards.elected(leadership);
    }

    /// Notes that from this leader epoch on this broker does not lead the partition, or that the partition is gone: every leadership of it up to that epoch ends, and whoever waits is
    /// told. Called in log order. Does not block.
    pub fn resigned(&self, leadership: Leadership) {
        self.shards.resigned(leadership);
    }

    /// Notes that topics are gone from the metadata: their committed offsets go, before any request from now on and as soon as the partitions take writes. Does not block.
    pub fn topics_deleted(&self, topics: &[TopicIdentity]) {
        let shards = self.shards.all();
        for shard in &shards {
            shard.note(topics.iter().cloned());
        }
        self.shards.context.spawn(async move {
            for shard in shards {
                shard.step_noted();
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
        let is_commit =
            matches!(request, Request::CommitOffsets(_) | Request::CommitTransactionalOffsets(_));
        if let Request::Join(join) = &mut request {
            join.drawn_member_id = draw_member_id(join);
        }
        let began = Instant::now();
        let result = self.shards.answer(partition, request).await;
        match &result {
            Ok(_) if is_commit => {
                self.metrics.committed(began.elapsed());
            }
            Ok(_) => {}
            Err(refusal) => self.metrics.shards().refused(*refusal),
        }
        result
    }

    /// Lists the groups of all partitions that this broker coordinates.
    ///
    /// # Errors
    /// [`Refusal::LoadInProgress`] while a partition is loaded, as Kafka; [`Refusal::NotAvailable`] when what a shard knows is not committed in time.
    pub async fn list(&self, request: ListGroups) -> Result<Vec<ListedGroup>, Refusal> {
        let answers = self.shards.answers(|| Request::List(request.clone())).await;
        let answers = answers.inspect_err(|refusal| self.metrics.shards().refused(*refusal))?;
        let listed = answers.into_iter().filter_map(|answer| match answer {
            Response::List(listed) => Some(listed),
            _ => None,
        });
        Ok(listed.flatten().collect())
    }

    /// Counts what the loaded shards hold, uncommitted changes included; and all rebalances since the start, those of shards that are gone too.
    #[must_use]
    pub fn counts(&self) -> ShardCounts {
        let mut sum = ShardCounts::default();
        for counts in self.shards.all().iter().filter_map(|shard| shard.counts()) {
            for (state, count) in counts.groups {
                *sum.groups.entry(state).or_default() += count;
            }
            sum.member_count += counts.member_count;
            sum.offset_count += counts.offset_count;
            sum.pending_offset_count += counts.pending_offset_count;
            sum.open_transaction_count += counts.open_transaction_count;
        }
        sum.completed_rebalance_count = self.shards.context.totals.load(Ordering::Relaxed);
        sum
    }

    /// Visits committed offsets of the loaded shards, uncommitted changes included, `limit` at most. Requests go on meanwhile: each shard's lock is held for a chunk at a time, and never during a visit.
    pub fn for_each_committed(&self, limit: usize, mut visit: impl FnMut(CommittedPosition<'_>)) {
        let mut left = limit;
        for shard in self.shards.all() {
            let mut cursor = None;
            loop {
                let chunk =
                    shard.look(|machine| machine.committed_records(cursor.as_ref(), VISIT_BYTES));
                let (records, next) = chunk.unwrap_or_default();
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
        self.shards.stop();
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
