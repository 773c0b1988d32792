//! A broker as a coordinator: what it believes, the shard it has loaded, and what it holds until it is committed.
//!
//! A model of `coordinator::runtime`, with the same order: step, append, hold, release. The machine and its records are the real ones.

use std::collections::BTreeMap;

use coordinator::transaction::request::{EndTransaction, InitProducerId, Request};
use coordinator::transaction::response::Response;
use coordinator::transaction::{
    Action, Event, MarkersToWrite, Now, RequestId, Shard, TransactionConfig, WriteId,
};
use model::{BrokerId, ErrorCode, ProducerId};

use super::copier::ProduceRequest;
use super::log::ReplicatedLog;

/// Who asked.
#[derive(Clone, Debug)]
pub(super) enum Asker {
    /// A copier, in one of its attempts.
    Copier { copier: usize, attempt: u64 },
    /// A partition that was sent the first batch of a transaction.
    Partition { produce: ProduceRequest, guard: u64 },
}

/// A request on its way to a coordinator, or its answer on the way back.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) asker: Asker,
    pub(super) request: Request,
}

/// What leaves a coordinator.
#[derive(Clone, Debug)]
pub(super) enum Outgoing {
    Answer(Asked, Result<Response, ErrorCode>),
    Markers(MarkersToWrite),
}

/// A shard that serves.
#[derive(Debug)]
pub(super) struct LoadedShard {
    pub(super) epoch: i32,
    pub(super) machine: Shard,
    ends: BTreeMap<WriteId, usize>,
    held: Vec<(usize, Outgoing)>,
    open: BTreeMap<RequestId, Asked>,
    next_request: u64,
    high_watermark: usize,
}

/// One broker.
#[derive(Debug)]
pub(super) struct Coordinator {
    pub(super) broker: BrokerId,
    pub(super) incarnation: u64,
    pub(super) is_up: bool,
    /// The epoch in which it believes to lead.
    pub(super) leads: Option<i32>,
    pub(super) shard: Option<LoadedShard>,
}

/// What all brokers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) log: ReplicatedLog,
    pub(super) next_producer_id: i64,
}

impl Shared {
    fn draw(&mut self) -> ProducerId {
        self.next_producer_id += 1;
        ProducerId(self.next_producer_id)
    }
}

impl Coordinator {
    pub(super) fn new(broker: BrokerId) -> Self {
        Self { broker, incarnation: 1, is_up: true, leads: None, shard: None }
    }

    /// Loads the shard from what is committed, as of now.
    pub(super) fn load(
        &mut self,
        epoch: i32,
        shared: &mut Shared,
        config: &TransactionConfig,
        now: Now,
    ) -> Vec<Outgoing> {
        let mut machine = Shard::new(config.clone());
        for entry in shared.log.committed() {
            for record in &entry.records {
                machine.replay(record.clone());
            }
        }
        machine.loaded(now);
        self.shard = Some(LoadedShard {
            epoch,
            machine,
            ends: BTreeMap::new(),
            held: Vec::new(),
            open: BTreeMap::new(),
            next_request: 0,
            high_watermark: shared.log.high_watermark(),
        });
        self.drain(shared, now)
    }

    /// Ends the shard; whoever waits is told to look elsewhere.
    pub(super) fn unload(&mut self) -> Vec<Outgoing> {
        let Some(shard) = self.shard.take() else { return Vec::new() };
        let held = shard.held.into_iter().filter_map(|(_, outgoing)| match outgoing {
            Outgoing::Answer(asked, _) => Some(asked),
            Outgoing::Markers(_) => None,
        });
        let waiting = shard.open.into_values().chain(held);
        waiting.map(|asked| Outgoing::Answer(asked, Err(ErrorCode::NotCoordinator))).collect()
    }

    /// Steps a request, or refuses it.
    pub(super) fn request(&mut self, now: Now, asked: Asked, shared: &mut Shared) -> Vec<Outgoing> {
        let refusal = match (&self.leads, &self.shard) {
            (None, _) => ErrorCode::NotCoordinator,
            (Some(_), None) => ErrorCode::CoordinatorLoadInProgress,
            (Some(_), Some(_)) => ErrorCode::None,
        };
        let Some(shard) = self.shard.as_mut().filter(|_| !refusal.is_error()) else {
            return vec![Outgoing::Answer(asked, Err(refusal))];
        };
        shard.next_request += 1;
        let id = RequestId(shard.next_request);
        shard.open.insert(id, asked.clone());
        shard.machine.step(now, Event::Request(id, asked.request));
        self.drain(shared, now)
    }

    /// Steps an event.
    pub(super) fn step(&mut self, now: Now, event: Event, shared: &mut Shared) -> Vec<Outgoing> {
        if let Some(shard) = &mut self.shard {
            shard.machine.step(now, event);
        }
        self.drain(shared, now)
    }

    /// Does what a step asks for. An append that fails makes the shard void.
    fn drain(&mut self, shared: &mut Shared, now: Now) -> Vec<Outgoing> {
        while let Some(action) = self.shard.as_mut().and_then(|shard| shard.machine.poll_action()) {
            let shard = self.shard.as_mut().expect("it gave an action");
            let end_of = |shard: &LoadedShard, write: Option<WriteId>| {
                write.map_or(0, |write| shard.ends[&write])
            };
            match action {
                Action::Append(id, records) => {
                    let Some(end) = shared.log.append(self.broker, shard.epoch, records) else {
                        self.leads = None;
                        return self.unload();
                    };
                    shard.ends.insert(id, end);
                }
                Action::Reply(id, Response::NeedsProducerId, _) => {
                    let mut asked = shard.open.remove(&id).expect("a request is answered once");
                    give_spare(&mut asked.request, shared.draw());
                    shard.next_request += 1;
                    let id = RequestId(shard.next_request);
                    shard.open.insert(id, asked.clone());
                    shard.machine.step(now, Event::Request(id, asked.request));
                }
                Action::Reply(id, response, write) => {
                    let asked = shard.open.remove(&id).expect("a request is answered once");
                    let outgoing = Outgoing::Answer(asked, Ok(response));
                    shard.held.push((end_of(shard, write), outgoing));
                }
                Action::WriteMarkers(markers, write) => {
                    shard.held.push((end_of(shard, write), Outgoing::Markers(markers)));
                }
                Action::DrawProducerId => {
                    let drawn = shared.draw();
                    shard.machine.step(now, Event::ProducerIdDrawn(drawn));
                }
            }
        }
        self.release(&shared.log)
    }

    /// Lets go what is committed.
    pub(super) fn release(&mut self, log: &ReplicatedLog) -> Vec<Outgoing> {
        let Some(shard) = &mut self.shard else { return Vec::new() };
        let known = log.known_high_watermark(self.broker, shard.epoch);
        shard.high_watermark = shard.high_watermark.max(known);
        let high_watermark = shard.high_watermark;
        let (go, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut shard.held)
            .into_iter()
            .partition(|(end, _)| *end <= high_watermark);
        shard.held = stay;
        go.into_iter().map(|(_, outgoing)| outgoing).collect()
    }
}

fn give_spare(request: &mut Request, drawn: ProducerId) {
    match request {
        Request::InitProducerId(InitProducerId { spare_producer_id, .. })
        | Request::End(EndTransaction { spare_producer_id, .. }) => {
            *spare_producer_id = Some(drawn);
        }
        other => panic!("{other:?} needs no producer id"),
    }
}
