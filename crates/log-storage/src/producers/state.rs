//! Idempotent producers of one log: the last five batches of each (Kafka's `ProducerStateManager`, KIP-98).
//!
//! Owns the sequence rules and the snapshot's content. Invariant: the state is a function of the batches below the log end (expiry apart), so that a
//! follower and a restarted broker come to the same.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::record_batch::{BatchHeader, BatchProducer, TimestampType};
use model::{Offset, ProducerEpoch, ProducerId, UnixMillis};

use crate::error::AppendError;

/// Batches that are remembered per producer; a client has at most as many in flight (Kafka's `NUM_BATCHES_TO_RETAIN`).
pub(crate) const REMEMBERED_BATCHES: usize = 5;

/// The producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerState {
    pub(crate) producers: BTreeMap<ProducerId, ProducerEntry>,
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

impl ProducerState {
    /// Checks a batch against what is known of its producer; changes nothing. `Some` says that the log has the batch already.
    pub(crate) fn check(&self, header: &BatchHeader) -> Result<Option<Duplicate>, AppendError> {
        let Some(BatchProducer { id, epoch, base_sequence: Some(sequence) }) = header.producer
        else {
            return Ok(None);
        };
        let Some(entry) = self.producers.get(&id) else {
            return Ok(None);
        };
        if epoch < entry.epoch {
            return Err(AppendError::InvalidProducerEpoch {
                producer_id: id,
                epoch,
                current: entry.epoch,
            });
        }
        let batches = (epoch == entry.epoch).then_some(&entry.batches);
        if let Some(original) = batches.into_iter().flatten().find(|batch| {
            batch.first_sequence == sequence && batch.last_offset_delta == header.last_offset_delta
        }) {
            return Ok(Some(Duplicate {
                base_offset: original.last_offset + -i64::from(original.last_offset_delta),
                last_offset: original.last_offset,
                log_append_time: original.log_append_time,
            }));
        }
        let last_sequence = batches.and_then(VecDeque::back).map(RememberedBatch::last_sequence);
        let expected = last_sequence.map_or(0, |last| last.wrapping_add(1) & i32::MAX);
        if sequence == expected {
            Ok(None)
        } else {
            Err(AppendError::OutOfOrderSequence { producer_id: id, sequence, last_sequence })
        }
    }

    /// Takes note of a batch that is in the log, with the offsets it has there. Followers and recovery come here without a check.
    pub(crate) fn update(&mut self, header: &BatchHeader, appended_at: UnixMillis) {
        let Some(BatchProducer { id, epoch, base_sequence }) = header.producer else {
            return;
        };
        let entry = self.producers.entry(id).or_insert_with(|| ProducerEntry {
            epoch,
            batches: VecDeque::new(),
            appended_at,
        });
        entry.appended_at = appended_at;
        if entry.epoch != epoch {
            entry.epoch = epoch;
            entry.batches.clear();
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
    }

    /// Forgets the producers whose last append is older than `expiration`.
    pub(crate) fn expire(&mut self, now: UnixMillis, expiration: Duration) {
        let expiration = i64::try_from(expiration.as_millis()).unwrap_or(i64::MAX);
        self.producers.retain(|_, entry| now.0.saturating_sub(entry.appended_at.0) < expiration);
    }
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
        batches.iter().for_each(|header| state.update(header, UnixMillis(0)));
        state
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
            let outcome = state.check(&batch(15, epoch, sequence, 1));
            assert_eq!(
                outcome.is_ok(),
                accepted,
                "epoch {epoch}, sequence {sequence}: {outcome:?}"
            );
        }
        assert!(matches!(
            state.check(&batch(15, 0, 15, 1)),
            Err(AppendError::InvalidProducerEpoch { .. })
        ));
    }

    #[test]
    fn each_of_the_last_five_batches_is_recognised_and_answered_with_its_offsets() {
        let headers: Vec<_> =
            (0..6).map(|n| batch(n * 3, 0, i32::try_from(n).unwrap() * 2, 2)).collect();
        let state = state(&headers);
        for header in &headers[1..] {
            let duplicate = state.check(header).unwrap().unwrap();
            assert_eq!(duplicate.base_offset, header.base_offset);
            assert_eq!(duplicate.last_offset, header.last_offset());
        }
        assert!(matches!(
            state.check(&headers[0]),
            Err(AppendError::OutOfOrderSequence { last_sequence: Some(11), .. })
        ));
    }

    #[test]
    fn an_unknown_producer_may_begin_anywhere() {
        assert_eq!(ProducerState::default().check(&batch(0, 3, 55, 1)).unwrap(), None);
    }

    #[test]
    fn sequences_wrap_after_the_greatest_number() {
        let state = state(&[batch(0, 0, i32::MAX - 1, 4)]);
        assert_eq!(state.producers[&ProducerId(7)].batches[0].last_sequence(), 1);
        assert!(state.check(&batch(4, 0, 2, 1)).unwrap().is_none());
    }

    #[test]
    fn producers_expire_by_the_local_time_of_their_last_append() {
        let mut state = ProducerState::default();
        state.update(&batch(0, 0, 0, 1), UnixMillis(1_000));
        state.expire(UnixMillis(1_999), Duration::from_secs(1));
        assert_eq!(state.producers.len(), 1);
        state.expire(UnixMillis(2_000), Duration::from_secs(1));
        assert!(state.producers.is_empty());
    }
}
