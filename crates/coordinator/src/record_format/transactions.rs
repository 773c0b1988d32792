//! The transaction machine's records in the formats of Kafka's `__transaction_state`: key 0, value 1; value 0 is read too.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use model::record_batch::{
    BatchBuilder, BatchOptions, Batches, HEADER_BYTES, NewRecord, Record, RecordIter, Records,
    verify_crc,
};
use model::{Offset, ProducerEpoch, ProducerId, TopicPartition, UnixMillis};
use protocol::transaction_log::{PartitionsSchema, TransactionLogKey, TransactionLogValue};

pub use super::decode::DecodeError;
use super::decode::MAX_INFLATED_BYTES;
pub use super::encode::EncodeError;
use crate::transaction::ids::TransactionVersion;
use crate::transaction::record::{TransactionMetadataRecord, TransactionRecord};
use crate::transaction::state::TransactionState;

/// Makes batches of the records, as [`super::batches`] does of a group's.
#[must_use]
pub fn batches(
    records: &[TransactionRecord],
    timestamp: UnixMillis,
    limit_bytes: usize,
) -> Encoder<'_> {
    let batch = BatchBuilder::new(BatchOptions::default());
    Encoder { records: records.iter(), last: None, batch, timestamp, limit_bytes }
}

/// Iterator over the batches of records; see [`batches`].
#[derive(Debug)]
pub struct Encoder<'a> {
    records: std::slice::Iter<'a, TransactionRecord>,
    last: Option<&'a TransactionRecord>,
    /// What the next batch begins with.
    batch: BatchBuilder,
    timestamp: UnixMillis,
    limit_bytes: usize,
}

impl<'a> Encoder<'a> {
    /// Returns the last record that was taken in: the one that an error is about.
    #[must_use]
    pub fn last_record(&self) -> Option<&'a TransactionRecord> {
        self.last
    }

    /// Takes a record into the batch. Returns the batch before it if that has no room for it.
    fn take(&mut self, record: &TransactionRecord) -> Result<Option<Vec<u8>>, EncodeError> {
        let key = TransactionLogKey { transactional_id: record.transactional_id.as_str().into() };
        let key = key.encode()?;
        let value = record.value.as_ref().map(|value| log_value(value).encode()).transpose()?;
        let (timestamp, limit_bytes) = (self.timestamp, self.limit_bytes);
        let record =
            NewRecord { timestamp, key: Some(&key), value: value.as_deref(), headers: &[] };
        let size_bytes = BatchBuilder::upper_bound_of(&record);
        if HEADER_BYTES + size_bytes > limit_bytes {
            let size_bytes = HEADER_BYTES + size_bytes;
            return Err(EncodeError::TooLarge { size_bytes, limit_bytes });
        }
        let is_full = self.batch.size_bytes() + size_bytes > limit_bytes;
        let full = is_full.then(|| self.end_batch()).transpose()?;
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

impl Iterator for Encoder<'_> {
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

/// Reads whole batches of the transaction topic, in log order. Control batches and keys of kinds that are not known are skipped.
#[must_use]
pub fn decode(batches: &Bytes) -> Decoder<'_> {
    let next_offset = Offset::ZERO;
    Decoder { batches: Batches::whole(batches), batch: Vec::new().into_iter(), next_offset }
}

/// Iterator over the records in batches; see [`decode`]. It ends at the first error that is not [`DecodeError::is_skippable`].
#[derive(Debug)]
pub struct Decoder<'a> {
    batches: Batches<'a>,
    batch: std::vec::IntoIter<Result<TransactionRecord, DecodeError>>,
    /// Behind the last batch that was read.
    next_offset: Offset,
}

