//! What is known of one transactional id, and how it changes.
//!
//! Invariant: `logged` is what the log's last record says, and all that outlives a failover. It changes with an append, in [`Producer::become_as`], and nowhere else; what else is
//! kept follows from it.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{ProducerEpoch, ProducerId, Timestamp, TopicPartition, UnixMillis};

use super::ids::{ProducerIdAndEpoch, TransactionalId};
use super::record::{TransactionMetadataRecord, TransactionRecord};
use super::state::TransactionState;
use super::turn::Turn;
use super::{DecisionId, Now, WriteId, record_size};

/// The producer of one transactional id.
#[derive(Clone, Debug)]
pub(super) struct Producer {
    pub(super) transactional_id: TransactionalId,
    pub(super) logged: TransactionMetadataRecord,
    /// The epoch before, while the same client may still believe in it: it has asked for the next one, and perhaps not heard the answer (KIP-360, KIP-890). A producer that was
    /// initialised by a newcomer has none. As in Kafka it is not in the log, and known after a failover only where the state tells it.
    pub(super) last_epoch: Option<ProducerEpoch>,
    /// Of a decided transaction, from the decision to its completion.
    pub(super) decision: Option<Decision>,
    /// When an open transaction is to be aborted; `None` when there is none, or when nobody but its producer may end it.
    pub(super) deadline: Option<Timestamp>,
    /// The last append with a record of this id, since the shard was loaded.
    pub(super) last_write: Option<WriteId>,
}

/// A decision on its way.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    pub(super) id: DecisionId,
    /// The partitions without their marker.
    pub(super) unmarked: BTreeSet<TopicPartition>,
}

impl Producer {
    /// Makes what a record says.
    pub(super) fn of_record(
        transactional_id: TransactionalId,
        logged: TransactionMetadataRecord,
    ) -> Self {
        Self {
            transactional_id,
            last_epoch: last_epoch(&logged),
            logged,
            decision: None,
            deadline: None,
            last_write: None,
        }
    }

    pub(super) fn state(&self) -> TransactionState {
        self.logged.state
    }

    /// What batches and requests of the present incarnation carry.
    pub(super) fn identity(&self) -> ProducerIdAndEpoch {
        ProducerIdAndEpoch { id: self.logged.producer_id, epoch: self.logged.producer_epoch }
    }

    /// Says whether no client may be given the next epoch: the highest one is kept for fencing.
    pub(super) fn is_epoch_exhausted(&self) -> bool {
        is_exhausted(self.logged.producer_epoch)
    }

    /// Returns what this producer's record would say in another state, otherwise unchanged; as in Kafka it names the producer id of before.
    pub(super) fn changed(&self, now: Now, state: TransactionState) -> TransactionMetadataRecord {
        TransactionMetadataRecord {
            previous_producer_id: Some(self.logged.producer_id),
            state,
            updated_at: self.logged.updated_at.max(now.wall),
            ..self.logged.clone()
        }
    }

    /// Becomes what a record says, and has the record appended.
    pub(super) fn become_as(&mut self, turn: &mut Turn<'_>, value: TransactionMetadataRecord) {
        let was_bytes = record_size::of(&self.transactional_id, &self.logged);
        self.logged = value;
        let is_bytes = record_size::of(&self.transactional_id, &self.logged);
        turn.totals.replaced(was_bytes, is_bytes);
        self.write(turn);
    }

    /// Has the record of a producer that was made just now appended.
    pub(super) fn write_first(&mut self, turn: &mut Turn<'_>) {
        turn.totals.replaced(0, record_size::of(&self.transactional_id, &self.logged));
        self.write(turn);
    }

    fn write(&mut self, turn: &mut Turn<'_>) {
        self.last_write = Some(turn.append(TransactionRecord {
            transactional_id: self.transactional_id.clone(),
            value: Some(self.logged.clone()),
        }));
        self.set_deadline(turn);
    }

