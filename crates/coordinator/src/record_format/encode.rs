//! From the group machine's records to record batches.

use std::time::Duration;

use bytes::Bytes;
use model::record_batch::{
    BatchBuilder, BatchKind, BatchOptions, BatchProducer, BuildError, HEADER_BYTES, NewRecord,
};
use model::{LeaderEpoch, UnixMillis};
use protocol::group_log::{
    GroupMetadataKey, GroupMetadataValue, MemberMetadata, OffsetCommitKey, OffsetCommitValue,
};

use crate::group::record::{
    GroupMetadataRecord, GroupRecord, MemberRecord, OffsetRecord, TransactionBatch,
};
use crate::group::request::CompleteTransaction;

/// Says why records cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// One record alone makes a larger batch than is allowed.
    #[error("a record takes a batch of {size_bytes} bytes, {limit_bytes} are allowed")]
    TooLarge {
        /// Size of the batch that it would take, at most.
        size_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// A text or a count is longer than its length field can say.
    #[error("a record cannot be expressed in the format of its topic")]
    Inexpressible(#[from] protocol::codec::EncodeError),
    /// The batch's own limits, which lie far above.
    #[error("a record batch cannot be built")]
    Build(#[from] BuildError),
}

/// Makes batches of the records, in their order, each when it is asked for: as few as a size of at most `limit_bytes` each allows, uncompressed, at base offset 0 and without a
/// leader epoch. The leader fills those in. `timestamp` is each record's.
///
/// What fits one batch is one batch. An [`EncodeError`] ends it; batches before it are whole.
#[must_use]
pub fn batches(records: &[GroupRecord], timestamp: UnixMillis, limit_bytes: usize) -> Encoder<'_> {
    Encoder::new(records, timestamp, limit_bytes)
}

/// Makes the one batch of [`batches`] of the offsets of a transaction, or its marker.
///
/// # Errors
/// [`EncodeError::TooLarge`] when one batch does not hold the offsets: the machine sees to it that it does.
pub fn transaction_batch(
    batch: &TransactionBatch,
    timestamp: UnixMillis,
    limit_bytes: usize,
) -> Result<Vec<u8>, EncodeError> {
    let (id, epoch, records) = match batch {
        TransactionBatch::Offsets { producer_id, producer_epoch, records, .. } => {
            (*producer_id, *producer_epoch, records)
        }
        TransactionBatch::Marker(CompleteTransaction {
            producer_id,
            producer_epoch,
            marker,
            ..
        }) => return Ok(marker.batch(*producer_id, *producer_epoch, None, timestamp)?),
    };
    let mut built = BatchBuilder::new(BatchOptions {
        producer: Some(BatchProducer { id, epoch, base_sequence: None }),
        kind: BatchKind::Transactional,
        ..BatchOptions::default()
    });
    for record in records {
        let (key, value) = key_and_value(record)?;
        let record =
            NewRecord { timestamp, key: Some(&key), value: value.as_deref(), headers: &[] };
        let size_bytes = built.size_bytes() + BatchBuilder::upper_bound_of(&record);
        if size_bytes > limit_bytes {
            return Err(EncodeError::TooLarge { size_bytes, limit_bytes });
        }
        built.append(&record)?;
    }
    Ok(built.build()?)
}

/// Makes all [`batches`] of the records at once.
///
/// # Errors
/// [`EncodeError`]; a record that is too large leaves nothing of the others.
pub fn encode(
    records: &[GroupRecord],
    timestamp: UnixMillis,
    limit_bytes: usize,
) -> Result<Vec<Vec<u8>>, EncodeError> {
    batches(records, timestamp, limit_bytes).collect()
}

/// Iterator over the batches of records; see [`batches`].
#[derive(Debug)]
pub struct Encoder<'a, R: LogRecord = GroupRecord> {
    records: std::slice::Iter<'a, R>,
    last: Option<&'a R>,
    /// What the next batch begins with.
    batch: BatchBuilder,
    timestamp: UnixMillis,
    limit_bytes: usize,
}

/// A record of a coordinator's log, of one machine or the other.
pub trait LogRecord {
    /// Returns key and value in Kafka's format; no value makes a tombstone.
    ///
    /// # Errors
    /// When a text or a count is longer than its length field can say.
    fn key_and_value(&self) -> Result<(Bytes, Option<Bytes>), EncodeError>;
}

impl LogRecord for GroupRecord {
    fn key_and_value(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        key_and_value(self)
    }
}

