//! The 61-byte header of a record batch of format 2, and the changes that are made to a batch in place.
//!
//! Owns the byte positions and the checks that need no record. Never allocates and never looks behind the header,
//! except to compute the checksum.
//!
//! ```text
//!  0 base offset          i64   outside the checksum
//!  8 length               i32   of all that follows this field
//! 12 partition leader epoch i32 outside the checksum
//! 16 magic                i8    2
//! 17 crc                  u32   CRC-32C of everything from byte 21 on
//! 21 attributes           i16   0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
//! 23 last offset delta    i32
//! 27 base timestamp       i64   or the delete horizon, when attribute bit 6 is set
//! 35 max timestamp        i64
//! 43 producer id          i64
//! 51 producer epoch       i16
//! 53 base sequence        i32
//! 57 record count         i32
//! 61 records
//! ```

use super::compression::{COMPRESSION_BITS, Codec};
use crate::epoch::{LeaderEpoch, ProducerEpoch};
use crate::ids::ProducerId;
use crate::offset::Offset;
use crate::timestamp::UnixMillis;

/// Size of a header in bytes; the records begin here.
pub const HEADER_BYTES: usize = 61;

/// Bytes of a batch that its length field does not count: base offset and the length itself (Kafka's `Records.LOG_OVERHEAD`).
pub(super) const LOG_OVERHEAD_BYTES: usize = 12;

/// The header of one batch, checked field by field and field against field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record that the batch was made with; 0 or greater.
    pub base_offset: Offset,
    /// Size of the whole batch, header included, as its length field says: 61 or greater, at most `i32::MAX` + 12.
    pub size_bytes: usize,
    /// Leader epoch that the leader wrote at append; `None` before it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// CRC-32C of everything behind the checksum, as the batch claims.
    pub crc: u32,
    /// Attribute bits as they are on the wire; the accessors name them.
    pub attributes: i16,
    /// Distance of the last offset from the base offset; 0 or greater. Compaction keeps it, so it may exceed the records' count.
    pub last_offset_delta: i32,
    /// Timestamp that the records' deltas count from; the delete horizon when [`BatchHeader::delete_horizon`] is some.
    pub base_timestamp: UnixMillis,
    /// Greatest timestamp in the batch, or the time of the append when the timestamp type says so; −1 for none.
    pub max_timestamp: UnixMillis,
    /// Producer fields of an idempotent or transactional producer's batch, or of a control batch.
    pub producer: Option<BatchProducer>,
    /// Number of records: 0 to `last_offset_delta` + 1; 0 only in a batch that compaction emptied.
    pub record_count: i32,
}

/// Producer fields of a batch (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchProducer {
    /// The producer's id.
    pub id: ProducerId,
    /// The producer's epoch.
    pub epoch: ProducerEpoch,
    /// Sequence number of the first record, 0 or greater; `None` in control batches and in offsets that a coordinator writes for a transaction.
    pub base_sequence: Option<i32>,
}

/// What the timestamps of a batch mean (Kafka's `message.timestamp.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// Set by the producer, per record.
    CreateTime,
    /// Set by the broker at append; every record has the batch's max timestamp.
    LogAppendTime,
}

/// Says why bytes are no batch header of format 2, or no intact batch (Kafka answers `CORRUPT_MESSAGE`, and
/// `UNSUPPORTED_FOR_MESSAGE_FORMAT` or conversion for another magic).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than a header, or than the batch that the header announces.
    #[error("a record batch needs {needed} bytes, {available} are there")]
    Incomplete {
        /// Bytes that are needed.
        needed: usize,
        /// Bytes that are there.
        available: usize,
    },
    /// The length field is below the size of a header.
    #[error("record batch length {0} is too small")]
    Length(i32),
    /// The format is another one than 2.
    #[error("record batch has magic {0}, expected 2")]
    Magic(i8),
    /// A field is out of its range, or contradicts another.
    #[error("record batch field {field} is {value}, which is invalid")]
    Field {
        /// The field's name in Kafka's protocol guide.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// The checksum does not fit the content.
    #[error("record batch checksum is {computed:#010x}, the header says {stored:#010x}")]
    Checksum {
        /// The header's value.
        stored: u32,
        /// The content's value.
        computed: u32,
    },
}

