//! The groups of one partition of `__consumer_offsets`: where each event finds its group, and the wishes find their way out.

mod cleanup;
mod contents;
mod live_walk;
mod replay;
mod topic_deletion;
mod transactions;

use std::collections::BTreeMap;

use model::Timestamp;

use self::cleanup::Cleanup;
pub use self::contents::ShardCounts;
pub use self::live_walk::RewriteCursor;
use self::topic_deletion::TopicDeletions;
use self::transactions::{OpenTransactions, Unconfirmed};
use crate::group::classic_group::{Existence, Group};
use crate::group::ids::GroupId;
use crate::group::membership::{heartbeat, join, leave, rebalance, session, sync};
use crate::group::request::{Request, RequestId};
use crate::group::response::Response;
use crate::group::turn::{Fate, LiveTotals, Outbox, Timer, Timers, Turn, TurnEnd};
use crate::group::{
    Action, Event, GroupConfig, Now, WriteId, administration, mutation, offset_requests,
};

/// All groups of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct Shard {
    config: GroupConfig,
    pub(in crate::group) groups: BTreeMap<GroupId, Group>,
    pub(in crate::group) timers: Timers,
    cleanup: Cleanup,
    deletions: TopicDeletions,
    outbox: Outbox,
    totals: LiveTotals,
    transactions: OpenTransactions,
    /// The batch of a transaction that the log was asked to take, until it is known whether it did.
    unconfirmed: Option<Unconfirmed>,
    /// The last append that took a group away: what is said of a group that does not exist depends on it.
    last_removal: Option<WriteId>,
    /// Time of the last step, or of the load.
    now: Timestamp,
    completed_rebalance_count: u64,
}

impl Shard {
    /// Makes a shard without groups. [`Self::replay`] its log, then tell it that it is [`Self::loaded`]; from then on it may be stepped.
    #[must_use]
    pub fn new(config: GroupConfig) -> Self {
        Self {
            cleanup: Cleanup::new(config.offsets_retention_check_interval),
            config,
            groups: BTreeMap::new(),
            timers: Timers::default(),
            deletions: TopicDeletions::default(),
            outbox: Outbox::default(),
            totals: LiveTotals::default(),
            transactions: OpenTransactions::default(),
            unconfirmed: None,
            last_removal: None,
            now: Timestamp::ZERO,
            completed_rebalance_count: 0,
        }
    }

    /// Ends the load: the sessions of all members begin. What that leads to is in [`Self::poll_action`], as after a step.
    pub fn loaded(&mut self, now: Now) {
        self.now = now.monotonic;
        self.cleanup.rest(now.monotonic);
        self.groups.retain(|_, group| !group.is_void());
        let ids: Vec<_> = self.groups.keys().cloned().collect();
        for group_id in ids {
            self.with_group(now, &group_id, rebalance::begin_after_load);
        }
        self.outbox.end_step();
    }

    /// Takes in what happened. Time never goes back; one that does counts as the time of the step before.
    ///
    /// # Panics
    /// When it is not known yet what came of a batch of a transaction: a bug of the driver.
    pub fn step(&mut self, now: Now, event: Event) {
        assert!(self.unconfirmed.is_none(), "a batch of a transaction is appended or refused");
        self.now = self.now.max(now.monotonic);
        let now = Now { monotonic: self.now, wall: now.wall };
        match event {
            Event::Request(id, request) => self.request(now, id, request),
            Event::TimeoutReached => {
                self.time_out(now);
                self.delete_topics(now);
                self.clean_up(now);
            }
            Event::TopicsDeleted(topics) => {
                self.deletions.add(topics);
                self.delete_topics(now);
            }
        }
        self.outbox.end_step();
    }

