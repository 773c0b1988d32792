//! The records inside a batch: decompression with a bound, iteration, and the full walk that some appends need.
//!
//! Layout of a record (Kafka's `DefaultRecord`); all numbers are zigzag varints except the attributes:
//!
//! ```text
//! length, attributes i8, timestamp delta, offset delta, key length or −1, key, value length or −1, value,
//! header count, { key length, key, value length or −1, value } ...
//! ```

use std::borrow::Cow;

use super::batches::Batch;
use super::compression::{CompressionError, decompress};
use super::header::{BatchHeader, HEADER_BYTES, TimestampType};
use super::varint;
use crate::offset::Offset;
use crate::timestamp::UnixMillis;

/// The decompressed records of one batch.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    header: BatchHeader,
    data: Cow<'a, [u8]>,
}

/// One record; key, value and headers are borrowed from the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The record's offset.
    pub offset: Offset,
    /// The record's timestamp: its own, or the batch's max timestamp under [`TimestampType::LogAppendTime`].
    pub timestamp: UnixMillis,
    /// The key; `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for null, a tombstone on a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers, whose shape the iteration has checked.
    pub headers: Headers<'a>,
}

/// Headers of one record, in their order. Iterates without a further check: the record was checked when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    count: usize,
    bytes: &'a [u8],
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Header<'a> {
    /// The key: UTF-8 by contract, which neither Kafka's broker nor we enforce.
    pub key: &'a [u8],
    /// The value; `None` for null.
    pub value: Option<&'a [u8]>,
}

/// Says why the records of a batch are invalid (Kafka answers `INVALID_RECORD`, or `CORRUPT_MESSAGE` where bytes are damaged).
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The records cannot be decompressed, or are too large in that form.
    #[error("records cannot be decompressed")]
    Compression(#[from] CompressionError),
    /// A length, count or number runs past its bound.
    #[error("record {index} is malformed: {what}")]
    Malformed {
        /// Index of the record in its batch.
        index: i32,
        /// What is malformed.
        what: &'static str,
    },
    /// The data ends before the header's count is reached, or goes on behind it.
    #[error("record batch holds {found} records, its header says {expected}")]
    Count {
        /// The header's count.
        expected: i32,
        /// Records found, `expected` + 1 when there is more.
        found: i32,
    },
    /// An offset delta is out of order or outside the batch.
    #[error("record {index} has offset delta {delta}")]
    OffsetDelta {
        /// Index of the record in its batch.
        index: i32,
        /// Its delta.
        delta: i64,
    },
    /// A record without a key on a compacted topic.
    #[error("record {index} has no key, which a compacted topic demands")]
    NoKey {
        /// Index of the record in its batch.
        index: i32,
    },
}

impl<'a> Records<'a> {
    /// Takes the records of a batch, decompressed into at most `limit_bytes`. The checksum is the caller's to check.
    ///
    /// # Errors
    /// [`RecordsError::Compression`].
    pub fn of(batch: Batch<'a>, limit_bytes: usize) -> Result<Self, RecordsError> {
        let section = batch.bytes.get(HEADER_BYTES..).unwrap_or_default();
        let data = decompress(batch.header.codec(), section, limit_bytes)?;
        Ok(Self { header: batch.header, data })
    }

    /// Iterates over the records. After the last one that the header counts, data that is left is an error.
    #[must_use]
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter::new(self.header, &self.data)
    }

    /// Returns the decompressed section of the batch behind its header.
    #[must_use]
    pub fn into_data(self) -> Cow<'a, [u8]> {
        self.data
    }
}

/// Iterator over the records of a batch. It ends at the first error.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    header: BatchHeader,
    rest: &'a [u8],
    index: i32,
    previous_delta: i32,
    is_done: bool,
}

impl<'a> RecordIter<'a> {
    /// Iterates over the decompressed records of the batch that `header` belongs to.
    #[must_use]
    pub fn new(header: BatchHeader, data: &'a [u8]) -> Self {
        Self { header, rest: data, index: 0, previous_delta: -1, is_done: false }
    }

