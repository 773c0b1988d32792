//! A broker of a simulation: a disk that survives, and a process that drives the partition machine.
//!
//! It does what the driver does under a partition's lock: one synchronous pass per request or message, then the machine's actions in order.

use std::collections::BTreeMap;
use std::time::Duration;

use controller::metadata::LastShutdown;
use model::{BrokerEpoch, BrokerId, DirectoryId, Offset, Timestamp};
use replication::partition::{
    FlushPolicy, Generation, LeaderAnswer, Partition, PartitionMetadata, TruncationGeneration,
    WaiterId,
};

use super::model_log::ModelLog;

/// One broker.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) id: BrokerId,
    pub(super) disk: Disk,
    /// `None` while it is down.
    pub(super) process: Option<Process>,
    /// Its data was damaged, and the metadata does not know yet. What it holds is not counted on.
    pub(super) is_compromised: bool,
}

/// What survives a process.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) directory_id: DirectoryId,
    pub(super) stored_epoch: Option<BrokerEpoch>,
    pub(super) log: ModelLog,
    /// min(high watermark, flushed offset), as of some moment.
    pub(super) high_watermark: Offset,
    pub(super) last_shutdown: LastShutdown,
    /// Written before a running replica declares itself lost.
    pub(super) has_lost_mark: bool,
    /// Newest metadata index whose entry is flushed; a restart begins here or later.
    pub(super) applied_floor: usize,
    /// Flushes that begin before end after.
    pub(super) slow_until: Timestamp,
    /// Appends fail until then.
    pub(super) full_until: Timestamp,
}

impl Disk {
    pub(super) fn new(directory: u128) -> Self {
        Self {
            directory_id: DirectoryId::from_bytes(directory.to_be_bytes()),
            stored_epoch: None,
            log: ModelLog::new(),
            high_watermark: Offset::ZERO,
            last_shutdown: LastShutdown::Unclean,
            has_lost_mark: false,
            applied_floor: 0,
            slow_until: Timestamp::ZERO,
            full_until: Timestamp::ZERO,
        }
    }

    /// Says whether a registration must name the replica as lost.
    pub(super) fn has_lost(&self) -> bool {
        self.has_lost_mark
            || self.log.corrupt_from.is_some()
            || self.log.end() < self.high_watermark
    }
}

/// One run of a broker.
#[derive(Debug)]
pub(super) struct Process {
    /// Unique over the whole simulation.
    pub(super) incarnation: u64,
    /// `None` until the registration was answered.
    pub(super) broker_epoch: Option<BrokerEpoch>,
    /// Made when the registration is known.
    pub(super) machine: Option<Partition>,
    /// Index of the newest image it has.
    pub(super) applied: usize,
    pub(super) view: Option<PartitionMetadata>,
    /// Leader's side: followers whose position passed.
    pub(super) links: BTreeMap<BrokerId, Link>,
    /// Whom to tell when a waiter is done.
    pub(super) waiters: BTreeMap<WaiterId, Waiter>,
    pub(super) next_waiter: u64,
    pub(super) is_flushing: bool,
    pub(super) is_shutting_down: bool,
    pub(super) paused_until: Timestamp,
    /// When the machine's timer fires next.
    pub(super) armed: Option<Timestamp>,
    /// The newest generation that a machine of this process may begin with.
    pub(super) first_generation: Generation,
}

impl Process {
    pub(super) fn new(incarnation: u64, applied: usize) -> Self {
        Self {
            incarnation,
            broker_epoch: None,
            machine: None,
            applied,
            view: None,
            links: BTreeMap::new(),
            waiters: BTreeMap::new(),
            next_waiter: 1,
            is_flushing: false,
            is_shutting_down: false,
            paused_until: Timestamp::ZERO,
            armed: None,
            first_generation: Generation(1),
        }
    }

    /// Says whether appends are to be flushed at once.
    pub(super) fn flushes_each_message(&self) -> bool {
        self.view.as_ref().is_none_or(|view| view.flush_policy == FlushPolicy::EachMessage)
    }
}

/// A follower's stream of batches, as its leader serves it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// Epoch and generation of everything sent on it; the body is taken anew each time.
    pub(super) answer: LeaderAnswer,
    /// The next offset to send.
    pub(super) next: Offset,
    /// The high watermark that was last sent.
    pub(super) sent_high_watermark: Offset,
}

/// Whom to tell when a waiter is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) client: usize,
    pub(super) payload: u64,
    pub(super) attempt: u64,
    pub(super) end_offset: Offset,
}

/// A flush under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlushUnderWay {
    pub(super) end: Offset,
    pub(super) generation: TruncationGeneration,
}

/// A cut that a storage thread works on.
#[derive(Clone, Copy, Debug)]
pub(super) enum CutUnderWay {
    Truncate(Offset),
    Restart(Offset),
}

/// `broker.session.timeout.ms` of all brokers.
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_millis(300);