/// Says which rule for batches from clients is broken (Kafka's `UnifiedLog.analyzeAndValidateRecords` and
/// `LogValidator.validateBatch`; the answer is `INVALID_RECORD`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducedBatchError {
    /// Offsets are the broker's to assign.
    #[error("the base offset of a produced record batch should be 0, but it is {0}")]
    BaseOffset(Offset),
    /// A batch without records, or one whose count is not the range of its offsets.
    #[error("{record_count} records do not fill the offsets 0 to {last_offset_delta} of the batch")]
    RecordCount {
        /// Records in the batch.
        record_count: i32,
        /// The batch's last offset delta.
        last_offset_delta: i32,
    },
    /// Clients must not write control records.
    #[error("clients are not allowed to write control records")]
    Control,
    /// A producer id demands a sequence.
    #[error("a record batch with producer id {0} has no sequence number")]
    NoSequence(ProducerId),
    /// Only a broker sets the delete horizon, while it compacts.
    #[error("clients are not allowed to set the delete horizon")]
    DeleteHorizon,
}

impl BatchHeader {
    /// Reads and checks the header at the start of `bytes`. The batch itself need not be there in full: compare `size_bytes`.
    ///
    /// # Errors
    /// [`BatchError::Magic`] for formats 0 and 1 (whose magic lies at the same place), [`BatchError::Incomplete`] when 61 bytes are not there,
    /// [`BatchError::Length`] and [`BatchError::Field`] for impossible values. The checksum is not checked: see [`verify_crc`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        if let Some(&[magic]) = bytes.get(MAGIC..=MAGIC)
            && magic != 2
        {
            return Err(BatchError::Magic(i8::from_be_bytes([magic])));
        }
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(BatchError::Incomplete { needed: HEADER_BYTES, available: bytes.len() });
        };
        let length = i32_at(header, LENGTH);
        let size_bytes = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(LOG_OVERHEAD_BYTES))
            .filter(|size| *size >= HEADER_BYTES)
            .ok_or(BatchError::Length(length))?;
        let parsed = Self {
            base_offset: Offset(i64_at(header, BASE_OFFSET)),
            size_bytes,
            leader_epoch: LeaderEpoch::from_wire(i32_at(header, LEADER_EPOCH)),
            crc: u32::from_be_bytes(array_at(header, CRC)),
            attributes: i16_at(header, ATTRIBUTES),
            last_offset_delta: i32_at(header, LAST_OFFSET_DELTA),
            base_timestamp: UnixMillis(i64_at(header, BASE_TIMESTAMP)),
            max_timestamp: UnixMillis(i64_at(header, MAX_TIMESTAMP)),
            producer: parse_producer(header)?,
            record_count: i32_at(header, RECORD_COUNT),
        };
        parsed.check_fields()?;
        Ok(parsed)
    }

    /// Checks what Kafka demands of a batch that comes from a client, on top of what [`BatchHeader::parse`] checked.
    ///
    /// # Errors
    /// [`ProducedBatchError`] names the rule that is broken.
    pub fn check_produced(&self) -> Result<(), ProducedBatchError> {
        if self.base_offset != Offset::ZERO {
            return Err(ProducedBatchError::BaseOffset(self.base_offset));
        }
        if self.record_count == 0 || self.record_count - 1 != self.last_offset_delta {
            return Err(ProducedBatchError::RecordCount {
                record_count: self.record_count,
                last_offset_delta: self.last_offset_delta,
            });
        }
        if self.is_control() {
            return Err(ProducedBatchError::Control);
        }
        if self.delete_horizon().is_some() {
            return Err(ProducedBatchError::DeleteHorizon);
        }
        match self.producer {
            Some(BatchProducer { id, base_sequence: None, .. }) => {
                Err(ProducedBatchError::NoSequence(id))
            }
            _ => Ok(()),
        }
    }

    /// Returns the offset of the last record, whether or not compaction removed it.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// Returns the offset that follows the batch.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset() + 1
    }

    /// Returns the sequence number of the last record, which wraps from `i32::MAX` to 0; `None` without a base sequence.
    #[must_use]
    pub fn last_sequence(&self) -> Option<i32> {
        let base = self.producer?.base_sequence?;
        let wrapped = (i64::from(base) + i64::from(self.last_offset_delta)) & i64::from(i32::MAX);
        Some(i32::try_from(wrapped).expect("31 bits fit"))
    }

    /// Returns the codec of the records.
    #[must_use]
    pub fn codec(&self) -> Codec {
        Codec::from_attributes(self.attributes).expect("parse refuses unknown codecs")
    }

    /// Returns what the timestamps mean.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Says whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Says whether the batch holds control records (transaction markers), which clients never see.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Returns the time from which compaction may drop the batch's tombstones and markers, once a cleaner has set it (KIP-534).
    #[must_use]
    pub fn delete_horizon(&self) -> Option<UnixMillis> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    /// Says whether the batch is one that [`vacant_batch`](super::vacant_batch) makes: it stands where records were, and says nothing but that.
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        self.record_count == 0 && self.producer.is_none()
    }

    /// Writes the header over the first bytes of its batch, which is there in full, with the checksum of what stands behind it; `self.crc` is not looked at.
    pub(super) fn write_to(&self, batch: &mut [u8]) {
        assert_eq!(batch.len(), self.size_bytes, "the header is that of the batch");
        let length = i32::try_from(self.size_bytes - LOG_OVERHEAD_BYTES)
            .expect("a batch is no larger than its length field can say");
        let producer = self.producer;
        let base_sequence = producer.and_then(|producer| producer.base_sequence);
        put(batch, BASE_OFFSET, self.base_offset.0.to_be_bytes());
        put(batch, LENGTH, length.to_be_bytes());
        put(batch, LEADER_EPOCH, LeaderEpoch::to_wire(self.leader_epoch).to_be_bytes());
        put(batch, MAGIC, [2]);
        put(batch, ATTRIBUTES, self.attributes.to_be_bytes());
        put(batch, LAST_OFFSET_DELTA, self.last_offset_delta.to_be_bytes());
        put(batch, BASE_TIMESTAMP, self.base_timestamp.0.to_be_bytes());
        put(batch, MAX_TIMESTAMP, self.max_timestamp.0.to_be_bytes());
        put(batch, PRODUCER_ID, producer.map_or(-1, |producer| producer.id.0).to_be_bytes());
        put(batch, PRODUCER_EPOCH, producer.map_or(-1, |producer| producer.epoch.0).to_be_bytes());
        put(batch, BASE_SEQUENCE, base_sequence.unwrap_or(-1).to_be_bytes());
        put(batch, RECORD_COUNT, self.record_count.to_be_bytes());
        put_crc(batch);
    }

    fn check_fields(&self) -> Result<(), BatchError> {
        let invalid = |field, value| Err(BatchError::Field { field, value });
        if self.base_offset < Offset::ZERO {
            return invalid("baseOffset", self.base_offset.0);
        }
        if self.last_offset_delta < 0 {
            return invalid("lastOffsetDelta", i64::from(self.last_offset_delta));
        }
        // One is kept free above, so that the next offset is a number too.
        if self.base_offset.0 > i64::MAX - i64::from(self.last_offset_delta) - 1 {
            return invalid("baseOffset", self.base_offset.0);
        }
        if self.record_count < 0
            || i64::from(self.record_count) > i64::from(self.last_offset_delta) + 1
        {
            return invalid("recordCount", i64::from(self.record_count));
        }
        let body_bytes = self.size_bytes - HEADER_BYTES;
        let smallest = match Codec::from_attributes(self.attributes) {
            None => return invalid("attributes", i64::from(self.attributes)),
            Some(Codec::None) => usize::try_from(self.record_count).map(|n| n * 7),
            Some(_) => Ok(usize::from(self.record_count > 0)),
        };
        if smallest.map_or(true, |smallest| body_bytes < smallest) {
            return invalid("recordCount", i64::from(self.record_count));
        }
        if self.is_transactional() && self.producer.is_none() {
            return invalid("producerId", -1);
        }
        Ok(())
    }
}

