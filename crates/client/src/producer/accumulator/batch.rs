//! A batch from its first record to its last attempt, and the session that numbers it.

use std::sync::Arc;

use bytes::Bytes;
use model::record_batch::{
    BatchBuilder, BatchOptions, BatchProducer, BuildError, NewRecord, set_producer,
};
use model::{ErrorCode, ProducerEpoch, ProducerId, Timestamp, TopicPartition};

use crate::error::Error;
use crate::producer::delivery::{BatchResult, Delivery};

/// A batch that takes records.
#[derive(Debug)]
pub(super) struct Filling {
    pub(super) order: u64,
    builder: BatchBuilder,
    result: Arc<BatchResult>,
    pub(super) created_at: Timestamp,
    reserved_bytes: usize,
}

/// A batch that takes no more records, until its outcome is known.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) order: u64,
    bytes: Bytes,
    pub(super) result: Arc<BatchResult>,
    pub(super) created_at: Timestamp,
    pub(super) reserved_bytes: usize,
    pub(super) record_count: i32,
    /// Whether it has its sequence number.
    pub(super) is_numbered: bool,
    /// Whether it was sent before.
    pub(super) is_retry: bool,
    /// Whether an earlier attempt may have put it into the log.
    pub(super) may_be_in_log: bool,
    /// Why the last attempt failed.
    pub(super) last_failure: Option<Error>,
}

/// The numbers of a partition under one producer id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) id: ProducerId,
    pub(super) epoch: ProducerEpoch,
    pub(super) next_sequence: i32,
    /// Whether the leader has written a batch of it. A broker takes any first number from a producer that it does not know, so until then
    /// one batch alone is under way: the second must not get in when the first is lost.
    pub(super) is_known: bool,
}

/// A batch to send.
#[derive(Clone, Debug)]
pub(in crate::producer) struct ToSend {
    pub(in crate::producer) order: u64,
    pub(in crate::producer) bytes: Bytes,
}

impl Filling {
    pub(super) fn new(
        order: u64,
        partition: TopicPartition,
        options: BatchOptions,
        now: Timestamp,
    ) -> Self {
        Self {
            order,
            builder: BatchBuilder::new(options),
            result: Arc::new(BatchResult::new(partition)),
            created_at: now,
            reserved_bytes: 0,
        }
    }

    /// Returns the bytes of its records.
    pub(super) fn size_bytes(&self) -> usize {
        self.builder.size_bytes()
    }

    /// Takes a record for which `size` bytes of memory were reserved.
    pub(super) fn append(
        &mut self,
        record: &NewRecord<'_>,
        size: usize,
    ) -> Result<Delivery, Error> {
        let index = i64::from(self.builder.record_count());
        self.builder.append(record).map_err(|error| refused(&error))?;
        self.reserved_bytes += size;
        Ok(Delivery::new(self.result.clone(), index))
    }

    /// Ends the batch.
    pub(super) fn close(self) -> Batch {
        let record_count = self.builder.record_count();
        let bytes = self.builder.build().unwrap_or_else(|error| {
            // Only a codec that runs out of memory gets here, and so does then the process.
            panic!("a batch within its size limit can be built: {error}")
        });
        Batch {
            order: self.order,
            bytes: Bytes::from(bytes),
            result: self.result,
            created_at: self.created_at,
            reserved_bytes: self.reserved_bytes,
            record_count,
            is_numbered: false,
            is_retry: false,
            may_be_in_log: false,
            last_failure: None,
        }
    }
}

impl Batch {
    /// Returns what is sent of it.
    pub(super) fn to_send(&self) -> ToSend {
        ToSend { order: self.order, bytes: self.bytes.clone() }
    }

    /// Gives it its sequence number.
    pub(super) fn number(&mut self, session: &mut Session) {
        let producer = BatchProducer {
            id: session.id,
            epoch: session.epoch,
            base_sequence: Some(session.next_sequence),
        };
        let mut bytes = Vec::from(std::mem::take(&mut self.bytes));
        set_producer(&mut bytes, producer).expect("our own batch is whole");
        self.bytes = Bytes::from(bytes);
        self.is_numbered = true;
        session.next_sequence = session.next_sequence.wrapping_add(self.record_count) & i32::MAX;
    }
}

fn refused(error: &BuildError) -> Error {
    Error::Broker {
        subject: "record".to_owned(),
        code: ErrorCode::MessageTooLarge,
        message: Some(error.to_string()),
    }
}
