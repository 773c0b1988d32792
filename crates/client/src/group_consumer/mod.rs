//! A member of a consumer group of the classic protocol: it joins, reads what it is assigned, commits, and leaves.
//!
//! [`GroupConsumer::poll`] drives everything but the heartbeats, which run in a task of the client's tracker and end with the value. Requests under way are kept
//! in the value, so a poll may be cancelled at any point. Invariants: no record of a partition is returned after it was told to be revoked or lost; a position that was
//! asked for in one assignment is not used in another.

mod assignor;
mod heartbeat;
mod join;
mod membership;
mod positions;
mod rebalance;
mod signal;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, pending};
use futures_util::stream::{FuturesUnordered, StreamExt};
use model::{Offset, TopicPartition};
use tokio::time::{Instant, sleep_until};

use self::heartbeat::Heartbeat;
use self::join::Joined;
use self::membership::Membership;
use self::positions::{Offsets, Positions};
use self::signal::Signal;
use crate::client::Client;
use crate::consumer::{ConsumedRecord, Consumer, ConsumerConfig, OffsetReset};
use crate::error::Error;
use crate::transactional_producer::GroupMetadata;

pub use assignor::Assignor;

/// Settings of a [`GroupConsumer`]. The names are Kafka's.
#[derive(Clone, Debug)]
pub struct GroupConsumerConfig {
    /// `group.id`.
    pub group_id: String,
    /// Topics to subscribe to, at least one. One that does not exist yet is read when it does.
    pub topics: Vec<String>,
    /// `group.instance.id`: the name of a static member, which keeps its partitions over a restart within the session timeout. None by default.
    pub group_instance_id: Option<String>,
    /// `session.timeout.ms`: silence after which the coordinator throws a member out. 45 s by default.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`: time between heartbeats. 3 s by default.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: how long others wait for this member in a rebalance, and how long it may go without a poll. 5 min by default.
    pub rebalance_timeout: Duration,
    /// `partition.assignment.strategy`: what this member offers, the preferred one first. Range by default. Members keep reading in a rebalance only when
    /// all that they offer are cooperative.
    pub assignors: Vec<Assignor>,
    /// `auto.commit.interval.ms`, or `None` for `enable.auto.commit=false`. 5 s by default. What one poll returned is committed in a later one, or at a rebalance
    /// or leave: at least once.
    pub auto_commit_interval: Option<Duration>,
    /// `auto.offset.reset`: where to begin where the group has committed nothing, or what is not there any more. Latest by default.
    pub offset_reset: OffsetReset,
    /// How to fetch; its own `offset_reset` is not used.
    pub fetch: ConsumerConfig,
}

/// What a poll brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// Records; none when a broker had none within `fetch.max.wait.ms`.
    Records(Vec<ConsumedRecord>),
    /// The member is in a new generation.
    Assigned {
        /// The generation.
        generation: i32,
        /// Partitions that it did not have before.
        partitions: Vec<TopicPartition>,
    },
    /// Partitions go to other members at the next poll: until then, what was read of them can be committed.
    Revoked(Vec<TopicPartition>),
    /// The group had forgotten this member, and its partitions may be with others already: what was not committed will be read again.
    Lost(Vec<TopicPartition>),
}

/// A member of a group.
#[derive(Debug)]
pub struct GroupConsumer {
    membership: Arc<Membership>,
    consumer: Consumer,
    phase: Phase,
    /// What a rebalance has still to do, in order; a handful of steps.
    steps: VecDeque<Step>,
    /// The partitions that this member has, and the number of the assignment that brought each.
    owned: BTreeMap<TopicPartition, u64>,
    assignment_number: u64,
    /// Questions for positions under way.
    placing: FuturesUnordered<BoxFuture<'static, Placed>>,
    /// Where the next record is that polls have not returned.
    read: Offsets,
    /// What of that is committed.
    committed: Offsets,
    committing: Option<Task<Result<Offsets, Error>>>,
    next_commit: Instant,
    /// Of the leader: waits until topics change.
    watching: Option<Task<()>>,
}