/// Checks the checksum of the batch at the start of `batch`, whose bytes must be there in full.
///
/// # Errors
/// [`BatchError::Checksum`] on a mismatch; the errors of [`BatchHeader::parse`]; [`BatchError::Incomplete`] when bytes are missing.
pub fn verify_crc(batch: &[u8]) -> Result<(), BatchError> {
    let header = BatchHeader::parse(batch)?;
    let computed = crc_of(whole(&header, batch)?);
    if computed == header.crc {
        Ok(())
    } else {
        Err(BatchError::Checksum { stored: header.crc, computed })
    }
}

/// Writes the base offset of the batch at the start of `batch`. It lies outside the checksum.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn set_base_offset(batch: &mut [u8], base_offset: Offset) {
    put(batch, BASE_OFFSET, base_offset.0.to_be_bytes());
}

/// Writes the partition leader epoch of the batch at the start of `batch`. It lies outside the checksum.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn set_leader_epoch(batch: &mut [u8], leader_epoch: LeaderEpoch) {
    put(batch, LEADER_EPOCH, leader_epoch.0.to_be_bytes());
}

/// Turns the batch at the start of `batch` into one with [`TimestampType::LogAppendTime`], all of whose records have the time `now`;
/// the checksum is computed again. Records are left alone: their deltas mean nothing from here on (KIP-32).
///
/// # Errors
/// The errors of [`BatchHeader::parse`]; [`BatchError::Incomplete`] when bytes are missing.
pub fn set_log_append_time(batch: &mut [u8], now: UnixMillis) -> Result<(), BatchError> {
    let header = BatchHeader::parse(batch)?;
    whole(&header, batch)?;
    let attributes = header.attributes | LOG_APPEND_TIME_BIT;
    put(batch, ATTRIBUTES, attributes.to_be_bytes());
    put(batch, MAX_TIMESTAMP, now.0.to_be_bytes());
    put_crc(&mut batch[..header.size_bytes]);
    Ok(())
}

