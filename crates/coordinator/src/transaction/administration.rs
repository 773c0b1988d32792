//! What tools ask: DescribeTransactions, ListTransactions.

use model::UnixMillis;

use super::producer::Producer;
use super::request::ListTransactions;
use super::response::{ListedTransaction, TransactionDescription};

/// Describes a producer. While markers are written, the partitions are those that wait for theirs.
pub(super) fn describe(producer: &Producer) -> TransactionDescription {
    let partitions = producer
        .decision
        .as_ref()
        .map_or(&producer.logged.partitions, |decision| &decision.unmarked);
    TransactionDescription {
        transactional_id: producer.transactional_id.clone(),
        state: producer.state(),
        producer: producer.identity(),
        transaction_timeout: producer.logged.transaction_timeout,
        started_at: producer.logged.started_at,
        partitions: partitions.clone(),
    }
}

/// Lists those producers that a request asks for.
pub(super) fn list<'a>(
    producers: impl Iterator<Item = &'a Producer>,
    request: &ListTransactions,
    wall: UnixMillis,
) -> Vec<ListedTransaction> {
    producers
        .filter(|producer| is_asked_for(producer, request, wall))
        .map(|producer| ListedTransaction {
            transactional_id: producer.transactional_id.clone(),
            producer_id: producer.logged.producer_id,
            state: producer.state(),
        })
        .collect()
}

fn is_asked_for(producer: &Producer, request: &ListTransactions, wall: UnixMillis) -> bool {
    let is_in_state =
        request.states.as_ref().is_none_or(|states| states.contains(&producer.state()));
    let has_id = request.producer_ids.is_empty()
        || request.producer_ids.contains(&producer.logged.producer_id);
    let is_old = request.open_longer_than.is_none_or(|duration| {
        // Kafka counts from −1 where there is no start.
        let started_at = producer.logged.started_at.map_or(-1, |at| at.0);
        let open_for = u128::try_from(wall.0.saturating_sub(started_at)).unwrap_or(0);
        open_for > duration.as_millis()
    });
    is_in_state && has_id && is_old
}
