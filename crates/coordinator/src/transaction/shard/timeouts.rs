//! Transactions that have been open for too long are aborted, and their producers fenced.

use model::ProducerId;

use super::Shard;
use crate::transaction::Now;
use crate::transaction::ending::{self, Decided};
use crate::transaction::ids::TransactionalId;

impl Shard {
    /// Aborts what has been open for too long, up to a bound: more than that waits for the next step, at once.
    pub(super) fn time_out(&mut self, now: Now) {
        for _ in 0..MAX_TIMEOUTS_PER_STEP {
            let Some(id) = self.deadlines.take_due(now.monotonic) else { return };
            self.abort(now, &id, None);
        }
    }

    /// Aborts a transaction whose time is over and whose producer goes on with another producer id.
    pub(super) fn time_out_with(&mut self, now: Now, drawn: ProducerId) {
        let Some(id) = self.deadlines.take_waiting() else { return };
        self.abort(now, &id, Some(drawn));
        if self.deadlines.is_waiting() {
            self.with_producer(now, &id, |_, turn| turn.ask_for_producer_id());
        }
    }

    fn abort(&mut self, now: Now, id: &TransactionalId, spare: Option<ProducerId>) {
        self.with_producer(now, id, |producer, turn| {
            match ending::time_out(producer, turn, spare) {
                Decided::Is(_) => turn.totals.timeout_count += 1,
                Decided::NeedsProducerId => {
                    if turn.deadlines.wait_for_producer_id(id.clone()) {
                        turn.ask_for_producer_id();
                    }
                }
            }
        });
    }
}

/// How many transactions one step aborts: the shard's other ids wait meanwhile.
const MAX_TIMEOUTS_PER_STEP: usize = 1_000;