impl Iterator for Decoder<'_> {
    type Item = Result<TransactionRecord, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.batch.next() {
                return Some(record);
            }
            let after = self.next_offset;
            let read = match self.batches.next()? {
                Ok(batch) => verify_crc(batch.bytes)
                    .map_err(|source| DecodeError::Batch { after, source })
                    .and_then(|()| {
                        let header = batch.header;
                        self.next_offset = header.next_offset();
                        if header.is_control() {
                            return Ok(Vec::new());
                        }
                        let offset = header.base_offset;
                        let records = Records::of(batch, MAX_INFLATED_BYTES)
                            .map_err(|source| DecodeError::Records { offset, source })?;
                        let data = Bytes::from(records.into_data().into_owned());
                        Ok(read_all(RecordIter::new(header, &data), offset, &data))
                    }),
                Err(source) => Err(DecodeError::Batch { after, source }),
            };
            match read {
                Ok(records) => self.batch = records.into_iter(),
                Err(error) => {
                    self.batches = Batches::whole(&[]);
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Reads the records of a batch, up to the first error that nothing gets past.
fn read_all(
    records: RecordIter<'_>,
    offset: Offset,
    data: &Bytes,
) -> Vec<Result<TransactionRecord, DecodeError>> {
    let mut read = Vec::new();
    for record in records {
        let record = record
            .map_err(|source| DecodeError::Records { offset, source })
            .and_then(|record| read_one(&record, data));
        let Some(record) = record.transpose() else { continue };
        let is_last = record.as_ref().is_err_and(|error| !error.is_skippable());
        read.push(record);
        if is_last {
            break;
        }
    }
    read
}

/// Reads one record; `None` when its kind is not known.
fn read_one(record: &Record<'_>, data: &Bytes) -> Result<Option<TransactionRecord>, DecodeError> {
    let offset = record.offset;
    let damaged = |part| move |source| DecodeError::Record { offset, part, source };
    let key = record.key.ok_or(DecodeError::NoKey { offset })?;
    let key = TransactionLogKey::decode(data.slice_ref(key)).map_err(damaged("key"))?;
    let Some(key) = key else { return Ok(None) };
    let value = record.value.map(|value| TransactionLogValue::decode(data.slice_ref(value)));
    let value = value.transpose().map_err(damaged("value"))?;
    let value = value.map(|value| metadata(&value).ok_or(DecodeError::State { offset }));
    Ok(Some(TransactionRecord {
        transactional_id: key.transactional_id.as_str().into(),
        value: value.transpose()?,
    }))
}

fn log_value(record: &TransactionMetadataRecord) -> TransactionLogValue {
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for one in &record.partitions {
        by_topic.entry(&one.topic).or_default().push(one.partition);
    }
    let partitions = by_topic.into_iter();
    let partitions = partitions
        .map(|(topic, partition_ids)| PartitionsSchema { topic: topic.into(), partition_ids });
    let id = |id: Option<ProducerId>| id.map_or(-1, |id| id.0);
    TransactionLogValue {
        producer_id: record.producer_id.0,
        producer_epoch: record.producer_epoch.0,
        transaction_timeout_ms: i32::try_from(record.transaction_timeout.as_millis())
            .unwrap_or(i32::MAX),
        transaction_status: record.state.number(),
        // Null in state Empty, as Kafka writes it.
        transaction_partitions: (record.state != TransactionState::Empty)
            .then(|| partitions.collect()),
        transaction_last_update_timestamp_ms: record.updated_at.0,
        transaction_start_timestamp_ms: record.started_at.map_or(-1, |at| at.0),
        previous_producer_id: id(record.previous_producer_id),
        next_producer_id: id(record.next_producer_id),
        client_transaction_version: record.client_version.level(),
        ..TransactionLogValue::default()
    }
}

/// Reads a value; `None` when its state is none.
fn metadata(value: &TransactionLogValue) -> Option<TransactionMetadataRecord> {
    let id = |id: i64| (id >= 0).then_some(ProducerId(id));
    let topics = value.transaction_partitions.iter().flatten();
    let partitions = topics.flat_map(|topic| {
        topic.partition_ids.iter().map(|partition| TopicPartition {
            topic: topic.topic.as_str().to_owned(),
            partition: *partition,
        })
    });
    let started_at = value.transaction_start_timestamp_ms;
    Some(TransactionMetadataRecord {
        producer_id: ProducerId(value.producer_id),
        previous_producer_id: id(value.previous_producer_id),
        next_producer_id: id(value.next_producer_id),
        producer_epoch: ProducerEpoch(value.producer_epoch),
        transaction_timeout: Duration::from_millis(
            u64::try_from(value.transaction_timeout_ms).unwrap_or(0),
        ),
        state: TransactionState::from_number(value.transaction_status)?,
        partitions: partitions.collect(),
        updated_at: UnixMillis(value.transaction_last_update_timestamp_ms),
        started_at: (started_at >= 0).then_some(UnixMillis(started_at)),
        // What a later version would say is at least what this one knows.
        client_version: TransactionVersion::from_level(value.client_transaction_version)
            .unwrap_or(TransactionVersion::V2),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(state: TransactionState) -> TransactionRecord {
        let partition = |topic: &str, partition| TopicPartition { topic: topic.into(), partition };
        let partitions = match state {
            TransactionState::Ongoing => {
                [partition("a", 0), partition("a", 7), partition("b", 1)].into()
            }
            _ => [].into(),
        };
        TransactionRecord {
            transactional_id: "copier".into(),
            value: Some(TransactionMetadataRecord {
                producer_id: ProducerId(9),
                previous_producer_id: Some(ProducerId(8)),
                next_producer_id: None,
                producer_epoch: ProducerEpoch(3),
                transaction_timeout: Duration::from_secs(60),
                state,
                partitions,
                updated_at: UnixMillis(1_000),
                started_at: Some(UnixMillis(900)),
                client_version: TransactionVersion::V2,
            }),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let gone = TransactionRecord { transactional_id: "gone".into(), value: None };
        let mut records: Vec<_> = TransactionState::ALL.into_iter().map(record).collect();
        records.push(gone);
        let batches: Vec<_> = batches(&records, UnixMillis(5), 1 << 20).collect();
        let [Ok(batch)] = &batches[..] else { panic!("one batch: {batches:?}") };
        let bytes = Bytes::from(batch.clone());
        let read: Result<Vec<_>, _> = decode(&bytes).collect();
        assert_eq!(read.unwrap(), records);
    }

    #[test]
    fn a_batch_is_no_larger_than_it_may_be_and_a_record_that_is_fits_none() {
        let records = vec![record(TransactionState::Ongoing); 100];
        let sizes: Vec<_> = batches(&records, UnixMillis(5), 1_000)
            .map(|batch| batch.expect("each record fits").len())
            .collect();
        assert!(sizes.len() > 1 && sizes.iter().all(|size| *size <= 1_000), "{sizes:?}");
        let mut one = batches(&records, UnixMillis(5), 80);
        assert!(matches!(one.next(), Some(Err(EncodeError::TooLarge { .. }))));
        assert_eq!(
            one.last_record().map(|record| record.transactional_id.as_str()),
            Some("copier")
        );
        assert!(one.next().is_none());
    }

    #[test]
    fn a_flipped_bit_is_an_error_and_ends_the_reading() {
        let records = [record(TransactionState::Ongoing)];
        let mut batch = batches(&records, UnixMillis(5), 1_000).next().unwrap().unwrap();
        let last = batch.len() - 1;
        batch[last] ^= 1;
        let batch = Bytes::from(batch);
        let mut read = decode(&batch);
        assert!(read.next().is_some_and(|read| read.is_err_and(|error| !error.is_skippable())));
        assert!(read.next().is_none());
    }
}
