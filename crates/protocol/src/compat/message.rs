//! One message of format 0 or 1: its layout, read and written.
//!
//! ```text
//! offset i64, size i32, crc u32 of what follows, magic i8, attributes i8, timestamp i64 (magic 1), key, value
//! ```
//!
//! Key and value are an i32 length, −1 for null, and as many bytes. Attributes: bits 0 to 2 codec, bit 3 timestamp type (magic 1).

use model::UnixMillis;
use model::record_batch::TimestampType;
use model::record_batch::compression::Codec;

use super::{ConversionError, MessageFormat};

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// The offset: whatever a producer put there, the log's offset in a fetch response.
    pub(super) offset: i64,
    /// The format.
    pub(super) format: MessageFormat,
    /// The codec of the value; a message with any but `None` is a wrapper.
    pub(super) codec: Codec,
    /// What the timestamp means; `CreateTime` in format 0.
    pub(super) timestamp_type: TimestampType,
    /// The timestamp; format 0 has no place for it and reads as −1.
    pub(super) timestamp: UnixMillis,
    /// The key; `None` for null.
    pub(super) key: Option<&'a [u8]>,
    /// The value; `None` for null.
    pub(super) value: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Takes the message at the start of `rest` off it. `None` when it is cut off; an error says what is wrong with it.
    pub(super) fn read(rest: &mut &'a [u8]) -> Option<Result<Self, &'static str>> {
        let mut behind = *rest;
        let offset = i64::from_be_bytes(take(&mut behind)?);
        let size = i32::from_be_bytes(take(&mut behind)?);
        let Some(size) = usize::try_from(size).ok().filter(|size| *size >= SMALLEST_V0_BYTES)
        else {
            return Some(Err("its size is too small"));
        };
        let content = behind.split_off(..size)?;
        *rest = behind;
        Some(Self::parse(offset, content))
    }

    /// Reads a message from its checksum on.
    fn parse(offset: i64, content: &'a [u8]) -> Result<Self, &'static str> {
        let mut rest = content;
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
        let timestamp = UnixMillis(timestamp);
        Ok(Self { offset, format, codec, timestamp_type, timestamp, key, value })
    }

    /// Returns the size of the message in a set, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let timestamp = match self.format {
            MessageFormat::V0 => 0,
            MessageFormat::V1 => 8,
        };
        let key = self.key.map_or(0, <[u8]>::len);
        let value = self.value.map_or(0, <[u8]>::len);
        OVERHEAD_BYTES + 4 + 1 + 1 + timestamp + 4 + key + 4 + value
    }

    /// Appends the message to a set that may grow up to `limit_bytes`.
    pub(super) fn append_to(
        &self,
        set: &mut Vec<u8>,
        limit_bytes: usize,
    ) -> Result<(), ConversionError> {
        let too_large = || ConversionError::TooLarge { limit_bytes };
        let size = self.size_bytes();
        if set.len() + size > limit_bytes {
            return Err(too_large());
        }
        let message_size = i32::try_from(size - OVERHEAD_BYTES).map_err(|_| too_large())?;
        set.reserve(size);
        set.extend_from_slice(&self.offset.to_be_bytes());
        set.extend_from_slice(&message_size.to_be_bytes());
        let crc_position = set.len();
        set.extend_from_slice(&[0; 4]);
        set.push(self.format.to_magic());
        set.extend_from_slice(&self.attributes().to_be_bytes());
        if self.format == MessageFormat::V1 {
            set.extend_from_slice(&self.timestamp.0.to_be_bytes());
        }
        for bytes in [self.key, self.value] {
            match bytes {
                None => set.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(bytes) => {
                    let length = i32::try_from(bytes.len()).map_err(|_| too_large())?;
                    set.extend_from_slice(&length.to_be_bytes());
                    set.extend_from_slice(bytes);
                }
            }
        }
        let crc = crc_fast::crc32_iso_hdlc(&set[crc_position + 4..]);
        set[crc_position..crc_position + 4].copy_from_slice(&crc.to_be_bytes());
        Ok(())
    }

    fn attributes(&self) -> i8 {
        let codec = i8::try_from(self.codec.to_attributes()).expect("a codec has three bits");
        match (self.format, self.timestamp_type) {
            (MessageFormat::V1, TimestampType::LogAppendTime) => codec | LOG_APPEND_TIME_BIT,
            _ => codec,
        }
    }
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
const OVERHEAD_BYTES: usize = 12;

/// Size of a message of format 0 with null key and value, behind its size field.
const SMALLEST_V0_BYTES: usize = 14;

const LOG_APPEND_TIME_BIT: i8 = 0b0000_1000;

const SHORT: &str = "its fields are longer than its size";
