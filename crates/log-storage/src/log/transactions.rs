//! What a log tells of its transactions: the last stable offset, who is in one, and which aborted ones a reader has to skip.
//!
//! Owns the plan of a lookup of aborted transactions, from memory alone; the lookup reads what it needs off the lock.

use model::record_batch::BatchProducer;
use model::{Offset, TransactionVersion, UnixMillis};

use super::Log;
use crate::mutation::{Mutation, is_active};
use crate::producers::snapshot::AbortedCounts;
use crate::producers::state::ActiveProducer;
use crate::producers::verification::VerificationGuard;
use crate::reads::aborted_lookup::AbortedLookup;
use crate::segment::Segment;

impl Log {
    /// Returns the exclusive end of what is decided and committed (Kafka's LSO): where the earliest transaction begins that is open, or whose marker is at or above
    /// the high watermark; the high watermark when there is none. Never below the log start, for what is gone holds nothing back.
    #[must_use]
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        if is_active(Mutation::OpenTransactionsIgnored) {
            return high_watermark;
        }
        let producers = self.producers.as_ref();
        let unstable = producers.and_then(|producers| producers.first_unstable(high_watermark));
        unstable
            .map_or(high_watermark, |offset| offset.max(self.log_start_offset).min(high_watermark))
    }

    /// Returns where the earliest open transaction begins.
    #[must_use]
    pub fn first_open_transaction(&self) -> Option<Offset> {
        self.producers.as_ref()?.first_open()
    }

    /// Says whether a transactional batch of this producer and epoch would be the first of its transaction here, so that its coordinator has to be asked (KIP-890).
    #[must_use]
    pub fn needs_verification(&self, producer: BatchProducer) -> bool {
        let producers = self.producers.as_ref();
        producers.is_some_and(|producers| producers.needs_verification(producer))
    }

    /// Begins the verification of a transactional batch, before its coordinator is asked. The guard is to be shown at the append; it is void once the transaction has
    /// begun here or was ended. `None` when no verification is needed.
    pub fn begin_verification(
        &mut self,
        producer: BatchProducer,
        version: TransactionVersion,
        now: UnixMillis,
    ) -> Option<VerificationGuard> {
        self.producers.as_mut()?.begin_verification(producer, version, now)
    }

    /// Returns what is known of each producer, by id (Kafka's DescribeProducers).
    #[must_use]
    pub fn active_producers(&self) -> Vec<ActiveProducer> {
        self.producers.as_ref().map(|producers| producers.active()).unwrap_or_default()
    }

    /// Plans a lookup of the aborted transactions that overlap a read from an offset on. Cheap; [`AbortedLookup::execute`] does it off the lock, once it is known how
    /// far the read went. A read does not leave the segment that it begins in.
    #[must_use]
    pub fn aborted_lookup(&self, from: Offset) -> AbortedLookup {
        let next = self.segments.partition_point(|segment| segment.base_offset <= from);
        let first = next.saturating_sub(1);
        let bound = self.segments.get(first).map_or(from, |segment| segment.next_offset);
        let mut parts = Vec::new();
        for segment in self.segments.iter().skip(first) {
            let Some(last) = segment.aborted.last() else {
                continue;
            };
            parts.push(segment.aborted.part(from));
            // Whatever was aborted later begins behind what can be read.
            if last.last_stable_offset >= bound {
                break;
            }
        }
        AbortedLookup { from, bound, parts, begun: self.turns.begin_read() }
    }
}

/// Counts the entries of the transaction indexes, for a snapshot.
pub(super) fn aborted_counts(segments: &[Segment]) -> AbortedCounts {
    let counted = segments.iter().filter(|segment| segment.aborted.len() > 0);
    let counts = counted.map(|segment| {
        let count = u32::try_from(segment.aborted.len()).unwrap_or(u32::MAX);
        (segment.base_offset, count)
    });
    counts.collect()
}