/// Something under way, kept over the polls that wait for it.
struct Task<T>(BoxFuture<'static, T>);

impl<T> std::fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Task")
    }
}

impl<T> Task<T> {
    /// Waits for its end; for ever where there is none.
    async fn end(task: Option<&mut Self>) -> T {
        match task {
            Some(task) => (&mut task.0).await,
            None => pending().await,
        }
    }
}

/// Where a member stands.
#[derive(Debug)]
enum Phase {
    /// In no group.
    Out,
    /// A JoinGroup or SyncGroup is under way.
    Joining(Task<Result<Joined, Error>>),
    /// In a generation.
    Member(Heartbeat),
}

/// A step of a rebalance.
#[derive(Debug)]
enum Step {
    /// Start to commit what polls have returned, with auto commit.
    Commit,
    /// Wait for the commit.
    AwaitCommit,
    /// Return an event. The steps behind it belong to the next poll.
    Tell(GroupEvent),
    /// Forget partitions.
    GiveUp(Vec<TopicPartition>),
    /// Join, or join again.
    Join,
}

/// Positions of partitions that came with an assignment.
#[derive(Debug)]
struct Placed {
    assignment_number: u64,
    result: Result<Positions, Error>,
}

/// What woke a poll.
enum Woken {
    Joined(Result<Joined, Error>),
    Signal(Signal),
    Placed(Placed),
    Committed(Result<Offsets, Error>),
    CommitDue,
    TopicsChanged,
    Records(Result<Vec<ConsumedRecord>, Error>),
}

impl GroupConsumerConfig {
    /// Makes the default settings.
    #[must_use]
    pub fn new(group_id: impl Into<String>, topics: Vec<String>) -> Self {
        Self {
            group_id: group_id.into(),
            topics,
            group_instance_id: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            rebalance_timeout: Duration::from_secs(300),
            assignors: vec![Assignor::Range],
            auto_commit_interval: Some(Duration::from_secs(5)),
            offset_reset: OffsetReset::Latest,
            fetch: ConsumerConfig::default(),
        }
    }

    fn is_cooperative(&self) -> bool {
        self.assignors.iter().all(|assignor| assignor.is_cooperative())
    }
}

impl GroupConsumer {
    /// Makes a member; the first poll joins.
    #[must_use]
    pub fn new(client: Client, config: GroupConsumerConfig) -> Self {
        let next_commit = Instant::now() + config.auto_commit_interval.unwrap_or_default();
        let fetch = ConsumerConfig { offset_reset: config.offset_reset, ..config.fetch };
        let consumer = Consumer::new(client.clone(), fetch);
        Self {
            membership: Arc::new(Membership::new(client, config)),
            consumer,
            phase: Phase::Out,
            steps: VecDeque::from([Step::Join]),
            owned: BTreeMap::new(),
            assignment_number: 0,
            placing: FuturesUnordered::new(),
            read: Offsets::new(),
            committed: Offsets::new(),
            committing: None,
            next_commit,
            watching: None,
        }
    }