    fn read(&mut self) -> Result<Record<'a>, RecordsError> {
        let index = self.index;
        let malformed = |what| RecordsError::Malformed { index, what };
        if self.rest.is_empty() {
            return Err(RecordsError::Count { expected: self.header.record_count, found: index });
        }
        let length = varint::read_i32(&mut self.rest).ok_or_else(|| malformed("length"))?;
        let mut body = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_off(..length))
            .ok_or_else(|| malformed("length"))?;
        // The attributes have no meaning yet; Kafka ignores them too.
        body.split_off_first().ok_or_else(|| malformed("attributes"))?;
        let timestamp_delta =
            varint::read_i64(&mut body).ok_or_else(|| malformed("timestamp delta"))?;
        let delta = varint::read_i32(&mut body).ok_or_else(|| malformed("offset delta"))?;
        if delta <= self.previous_delta || delta > self.header.last_offset_delta {
            return Err(RecordsError::OffsetDelta { index, delta: i64::from(delta) });
        }
        let key = read_nullable(&mut body).ok_or_else(|| malformed("key"))?;
        let value = read_nullable(&mut body).ok_or_else(|| malformed("value"))?;
        let headers = read_headers(body).ok_or_else(|| malformed("headers"))?;
        self.previous_delta = delta;
        let timestamp = match self.header.timestamp_type() {
            TimestampType::LogAppendTime => self.header.max_timestamp,
            TimestampType::CreateTime => {
                UnixMillis(self.header.base_timestamp.0.wrapping_add(timestamp_delta))
            }
        };
        let offset = self.header.base_offset + i64::from(delta);
        Ok(Record { offset, timestamp, key, value, headers })
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        if self.index == self.header.record_count {
            self.is_done = true;
            return (!self.rest.is_empty()).then(|| {
                let expected = self.header.record_count;
                Err(RecordsError::Count { expected, found: expected.saturating_add(1) })
            });
        }
        let record = self.read();
        self.index += 1;
        self.is_done = record.is_err();
        Some(record)
    }
}

impl<'a> Headers<'a> {
    /// Returns the number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Says whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        read_header(&mut self.bytes)
    }
}

/// Whether a record must have a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// It may have none.
    Optional,
    /// It must have one.
    Required,
}

/// Walks over all records of a batch from a client and checks them (Kafka's `LogValidator.validateRecord`): shape, count, offset deltas without a gap,
/// keys. They may inflate to `limit_bytes` at most. Header, checksum and timestamps are the log's to check.
///
/// # Errors
/// The first [`RecordsError`] in the order of the records.
pub fn validate_records(
    batch: Batch<'_>,
    keys: KeyRule,
    limit_bytes: usize,
) -> Result<(), RecordsError> {
    let records = Records::of(batch, limit_bytes)?;
    for (index, record) in (0_i32..).zip(records.iter()) {
        let record = record?;
        let delta = record.offset - batch.header.base_offset;
        if delta != i64::from(index) {
            return Err(RecordsError::OffsetDelta { index, delta });
        }
        if keys == KeyRule::Required && record.key.is_none() {
            return Err(RecordsError::NoKey { index });
        }
    }
    Ok(())
}

/// Reads a length, where −1 is null, and as many bytes; the outer `None` is malformed input.
fn read_nullable<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match varint::read_i32(rest)? {
        ..0 => Some(None),
        length => rest.split_off(..usize::try_from(length).ok()?).map(Some),
    }
}

/// Checks that the rest of a record is exactly its headers.
fn read_headers(mut body: &[u8]) -> Option<Headers<'_>> {
    let count = usize::try_from(varint::read_i32(&mut body)?).ok()?;
    let headers = Headers { count, bytes: body };
    for _ in 0..count {
        read_header(&mut body)?;
    }
    body.is_empty().then_some(headers)
}

fn read_header<'a>(rest: &mut &'a [u8]) -> Option<Header<'a>> {
    // A header's key cannot be null.
    let key = read_nullable(rest)??;
    let value = read_nullable(rest)?;
    Some(Header { key, value })
}
