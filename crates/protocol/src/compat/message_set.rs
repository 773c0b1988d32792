//! Reading of message sets.
//!
//! ```text
//! offset i64, size i32, { crc u32 of what follows, magic i8, attributes i8, timestamp i64 (magic 1), key, value } ...
//! ```
//!
//! Key and value are an i32 length, −1 for null, and as many bytes. Attributes: bits 0 to 2 codec, bit 3 timestamp type (magic 1). A compressed
//! message is a *wrapper*: its value is a message set, its offset the last one's, its timestamp the greatest.

use model::UnixMillis;
use model::record_batch::TimestampType;
use model::record_batch::compression::{Codec, decompress};

use super::lz4_format_0::decompress_lz4;
use super::{ConversionError, MessageFormat};

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// Where it begins in its set, in bytes.
    pub(super) position: usize,
    /// The offset: whatever a producer put there, the log's offset in a fetch response.
    pub(super) offset: i64,
    /// The format.
    pub(super) format: MessageFormat,
    /// The codec of the value; a message with any but `None` is a wrapper.
    pub(super) codec: Codec,
    /// What the timestamp means; `CreateTime` in format 0.
    pub(super) timestamp_type: TimestampType,
    /// The timestamp; −1 in format 0.
    pub(super) timestamp: UnixMillis,
    /// The key; `None` for null.
    pub(super) key: Option<&'a [u8]>,
    /// The value; `None` for null.
    pub(super) value: Option<&'a [u8]>,
}

/// Iterator over the messages of a set, without a look into wrappers. A message that is cut off at the end is left out, as in Kafka; every other
/// fault is an error and ends the iteration.
#[derive(Clone, Debug)]
pub(super) struct MessageSet<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> MessageSet<'a> {
    /// Iterates over a message set.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    fn read(&mut self) -> Option<Result<Message<'a>, ConversionError>> {
        let position = self.position;
        let mut rest = self.bytes.get(position..)?;
        let offset = i64::from_be_bytes(take(&mut rest)?);
        let size = i32::from_be_bytes(take(&mut rest)?);
        let invalid = |what| Some(Err(ConversionError::Message { position, what }));
        let Some(size) = usize::try_from(size).ok().filter(|size| *size >= SMALLEST_V0_BYTES)
        else {
            return invalid("its size is too small");
        };
        let message = rest.split_off(..size)?;
        self.position = position + OVERHEAD_BYTES + size;
        Some(
            parse_message(message)
                .map(|parsed| Message { position, offset, ..parsed })
                .map_err(|what| ConversionError::Message { position, what }),
        )
    }
}

impl<'a> Iterator for MessageSet<'a> {
    type Item = Result<Message<'a>, ConversionError>;

    fn next(&mut self) -> Option<Self::Item> {
        let message = self.read();
        if !matches!(message, Some(Ok(_))) {
            self.bytes = &[];
        }
        message
    }
}