    /// Returns the partitions that this member has.
    #[must_use]
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.owned.keys().cloned().collect()
    }

    /// Returns the offset of the next record of a partition that [`GroupConsumer::poll`] will return, once it is known.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.read.get(partition).copied()
    }

    /// Waits for records or for a change of the assignment. Joins the group first, and again when it rebalances.
    ///
    /// It may be cancelled at any point without a loss.
    ///
    /// # Errors
    /// What is final: [`Error::Broker`] of a static member that another one replaced, of a group that is full or takes no such member, of a partition that cannot be
    /// read; [`Error::GaveUp`] when no broker has answered for `default.api.timeout.ms`.
    pub async fn poll(&mut self) -> Result<GroupEvent, Error> {
        let membership = self.membership.clone();
        let _polling = membership.polling();
        loop {
            if let Some(event) = self.run_steps().await {
                return Ok(event);
            }
            let woken = self.woken().await;
            if let Some(event) = self.take(woken)? {
                return Ok(event);
            }
        }
    }

    /// Returns who this member is for [`TransactionalProducer::send_offsets`](crate::TransactionalProducer::send_offsets), so that offsets of a member that
    /// the group has given up are refused (KIP-447).
    #[must_use]
    pub fn group_metadata(&self) -> GroupMetadata {
        let committer = self.membership.committer();
        GroupMetadata {
            group_id: self.membership.config.group_id.clone(),
            generation: committer.generation,
            member_id: committer.member_id,
            group_instance_id: committer.group_instance_id,
        }
    }

    /// Commits what polls have returned.
    ///
    /// # Errors
    /// As [`GroupConsumer::commit_offsets`].
    pub async fn commit(&mut self) -> Result<(), Error> {
        let uncommitted = self.uncommitted();
        self.commit_offsets(&uncommitted).await
    }

    /// Commits offsets: of each partition, the offset of the next record to read.
    ///
    /// # Errors
    /// [`Error::Broker`] with the code of the first partition that was refused: `REBALANCE_IN_PROGRESS` passes with the next assignment; with `UNKNOWN_MEMBER_ID` or
    /// `ILLEGAL_GENERATION` the next poll tells what is lost. [`Error::GaveUp`] after `default.api.timeout.ms`.
    pub async fn commit_offsets(
        &mut self,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), Error> {
        if offsets.is_empty() {
            return Ok(());
        }
        let time = self.membership.client.config().api_timeout;
        let result = self.commit_of(offsets.clone(), time).0.await;
        self.take_commit(result)
    }

    /// Leaves the group, so that others take over at once; with auto commit, what polls have returned is committed first. A static member does not
    /// leave: its place waits for it until the session ends.
    ///
    /// # Errors
    /// [`Error`] of the commit, else of the one attempt to leave, after which the session's end does the same.
    pub async fn leave(mut self) -> Result<(), Error> {
        let committed = match self.membership.config.auto_commit_interval {
            Some(_) => {
                let uncommitted = self.uncommitted();
                self.commit_of(uncommitted, COMMIT_TIME).0.await.map(|_| ())
            }
            None => Ok(()),
        };
        // No heartbeat must come after the member has left.
        self.phase = Phase::Out;
        committed.and(self.membership.leave().await)
    }

    /// Waits for whatever comes first. Cancel-safe: what is under way stays in the value.
    async fn woken(&mut self) -> Woken {
        let (joining, member) = match &mut self.phase {
            Phase::Out => (None, None),
            Phase::Joining(joining) => (Some(joining), None),
            Phase::Member(heartbeat) => (None, Some(heartbeat)),
        };
        let is_commit_awaited = self.membership.config.auto_commit_interval.is_some()
            && self.committing.is_none()
            && self.read != self.committed;
        // Control before data: a rebalance must not wait behind a partition that always has records.
        tokio::select! {
            biased;
            joined = Task::end(joining) => Woken::Joined(joined),
            signal = Heartbeat::signal(member) => Woken::Signal(signal),
            Some(placed) = self.placing.next() => Woken::Placed(placed),
            committed = Task::end(self.committing.as_mut()) => Woken::Committed(committed),
            () = Task::end(self.watching.as_mut()) => Woken::TopicsChanged,
            () = sleep_until(self.next_commit), if is_commit_awaited => Woken::CommitDue,
            records = self.consumer.poll(), if self.consumer.has_partitions() => {
                Woken::Records(records)
            }
        }
    }
}

/// How long a commit that nobody asked for in particular is tried, at a rebalance and at the end: others wait for it.
const COMMIT_TIME: Duration = Duration::from_secs(5);
