//! What tells a record's fate: one result per batch, which the records of the batch share.

use std::sync::{Arc, OnceLock};

use model::{Offset, TopicPartition, UnixMillis};
use tokio::sync::Notify;

use crate::error::Error;

/// Tells the fate of one record.
#[derive(Clone, Debug)]
pub struct Delivery {
    batch: Arc<BatchResult>,
    /// Index of the record in its batch.
    index: i64,
}

/// A record that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The partition.
    pub partition: TopicPartition,
    /// The record's offset; `None` with acks 0, and where a broker answers a repeated batch without it.
    pub offset: Option<Offset>,
    /// The time of the append, on topics with LogAppendTime.
    pub log_append_time: Option<UnixMillis>,
}

/// The fate of a batch.
#[derive(Debug)]
pub(super) struct BatchResult {
    partition: TopicPartition,
    outcome: OnceLock<Result<Written, Error>>,
    decided: Notify,
}

/// A batch that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) base_offset: Option<Offset>,
    pub(super) log_append_time: Option<UnixMillis>,
}

impl Delivery {
    pub(super) fn new(batch: Arc<BatchResult>, index: i64) -> Self {
        Self { batch, index }
    }

    /// Waits for the outcome.
    ///
    /// # Errors
    /// Why the record was not written, or not for certain.
    pub async fn outcome(&self) -> Result<Delivered, Error> {
        loop {
            // Made before the look, so that a decision between look and wait is not missed.
            let decided = self.batch.decided.notified();
            if let Some(outcome) = self.now() {
                return outcome;
            }
            decided.await;
        }
    }

    /// Returns the outcome if it is known.
    #[must_use]
    pub fn now(&self) -> Option<Result<Delivered, Error>> {
        let outcome = self.batch.outcome.get()?;
        Some(outcome.clone().map(|written| Delivered {
            partition: self.batch.partition.clone(),
            offset: written.base_offset.map(|base| base + self.index),
            log_append_time: written.log_append_time,
        }))
    }
}

impl BatchResult {
    pub(super) fn new(partition: TopicPartition) -> Self {
        Self { partition, outcome: OnceLock::new(), decided: Notify::new() }
    }

    pub(super) fn decide(&self, outcome: Result<Written, Error>) {
        if self.outcome.set(outcome).is_ok() {
            self.decided.notify_waiters();
        }
    }
}
