//! Producers of one log: the last five batches of each, and its transaction (Kafka's `ProducerStateManager` and `ProducerAppendInfo`, KIP-98).
//!
//! Owns the sequence and epoch rules, and the snapshot's content. Invariant: the state is a function of the batches below the log end (expiry apart), so that a
//! follower and a restarted broker come to the same. The rules are the leader's alone: what is in a log was judged when it came there, and is taken as it is.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::record_batch::{
    BatchHeader, BatchProducer, EndTransactionMarker, TimestampType, TransactionResult,
};
use model::{Offset, ProducerEpoch, ProducerId, TransactionVersion, UnixMillis};

use super::transactions::{AbortedTransaction, Transactions};
use super::verification::Verification;
use crate::error::AppendError;

/// Batches that are remembered per producer; a client has at most as many in flight (Kafka's `NUM_BATCHES_TO_RETAIN`).
pub(crate) const REMEMBERED_BATCHES: usize = 5;

/// The producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerState {
    pub(crate) producers: BTreeMap<ProducerId, ProducerEntry>,
    pub(crate) transactions: Transactions,
}

/// One producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProducerEntry {
    /// The latest epoch seen.
    pub(crate) epoch: ProducerEpoch,
    /// The last batches of this epoch, oldest first.
    pub(crate) batches: VecDeque<RememberedBatch>,
    /// Local time of the last append: what expiry counts from.
    pub(crate) appended_at: UnixMillis,
    /// Greatest timestamp of the last batch or marker, as its writer set it.
    pub(crate) last_timestamp: UnixMillis,
    /// Epoch of the coordinator that wrote the last marker.
    pub(crate) coordinator_epoch: Option<i32>,
    /// Where the open transaction begins.
    pub(crate) transaction: Option<Offset>,
}

/// One batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RememberedBatch {
    /// Sequence of the first record.
    pub(crate) first_sequence: i32,
    /// Offset of the last record.
    pub(crate) last_offset: Offset,
    /// Distance of the last offset from the first, and of the sequences, modulo 2^31.
    pub(crate) last_offset_delta: i32,
    /// The time that the broker set at append, with `LogAppendTime`.
    pub(crate) log_append_time: Option<UnixMillis>,
}

/// What a log knows of a producer (Kafka's DescribeProducers, KIP-664).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// The producer.
    pub id: ProducerId,
    /// Its latest epoch.
    pub epoch: ProducerEpoch,
    /// Sequence of its last record in this epoch.
    pub last_sequence: Option<i32>,
    /// Timestamp of its last batch or marker.
    pub last_timestamp: UnixMillis,
    /// Epoch of the coordinator that wrote its last marker.
    pub coordinator_epoch: Option<i32>,
    /// Where its open transaction begins.
    pub transaction_start_offset: Option<Offset>,
}

/// Where the first copy of a duplicate lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Offset of the first record of the original.
    pub base_offset: Offset,
    /// Offset of the last record of the original: what a waiter waits for (design 3b.4).
    pub last_offset: Offset,
    /// The time that the broker set then, when `message.timestamp.type` was `LogAppendTime`.
    pub log_append_time: Option<UnixMillis>,
}

impl RememberedBatch {
    /// Returns the sequence of the last record; it wraps from `i32::MAX` to 0.
    pub(crate) fn last_sequence(&self) -> i32 {
        self.first_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }
}

impl ProducerEntry {
    fn new(epoch: ProducerEpoch) -> Self {
        Self {
            epoch,
            batches: VecDeque::new(),
            appended_at: UnixMillis::default(),
            last_timestamp: UnixMillis(-1),
            coordinator_epoch: None,
            transaction: None,
        }
    }

    /// Takes note of the epoch of a batch or marker: what was remembered of another one is no measure any more.
    fn enter(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }

    fn last_sequence(&self) -> Option<i32> {
        self.batches.back().map(RememberedBatch::last_sequence)
    }
}

impl ProducerState {
    /// Returns the first copy of a batch that the log has already.
    pub(crate) fn duplicate_of(&self, header: &BatchHeader) -> Option<Duplicate> {
        let BatchProducer { id, epoch, base_sequence } = header.producer?;
        let entry = self.producers.get(&id).filter(|entry| entry.epoch == epoch)?;
        let original = entry.batches.iter().find(|batch| {
            Some(batch.first_sequence) == base_sequence
                && batch.last_offset_delta == header.last_offset_delta
        })?;
        Some(Duplicate {
            base_offset: original.last_offset + -i64::from(original.last_offset_delta),
            last_offset: original.last_offset,
            log_append_time: original.log_append_time,
        })
    }

    /// Says whether the producer has an open transaction, in this epoch: whatever else it writes belongs to that one.
    pub(crate) fn is_in_transaction(&self, id: ProducerId, epoch: ProducerEpoch) -> bool {
        let entry = self.producers.get(&id);
        entry.is_some_and(|entry| entry.transaction.is_some() && entry.epoch == epoch)
    }

