//! The transactional ids of one partition of `__transaction_state`: where each event finds its producer, and the wishes find their way out.

mod contents;
mod expiry;
mod live_walk;
mod replay;
mod timeouts;

use std::collections::BTreeMap;

use model::{ErrorCode, Timestamp};

pub use self::contents::ShardCounts;
use self::contents::fenced_answers;
use self::expiry::Expiry;
pub use self::live_walk::RewriteCursor;
use super::ids::TransactionalId;
use super::producer::Producer;
use super::request::{InitProducerId, Request};
use super::response::Response;
use super::turn::{Deadlines, Outbox, Totals, Turn};
use super::{
    Action, Event, Now, RequestId, TransactionConfig, WriteId, administration, ending,
    initialization, markers, mutation, partitions,
};

/// All transactional ids of one partition of `__transaction_state`.
#[derive(Debug)]
pub struct Shard {
    config: TransactionConfig,
    producers: BTreeMap<TransactionalId, Producer>,
    deadlines: Deadlines,
    expiry: Expiry,
    outbox: Outbox,
    totals: Totals,
    /// The last append that took an id away: what is said of an id that does not exist depends on it.
    last_removal: Option<WriteId>,
    /// Time of the last step, or of the load.
    now: Timestamp,
}

impl Shard {
    /// Makes a shard without ids. [`Self::replay`] its log, then tell it that it is [`Self::loaded`]; from then on it may be stepped.
    #[must_use]
    pub fn new(config: TransactionConfig) -> Self {
        Self {
            deadlines: Deadlines::new(config.timed_out_check_interval),
            expiry: Expiry::new(config.expired_check_interval),
            config,
            producers: BTreeMap::new(),
            outbox: Outbox::default(),
            totals: Totals::default(),
            last_removal: None,
            now: Timestamp::ZERO,
        }
    }

    /// Ends the load: decided transactions ask for their markers again, and open ones may time out. What that leads to is in [`Self::poll_action`], as after a step.
    pub fn loaded(&mut self, now: Now) {
        self.now = now.monotonic;
        self.deadlines.begin(now.monotonic);
        self.totals.begin_decisions(now.monotonic);
        self.expiry.rest(now.monotonic);
        let ids: Vec<_> = self.producers.keys().cloned().collect();
        for id in ids {
            self.with_producer(now, &id, |producer, turn| {
                producer.begin_after_load(turn);
                markers::ask_after_load(producer, turn);
            });
        }
        self.outbox.end_step();
    }

    /// Takes in what happened. Time never goes back; one that does counts as the time of the step before.
    pub fn step(&mut self, now: Now, event: Event) {
        self.now = self.now.max(now.monotonic);
        let now = Now { monotonic: self.now, wall: now.wall };
        match event {
            Event::Request(id, request) => self.request(now, id, request),
            Event::MarkersWritten(told) => {
                self.with_producer(now, &told.transactional_id, |producer, turn| {
                    markers::written(producer, turn, &told);
                });
            }
            Event::ProducerIdDrawn(id) => self.time_out_with(now, id),
            Event::TimeoutReached => {
                self.time_out(now);
                self.expire(now);
            }
        }
        self.outbox.end_step();
    }