    /// Returns the next wish; call until `None` after every step and after the load.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.outbox.poll()
    }

    /// Returns when to step [`Event::TimeoutReached`], if ever. A time in the past means now. To step it later harms no promise: all that waits waits longer.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let cleanup = (!self.groups.is_empty()).then(|| self.cleanup.due_at());
        let deletions = self.deletions.is_due().then_some(self.now);
        [self.timers.next(), cleanup, deletions].into_iter().flatten().min()
    }

    /// Says whether a request may lead to a write, so that it must be refused beforehand while the partition takes none.
    ///
    /// Timeouts and deleted topics may write as well.
    #[must_use]
    pub fn may_write(request: &Request) -> bool {
        match request {
            Request::Join(_)
            | Request::Sync(_)
            | Request::Leave(_)
            | Request::CommitOffsets(_)
            | Request::CommitTransactionalOffsets(_)
            | Request::CompleteTransaction(_)
            | Request::DeleteOffsets(_)
            | Request::Delete(_) => true,
            Request::Heartbeat(_)
            | Request::FetchOffsets(_)
            | Request::Describe(_)
            | Request::List(_) => false,
        }
    }

    fn request(&mut self, now: Now, id: RequestId, request: Request) {
        match request {
            Request::Join(request) => {
                let group_id = request.group_id.clone();
                self.with_group(now, &group_id, |group, turn| join::join(group, turn, id, request));
                self.forget_surplus_ids(now);
            }
            Request::Sync(request) => {
                let group_id = request.member.group_id.clone();
                self.with_group(now, &group_id, |group, turn| sync::sync(group, turn, id, request));
            }
            Request::Heartbeat(request) => {
                self.answer(now, id, &request.member.group_id, |group, turn| {
                    Response::Heartbeat(heartbeat::heartbeat(group, turn, &request))
                })
            }
            Request::Leave(request) => self.answer(now, id, &request.group_id, |group, turn| {
                Response::Leave(leave::leave(group, turn, &request))
            }),
            Request::CommitOffsets(request) => {
                let group_id = request.member.group_id.clone();
                self.answer(now, id, &group_id, |group, turn| {
                    offset_requests::commit(group, turn, request)
                });
            }
            Request::CommitTransactionalOffsets(request) => {
                self.commit_transactional(now, id, request);
            }
            Request::CompleteTransaction(request) => self.complete_transaction(id, request),
            Request::FetchOffsets(request) => {
                let group_id = request.group_id.clone();
                self.answer(now, id, &group_id, |group, _| offset_requests::fetch(group, request));
            }
            Request::DeleteOffsets(request) => {
                self.answer(now, id, &request.group_id, |group, turn| {
                    offset_requests::delete(group, turn, &request)
                });
            }
            Request::Describe(group_id) => self.answer(now, id, &group_id, |group, _| {
                Response::Describe(administration::describe(group))
            }),
            Request::List(request) => {
                let listed = administration::list(self.groups.values(), &request);
                self.outbox.reply(id, Response::List(listed), self.outbox.last_write());
            }
            Request::Delete(group_id) => self.answer(now, id, &group_id, |group, turn| {
                Response::Delete(administration::delete(group, turn))
            }),
        }
    }

    /// Lets a group answer a request at once.
    fn answer(
        &mut self,
        now: Now,
        id: RequestId,
        group_id: &GroupId,
        act: impl FnOnce(&mut Group, &mut Turn<'_>) -> Response,
    ) {
        self.with_group(now, group_id, |group, turn| {
            let response = act(group, turn);
            turn.reply(id, response);
        });
    }

    /// Handles what has come due, up to a bound: more than that waits for the next step, at once.
    fn time_out(&mut self, now: Now) {
        for _ in 0..MAX_TIMERS_PER_STEP {
            let Some((group_id, timer)) = self.timers.take_due(now.monotonic) else { return };
            self.with_group(now, &group_id, |group, turn| match timer {
                Timer::Join => rebalance::join_wait_ended(group, turn),
                Timer::Sync => sync::wait_ended(group, turn),
                Timer::Session(member_id) => session::timer_came(group, turn, &member_id),
            });
        }
    }

    /// Forgets ids that were given out, those that would be forgotten first, while there are too many of them.
    fn forget_surplus_ids(&mut self, now: Now) {
        while let Some((group_id, member_id)) = self.timers.pending.surplus() {
            self.with_group(now, &group_id, |group, turn| {
                session::forget_pending(group, turn, &member_id);
            });
        }
    }

    /// Gives a group its turn. One that does not exist is blank, and stays if something came into it.
    fn with_group<R>(
        &mut self,
        now: Now,
        group_id: &GroupId,
        act: impl FnOnce(&mut Group, &mut Turn<'_>) -> R,
    ) -> R {
        let Self {
            config,
            groups,
            timers,
            outbox,
            totals,
            last_removal,
            completed_rebalance_count,
            ..
        } = self;
        let mut blank = None;
        let group = groups.get_mut(group_id).unwrap_or_else(|| {
            blank.insert(Group::blank(group_id.clone(), Some(now.wall), *last_removal))
        });
        let generation = group.generation;
        let mut turn = Turn::begin(now, config, totals, timers, outbox);
        let result = act(group, &mut turn);
        let TurnEnd { fate, completed_rebalances } = group.end_turn(turn);
        *completed_rebalance_count += completed_rebalances;
        if cfg!(debug_assertions) && !mutation::are_invariants_silent() {
            group.check_invariants(timers, generation, fate);
        }
        if fate == Fate::Removed {
            *last_removal = (*last_removal).max(group.last_write);
            groups.remove(group_id);
        } else if let Some(mut group) = blank
            && !group.is_void()
        {
            group.existence = Existence::Known;
            groups.insert(group_id.clone(), group);
        }
        result
    }
}

/// How many timers one step handles: the shard's other groups wait meanwhile.
const MAX_TIMERS_PER_STEP: usize = 1_000;
