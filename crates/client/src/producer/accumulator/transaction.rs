//! What is different with transactions: the caller says under which producer id and epoch each one runs, and what fails in one makes it fail.
//!
//! Invariant: no batch of one transaction is sent in another: a transaction ends when no batch is left, and begins so.

use model::{ErrorCode, ProducerEpoch, ProducerId, TopicPartition};

use super::Accumulator;
use super::batch::Batch;
use crate::error::Error;

/// How a transactional producer's transaction stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Transaction {
    /// The newest version of Produce that it may use.
    newest_produce: i16,
    /// The first failure: the transaction can only be aborted.
    failure: Option<Error>,
    is_open: bool,
    is_aborting: bool,
}

impl Transaction {
    /// Says whether it takes records.
    pub(super) fn check(&self) -> Result<(), Error> {
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None if !self.is_open => Err(Error::Broker {
                subject: "transaction".to_owned(),
                code: ErrorCode::InvalidTxnState,
                message: Some("no transaction is open".to_owned()),
            }),
            None => Ok(()),
        }
    }

    pub(super) fn fail(&mut self, failure: &Error) {
        self.failure.get_or_insert_with(|| failure.clone());
    }
}

impl Accumulator {
    /// Opens a transaction under a producer id and epoch; Produce is used up to a version. Numbers begin anew under another id or epoch.
    pub(in crate::producer) fn begin_transaction(
        &mut self,
        id: ProducerId,
        epoch: ProducerEpoch,
        newest_produce: i16,
    ) {
        if self.producer != Some((id, epoch)) {
            self.queues.clear();
            self.producer = Some((id, epoch));
        }
        self.transaction =
            Some(Transaction { newest_produce, is_open: true, ..Transaction::default() });
    }

    /// Takes no more records until the next transaction, so that what is left can be waited for.
    ///
    /// # Errors
    /// The first failure of the transaction.
    pub(in crate::producer) fn close_transaction(&mut self) -> Result<(), Error> {
        let Some(transaction) = &mut self.transaction else { return Ok(()) };
        transaction.is_open = false;
        transaction.failure.clone().map_or(Ok(()), Err)
    }

    /// Drops what has not been sent, and what would be sent again.
    pub(in crate::producer) fn abort_transaction(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.is_open = false;
            transaction.is_aborting = true;
        }
        self.drop_if_aborting();
    }

    /// Notes a failure outside the batches, of which the transaction cannot recover.
    pub(in crate::producer) fn fail_transaction(&mut self, failure: &Error) {
        if let Some(transaction) = &mut self.transaction {
            transaction.fail(failure);
        }
    }

    /// Returns the newest version of Produce to use.
    pub(in crate::producer) fn newest_produce(&self) -> i16 {
        self.transaction.as_ref().map_or(i16::MAX, |transaction| transaction.newest_produce)
    }

    pub(super) fn drop_if_aborting(&mut self) {
        if !self.transaction.as_ref().is_some_and(|transaction| transaction.is_aborting) {
            return;
        }
        let partitions: Vec<_> = self.queues.keys().cloned().collect();
        for partition in partitions {
            let Some(queue) = self.queues.get_mut(&partition) else { continue };
            for batch in queue.take_waiting() {
                self.finish_unsent(&partition, batch);
            }
        }
    }

    /// Fails a batch that will not be sent, or not again.
    pub(super) fn finish_unsent(&mut self, partition: &TopicPartition, mut batch: Batch) {
        let failure = batch.last_failure.take().unwrap_or_else(|| Error::Broker {
            subject: partition.to_string(),
            code: ErrorCode::TransactionAbortable,
            message: Some("the transaction is aborted".to_owned()),
        });
        self.finish(batch, Err(failure));
    }
}