/// Visits every message of a set that holds a record, in order, those inside wrappers included: they come with their absolute offset, and with the wrapper's
/// timestamp where that is the log's. `limit_bytes` bounds what all wrappers of the set inflate to.
///
/// # Errors
/// [`ConversionError`] of the reading, or what `visit` returns.
pub(super) fn visit_messages(
    bytes: &[u8],
    limit_bytes: usize,
    mut visit: impl FnMut(Message<'_>) -> Result<(), ConversionError>,
) -> Result<(), ConversionError> {
    let mut left_bytes = limit_bytes;
    for message in MessageSet::new(bytes) {
        let message = message?;
        if message.codec != Codec::None {
            left_bytes -= visit_wrapped(&message, left_bytes, &mut visit)?;
        } else {
            visit(message)?;
        }
    }
    Ok(())
}

/// Visits the records inside a wrapper and returns the bytes that it inflated to.
fn visit_wrapped(
    wrapper: &Message<'_>,
    limit_bytes: usize,
    visit: &mut impl FnMut(Message<'_>) -> Result<(), ConversionError>,
) -> Result<usize, ConversionError> {
    let invalid = |what| ConversionError::Message { position: wrapper.position, what };
    let value = wrapper.value.ok_or_else(|| invalid("a compressed message has no value"))?;
    let inflated = match (wrapper.format, wrapper.codec) {
        (MessageFormat::V0, Codec::Lz4) => decompress_lz4(value, limit_bytes)?.into(),
        (_, codec) => decompress(codec, value, limit_bytes)?,
    };
    let last_inner_offset = last_inner_offset(&inflated, wrapper)?;
    for inner in MessageSet::new(&inflated) {
        let inner = inner.map_err(|error| match error {
            ConversionError::Message { what, .. } => invalid(what),
            other => other,
        })?;
        let offset = match wrapper.format {
            MessageFormat::V0 => inner.offset,
            // The last inner message has the wrapper's offset, the others lie before it at their relative distance.
            MessageFormat::V1 => {
                wrapper.offset.wrapping_sub(last_inner_offset).wrapping_add(inner.offset)
            }
        };
        let timestamp = match wrapper.timestamp_type {
            TimestampType::LogAppendTime => wrapper.timestamp,
            TimestampType::CreateTime => inner.timestamp,
        };
        visit(Message { offset, timestamp_type: wrapper.timestamp_type, timestamp, ..inner })?;
    }
    Ok(inflated.len())
}

/// Checks what a wrapper may hold (uncompressed messages of its own format, all there, at least one) and returns the last one's offset field.
fn last_inner_offset(inflated: &[u8], wrapper: &Message<'_>) -> Result<i64, ConversionError> {
    let invalid = |what| ConversionError::Message { position: wrapper.position, what };
    let mut last = None;
    let mut end = 0;
    for inner in MessageSet::new(inflated) {
        let inner = inner.map_err(|error| match error {
            ConversionError::Message { what, .. } => invalid(what),
            other => other,
        })?;
        if inner.codec != Codec::None {
            return Err(invalid("a compressed message lies inside a compressed message"));
        }
        if inner.format != wrapper.format {
            return Err(invalid("a message inside a compressed message has another format"));
        }
        last = Some(inner.offset);
        let size = inflated[inner.position + 8..]
            .first_chunk()
            .map_or(0, |size| usize::try_from(i32::from_be_bytes(*size)).unwrap_or_default());
        end = inner.position + OVERHEAD_BYTES + size;
    }
    if end != inflated.len() {
        return Err(invalid("the messages inside a compressed message are cut off"));
    }
    last.ok_or_else(|| invalid("a compressed message is empty"))
}

/// Reads one message from its checksum on; `position` and `offset` are the caller's to fill in.
fn parse_message(message: &[u8]) -> Result<Message<'_>, &'static str> {
    let mut rest = message;
    let crc = take(&mut rest).map(u32::from_be_bytes).ok_or(SHORT)?;
    if crc_fast::crc32_iso_hdlc(rest) != crc {
        return Err("its checksum does not fit its content");
    }
    let [magic] = take(&mut rest).ok_or(SHORT)?;
    let format = MessageFormat::from_magic(i8::from_be_bytes([magic]))
        .ok_or("its magic is neither 0 nor 1")?;
    let attributes = take(&mut rest).map(i8::from_be_bytes).ok_or(SHORT)?;
    let codec = Codec::from_attributes(i16::from(attributes))
        .filter(|codec| *codec != Codec::Zstd)
        .ok_or("its format does not know its codec")?;
    let (timestamp_type, timestamp) = match format {
        MessageFormat::V0 => (TimestampType::CreateTime, -1),
        MessageFormat::V1 => {
            let timestamp = take(&mut rest).map(i64::from_be_bytes).ok_or(SHORT)?;
            let is_append_time = attributes & LOG_APPEND_TIME_BIT != 0;
            let timestamp_type = if is_append_time {
                TimestampType::LogAppendTime
            } else {
                TimestampType::CreateTime
            };
            (timestamp_type, timestamp)
        }
    };
    let key = read_nullable(&mut rest)?;
    let value = read_nullable(&mut rest)?;
    if !rest.is_empty() {
        return Err("its size is larger than its fields");
    }
    Ok(Message {
        position: 0,
        offset: 0,
        format,
        codec,
        timestamp_type,
        timestamp: UnixMillis(timestamp),
        key,
        value,
    })
}

fn read_nullable<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
    match take(rest).map(i32::from_be_bytes).ok_or(SHORT)? {
        ..0 => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| SHORT)?;
            rest.split_off(..length).map(Some).ok_or(SHORT)
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

/// Bytes before a message's checksum: offset and size.
pub(super) const OVERHEAD_BYTES: usize = 12;

/// Size of a message of format 0 with null key and value, behind its size field.
const SMALLEST_V0_BYTES: usize = 14;

pub(super) const LOG_APPEND_TIME_BIT: i8 = 0b0000_1000;

const SHORT: &str = "its fields are longer than its size";
