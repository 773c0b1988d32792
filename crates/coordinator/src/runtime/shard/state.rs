//! What lies behind a shard's lock: the machine of one load, the requests that it has parked, and what is known of its log.

use std::collections::BTreeMap;

use model::{Offset, Timestamp};
use tokio::sync::oneshot;

use super::log_size::LogSize;
use super::write_ends::WriteEnds;
use crate::group::request::RequestId;
use crate::runtime::machine::{LoadNumber, Machine};
use crate::runtime::refusal::Refusal;

/// What a shard is at the moment.
#[derive(Debug)]
pub(super) enum State<M: Machine> {
    /// Not readable yet, or again: what requests are told meanwhile.
    Loading(Refusal),
    Loaded(Box<Loaded<M>>),
    Ended,
}

/// A machine and what the driver knows about it.
#[derive(Debug)]
pub(super) struct Loaded<M: Machine> {
    pub(super) machine: M,
    /// Which load made it; a rewrite belongs to one.
    pub(super) load: LoadNumber,
    pub(super) writes: WriteEnds,
    pub(super) parked: BTreeMap<RequestId, ReplySender<M>>,
    pub(super) last_request: RequestId,
    /// When the shard's earliest entry among the timers fires.
    pub(super) armed: Option<Timestamp>,
    /// Timers wait until then, because the partition took no writes.
    pub(super) refused_until: Option<Timestamp>,
    pub(super) log: LogSize,
    /// What of the machine's counters stands in the coordinator's totals.
    pub(super) counted: M::Counted,
}

/// An answer of the machine, and what must be committed before it may go.
#[derive(Debug)]
pub(super) struct Answer<M: Machine> {
    pub(super) response: M::Response,
    pub(super) depends_on: Option<Offset>,
}

/// What whoever asked is told.
pub(super) type Reply<M> = Result<Answer<M>, Refusal>;

/// The end of a parked request's channel.
pub(super) type ReplySender<M> = oneshot::Sender<Reply<M>>;

impl<M: Machine> State<M> {
    pub(super) fn loaded(&mut self) -> Result<&mut Loaded<M>, Refusal> {
        match self {
            Self::Loaded(loaded) => Ok(loaded),
            Self::Loading(refusal) => Err(*refusal),
            Self::Ended => Err(Refusal::NotCoordinator),
        }
    }

    pub(super) fn of_load(&mut self, load: LoadNumber) -> Option<&mut Loaded<M>> {
        self.loaded().ok().filter(|loaded| loaded.load == load)
    }

    /// Drops what is loaded, because it is ahead of the log, and returns it: it may be large, and the requests that it has parked are to be refused.
    pub(super) fn void(&mut self, meanwhile: Refusal) -> Option<Box<Loaded<M>>> {
        match std::mem::replace(self, Self::Loading(meanwhile)) {
            Self::Loaded(loaded) => Some(loaded),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl<M: Machine> Loaded<M> {
    /// Returns when the timer must be armed, if the machine is to be stepped earlier than the entry there is. `wish` is when the driver has something to step of its own.
    pub(super) fn arm(&mut self, wish: Option<Timestamp>) -> Option<Timestamp> {
        let due = [self.machine.next_timeout(), wish].into_iter().flatten().min()?;
        let at = self.refused_until.map_or(due, |until| due.max(until));
        if self.armed.is_some_and(|armed| armed <= at) {
            return None;
        }
        self.armed = Some(at);
        Some(at)
    }

    /// Tells everyone who waits.
    pub(super) fn refuse_parked(self, refusal: Refusal) {
        for sender in self.parked.into_values() {
            // The request may have gone away meanwhile.
            let _ = sender.send(Err(refusal));
        }
    }
}
