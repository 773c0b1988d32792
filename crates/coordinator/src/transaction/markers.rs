//! The markers of a decided transaction: they are asked for, and when each partition has its own the transaction is complete.

use std::collections::BTreeSet;

use super::ending;
use super::mutation::{self, Mutation};
use super::producer::{Decision, Producer};
use super::record::TransactionMetadataRecord;
use super::state::TransactionState;
use super::turn::Turn;
use super::{MarkersToWrite, WrittenMarkers};

/// Asks for the markers of a decided transaction; one without partitions is complete at once.
pub(super) fn ask_or_complete(producer: &mut Producer, turn: &mut Turn<'_>) {
    let Some(result) = producer.state().prepared() else { return };
    let mut unmarked = producer.logged.partitions.clone();
    if mutation::is_active(Mutation::MarkerDropped) && unmarked.len() > 1 {
        unmarked.pop_first();
    }
    if unmarked.is_empty() {
        return complete(producer, turn);
    }
    let id = turn.totals.next_decision();
    producer.decision = Some(Decision { id, unmarked: unmarked.clone() });
    let markers = MarkersToWrite {
        transactional_id: producer.transactional_id.clone(),
        decision: id,
        producer: producer.identity(),
        result,
        version: producer.logged.client_version,
        partitions: unmarked,
    };
    turn.ask_for_markers(markers, producer.last_write);
}

/// Asks for the markers of a transaction that was decided before the load: some may be written, and none is known to be.
pub(super) fn ask_after_load(producer: &mut Producer, turn: &mut Turn<'_>) {
    if mutation::is_active(Mutation::MarkersForgottenAtLoad) {
        return;
    }
    ask_or_complete(producer, turn);
}

/// Takes in which partitions have their markers.
pub(super) fn written(producer: &mut Producer, turn: &mut Turn<'_>, told: &WrittenMarkers) {
    let Some(decision) = &mut producer.decision else { return };
    if decision.id != told.decision && !mutation::is_active(Mutation::MarkersOfAnyDecision) {
        return;
    }
    for partition in &told.partitions {
        decision.unmarked.remove(partition);
    }
    let is_early = mutation::is_active(Mutation::CompleteBeforeAllMarkers);
    if decision.unmarked.is_empty() || is_early {
        complete(producer, turn);
    }
}

/// Ends a decided transaction whose partitions all know of it: the next one may begin.
fn complete(producer: &mut Producer, turn: &mut Turn<'_>) {
    let Some(result) = producer.state().prepared() else { return };
    let next = ending::next_identity(producer);
    let value = TransactionMetadataRecord {
        producer_id: next.id,
        producer_epoch: next.epoch,
        next_producer_id: None,
        partitions: BTreeSet::new(),
        ..producer.changed(turn.now, TransactionState::complete(result))
    };
    producer.decision = None;
    producer.become_as(turn, value);
}
