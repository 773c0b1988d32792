//! Builds one batch of format 2 from records.
//!
//! Deterministic: the same calls give the same bytes. Never reads a clock and never splits: the caller watches the size.

use super::compression::{Codec, CompressionError, compress};
use super::header::{
    BatchHeader, BatchProducer, CONTROL_BIT, DELETE_HORIZON_BIT, HEADER_BYTES, LOG_APPEND_TIME_BIT,
    LOG_OVERHEAD_BYTES, TRANSACTIONAL_BIT, TimestampType,
};
use super::records::Header;
use super::varint;
use crate::epoch::LeaderEpoch;
use crate::offset::Offset;
use crate::timestamp::UnixMillis;

/// What a batch is made with, apart from its records.
#[derive(Clone, Copy, Debug)]
pub struct BatchOptions {
    /// Offset of the first record; a leader overwrites it, so producers leave 0.
    pub base_offset: Offset,
    /// Leader epoch; a leader overwrites it, so producers leave `None`.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Codec of the records.
    pub codec: Codec,
    /// Level of the codec, see [`compress`]; `None` for its default.
    pub level: Option<i32>,
    /// What the timestamps mean. Under `LogAppendTime`, the greatest timestamp that was appended becomes every record's.
    pub timestamp_type: TimestampType,
    /// Producer fields; needed in a transaction.
    pub producer: Option<BatchProducer>,
    /// What kind of batch it is.
    pub kind: BatchKind,
}

/// Kind of a batch (attribute bits 4 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BatchKind {
    /// Records outside a transaction.
    #[default]
    Plain,
    /// Records of a transaction.
    Transactional,
    /// Control records: the marker of a transaction.
    TransactionMarker,
    /// Control records outside a transaction (Kafka writes such into its Raft log).
    Control,
}

/// A record to append.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    /// The timestamp; −1 for none.
    pub timestamp: UnixMillis,
    /// The key; `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for null.
    pub value: Option<&'a [u8]>,
    /// The headers, in their order.
    pub headers: &'a [Header<'a>],
}

/// Says why a batch could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The batch would outgrow the length field, the record count or the offsets.
    #[error("a record batch cannot hold more than {MAX_BATCH_BYTES} bytes or 2^31 - 1 offsets")]
    TooLarge,
    /// An offset that is not greater than the one before it, or lies before the base offset.
    #[error("offset {0} is out of order")]
    OutOfOrder(Offset),
    /// The codec failed.
    #[error("records cannot be compressed")]
    Compression(#[from] CompressionError),
}

/// Greatest size of a batch that the builder makes, in bytes, before compression.
const MAX_BATCH_BYTES: usize = 1 << 30;

/// Collects records and makes one batch of them.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    /// A header's room, then the records.
    bytes: Vec<u8>,
    base_timestamp: Option<UnixMillis>,
    has_delete_horizon: bool,
    max_timestamp: UnixMillis,
    /// −1 while there is no record.
    last_offset_delta: i32,
    record_count: i32,
}

impl Default for BatchOptions {
    /// An uncompressed batch of create times, as a producer without an id sends it.
    fn default() -> Self {
        Self {
            base_offset: Offset::ZERO,
            leader_epoch: None,
            codec: Codec::None,
            level: None,
            timestamp_type: TimestampType::CreateTime,
            producer: None,
            kind: BatchKind::Plain,
        }
    }
}

impl BatchBuilder {
    /// Starts a batch.
    #[must_use]
    pub fn new(options: BatchOptions) -> Self {
        Self {
            options,
            bytes: vec![0; HEADER_BYTES],
            base_timestamp: None,
            has_delete_horizon: false,
            max_timestamp: UnixMillis(-1),
            last_offset_delta: -1,
            record_count: 0,
        }
    }

    /// Starts a batch whose tombstones and markers compaction may drop from `horizon` on (KIP-534). The horizon stands where the base timestamp is, so the records'
    /// timestamps count from it.
    #[must_use]
    pub fn with_delete_horizon(options: BatchOptions, horizon: UnixMillis) -> Self {
        let builder = Self::new(options);
        Self { base_timestamp: Some(horizon), has_delete_horizon: true, ..builder }
    }

    /// Returns the number of records so far.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Says whether there is no record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Returns the size of the batch so far, before compression, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns how many bytes at most the batch grows by when the record is appended.
    #[must_use]
    pub fn upper_bound_of(record: &NewRecord<'_>) -> usize {
        let nullable = |bytes: Option<&[u8]>| 5 + bytes.map_or(0, <[u8]>::len);
        let headers: usize =
            record.headers.iter().map(|header| 5 + header.key.len() + nullable(header.value)).sum();
        // Length, attributes, timestamp delta, offset delta, header count.
        5 + 1 + 10 + 5 + 5 + nullable(record.key) + nullable(record.value) + headers
    }

    /// Appends a record at the next offset.
    ///
    /// # Errors
    /// [`BuildError::TooLarge`]; the batch is as before.
    pub fn append(&mut self, record: &NewRecord<'_>) -> Result<(), BuildError> {
        let delta = self.last_offset_delta.checked_add(1).ok_or(BuildError::TooLarge)?;
        self.append_delta(delta, record)
    }

