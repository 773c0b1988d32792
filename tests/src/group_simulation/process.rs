//! A broker as a coordinator: what it believes, the shard it has loaded, and the answers that it holds until they are committed.
//!
//! A model of `coordinator::runtime`, with the same order: step, append, hold, release. The machine and its records are the real ones.

use std::collections::BTreeMap;

use coordinator::group::ids::MemberId;
use coordinator::group::request::{Request, RequestId};
use coordinator::group::response::Response;
use coordinator::group::{Action, Event, GroupConfig, Now, RewriteCursor, Shard, WriteId};
use model::{BrokerId, ErrorCode, Offset};

use super::checker::Asked;
use super::log::{Batch, ReplicatedLog};
use super::member::AttemptId;

/// Where an answer goes.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) member: usize,
    pub(super) attempt: AttemptId,
    pub(super) request: Request,
    pub(super) asked: Asked,
}

/// An answer that waits for what it depends on.
#[derive(Debug)]
struct Held {
    end: usize,
    origin: Origin,
    response: Response,
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Released {
    pub(super) epoch: i32,
    pub(super) end: usize,
    pub(super) origin: Origin,
    pub(super) response: Result<Response, ErrorCode>,
}

/// A shard that serves.
#[derive(Debug)]
pub(super) struct LoadedShard {
    pub(super) epoch: i32,
    pub(super) machine: Shard,
    ends: BTreeMap<WriteId, usize>,
    held: Vec<Held>,
    open: BTreeMap<RequestId, Origin>,
    next_request: u64,
    /// What is known to be committed.
    high_watermark: usize,
    /// A rewrite under way: its first position, and how far it is.
    pub(super) rewrite: Option<Rewrite>,
}

/// A rewrite of all that lives, to trim what lies before it.
#[derive(Debug)]
pub(super) struct Rewrite {
    pub(super) first: usize,
    pub(super) end: usize,
    pub(super) cursor: Option<RewriteCursor>,
    pub(super) is_written: bool,
}

/// One broker.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) broker: BrokerId,
    pub(super) incarnation: u64,
    pub(super) is_up: bool,
    /// The epoch in which it believes to lead.
    pub(super) leads: Option<i32>,
    pub(super) shard: Option<LoadedShard>,
}

impl Process {
    pub(super) fn new(broker: BrokerId) -> Self {
        Self { broker, incarnation: 1, is_up: true, leads: None, shard: None }
    }

    /// Loads the shard from what is committed, as of now.
    pub(super) fn load(&mut self, epoch: i32, log: &ReplicatedLog, config: &GroupConfig, now: Now) {
        let mut machine = Shard::new(config.clone());
        for (position, entry) in log.committed().iter().enumerate().skip(log.start) {
            entry.replay_into(position, &mut machine);
        }
        machine.loaded(now);
        self.shard = Some(LoadedShard {
            epoch,
            machine,
            ends: BTreeMap::new(),
            held: Vec::new(),
            open: BTreeMap::new(),
            next_request: 0,
            high_watermark: log.high_watermark(),
            rewrite: None,
        });
    }

    /// Ends the shard; whoever waits is told to look elsewhere.
    pub(super) fn unload(&mut self) -> Vec<Released> {
        let Some(shard) = self.shard.take() else { return Vec::new() };
        let waiting =
            shard.open.into_values().chain(shard.held.into_iter().map(|held| held.origin));
        waiting
            .map(|origin| Released {
                epoch: shard.epoch,
                end: 0,
                origin,
                response: Err(ErrorCode::NotCoordinator),
            })
            .collect()
    }

    /// Steps a request, or refuses it.
    pub(super) fn request(
        &mut self,
        now: Now,
        mut origin: Origin,
        log: &mut ReplicatedLog,
        causes: &mut Vec<(i32, usize, Request)>,
    ) -> Vec<Released> {
        let refusal = match (&self.leads, &self.shard) {
            (None, _) => Some(ErrorCode::NotCoordinator),
            (Some(_), None) => Some(ErrorCode::CoordinatorLoadInProgress),
            (Some(_), Some(_)) => None,
        };
        let Some(shard) = self.shard.as_mut().filter(|_| refusal.is_none()) else {
            let error = refusal.unwrap_or(ErrorCode::CoordinatorLoadInProgress);
            return vec![Released { epoch: 0, end: 0, origin, response: Err(error) }];
        };
        shard.next_request += 1;
        let id = RequestId(shard.next_request);
        if let Request::Join(join) = &mut origin.request {
            // Each copy of a request draws an id of its own, as the runtime does.
            let drawn = format!("{}-b{}e{}r{}", join.client_id, self.broker, shard.epoch, id.0);
            join.drawn_member_id = MemberId::from(drawn.as_str());
        }
        shard.open.insert(id, origin.clone());
        shard.machine.step(now, Event::Request(id, origin.request.clone()));
        self.drain(now, log, Some(&origin.request), causes)
    }

