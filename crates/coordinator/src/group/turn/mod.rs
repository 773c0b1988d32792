//! One group's turn within a step: what its handlers may reach beside the group, and how its wishes come to be in order.
//!
//! Invariant: the records of a step come out as one append, before the replies of the step; a reply depends on the last write of its own group, this step's
//! included, and on no other group's.

mod live_totals;
mod pending_ids;
mod timers;

use std::collections::VecDeque;

use model::Timestamp;

use crate::group::ids::GroupId;
use crate::group::mutation::{self, Mutation};
use crate::group::record::{GroupRecord, TransactionBatch};
use crate::group::request::RequestId;
use crate::group::response::Response;
use crate::group::{Action, GroupConfig, Now, WriteId};

pub(in crate::group) use self::live_totals::LiveTotals;
#[cfg(test)]
pub(in crate::group) use self::pending_ids::MAX_BYTES as MAX_PENDING_BYTES;
use self::pending_ids::PendingIds;
pub(in crate::group) use self::timers::{Timer, Timers};

/// What the handlers of a group's requests and timers may reach beside the group.
pub(in crate::group) struct Turn<'a> {
    pub(in crate::group) now: Now,
    pub(in crate::group) config: &'a GroupConfig,
    /// What the shard's live records take together; kept by whoever changes one.
    pub(in crate::group) totals: &'a mut LiveTotals,
    timers: &'a mut Timers,
    outbox: &'a mut Outbox,
    records_before: usize,
    replies_before: usize,
    fate: Fate,
    completed_rebalances: u64,
}

/// What a turn came to.
pub(in crate::group) struct TurnEnd {
    pub(in crate::group) fate: Fate,
    /// How often an assignment was handed out.
    pub(in crate::group) completed_rebalances: u64,
}

/// What becomes of the group after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::group) enum Fate {
    /// It stays.
    Stays,
    /// It is removed; its tombstones, if any were needed, are among the turn's records.
    Removed,
}

impl<'a> Turn<'a> {
    pub(in crate::group) fn begin(
        now: Now,
        config: &'a GroupConfig,
        totals: &'a mut LiveTotals,
        timers: &'a mut Timers,
        outbox: &'a mut Outbox,
    ) -> Self {
        let (records_before, replies_before) = (outbox.records.len(), outbox.replies.len());
        Self {
            now,
            config,
            totals,
            timers,
            outbox,
            records_before,
            replies_before,
            fate: Fate::Stays,
            completed_rebalances: 0,
        }
    }

    /// Has a record appended with this step's.
    pub(in crate::group) fn append(&mut self, record: GroupRecord) {
        self.outbox.records.push(record);
    }

    /// Answers a request of this group, once what the group wrote is committed.
    pub(in crate::group) fn reply(&mut self, id: RequestId, response: Response) {
        self.outbox.replies.push((id, response, None));
    }

    /// Has the group removed at the end of the turn.
    pub(in crate::group) fn remove_group(&mut self) {
        self.fate = Fate::Removed;
    }

    /// Counts a rebalance that ended in an assignment.
    pub(in crate::group) fn note_completed_rebalance(&mut self) {
        self.completed_rebalances += 1;
    }

    /// The ids of all groups that were given out; kept by whoever gives one out or takes one back.
    pub(in crate::group) fn pending(&mut self) -> &mut PendingIds {
        &mut self.timers.pending
    }

    pub(in crate::group) fn arm(&mut self, group_id: &GroupId, timer: Timer, at: Timestamp) {
        self.timers.insert(at, group_id.clone(), timer);
    }

    pub(in crate::group) fn disarm(&mut self, group_id: &GroupId, timer: Timer, at: Timestamp) {
        self.timers.remove(at, group_id.clone(), timer);
    }

    /// Returns the append that the turn's records make; `None` as long as there are none.
    pub(in crate::group) fn write(&self) -> Option<WriteId> {
        let has_written = self.outbox.records.len() > self.records_before;
        has_written.then(|| self.outbox.write_of_step())
    }

    /// Says what becomes of the group.
    pub(in crate::group) fn fate(&self) -> Fate {
        self.fate
    }

    /// Ends the turn: its replies depend on the group's last write.
    pub(in crate::group) fn end(self, last_write: Option<WriteId>) -> TurnEnd {
        let depends_on =
            if mutation::is_active(Mutation::AnswerBeforeWrite) { None } else { last_write };
        for (_, _, dependency) in &mut self.outbox.replies[self.replies_before..] {
            *dependency = depends_on;
        }
        TurnEnd { fate: self.fate, completed_rebalances: self.completed_rebalances }
    }
}

/// The wishes of a shard.
#[derive(Clone, Debug, Default)]
pub(in crate::group) struct Outbox {
    actions: VecDeque<Action>,
    last_write: Option<WriteId>,
    /// Of the step that runs.
    records: Vec<GroupRecord>,
    /// Of the step that runs.
    replies: Vec<(RequestId, Response, Option<WriteId>)>,
}

impl Outbox {
    /// Answers a request that is not one group's.
    pub(in crate::group) fn reply(
        &mut self,
        id: RequestId,
        response: Response,
        depends_on: Option<WriteId>,
    ) {
        self.replies.push((id, response, depends_on));
    }

    /// Returns the shard's last write so far.
    pub(in crate::group) fn last_write(&self) -> Option<WriteId> {
        self.last_write
    }

    /// Returns the name of the append that this step's records make.
    fn write_of_step(&self) -> WriteId {
        WriteId(self.last_write.map_or(0, |write| write.0) + 1)
    }

    /// Asks for a batch of a transaction at once: whether it comes to be decides what else is said.
    pub(in crate::group) fn append_of_transaction(&mut self, batch: TransactionBatch) -> WriteId {
        let write = self.write_of_step();
        self.last_write = Some(write);
        self.actions.push_back(Action::AppendOfTransaction(write, batch));
        write
    }

    /// Takes back that a write was asked for: the log has refused it, and the next one has its name.
    pub(in crate::group) fn take_back(&mut self, write_before: Option<WriteId>) {
        self.last_write = write_before;
    }

    /// Ends a step: its records become one append, and its replies follow.
    pub(in crate::group) fn end_step(&mut self) {
        if !self.records.is_empty() {
            let write = self.write_of_step();
            self.last_write = Some(write);
            self.actions.push_back(Action::Append(write, std::mem::take(&mut self.records)));
        }
        let replies = self.replies.drain(..);
        self.actions.extend(
            replies.map(|(id, response, depends_on)| Action::Reply(id, response, depends_on)),
        );
    }

    pub(in crate::group) fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
}
