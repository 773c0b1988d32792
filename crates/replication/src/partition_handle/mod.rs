//! One partition's replica on this broker: machine and log behind one short lock.
//!
//! Under the lock stand validation, step and `pwrite` alone: nothing that syncs, waits or takes a second lock. Whatever a step asks of others is noted as an effect and
//! done after the lock is released. Every entry below is one pass of `actions`:
//!
//! * the pass itself: `actions` (under the lock), `effects` (after it), `host` (what is reached beyond it), `image` (a new image of the metadata), `timers`;
//! * clients and coordinators: `produce` with `waiters` and `recompression`, `read` with `fetch_waiter`, `offsets`, `transactions`;
//! * the other replicas: `lead` (what followers are sent), `follow` (what a leader sent);
//! * the log: `flush`, `log_start` (the head), `truncation` (the tail), `compaction` (what lies between), `lost_mark`.

mod actions;
mod compaction;
mod effects;
mod fetch_waiter;
mod flush;
mod follow;
mod host;
mod image;
mod lead;
mod log_start;
mod lost_mark;
mod offsets;
mod produce;
mod read;
mod recompression;
mod timers;
mod transactions;
mod truncation;
mod waiters;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use arc_swap::{ArcSwap, ArcSwapOption};
use log_storage::{FlushMark, Log, Recompression};
use model::{
    BrokerId, ErrorCode, LeaderEpoch, Offset, Timestamp, TopicIdPartition, TopicPartition,
};
use tokio::sync::Notify;

pub use self::fetch_waiter::FetchWaiter;
use self::fetch_waiter::Watchers;
pub(crate) use self::follow::{LeaderMessage, Outbox, Outboxes};
pub(crate) use self::host::Host;
use self::lead::FollowerLink;
pub(crate) use self::lead::{Class, MarkedCount, SendQueue, Session, Update};
pub use self::offsets::{ListedOffset, OffsetQuery};
pub use self::produce::{ProduceOptions, ProduceWaiter, Produced};
pub use self::read::{Fetched, Isolation, ReadRequest, Readable, WatchPosition};
pub(crate) use self::timers::Timers;
pub use self::transactions::TransactionMarker;
use self::waiters::{CommitMeter, ProduceWaiters};
use crate::error::{LeaderHint, NotServed};
use crate::partition::{
    EpochEntry, FollowerFetch, LogState, OpenedLog, Options, Partition, ReplicaRole,
    TruncationGeneration,
};
use crate::storage::partition_directory::LostMark;

/// One partition's replica on this broker.
#[derive(Debug)]
pub struct PartitionHandle {
    me: Weak<Self>,
    id: TopicIdPartition,
    name: TopicPartition,
    host: Arc<Host>,
    state: Mutex<State>,
    /// The followers' sessions, to be marked after an append without a second look under the lock.
    sessions: ArcSwap<Vec<Arc<Session>>>,
    flush_mark: FlushMark,
    /// The topic's `compression.type`, read by producers before they take the lock.
    recompression: ArcSwapOption<Recompression>,
    /// The lowest log start offset of the live replicas may have moved.
    log_starts_moved: Notify,
}

/// What the lock guards.
#[derive(Debug)]
struct State {
    machine: Partition,
    log: Log,
    waiters: ProduceWaiters,
    watchers: Watchers,
    meter: CommitMeter,
    /// Those who wait for what is stable, and the count of that.
    stable_watchers: Watchers,
    stable_meter: CommitMeter,
    /// When this replica's earliest entry among the timers fires.
    armed: Option<Timestamp>,
    /// Leader's side: who fetches, over which stream.
    followers: Vec<FollowerLink>,
    /// Follower's side: the newest fetch that no stream has taken yet, and the leader that it is for.
    unsent_fetch: Option<(BrokerId, FollowerFetch)>,
    /// Whether a lost mark lies in the directory.
    mark: LostMark,
    /// The replica's directory is being deleted.
    is_removed: bool,
}

/// What a handle is made of.
#[derive(Debug)]
pub(crate) struct NewReplica {
    pub(crate) id: TopicIdPartition,
    pub(crate) name: TopicPartition,
    pub(crate) log: Log,
    /// The checkpointed high watermark.
    pub(crate) high_watermark: Offset,
    pub(crate) mark: LostMark,
}

/// A replica's offsets and sizes at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// What the replica does.
    pub role: ReplicaRole,
    /// The first offset kept.
    pub log_start_offset: Offset,
    /// Exclusive end of what is known to be committed.
    pub high_watermark: Offset,
    /// The next offset to be written.
    pub log_end_offset: Offset,
    /// Exclusive end of what is on the disk.
    pub flushed_offset: Offset,
    /// Size of the log in bytes.
    pub size_bytes: u64,
    /// Unfenced members of the ISR, as the image has it.
    pub isr_count: usize,
    /// Assigned replicas.
    pub replica_count: usize,
    /// The fewest in-sync replicas that `acks=all` asks for.
    pub effective_min_isr: usize,
}