/// Writes the producer fields of the batch at the start of `batch`; the checksum is computed again. A producer learns them only when it sends.
///
/// # Errors
/// The errors of [`BatchHeader::parse`]; [`BatchError::Incomplete`] when bytes are missing.
pub fn set_producer(batch: &mut [u8], producer: BatchProducer) -> Result<(), BatchError> {
    let header = BatchHeader::parse(batch)?;
    whole(&header, batch)?;
    put(batch, PRODUCER_ID, producer.id.0.to_be_bytes());
    put(batch, PRODUCER_EPOCH, producer.epoch.0.to_be_bytes());
    put(batch, BASE_SEQUENCE, producer.base_sequence.unwrap_or(-1).to_be_bytes());
    put_crc(&mut batch[..header.size_bytes]);
    Ok(())
}

/// Writes length, codec and checksum of a batch whose block of records was replaced. `batch` is at least a header long.
pub(super) fn rewrite_block(batch: &mut [u8], length: i32, codec: Codec) {
    let attributes = i16::from_be_bytes([batch[ATTRIBUTES], batch[ATTRIBUTES + 1]]);
    put(batch, LENGTH, length.to_be_bytes());
    let attributes = (attributes & !COMPRESSION_BITS) | codec.to_attributes();
    put(batch, ATTRIBUTES, attributes.to_be_bytes());
    put_crc(batch);
}

/// Computes the checksum of a whole batch and writes it.
fn put_crc(batch: &mut [u8]) {
    let crc = crc_of(batch);
    put(batch, CRC, crc.to_be_bytes());
}

/// Computes the checksum of a whole batch.
fn crc_of(batch: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(&batch[ATTRIBUTES..])
}

fn whole<'a>(header: &BatchHeader, batch: &'a [u8]) -> Result<&'a [u8], BatchError> {
    batch
        .get(..header.size_bytes)
        .ok_or(BatchError::Incomplete { needed: header.size_bytes, available: batch.len() })
}

fn parse_producer(header: &[u8; HEADER_BYTES]) -> Result<Option<BatchProducer>, BatchError> {
    let id = i64_at(header, PRODUCER_ID);
    if id < 0 {
        return Ok(None);
    }
    let epoch = i16_at(header, PRODUCER_EPOCH);
    let base_sequence = i32_at(header, BASE_SEQUENCE);
    Ok(Some(BatchProducer {
        id: ProducerId(id),
        epoch: ProducerEpoch::from_wire(epoch)
            .ok_or_else(|| BatchError::Field { field: "producerEpoch", value: i64::from(epoch) })?,
        base_sequence: (base_sequence >= 0).then_some(base_sequence),
    }))
}

fn array_at<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    *header[at..].first_chunk().expect("every field lies inside the header")
}

fn i16_at(header: &[u8; HEADER_BYTES], at: usize) -> i16 {
    i16::from_be_bytes(array_at(header, at))
}

fn i32_at(header: &[u8; HEADER_BYTES], at: usize) -> i32 {
    i32::from_be_bytes(array_at(header, at))
}

fn i64_at(header: &[u8; HEADER_BYTES], at: usize) -> i64 {
    i64::from_be_bytes(array_at(header, at))
}

fn put<const N: usize>(batch: &mut [u8], at: usize, value: [u8; N]) {
    assert!(batch.len() >= HEADER_BYTES, "a batch is at least as long as its header");
    batch[at..at + N].copy_from_slice(&value);
}

const BASE_OFFSET: usize = 0;
const LENGTH: usize = 8;
const LEADER_EPOCH: usize = 12;
const MAGIC: usize = 16;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const BASE_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const RECORD_COUNT: usize = 57;

pub(super) const LOG_APPEND_TIME_BIT: i16 = 0b0000_1000;
pub(super) const TRANSACTIONAL_BIT: i16 = 0b0001_0000;
pub(super) const CONTROL_BIT: i16 = 0b0010_0000;
pub(super) const DELETE_HORIZON_BIT: i16 = 0b0100_0000;
