//! What a step leaves to be done once the partition's lock is released: wakes, marks, jobs.
//!
//! Owns the wake-ups after the lock: [`PartitionHandle::finish`] is the one place that they happen. Nothing here touches the partition's state; the order of two
//! steps' effects does not matter, since each mark leads to a fresh look at the state.

use std::sync::{Arc, Weak};

use log_storage::{Flushable, Removal, Truncation};
use model::{BrokerEpoch, BrokerId, LeaderEpoch, Timestamp};

use super::PartitionHandle;
use super::fetch_waiter::Watcher;
use super::waiters::ProduceSender;
use crate::error::ProduceError;
use crate::partition::{LossReason, WaiterId};
use crate::requests::ReplicaRequest;

/// The effects of one step.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// When the step happens, read under the lock so that the machine's time never goes back.
    pub(super) now: Timestamp,
    /// Producers to answer.
    pub(super) produced: Vec<(ProduceSender, Result<(), ProduceError>)>,
    /// Result of the waiter that this very step added, which needs no channel.
    pub(super) own: Option<(WaiterId, Result<(), ProduceError>)>,
    /// Long polls that have enough.
    pub(super) polls: Vec<Watcher>,
    /// Requests to the controller.
    pub(super) requests: Vec<ReplicaRequest>,
    /// The log has bytes to flush.
    pub(super) flush: bool,
    /// Followers have something to hear.
    pub(super) followers: bool,
    /// The lowest log start offset of the live replicas may have moved.
    pub(super) log_starts: bool,
    /// The leader has something to hear: a fetch waits in the state.
    pub(super) leader: Option<BrokerId>,
    /// A stream to this leader is needed.
    pub(super) follow: Option<BrokerId>,
    /// A truncation or restart to run.
    pub(super) truncation: Option<Truncation>,
    /// Old segments to remove.
    pub(super) removals: Vec<Removal>,
    /// So much was flushed that the next start should not scan it.
    pub(super) checkpoint: bool,
    /// The replica gives itself up.
    pub(super) lost: Option<Loss>,
    /// The timer to arm.
    pub(super) timer: Option<Timestamp>,
}

/// A replica's wish to leave the in-sync replicas because it cannot trust its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) reason: LossReason,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) broker_epoch: BrokerEpoch,
}

impl PartitionHandle {
    /// Does what a step left to be done. Called without the lock.
    pub(super) fn finish(&self, effects: Effects) {
        if effects.followers {
            for session in self.sessions.load().iter() {
                session.mark();
            }
        }
        if effects.flush
            && let Some(me) = self.me.upgrade()
        {
            let me: Arc<dyn Flushable> = me;
            self.host.storage.flusher.mark(&me);
        }
        if let Some(leader) = effects.leader
            && let Some(me) = self.me.upgrade()
        {
            self.host.outboxes.mark(leader, me);
        }
        for (sender, result) in effects.produced {
            // The request may have gone away meanwhile; what was appended stays.
            let _ = sender.send(result);
        }
        if effects.log_starts {
            self.log_starts_moved.notify_waiters();
        }
        for poll in effects.polls {
            poll.wake();
        }
        if let Some(at) = effects.timer {
            self.host.timers.arm(at, Weak::clone(&self.me));
        }
        for request in effects.requests {
            self.host.requests.push(request);
        }
        if let Some(leader) = effects.follow {
            self.host.outboxes.follow(leader);
        }
        if let Some(truncation) = effects.truncation {
            self.run_truncation(truncation);
        }
        for removal in effects.removals {
            self.run_removal(removal);
        }
        if effects.checkpoint
            && let Some(me) = self.me.upgrade()
        {
            // A failure is reported where it happens, and ends the process.
            self.host.storage.run_job(move || drop(me.checkpoint()));
        }
        if let Some(loss) = effects.lost {
            self.declare_lost(loss);
        }
    }
}