    /// Returns the next wish; call until `None` after every step and after the load.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.outbox.poll()
    }

    /// Returns when to step [`Event::TimeoutReached`], if ever. A time in the past means now. To step it later harms no promise: transactions stay open for longer.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let expiry = (!self.producers.is_empty()).then(|| self.expiry.due_at());
        [self.deadlines.next(), expiry].into_iter().flatten().min()
    }

    /// Says whether a request may lead to a write, so that it must be refused beforehand while the partition takes none.
    ///
    /// Timeouts, written markers and drawn producer ids may write as well.
    #[must_use]
    pub fn may_write(request: &Request) -> bool {
        match request {
            Request::InitProducerId(_) | Request::AddPartitions(_) | Request::End(_) => true,
            Request::VerifyPartitions(_) | Request::Describe(_) | Request::List(_) => false,
        }
    }

    fn request(&mut self, now: Now, id: RequestId, request: Request) {
        match request {
            Request::InitProducerId(request) => self.init_producer_id(now, id, &request),
            Request::AddPartitions(request) => {
                let unknown = Response::AddPartitions(of_unknown(&request.transactional_id));
                let transactional_id = request.transactional_id.clone();
                let answered = self.let_answer(now, &transactional_id, |producer, turn| {
                    Response::AddPartitions(partitions::add(producer, turn, request))
                });
                self.reply(id, answered, unknown);
            }
            Request::VerifyPartitions(request) => {
                let code = of_unknown(&request.transactional_id);
                let unknown = partitions::of_all(&request.partitions, code);
                let answered = self.let_answer(now, &request.transactional_id, |producer, _| {
                    Response::VerifyPartitions(partitions::verify(producer, &request))
                });
                self.reply(id, answered, Response::VerifyPartitions(unknown));
            }
            Request::End(request) => {
                let unknown = Response::End(Err(of_unknown(&request.transactional_id)));
                let answered = self.let_answer(now, &request.transactional_id, |producer, turn| {
                    ending::end(producer, turn, &request)
                });
                self.reply(id, answered, unknown);
            }
            Request::Describe(transactional_id) => {
                let answered = self.let_answer(now, &transactional_id, |producer, _| {
                    Response::Describe(Some(administration::describe(producer)))
                });
                self.reply(id, answered, Response::Describe(None));
            }
            Request::List(request) => {
                let listed = administration::list(self.producers.values(), &request, now.wall);
                self.outbox.reply(id, Response::List(listed), self.outbox.last_write());
            }
        }
    }

    fn init_producer_id(&mut self, now: Now, id: RequestId, request: &InitProducerId) {
        let transactional_id = &request.transactional_id;
        if let Some(code) = initialization::refusal(request, &self.config) {
            return self.outbox.reply(id, Response::InitProducerId(Err(code)), None);
        }
        let is_known = self.producers.contains_key(transactional_id);
        if !is_known && let Some(drawn) = request.spare_producer_id {
            let producer = initialization::new_producer(request, drawn, now);
            self.producers.insert(transactional_id.clone(), producer);
        }
        let answered = self.let_answer(now, transactional_id, |producer, turn| {
            if is_known {
                return initialization::init(producer, turn, request);
            }
            producer.write_first(turn);
            Response::InitProducerId(Ok(producer.identity()))
        });
        self.reply(id, answered, Response::NeedsProducerId);
    }

    /// Lets a producer answer a request at once; `None` when it is not known.
    fn let_answer(
        &mut self,
        now: Now,
        transactional_id: &TransactionalId,
        act: impl FnOnce(&mut Producer, &mut Turn<'_>) -> Response,
    ) -> Option<(Response, Option<WriteId>)> {
        self.with_producer(now, transactional_id, |producer, turn| {
            let response = act(producer, turn);
            (response, producer.last_write)
        })
    }

    /// Answers a request with what a producer said, once what that one wrote is committed; where there is no such producer, with `unknown`.
    fn reply(
        &mut self,
        id: RequestId,
        answered: Option<(Response, Option<WriteId>)>,
        unknown: Response,
    ) {
        let (response, depends_on) = answered.unwrap_or((unknown, self.last_removal));
        self.totals.fenced_count += fenced_answers(&response);
        self.outbox.reply(id, response, depends_on);
    }

    /// Gives a producer its turn; `None` when it is not known.
    fn with_producer<R>(
        &mut self,
        now: Now,
        transactional_id: &TransactionalId,
        act: impl FnOnce(&mut Producer, &mut Turn<'_>) -> R,
    ) -> Option<R> {
        let Self { config, producers, deadlines, outbox, totals, .. } = self;
        let producer = producers.get_mut(transactional_id)?;
        let before = producer.identity();
        let mut turn = Turn { now, config, totals, deadlines, outbox };
        let result = act(producer, &mut turn);
        if cfg!(debug_assertions) && !mutation::is_any_active() {
            producer.check_invariants(before);
        }
        Some(result)
    }
}

/// What is said of an id that is not known: nobody is what it claims to be under it. None at all is a mistake of the client's.
fn of_unknown(transactional_id: &TransactionalId) -> ErrorCode {
    if transactional_id.as_str().is_empty() {
        ErrorCode::InvalidRequest
    } else {
        ErrorCode::InvalidProducerIdMapping
    }
}
