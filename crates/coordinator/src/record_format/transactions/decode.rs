//! From record batches to the transaction machine's records.

use std::time::Duration;

use bytes::Bytes;
use model::record_batch::{
    Batch, BatchError, Batches, Record, RecordIter, Records, RecordsError, verify_crc,
};
use model::{Offset, ProducerEpoch, ProducerId, TopicPartition, UnixMillis};
use protocol::codec::Problem;
use protocol::transaction_log::{TransactionLogKey, TransactionLogValue};

use crate::transaction::ids::TransactionVersion;
use crate::transaction::record::{TransactionMetadataRecord, TransactionRecord};
use crate::transaction::state::TransactionState;

/// Says why a log of the transaction topic cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Bytes that are no batch, or a damaged one.
    #[error("no record batch can be read behind offset {after}")]
    Batch {
        /// The next offset behind the last batch that was read; 0 before the first.
        after: Offset,
        /// Why.
        #[source]
        source: BatchError,
    },
    /// A batch whose records have not the shape of records.
    #[error("the records of the batch at offset {offset} cannot be read")]
    Records {
        /// Base offset of the batch.
        offset: Offset,
        /// Why.
        #[source]
        source: RecordsError,
    },
    /// A record without a key, which the topic cannot have.
    #[error("the record at offset {offset} has no key")]
    NoKey {
        /// Offset of the record.
        offset: Offset,
    },
    /// A key or a value that is damaged, or of a version that is not known.
    #[error("the {part} of the record at offset {offset} cannot be read")]
    Record {
        /// Offset of the record.
        offset: Offset,
        /// `key` or `value`.
        part: &'static str,
        /// Why.
        #[source]
        source: protocol::codec::DecodeError,
    },
    /// A value with a number that stands for nothing.
    #[error("the record at offset {offset} says {field} {number}, which there is not")]
    Meaningless {
        /// Offset of the record.
        offset: Offset,
        /// What the number is for.
        field: &'static str,
        /// The number.
        number: i64,
    },
}

impl DecodeError {
    /// Says whether it is about one whole record that no coordinator of this version writes: one without a key, or with a value of a version that is not known. Reading goes on behind it.
    #[must_use]
    pub fn is_skippable(&self) -> bool {
        match self {
            Self::NoKey { .. } => true,
            Self::Record { source, .. } => {
                matches!(source.problem(), Problem::UnsupportedVersion(_))
            }
            Self::Batch { .. } | Self::Records { .. } | Self::Meaningless { .. } => false,
        }
    }
}

/// Reads whole batches of the transaction topic, in log order. Skipped are control batches and keys of kinds that are not known.
#[must_use]
pub fn decode(batches: &Bytes) -> Decoder<'_> {
    Decoder {
        bytes: batches,
        batches: Some(Batches::whole(batches)),
        read: Vec::new().into_iter(),
        next_offset: Offset::ZERO,
    }
}

/// Iterator over the records in batches; see [`decode`]. It ends at the first error that is not [`DecodeError::is_skippable`].
#[derive(Debug)]
pub struct Decoder<'a> {
    bytes: &'a Bytes,
    /// `None` behind the end, or behind an error.
    batches: Option<Batches<'a>>,
    /// Of the batch that is being read.
    read: std::vec::IntoIter<Result<TransactionRecord, DecodeError>>,
    /// Behind the last batch that was read.
    next_offset: Offset,
}

impl Iterator for Decoder<'_> {
    type Item = Result<TransactionRecord, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.read.next() {
                if record.as_ref().is_err_and(|error| !error.is_skippable()) {
                    self.batches = None;
                }
                return Some(record);
            }
            let batch = self.batches.as_mut()?.next()?.and_then(|batch| {
                // A flipped bit in a log must not become a transaction that is committed.
                verify_crc(batch.bytes)?;
                Ok(batch)
            });
            let read = match batch {
                Ok(batch) => self.read_batch(batch),
                Err(source) => vec![Err(DecodeError::Batch { after: self.next_offset, source })],
            };
            self.read = read.into_iter();
        }
    }
}

