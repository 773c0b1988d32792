//! Verifications under way: the proof that a transaction's first batch in a partition belongs to a transaction that its coordinator knows (KIP-890).
//!
//! Owns the guards. A guard is made before the coordinator is asked and shown at the append; whatever ends a transaction in between takes it away, so that an answer of
//! the coordinator's that speaks of a former transaction opens nothing. Kept in memory alone: requests do not outlive a process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::record_batch::BatchProducer;
use model::{ProducerEpoch, ProducerId, TransactionVersion, UnixMillis};

/// Proof that a verification was begun and that nothing has ended the transaction since; valid for the one log that made it. The number says nothing: it is public
/// for those who carry a guard without knowing logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerificationGuard(pub u64);

/// The verifications under way in one log, by producer.
#[derive(Debug, Default)]
pub(crate) struct Verifications {
    by_producer: BTreeMap<ProducerId, Verification>,
}

/// A verification under way. Batches of one transaction that wait for it share it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verification {
    guard: VerificationGuard,
    epoch: ProducerEpoch,
    version: TransactionVersion,
    begun_at: UnixMillis,
    /// The lowest sequence that asked: a later batch must not overtake one whose verification is tried again.
    lowest_sequence: Option<i32>,
}

impl VerificationGuard {
    /// Unique in this process.
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Verification {
    /// Says whether a batch that begins with this sequence overtakes one that waits.
    pub(crate) fn is_overtaken_by(&self, sequence: i32) -> bool {
        self.lowest_sequence.is_some_and(|lowest| sequence > lowest)
    }

    /// Says whether the producer's epoch grows with each transaction, so that it begins with sequence 0 where nothing is known of it.
    pub(crate) fn begins_at_zero(&self) -> bool {
        self.version.bumps_epochs()
    }
}

impl Verifications {
    /// Begins a verification, or joins the one that is under way. An epoch that is older than that one's gets a guard that opens nothing.
    pub(crate) fn begin(
        &mut self,
        producer: BatchProducer,
        version: TransactionVersion,
        now: UnixMillis,
    ) -> VerificationGuard {
        let BatchProducer { id, epoch, base_sequence } = producer;
        if let Some(verification) = self.by_producer.get_mut(&id) {
            if epoch < verification.epoch {
                return VerificationGuard::new();
            }
            if epoch == verification.epoch {
                verification.version = verification.version.max(version);
                verification.lowest_sequence = match (verification.lowest_sequence, base_sequence) {
                    (Some(lowest), Some(sequence)) => Some(lowest.min(sequence)),
                    (lowest, sequence) => lowest.or(sequence),
                };
                return verification.guard;
            }
        } else if self.by_producer.len() >= MAX_VERIFICATIONS {
            self.forget_oldest();
        }
        let guard = VerificationGuard::new();
        let verification =
            Verification { guard, epoch, version, begun_at: now, lowest_sequence: base_sequence };
        self.by_producer.insert(id, verification);
        guard
    }

    /// Returns the producer's verification that is under way.
    pub(crate) fn of(&self, producer_id: ProducerId) -> Option<&Verification> {
        self.by_producer.get(&producer_id)
    }

    /// Says whether a guard is that of the verification under way of this producer and epoch.
    pub(crate) fn is_valid(
        &self,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        guard: VerificationGuard,
    ) -> bool {
        self.of(producer_id)
            .is_some_and(|verification| verification.guard == guard && verification.epoch == epoch)
    }

    /// Ends a producer's verification: its transaction has begun in the log, or was ended.
    pub(crate) fn end(&mut self, producer_id: ProducerId) {
        self.by_producer.remove(&producer_id);
    }

    /// Forgets those that nobody came back to.
    pub(crate) fn expire(&mut self, now: UnixMillis, expiration: Duration) {
        let expiration = i64::try_from(expiration.as_millis()).unwrap_or(i64::MAX);
        self.by_producer.retain(|_, entry| now.0.saturating_sub(entry.begun_at.0) < expiration);
    }

    fn forget_oldest(&mut self) {
        let oldest = self.by_producer.iter().min_by_key(|(_, entry)| entry.begun_at);
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.by_producer.remove(&id);
        }
    }
}

/// Bound of the verifications of one log; beyond it the oldest is forgotten, and its producer verifies again.
const MAX_VERIFICATIONS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(5);

    fn producer(epoch: i16, sequence: i32) -> BatchProducer {
        let (id, epoch) = (ProducerId(7), ProducerEpoch(epoch));
        BatchProducer { id, epoch, base_sequence: Some(sequence) }
    }

    #[test]
    fn batches_of_one_attempt_share_a_guard_and_none_overtakes_the_first() {
        let mut verifications = Verifications::default();
        let first = verifications.begin(producer(1, 5), TransactionVersion::V0, NOW);
        let second = verifications.begin(producer(1, 3), TransactionVersion::V0, NOW);
        assert_eq!(first, second);
        assert!(verifications.is_valid(ProducerId(7), ProducerEpoch(1), first));
        let verification = verifications.of(ProducerId(7)).unwrap();
        assert!(!verification.is_overtaken_by(3) && verification.is_overtaken_by(4));
    }

    #[test]
    fn a_guard_is_of_one_attempt_and_of_one_epoch() {
        let mut verifications = Verifications::default();
        let first = verifications.begin(producer(1, 0), TransactionVersion::V2, NOW);
        verifications.end(ProducerId(7));
        assert!(!verifications.is_valid(ProducerId(7), ProducerEpoch(1), first));
        let second = verifications.begin(producer(1, 0), TransactionVersion::V2, NOW);
        assert!(first != second && !verifications.is_valid(ProducerId(7), ProducerEpoch(1), first));
        let newer = verifications.begin(producer(2, 0), TransactionVersion::V2, NOW);
        assert!(!verifications.is_valid(ProducerId(7), ProducerEpoch(1), second));
        assert!(!verifications.is_valid(ProducerId(7), ProducerEpoch(1), newer));
        let older = verifications.begin(producer(1, 0), TransactionVersion::V2, NOW);
        assert!(!verifications.is_valid(ProducerId(7), ProducerEpoch(1), older));
        assert!(verifications.is_valid(ProducerId(7), ProducerEpoch(2), newer));
    }

    #[test]
    fn verifications_that_nobody_comes_back_to_are_forgotten() {
        let mut verifications = Verifications::default();
        for id in 0..20_000 {
            let producer = BatchProducer { id: ProducerId(id), ..producer(0, 0) };
            verifications.begin(producer, TransactionVersion::V2, UnixMillis(id));
        }
        assert_eq!(verifications.by_producer.len(), MAX_VERIFICATIONS);
        verifications.expire(UnixMillis(20_000), Duration::from_secs(1));
        assert_eq!(verifications.by_producer.len(), 999);
    }
}