impl<'a, R: LogRecord> Encoder<'a, R> {
    /// Begins to make batches; see [`batches`].
    pub(super) fn new(records: &'a [R], timestamp: UnixMillis, limit_bytes: usize) -> Self {
        Self {
            records: records.iter(),
            last: None,
            batch: BatchBuilder::new(BatchOptions::default()),
            timestamp,
            limit_bytes,
        }
    }

    /// Returns the last record that was taken in: the one that an error is about, else the first that is not in the batch that was returned, or the last of all.
    #[must_use]
    pub fn last_record(&self) -> Option<&'a R> {
        self.last
    }

    /// Takes a record into the batch. Returns the batch before it if that has no room for it.
    fn take(&mut self, record: &R) -> Result<Option<Vec<u8>>, EncodeError> {
        let (key, value) = record.key_and_value()?;
        let (timestamp, limit_bytes) = (self.timestamp, self.limit_bytes);
        let record =
            NewRecord { timestamp, key: Some(&key), value: value.as_deref(), headers: &[] };
        let size_bytes = BatchBuilder::upper_bound_of(&record);
        if HEADER_BYTES + size_bytes > limit_bytes {
            let size_bytes = HEADER_BYTES + size_bytes;
            return Err(EncodeError::TooLarge { size_bytes, limit_bytes });
        }
        let full = if self.batch.size_bytes() + size_bytes > limit_bytes {
            Some(self.end_batch()?)
        } else {
            None
        };
        self.batch.append(&record)?;
        Ok(full)
    }

    fn end_batch(&mut self) -> Result<Vec<u8>, EncodeError> {
        let next = BatchBuilder::new(BatchOptions::default());
        Ok(std::mem::replace(&mut self.batch, next).build()?)
    }

    /// Ends the iteration: nothing of the batch that was begun is left.
    fn fail(&mut self, error: EncodeError) -> EncodeError {
        self.records = [].iter();
        self.batch = BatchBuilder::new(BatchOptions::default());
        error
    }
}

impl<R: LogRecord> Iterator for Encoder<'_, R> {
    type Item = Result<Vec<u8>, EncodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(record) = self.records.next() {
            self.last = Some(record);
            match self.take(record) {
                Ok(None) => {}
                Ok(Some(batch)) => return Some(Ok(batch)),
                Err(error) => return Some(Err(self.fail(error))),
            }
        }
        if self.batch.is_empty() {
            return None;
        }
        Some(self.end_batch().map_err(|error| self.fail(error)))
    }
}

fn key_and_value(record: &GroupRecord) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    Ok(match record {
        GroupRecord::Offset { group_id, topic, partition, value } => {
            let key = OffsetCommitKey {
                group: group_id.as_str().into(),
                topic: topic.as_str().into(),
                partition: *partition,
            };
            (key.encode()?, value.as_ref().map(|value| offset_value(value).encode()).transpose()?)
        }
        GroupRecord::Group { group_id, value } => {
            let key = GroupMetadataKey { group: group_id.as_str().into() };
            (key.encode()?, value.as_ref().map(|value| group_value(value).encode()).transpose()?)
        }
    })
}

fn offset_value(record: &OffsetRecord) -> OffsetCommitValue {
    OffsetCommitValue {
        offset: record.offset.0,
        leader_epoch: LeaderEpoch::to_wire(record.leader_epoch),
        metadata: record.metadata.as_str().into(),
        commit_timestamp: record.commit_time.0,
        expire_timestamp: wire_time(record.expire_time),
        topic_id: record.topic_id.unwrap_or_default(),
    }
}

fn group_value(record: &GroupMetadataRecord) -> GroupMetadataValue {
    GroupMetadataValue {
        protocol_type: record.protocol_type.as_str().into(),
        generation: record.generation_id.0,
        protocol: record.protocol_name.as_deref().map(Into::into),
        leader: record.leader.as_ref().map(|leader| leader.as_str().into()),
        current_state_timestamp: wire_time(record.state_since),
        members: record.members.iter().map(member_metadata).collect(),
    }
}

fn member_metadata(member: &MemberRecord) -> MemberMetadata {
    MemberMetadata {
        member_id: member.member_id.as_str().into(),
        group_instance_id: member.group_instance_id.as_ref().map(|name| name.as_str().into()),
        client_id: member.client_id.as_str().into(),
        client_host: member.client_host.as_str().into(),
        rebalance_timeout: wire_millis(member.rebalance_timeout),
        session_timeout: wire_millis(member.session_timeout),
        subscription: member.subscription.clone(),
        assignment: member.assignment.clone(),
    }
}

/// A time before 1970 would read as "none"; it is as long ago as can be said.
fn wire_time(time: Option<UnixMillis>) -> i64 {
    time.map_or(-1, |time| time.0.max(0))
}

fn wire_millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