    /// Checks the epoch of a batch, and that it belongs to the transaction that is open.
    pub(crate) fn check_batch(&self, header: &BatchHeader) -> Result<(), AppendError> {
        let Some((producer, entry)) = self.known(header) else {
            return Ok(());
        };
        if producer.epoch < entry.epoch {
            return Err(older_epoch(producer, entry.epoch));
        }
        if entry.transaction.is_some() && !header.is_transactional() {
            return Err(AppendError::InvalidTransactionState {
                producer_id: producer.id,
                reason: "a record outside a transaction while one is open",
            });
        }
        Ok(())
    }

    /// Checks that a client's batch follows the producer's last one. The verification is the one under way, if there is one.
    pub(crate) fn check_sequence(
        &self,
        header: &BatchHeader,
        verification: Option<&Verification>,
    ) -> Result<(), AppendError> {
        let Some(BatchProducer { id, epoch, base_sequence: Some(sequence) }) = header.producer
        else {
            return Ok(());
        };
        let entry = self.producers.get(&id);
        let last_sequence =
            entry.filter(|entry| entry.epoch == epoch).and_then(ProducerEntry::last_sequence);
        let begins_at_zero = verification.is_some_and(Verification::begins_at_zero);
        // Of whom nothing is known any more may go on anywhere: what was known has expired, or went with the log's head.
        let follows = if entry.is_some() || begins_at_zero {
            sequence == last_sequence.map_or(0, |last| last.wrapping_add(1) & i32::MAX)
        } else {
            true
        };
        let overtakes = verification.is_some_and(|waiting| waiting.is_overtaken_by(sequence));
        if follows && !overtakes {
            Ok(())
        } else {
            Err(AppendError::OutOfOrderSequence { producer_id: id, sequence, last_sequence })
        }
    }

    /// Checks a marker by the epochs of its producer and its coordinator. With [`TransactionVersion::V2`] the epoch grew before the marker was decided on, so one that
    /// is not above the producer's speaks of a former transaction; it may be equal where none is open, which is the same marker again (KAFKA-19999).
    pub(crate) fn check_marker(
        &self,
        header: &BatchHeader,
        marker: EndTransactionMarker,
        version: TransactionVersion,
    ) -> Result<(), AppendError> {
        let Some((producer, entry)) = self.known(header) else {
            return Ok(());
        };
        let is_late =
            producer.epoch == entry.epoch && version.bumps_epochs() && entry.transaction.is_some();
        if producer.epoch < entry.epoch || is_late {
            return Err(older_epoch(producer, entry.epoch));
        }
        match entry.coordinator_epoch {
            Some(current) if marker.coordinator_epoch < current => {
                Err(AppendError::TransactionCoordinatorFenced {
                    producer_id: producer.id,
                    given: marker.coordinator_epoch,
                    current,
                })
            }
            _ => Ok(()),
        }
    }

    fn known(&self, header: &BatchHeader) -> Option<(BatchProducer, &ProducerEntry)> {
        let producer = header.producer?;
        Some((producer, self.producers.get(&producer.id)?))
    }

    /// Takes note of a batch that is in the log, with the offsets it has there, and of the marker that it holds. Followers and recovery come here without a check.
    /// Returns the transaction that the marker aborted.
    pub(crate) fn update(
        &mut self,
        header: &BatchHeader,
        marker: Option<EndTransactionMarker>,
        appended_at: UnixMillis,
    ) -> Option<AbortedTransaction> {
        let producer = header.producer?;
        if header.is_control() {
            return self.complete(header, producer, marker?, appended_at);
        }
        let BatchProducer { id, epoch, base_sequence } = producer;
        let entry = self.producers.entry(id).or_insert_with(|| ProducerEntry::new(epoch));
        entry.enter(epoch);
        entry.appended_at = appended_at;
        entry.last_timestamp = header.max_timestamp;
        // A batch that compaction emptied hides nothing, and its marker may be gone.
        if header.is_transactional() && entry.transaction.is_none() && header.record_count > 0 {
            entry.transaction = Some(header.base_offset);
            self.transactions.begin(header.base_offset, id);
        }
        if let Some(first_sequence) = base_sequence {
            if entry.batches.len() == REMEMBERED_BATCHES {
                entry.batches.pop_front();
            }
            entry.batches.push_back(RememberedBatch {
                first_sequence,
                last_offset: header.last_offset(),
                last_offset_delta: header.last_offset_delta,
                log_append_time: (header.timestamp_type() == TimestampType::LogAppendTime)
                    .then_some(header.max_timestamp),
            });
        }
        None
    }

