//! Message formats 0 and 1, and their conversion from and to record batches of format 2.
//!
//! Clients older than Kafka 0.11 produce and fetch *message sets*: Produce 0 to 2 and Fetch 0 to 3. The log holds format 2 alone, so what
//! comes in is converted up before the append and what goes out is converted down after the read. Formats: KIP-31, KIP-32,
//! Kafka's `LegacyRecord`, `AbstractLegacyRecordBatch`; conversions: `RecordsUtil.downConvert` and `LogValidator` of Kafka 3.9.
//!
//! Nothing here assigns offsets of the log. Invariant: whatever the bytes, memory is bounded by the caller's limit.

mod down_convert;
mod lz4_format_0;
mod message;
mod message_set;
mod up_convert;

use model::record_batch::compression::CompressionError;
use model::record_batch::{BatchError, BuildError, RecordsError};

pub use down_convert::{DownConversion, down_convert};
pub use up_convert::up_convert;

/// A format older than record batches (Kafka's magic 0 and 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageFormat {
    /// Magic 0, before Kafka 0.10: no timestamps; offsets inside a compressed message are absolute.
    V0,
    /// Magic 1, Kafka 0.10: timestamps (KIP-32); offsets inside a compressed message are relative (KIP-31).
    V1,
}

impl MessageFormat {
    /// Reads the magic byte; `None` for any but 0 and 1.
    fn from_magic(magic: i8) -> Option<Self> {
        match magic {
            0 => Some(Self::V0),
            1 => Some(Self::V1),
            _ => None,
        }
    }

    /// Returns the magic byte.
    fn to_magic(self) -> u8 {
        match self {
            Self::V0 => 0,
            Self::V1 => 1,
        }
    }

    /// Returns the format that a fetch of this version reads, or `None` when it reads record batches (Fetch 4 and newer).
    #[must_use]
    pub fn of_fetch_version(version: i16) -> Option<Self> {
        match version {
            ..=1 => Some(Self::V0),
            2 | 3 => Some(Self::V1),
            _ => None,
        }
    }
}

/// Says why records could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConversionError {
    /// A message set is damaged, or breaks a rule of its format (Kafka: `CORRUPT_MESSAGE`).
    #[error("message at byte {position} of the message set is invalid: {what}")]
    Message {
        /// Where the message begins; inside a compressed message, where that one does.
        position: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The producer set the timestamp type to log append time, which is the broker's to set (Kafka: `INVALID_TIMESTAMP`).
    #[error("a producer should not set the timestamp type to LogAppendTime")]
    LogAppendTime,
    /// The codec has no place in the older format (Kafka: `UNSUPPORTED_COMPRESSION_TYPE`).
    #[error("{codec} compressed records cannot be converted to an older format")]
    UnsupportedCodec {
        /// The codec's name.
        codec: &'static str,
    },
    /// A message cannot be decompressed or is too large (Kafka: `CORRUPT_MESSAGE`).
    #[error("messages cannot be decompressed or compressed")]
    Compression(#[from] CompressionError),
    /// The converted records would be larger than the caller allows (Kafka: `MESSAGE_TOO_LARGE`).
    #[error("converted records exceed {limit_bytes} bytes")]
    TooLarge {
        /// The caller's limit.
        limit_bytes: usize,
    },
    /// A record batch of the log is invalid.
    #[error("record batch is invalid")]
    Batch(#[from] BatchError),
    /// The records of a batch of the log are invalid.
    #[error("records of a batch are invalid")]
    Records(#[from] RecordsError),
    /// The new batch cannot be built.
    #[error("record batch cannot be built")]
    Build(#[from] BuildError),
}

#[cfg(test)]
mod tests;