    /// Steps the shard's timer.
    pub(super) fn timeout(
        &mut self,
        now: Now,
        log: &mut ReplicatedLog,
        causes: &mut Vec<(i32, usize, Request)>,
    ) -> Vec<Released> {
        if let Some(shard) = &mut self.shard {
            shard.machine.step(now, Event::TimeoutReached);
        }
        self.drain(now, log, None, causes)
    }

    /// Does what a step asks for. An append that fails makes the shard void.
    fn drain(
        &mut self,
        now: Now,
        log: &mut ReplicatedLog,
        cause: Option<&Request>,
        causes: &mut Vec<(i32, usize, Request)>,
    ) -> Vec<Released> {
        while let Some(action) = self.shard.as_mut().and_then(|shard| shard.machine.poll_action()) {
            let shard = self.shard.as_mut().expect("it gave an action");
            match action {
                Action::Append(id, records) => {
                    let batch = Batch::Plain(records);
                    let Some(end) = log.append(self.broker, shard.epoch, batch) else {
                        self.leads = None;
                        return self.unload();
                    };
                    shard.ends.insert(id, end);
                    if let Some(request) = cause {
                        causes.push((shard.epoch, end, request.clone()));
                    }
                }
                Action::AppendOfTransaction(id, batch) => {
                    let appended = log.append_of_transaction(self.broker, shard.epoch, batch);
                    let Some(result) = appended else {
                        self.leads = None;
                        return self.unload();
                    };
                    if let Ok(end) = result {
                        shard.ends.insert(id, end);
                        causes.extend(cause.map(|request| (shard.epoch, end, request.clone())));
                    }
                    let offset = |end| Offset(i64::try_from(end).expect("logs are short") - 1);
                    shard.machine.appended(now, result.map(offset));
                }
                Action::Reply(id, response, after) => {
                    let origin = shard.open.remove(&id).expect("a request is answered once");
                    let end = after.map_or(0, |write| {
                        *shard.ends.get(&write).expect("a reply depends on a write that was made")
                    });
                    shard.held.push(Held { end, origin, response });
                }
            }
        }
        self.release(log)
    }

    /// Lets go what is committed.
    pub(super) fn release(&mut self, log: &ReplicatedLog) -> Vec<Released> {
        let Some(shard) = &mut self.shard else { return Vec::new() };
        let known = log.known_high_watermark(self.broker, shard.epoch);
        shard.high_watermark = shard.high_watermark.max(known);
        let (go, stay): (Vec<Held>, Vec<Held>) = std::mem::take(&mut shard.held)
            .into_iter()
            .partition(|held| held.end <= shard.high_watermark);
        shard.held = stay;
        let epoch = shard.epoch;
        go.into_iter()
            .map(|held| Released {
                epoch,
                end: held.end,
                origin: held.origin,
                response: Ok(held.response),
            })
            .collect()
    }

    /// Writes the next part of a rewrite, or begins one.
    pub(super) fn rewrite(&mut self, log: &mut ReplicatedLog) {
        let Some(shard) = &mut self.shard else { return };
        let Some(end) = log.end(self.broker, shard.epoch) else { return };
        // Nothing before the first record of a transaction that is open is superfluous.
        let needed = shard.machine.needed_from();
        let needed = needed.map(|offset| usize::try_from(offset.0).expect("it is a position"));
        let first = needed.map_or(end, |needed| needed.min(end));
        let rewrite =
            shard.rewrite.get_or_insert(Rewrite { first, end, cursor: None, is_written: false });
        if rewrite.is_written {
            return;
        }
        let (records, next) = shard.machine.live_records(rewrite.cursor.as_ref(), 120);
        if !records.is_empty()
            && let Some(end) = log.append(self.broker, shard.epoch, Batch::Plain(records))
        {
            rewrite.end = end;
        }
        rewrite.is_written = next.is_none();
        rewrite.cursor = next;
    }

    /// Says from where the log is needed, once a rewrite is committed.
    pub(super) fn trim(&mut self) -> Option<usize> {
        let shard = self.shard.as_mut()?;
        let done = shard
            .rewrite
            .take_if(|rewrite| rewrite.is_written && rewrite.end <= shard.high_watermark)?;
        Some(done.first)
    }
}