    fn complete(
        &mut self,
        header: &BatchHeader,
        producer: BatchProducer,
        marker: EndTransactionMarker,
        appended_at: UnixMillis,
    ) -> Option<AbortedTransaction> {
        let BatchProducer { id: producer_id, epoch, .. } = producer;
        let entry = self.producers.entry(producer_id).or_insert_with(|| ProducerEntry::new(epoch));
        entry.enter(epoch);
        entry.appended_at = appended_at;
        entry.last_timestamp = header.max_timestamp;
        // An operator's marker may name no coordinator.
        entry.coordinator_epoch = Some(marker.coordinator_epoch).filter(|epoch| *epoch >= 0);
        // A marker of a transaction that wrote nothing here decides nothing.
        let first_offset = entry.transaction.take()?;
        let last_offset = header.base_offset;
        let last_stable_offset = self.transactions.complete(first_offset, last_offset);
        (marker.result == TransactionResult::Abort).then_some(AbortedTransaction {
            producer_id,
            first_offset,
            last_offset,
            last_stable_offset,
        })
    }

    /// Forgets the producers whose last append is older than `expiration`, but none with an open transaction: its marker is still to come.
    pub(crate) fn expire(&mut self, now: UnixMillis, expiration: Duration) {
        let expiration = i64::try_from(expiration.as_millis()).unwrap_or(i64::MAX);
        self.producers.retain(|_, entry| {
            entry.transaction.is_some() || now.0.saturating_sub(entry.appended_at.0) < expiration
        });
    }

    /// Returns what is known of each producer, by id.
    pub(crate) fn active(&self) -> Vec<ActiveProducer> {
        let describe = |(id, entry): (&ProducerId, &ProducerEntry)| ActiveProducer {
            id: *id,
            epoch: entry.epoch,
            last_sequence: entry.last_sequence(),
            last_timestamp: entry.last_timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            transaction_start_offset: entry.transaction,
        };
        self.producers.iter().map(describe).collect()
    }
}

fn older_epoch(producer: BatchProducer, current: ProducerEpoch) -> AppendError {
    let BatchProducer { id, epoch, .. } = producer;
    AppendError::InvalidProducerEpoch { producer_id: id, epoch, current }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_batches::BatchSpec;

    fn batch(offset: i64, epoch: i16, sequence: i32, count: i32) -> BatchHeader {
        BatchSpec::new(count).at(offset).producer(7, epoch, sequence).header()
    }

    fn state(batches: &[BatchHeader]) -> ProducerState {
        let mut state = ProducerState::default();
        batches
            .iter()
            .for_each(|header| assert_eq!(state.update(header, None, UnixMillis(0)), None));
        state
    }

    /// As the log checks a client's batch, without a verification.
    fn check(
        state: &ProducerState,
        header: &BatchHeader,
    ) -> Result<Option<Duplicate>, AppendError> {
        if let Some(duplicate) = state.duplicate_of(header) {
            return Ok(Some(duplicate));
        }
        state.check_batch(header)?;
        state.check_sequence(header, None)?;
        Ok(None)
    }

    #[test]
    fn sequences_must_follow_within_an_epoch_and_start_at_zero_in_a_new_one() {
        let state = state(&[batch(0, 1, 0, 10), batch(10, 1, 10, 5)]);
        for (epoch, sequence, accepted) in [
            (1, 15, true),
            (1, 16, false),
            (1, 14, false),
            (2, 0, true),
            (2, 15, false),
            (0, 15, false),
        ] {
            let outcome = check(&state, &batch(15, epoch, sequence, 1));
            assert_eq!(
                outcome.is_ok(),
                accepted,
                "epoch {epoch}, sequence {sequence}: {outcome:?}"
            );
        }
        assert!(matches!(
            check(&state, &batch(15, 0, 15, 1)),
            Err(AppendError::InvalidProducerEpoch { .. })
        ));
    }

    #[test]
    fn each_of_the_last_five_batches_is_recognised_and_answered_with_its_offsets() {
        let headers: Vec<_> =
            (0..6).map(|n| batch(n * 3, 0, i32::try_from(n).unwrap() * 2, 2)).collect();
        let state = state(&headers);
        for header in &headers[1..] {
            let duplicate = check(&state, header).unwrap().unwrap();
            assert_eq!(duplicate.base_offset, header.base_offset);
            assert_eq!(duplicate.last_offset, header.last_offset());
        }
        assert!(matches!(
            check(&state, &headers[0]),
            Err(AppendError::OutOfOrderSequence { last_sequence: Some(11), .. })
        ));
    }

    #[test]
    fn an_unknown_producer_may_begin_anywhere() {
        assert_eq!(check(&ProducerState::default(), &batch(0, 3, 55, 1)).unwrap(), None);
    }

    #[test]
    fn sequences_wrap_after_the_greatest_number() {
        let state = state(&[batch(0, 0, i32::MAX - 1, 4)]);
        assert_eq!(state.producers[&ProducerId(7)].batches[0].last_sequence(), 1);
        assert!(check(&state, &batch(4, 0, 2, 1)).unwrap().is_none());
    }

    #[test]
    fn producers_expire_by_the_local_time_of_their_last_append() {
        let mut state = ProducerState::default();
        state.update(&batch(0, 0, 0, 1), None, UnixMillis(1_000));
        state.expire(UnixMillis(1_999), Duration::from_secs(1));
        assert_eq!(state.producers.len(), 1);
        state.expire(UnixMillis(2_000), Duration::from_secs(1));
        assert!(state.producers.is_empty());
    }
}