    /// Sees to it that an open transaction has a deadline, and no other state.
    fn set_deadline(&mut self, turn: &mut Turn<'_>) {
        let may_time_out = self.state() == TransactionState::Ongoing
            && !is_two_phase_commit(self.logged.transaction_timeout);
        match (may_time_out, self.deadline) {
            (true, None) => {
                let deadline = turn.now.monotonic + self.time_left(turn.now.wall);
                self.deadline = Some(deadline);
                turn.deadlines.insert(deadline, &self.transactional_id);
            }
            (false, Some(deadline)) => {
                self.deadline = None;
                turn.deadlines.remove(deadline, &self.transactional_id);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Begins the life of a producer that was read from the log. A clock that was set back does not give an open transaction more time than its timeout.
    pub(super) fn begin_after_load(&mut self, turn: &mut Turn<'_>) {
        self.set_deadline(turn);
    }

    fn time_left(&self, wall: UnixMillis) -> Duration {
        let started_at = self.logged.started_at.unwrap_or(wall);
        let open_for = wall.0.saturating_sub(started_at.0);
        let open_for = Duration::from_millis(u64::try_from(open_for).unwrap_or(0));
        self.logged.transaction_timeout.saturating_sub(open_for)
    }

    /// Checks what must hold after every turn.
    pub(super) fn check_invariants(&self, before: ProducerIdAndEpoch) {
        let Self { transactional_id: id, logged, .. } = self;
        let state = logged.state;
        assert_eq!(
            self.decision.is_some(),
            state.prepared().is_some(),
            "{id}: markers are on their way in the Prepare states alone, not in {state}"
        );
        if let Some(decision) = &self.decision {
            assert!(!decision.unmarked.is_empty(), "{id}: nothing is waited for in {state}");
            assert!(decision.unmarked.is_subset(&logged.partitions), "{id}: a foreign partition");
        }
        let is_open = state == TransactionState::Ongoing || state.prepared().is_some();
        assert!(is_open || logged.partitions.is_empty(), "{id}: partitions in {state}");
        assert!(!is_open || logged.started_at.is_some(), "{id}: no start in {state}");
        assert!(
            state == TransactionState::Ongoing || self.deadline.is_none(),
            "{id}: a deadline in {state}"
        );
        let is = self.identity();
        assert!(
            is.id != before.id || is.epoch >= before.epoch,
            "{id}: the epoch went back from {before} to {is}"
        );
    }
}

/// Says whether an epoch is the last that a client is given, or the one above it that fences that client.
pub(super) fn is_exhausted(epoch: ProducerEpoch) -> bool {
    epoch >= LAST_EPOCH_OF_CLIENTS
}

/// Says whether a timeout is the one that stands for none at all (KIP-939).
pub(super) fn is_two_phase_commit(timeout: Duration) -> bool {
    timeout >= NO_TIMEOUT
}

/// What the record of a producer without a timeout says: the longest one that it can.
pub(super) const NO_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// The last epoch that a client is given.
pub(super) const LAST_EPOCH_OF_CLIENTS: ProducerEpoch = ProducerEpoch(i16::MAX - 1);

/// Returns the epoch above another; the highest one stays.
pub(super) fn next_epoch(epoch: ProducerEpoch) -> ProducerEpoch {
    ProducerEpoch(epoch.0.saturating_add(1))
}

/// Where the epoch is of one transaction alone, the one before it is that of the transaction that ended.
fn last_epoch(logged: &TransactionMetadataRecord) -> Option<ProducerEpoch> {
    let has_ended = match logged.state {
        TransactionState::PrepareCommit
        | TransactionState::PrepareAbort
        | TransactionState::CompleteCommit
        | TransactionState::CompleteAbort => true,
        TransactionState::Empty | TransactionState::Ongoing => false,
    };
    if !has_ended || !logged.client_version.bumps_epochs() {
        return None;
    }
    match logged.producer_epoch {
        ProducerEpoch(0) => {
            let has_changed = |id: ProducerId| id != logged.producer_id;
            logged.previous_producer_id.filter(|id| has_changed(*id)).map(|_| LAST_EPOCH_OF_CLIENTS)
        }
        ProducerEpoch(epoch) => Some(ProducerEpoch(epoch - 1)),
    }
}
