//! One producer's turn within a step: what its handlers may reach beside the producer, and how its wishes come to be in order.
//!
//! Invariant: the records of a step come out as one append, before its replies and its wishes for markers; these depend on the last write of their own transactional id, this step's
//! included.

mod deadlines;

use std::collections::VecDeque;

use model::Timestamp;

use super::mutation::{self, Mutation};
use super::record::TransactionRecord;
use super::response::Response;
use super::state::TransactionResult;
use super::{Action, DecisionId, MarkersToWrite, Now, RequestId, TransactionConfig, WriteId};

pub(super) use self::deadlines::Deadlines;

/// What the handlers of a producer's requests and timers may reach beside the producer.
pub(super) struct Turn<'a> {
    pub(super) now: Now,
    pub(super) config: &'a TransactionConfig,
    pub(super) totals: &'a mut Totals,
    pub(super) deadlines: &'a mut Deadlines,
    pub(super) outbox: &'a mut Outbox,
}

impl Turn<'_> {
    /// Has a record appended with this step's; returns the append.
    pub(super) fn append(&mut self, record: TransactionRecord) -> WriteId {
        self.outbox.records.push(record);
        self.outbox.write_of_step()
    }

    /// Has markers written, once the write that decided them is committed; `None` when it was before the load.
    pub(super) fn ask_for_markers(&mut self, markers: MarkersToWrite, decided: Option<WriteId>) {
        self.outbox.others.push(Action::WriteMarkers(markers, unless_broken(decided)));
    }

    /// Has a producer id drawn.
    pub(super) fn ask_for_producer_id(&mut self) {
        self.outbox.others.push(Action::DrawProducerId);
    }
}

/// What all producers of a shard hold together, and what was done since it was loaded.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// About how many bytes the last records of all ids take in the log.
    pub(super) live_bytes: usize,
    pub(super) commit_count: u64,
    pub(super) abort_count: u64,
    pub(super) timeout_count: u64,
    pub(super) fenced_count: u64,
    last_decision: u64,
}

impl Totals {
    /// Takes in that a live record of so many bytes was replaced by another; 0 for none.
    pub(super) fn replaced(&mut self, was_bytes: usize, is_bytes: usize) {
        self.live_bytes = self.live_bytes.saturating_sub(was_bytes).saturating_add(is_bytes);
    }

    /// Takes in that a transaction was decided.
    pub(super) fn decided(&mut self, result: TransactionResult) {
        match result {
            TransactionResult::Commit => self.commit_count += 1,
            TransactionResult::Abort => self.abort_count += 1,
        }
    }

    /// Begins to name decisions. The clock gives what no shard before this one has named in this process, for time is counted in nanoseconds.
    pub(super) fn begin_decisions(&mut self, now: Timestamp) {
        self.last_decision = now.0;
    }

    /// Returns a name that no other decision has.
    pub(super) fn next_decision(&mut self) -> DecisionId {
        self.last_decision += 1;
        DecisionId(self.last_decision)
    }
}

/// The wishes of a shard.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    actions: VecDeque<Action>,
    last_write: Option<WriteId>,
    /// Of the step that runs.
    records: Vec<TransactionRecord>,
    /// What follows the records, of the step that runs.
    others: Vec<Action>,
}

impl Outbox {
    /// Answers a request.
    pub(super) fn reply(&mut self, id: RequestId, response: Response, depends_on: Option<WriteId>) {
        self.others.push(Action::Reply(id, response, unless_broken(depends_on)));
    }

    /// Returns the shard's last write so far.
    pub(super) fn last_write(&self) -> Option<WriteId> {
        self.last_write
    }

    /// Returns the name of the append that this step's records make.
    fn write_of_step(&self) -> WriteId {
        WriteId(self.last_write.map_or(0, |write| write.0) + 1)
    }

    /// Ends a step: its records become one append, and what depends on it follows.
    pub(super) fn end_step(&mut self) {
        if !self.records.is_empty() {
            let write = self.write_of_step();
            self.last_write = Some(write);
            self.actions.push_back(Action::Append(write, std::mem::take(&mut self.records)));
        }
        self.actions.extend(self.others.drain(..));
    }

    pub(super) fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
}

fn unless_broken(depends_on: Option<WriteId>) -> Option<WriteId> {
    depends_on.filter(|_| !mutation::is_active(Mutation::ActBeforeWrite))
}