    /// Appends a record at an offset that may leave a gap, as compaction does.
    ///
    /// # Errors
    /// [`BuildError::OutOfOrder`], [`BuildError::TooLarge`]; the batch is as before.
    pub fn append_at(&mut self, offset: Offset, record: &NewRecord<'_>) -> Result<(), BuildError> {
        let delta = offset - self.options.base_offset;
        if delta <= i64::from(self.last_offset_delta) {
            return Err(BuildError::OutOfOrder(offset));
        }
        let delta = i32::try_from(delta).map_err(|_| BuildError::TooLarge)?;
        self.append_delta(delta, record)
    }

    /// Makes the batch end at `last_offset`, where a record that is gone had been.
    ///
    /// # Errors
    /// [`BuildError::OutOfOrder`] when a record lies behind it, [`BuildError::TooLarge`].
    pub fn end_at(&mut self, last_offset: Offset) -> Result<(), BuildError> {
        let delta = last_offset - self.options.base_offset;
        if delta < i64::from(self.last_offset_delta) || delta < 0 {
            return Err(BuildError::OutOfOrder(last_offset));
        }
        self.last_offset_delta = i32::try_from(delta).map_err(|_| BuildError::TooLarge)?;
        Ok(())
    }

    /// Makes the batch: compresses, fills in the header, computes the checksum. A batch without records has last offset delta 0.
    ///
    /// # Errors
    /// [`BuildError::Compression`]; [`BuildError::TooLarge`] when the codec made the batch outgrow its length field.
    pub fn build(self) -> Result<Vec<u8>, BuildError> {
        let mut batch = match self.options.codec {
            Codec::None => self.bytes,
            codec => {
                let data = compress(codec, self.options.level, &self.bytes[HEADER_BYTES..])?;
                let mut batch = Vec::with_capacity(HEADER_BYTES + data.len());
                batch.resize(HEADER_BYTES, 0);
                batch.extend_from_slice(&data);
                batch
            }
        };
        if i32::try_from(batch.len() - LOG_OVERHEAD_BYTES).is_err() {
            return Err(BuildError::TooLarge);
        }
        let header = BatchHeader {
            base_offset: self.options.base_offset,
            size_bytes: batch.len(),
            leader_epoch: self.options.leader_epoch,
            crc: 0,
            attributes: self.options.attributes()
                | if self.has_delete_horizon { DELETE_HORIZON_BIT } else { 0 },
            last_offset_delta: self.last_offset_delta.max(0),
            base_timestamp: self.base_timestamp.unwrap_or(UnixMillis(-1)),
            max_timestamp: self.max_timestamp,
            producer: self.options.producer,
            record_count: self.record_count,
        };
        header.write_to(&mut batch);
        Ok(batch)
    }

    fn append_delta(&mut self, delta: i32, record: &NewRecord<'_>) -> Result<(), BuildError> {
        if self.bytes.len() + Self::upper_bound_of(record) > MAX_BATCH_BYTES {
            return Err(BuildError::TooLarge);
        }
        let base_timestamp = *self.base_timestamp.get_or_insert(record.timestamp);
        let timestamp_delta = record.timestamp.0.wrapping_sub(base_timestamp.0);
        let length = body_size(timestamp_delta, delta, record);
        let output = &mut self.bytes;
        varint::write_i32(output, narrow(length));
        output.push(0);
        varint::write_i64(output, timestamp_delta);
        varint::write_i32(output, delta);
        write_nullable(output, record.key);
        write_nullable(output, record.value);
        varint::write_i32(output, narrow(record.headers.len()));
        for header in record.headers {
            write_nullable(output, Some(header.key));
            write_nullable(output, header.value);
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.last_offset_delta = delta;
        self.record_count += 1;
        Ok(())
    }
}

impl BatchOptions {
    fn attributes(&self) -> i16 {
        let timestamps = match self.timestamp_type {
            TimestampType::CreateTime => 0,
            TimestampType::LogAppendTime => LOG_APPEND_TIME_BIT,
        };
        let kind = match self.kind {
            BatchKind::Plain => 0,
            BatchKind::Transactional => TRANSACTIONAL_BIT,
            BatchKind::TransactionMarker => TRANSACTIONAL_BIT | CONTROL_BIT,
            BatchKind::Control => CONTROL_BIT,
        };
        self.codec.to_attributes() | timestamps | kind
    }
}

/// Returns the size of a record behind its length field.
fn body_size(timestamp_delta: i64, offset_delta: i32, record: &NewRecord<'_>) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|header| nullable_size(Some(header.key)) + nullable_size(header.value))
        .sum();
    1 + varint::size_of_i64(timestamp_delta)
        + varint::size_of_i64(i64::from(offset_delta))
        + nullable_size(record.key)
        + nullable_size(record.value)
        + varint::size_of_i64(i64::from(narrow(record.headers.len())))
        + headers
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    match bytes {
        None => 1,
        Some(bytes) => varint::size_of_i64(i64::from(narrow(bytes.len()))) + bytes.len(),
    }
}

fn write_nullable(output: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::write_i32(output, -1),
        Some(bytes) => {
            varint::write_i32(output, narrow(bytes.len()));
            output.extend_from_slice(bytes);
        }
    }
}

fn narrow(length: usize) -> i32 {
    i32::try_from(length).expect("the batch's size was checked against its limit")
}