impl Decoder<'_> {
    /// Reads the records of a batch, up to the first that ends the reading.
    fn read_batch(&mut self, batch: Batch<'_>) -> Vec<Result<TransactionRecord, DecodeError>> {
        let header = batch.header;
        self.next_offset = header.next_offset();
        if header.is_control() {
            return Vec::new();
        }
        let offset = header.base_offset;
        let records = match Records::of(batch, MAX_INFLATED_BYTES) {
            Ok(records) => records,
            Err(source) => return vec![Err(DecodeError::Records { offset, source })],
        };
        let data = match records.into_data() {
            std::borrow::Cow::Borrowed(data) => self.bytes.slice_ref(data),
            std::borrow::Cow::Owned(data) => Bytes::from(data),
        };
        let mut read = Vec::new();
        for record in RecordIter::new(header, &data) {
            let record = record
                .map_err(|source| DecodeError::Records { offset, source })
                .and_then(|record| read_record(&record, &data));
            let Some(record) = record.transpose() else { continue };
            let is_last = record.as_ref().is_err_and(|error| !error.is_skippable());
            read.push(record);
            if is_last {
                break;
            }
        }
        read
    }
}

/// Reads one record; `None` when its kind is not known.
fn read_record(
    record: &Record<'_>,
    data: &Bytes,
) -> Result<Option<TransactionRecord>, DecodeError> {
    let offset = record.offset;
    let damaged = |part| move |source| DecodeError::Record { offset, part, source };
    let key = record.key.ok_or(DecodeError::NoKey { offset })?;
    let key = TransactionLogKey::decode(data.slice_ref(key)).map_err(damaged("key"))?;
    let Some(key) = key else { return Ok(None) };
    let value = match record.value {
        None => None,
        Some(value) => {
            let value = data.slice_ref(value);
            let value = TransactionLogValue::decode(value).map_err(damaged("value"))?;
            Some(metadata(&value, offset)?)
        }
    };
    let transactional_id = key.transactional_id.as_str().into();
    Ok(Some(TransactionRecord { transactional_id, value }))
}

fn metadata(
    value: &TransactionLogValue,
    offset: Offset,
) -> Result<TransactionMetadataRecord, DecodeError> {
    let meaningless = |field, number| DecodeError::Meaningless { offset, field, number };
    let state = TransactionState::from_number(value.transaction_status)
        .ok_or_else(|| meaningless("state", value.transaction_status.into()))?;
    let version = value.client_transaction_version;
    let client_version = TransactionVersion::from_level(version)
        .ok_or_else(|| meaningless("version", version.into()))?;
    let producer_epoch = ProducerEpoch::from_wire(value.producer_epoch)
        .ok_or_else(|| meaningless("epoch", value.producer_epoch.into()))?;
    let producer_id = producer_id(value.producer_id)
        .ok_or_else(|| meaningless("producer id", value.producer_id))?;
    let partitions = value.transaction_partitions.iter().flatten().flat_map(|topic| {
        topic.partition_ids.iter().map(|partition| TopicPartition {
            topic: String::from(&topic.topic),
            partition: *partition,
        })
    });
    Ok(TransactionMetadataRecord {
        producer_id,
        previous_producer_id: self::producer_id(value.previous_producer_id),
        next_producer_id: self::producer_id(value.next_producer_id),
        producer_epoch,
        transaction_timeout: Duration::from_millis(
            u64::try_from(value.transaction_timeout_ms).unwrap_or(0),
        ),
        state,
        partitions: partitions.collect(),
        updated_at: UnixMillis(value.transaction_last_update_timestamp_ms),
        started_at: time(value.transaction_start_timestamp_ms),
        client_version,
    })
}

fn producer_id(id: i64) -> Option<ProducerId> {
    (id >= 0).then_some(ProducerId(id))
}

fn time(millis: i64) -> Option<UnixMillis> {
    (millis >= 0).then_some(UnixMillis(millis))
}

/// Most bytes that a compressed batch may have when inflated. We write none; Kafka's are bounded by its `max.message.bytes`, 1 MiB unless set.
const MAX_INFLATED_BYTES: usize = 64 << 20;
