//! Writing of single messages of formats 0 and 1.

use model::UnixMillis;
use model::record_batch::TimestampType;
use model::record_batch::compression::Codec;

use super::message_set::{LOG_APPEND_TIME_BIT, OVERHEAD_BYTES};
use super::{ConversionError, MessageFormat};

/// A message to write.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewMessage<'a> {
    pub(super) offset: i64,
    pub(super) format: MessageFormat,
    pub(super) codec: Codec,
    pub(super) timestamp_type: TimestampType,
    /// Format 0 has no place for it.
    pub(super) timestamp: UnixMillis,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
}

impl NewMessage<'_> {
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
