//! Transactions in one partition: markers, verification (KIP-890), and what is known of producers.
//!
//! Owns no rule: who may append what is the log's to say, and which transaction ends how is the coordinator's.

use std::time::Duration;

use log_storage::{ActiveProducer, AppendOrigin, VerificationGuard};
use model::record_batch::{BatchProducer, EndTransactionMarker};
use model::{Acks, LeaderEpoch, Offset, ProducerEpoch, ProducerId, TransactionVersion};

use super::{PartitionHandle, ProduceOptions, ProduceWaiter};
use crate::error::NotServed;

/// A marker that a transaction's coordinator wants written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionMarker {
    /// The transaction's producer.
    pub producer_id: ProducerId,
    /// The producer's epoch; with [`TransactionVersion::V2`] the one that follows the transaction's.
    pub producer_epoch: ProducerEpoch,
    /// How the transaction ends, and the epoch of the coordinator that says so.
    pub marker: EndTransactionMarker,
    /// The rules that the transaction goes by.
    pub version: TransactionVersion,
}

impl PartitionHandle {
    /// Ends a transaction: appends its marker, and waits as for `acks=all`. May be called again with the same marker when the outcome is not known: where no transaction
    /// is open a marker decides nothing.
    ///
    /// The waiter fails as that of [`Self::produce`] does; a marker that is late is refused with the producer's or the coordinator's epoch as the reason.
    pub fn write_marker(
        &self,
        marker: &TransactionMarker,
        expected_leader_epoch: Option<LeaderEpoch>,
        timeout: Duration,
    ) -> ProduceWaiter {
        let TransactionMarker { producer_id, producer_epoch, marker, version } = *marker;
        let now = self.host.clock.wall();
        let mut batch = marker
            .batch(producer_id, producer_epoch, None, now)
            .expect("one record of a few bytes fits any batch");
        let options = ProduceOptions {
            acks: Acks::All,
            timeout,
            expected_leader_epoch,
            origin: AppendOrigin::TransactionMarker(version),
            verification: None,
        };
        self.produce(&mut batch, &options)
    }

    /// Says whether a transactional batch of this producer and epoch would be the first of its transaction in this partition, so that the coordinator has to be asked
    /// whether the partition is part of it. Only a leader knows; elsewhere the append is refused anyway.
    #[must_use]
    pub fn needs_verification(&self, producer: BatchProducer) -> bool {
        self.lock().log.needs_verification(producer)
    }

    /// Begins the verification of a transactional batch, before its coordinator is asked. The guard is to be named at the append
    /// ([`ProduceOptions::verification`]); it opens nothing any more once a marker has ended the transaction, or another batch has begun it. `None` when no verification
    /// is needed.
    ///
    /// # Errors
    /// [`NotServed`] when this broker does not lead the partition.
    pub fn begin_verification(
        &self,
        producer: BatchProducer,
        version: TransactionVersion,
    ) -> Result<Option<VerificationGuard>, NotServed> {
        let now = self.host.clock.wall();
        let mut state = self.lock();
        state.check_leads(None)?;
        Ok(state.log.begin_verification(producer, version, now))
    }

    /// Returns the exclusive end of what is decided and committed.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        let state = self.lock();
        state.log.last_stable_offset(state.machine.high_watermark())
    }

    /// Returns where the earliest open transaction begins, committed or not: a coordinator that trims its log keeps what lies behind it.
    #[must_use]
    pub fn first_open_transaction(&self) -> Option<Offset> {
        self.lock().log.first_open_transaction()
    }

    /// Returns what is known of each producer, by id (Kafka's DescribeProducers).
    ///
    /// # Errors
    /// [`NotServed`] when this broker does not lead the partition.
    pub fn active_producers(&self) -> Result<Vec<ActiveProducer>, NotServed> {
        let state = self.lock();
        state.check_leads(None)?;
        Ok(state.log.active_producers())
    }
}