impl PartitionHandle {
    /// Makes the handle of a replica whose log was opened. It serves nothing before its first metadata.
    pub(crate) fn new(host: &Arc<Host>, options: Options, replica: NewReplica) -> Arc<Self> {
        let NewReplica { id, name, log, high_watermark, mark } = replica;
        let epochs = log
            .epoch_entries()
            .iter()
            .map(|entry| EpochEntry { epoch: entry.epoch, start_offset: entry.start_offset })
            .collect();
        let opened =
            OpenedLog { log: log_state(&log), high_watermark: Some(high_watermark), epochs };
        let machine = Partition::new(options, opened);
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            id,
            name,
            host: Arc::clone(host),
            state: Mutex::new(State {
                machine,
                log,
                waiters: ProduceWaiters::default(),
                watchers: Watchers::default(),
                meter: CommitMeter::default(),
                stable_watchers: Watchers::default(),
                stable_meter: CommitMeter::default(),
                armed: None,
                followers: Vec::new(),
                unsent_fetch: None,
                mark,
                is_removed: false,
            }),
            sessions: ArcSwap::default(),
            recompression: ArcSwapOption::default(),
            flush_mark: FlushMark::default(),
            log_starts_moved: Notify::new(),
        })
    }

    /// The partition by the id of its topic.
    #[must_use]
    pub fn id(&self) -> TopicIdPartition {
        self.id
    }

    /// The partition by the name of its topic.
    #[must_use]
    pub fn name(&self) -> &TopicPartition {
        &self.name
    }

    /// Returns the replica's offsets and sizes.
    #[must_use]
    pub fn status(&self) -> PartitionStatus {
        let state = self.lock();
        let metadata = state.machine.metadata();
        PartitionStatus {
            role: state.machine.role(),
            log_start_offset: state.log.log_start_offset(),
            high_watermark: state.machine.high_watermark(),
            log_end_offset: state.log.log_end_offset(),
            flushed_offset: state.log.flushed_offset(),
            size_bytes: state.log.size_bytes(),
            isr_count: metadata.map_or(0, |metadata| {
                metadata.isr.iter().filter(|member| metadata.is_unfenced(**member)).count()
            }),
            replica_count: metadata.map_or(0, |metadata| metadata.replicas.len()),
            effective_min_isr: metadata.map_or(1, |metadata| metadata.effective_min_isr),
        }
    }

    /// Returns the exclusive end of what is known to be committed: cheaper than [`Self::status`], and also of a replica that follows.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.lock().machine.high_watermark()
    }

    /// Returns who leads, as far as this broker knows.
    #[must_use]
    pub fn leader(&self) -> LeaderHint {
        self.lock().leader()
    }

    /// Returns what the replica does.
    #[must_use]
    pub fn role(&self) -> ReplicaRole {
        self.lock().machine.role()
    }

    /// The replica's directory.
    pub(crate) fn directory(&self) -> PathBuf {
        self.lock().log.directory().to_owned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

impl State {
    fn leader(&self) -> LeaderHint {
        let metadata = self.machine.metadata();
        LeaderHint {
            leader: metadata.and_then(|metadata| metadata.leader),
            leader_epoch: metadata
                .map_or_else(LeaderEpoch::default, |metadata| metadata.leader_epoch),
        }
    }

    /// Checks that this replica leads, in the epoch that a request names if it names one.
    fn check_leads(&self, current: Option<LeaderEpoch>) -> Result<(), NotServed> {
        match self.machine.check_leader_epoch(current) {
            Ok(()) => {}
            Err(ErrorCode::UnknownLeaderEpoch) => return Err(NotServed::UnknownLeaderEpoch),
            Err(_) => return Err(NotServed::FencedLeaderEpoch(self.leader())),
        }
        match self.machine.role() {
            ReplicaRole::Leader(_) => Ok(()),
            ReplicaRole::Follower(..) | ReplicaRole::Offline(_) => {
                Err(NotServed::NotLeader(self.leader()))
            }
        }
    }

    fn truncation_generation(&self) -> TruncationGeneration {
        TruncationGeneration(self.log.truncation_generation().0)
    }
}

/// Returns the log's offsets in the machine's words.
fn log_state(log: &Log) -> LogState {
    LogState {
        log_start_offset: log.log_start_offset(),
        log_end_offset: log.log_end_offset(),
        flushed_offset: log.flushed_offset(),
        truncation_generation: TruncationGeneration(log.truncation_generation().0),
    }
}
