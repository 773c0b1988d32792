//! The four codecs of record batches.
//!
//! Owns the codes and, with a bound on what comes out, compression and decompression. What is compressed is the section
//! of a batch behind its header (format 2) or the value of a wrapper message (formats 0 and 1); it is not looked at here.
//! Invariant: no input makes [`decompress`] hold more than its limit and one block of the codec.

mod lz4;
mod snappy;

use std::borrow::Cow;
use std::io::{Read, Write};

/// Codec of a batch's records (attribute bits 0 to 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// Records stand as they are.
    None,
    /// Gzip, code 1.
    Gzip,
    /// Snappy in xerial's framing, code 2.
    Snappy,
    /// LZ4 frames, code 3.
    Lz4,
    /// Zstandard, code 4 (KIP-110).
    Zstd,
}

impl Codec {
    /// All codecs, in the order of their codes.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Reads the codec out of attribute bits; `None` for the codes 5 to 7, which nobody defined.
    #[must_use]
    pub fn from_attributes(attributes: i16) -> Option<Self> {
        match attributes & COMPRESSION_BITS {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Returns the codec's code, which is also its attribute bits.
    #[must_use]
    pub fn to_attributes(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Reads the name that Kafka's `compression.type` gives the codec.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// Returns the name that Kafka's `compression.type` gives the codec.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Says why bytes could not be compressed or decompressed (Kafka answers `CORRUPT_MESSAGE` or `INVALID_RECORD`).
#[derive(Debug, thiserror::Error)]
pub enum CompressionError {
    /// What comes out would be larger than the caller allows.
    #[error("decompressed data exceeds {limit_bytes} bytes")]
    TooLarge {
        /// The caller's limit.
        limit_bytes: usize,
    },
    /// The codec refuses the data.
    #[error("{codec} data is invalid", codec = codec.name())]
    Invalid {
        /// The codec.
        codec: Codec,
        /// The codec's own reason.
        source: std::io::Error,
    },
}

/// Compresses `data` in the form that format 2 uses. The same input gives the same output.
///
/// `level` is Kafka's `compression.gzip.level` (1 to 9) or `compression.zstd.level` (−131072 to 22), clamped to its range; `None` is the codec's
/// default (6 and 3). Snappy has no levels, and of LZ4 there is the fast one only.
///
/// # Errors
/// [`CompressionError::Invalid`] when the codec fails, which for data in memory it does only when memory runs out.
pub fn compress(
    codec: Codec,
    level: Option<i32>,
    data: &[u8],
) -> Result<Vec<u8>, CompressionError> {
    match codec {
        Codec::None => Ok(data.to_vec()),
        Codec::Gzip => {
            let level = level.map_or(6, |level| level.clamp(1, 9).unsigned_abs());
            let level = flate2::Compression::new(level);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(data).and_then(|()| encoder.finish())
        }
        .map_err(|source| CompressionError::Invalid { codec, source }),
        Codec::Snappy => snappy::compress(data),
        Codec::Lz4 => lz4::compress(data),
        Codec::Zstd => {
            let level = level.map_or(3, |level| level.clamp(-131_072, 22));
            zstd::bulk::compress(data, level)
                .map_err(|source| CompressionError::Invalid { codec, source })
        }
    }
}

/// Decompresses `data`, which must come out at `limit_bytes` or less.
///
/// # Errors
/// [`CompressionError::TooLarge`] when it does not; [`CompressionError::Invalid`] when the codec refuses the data.
pub fn decompress(
    codec: Codec,
    data: &[u8],
    limit_bytes: usize,
) -> Result<Cow<'_, [u8]>, CompressionError> {
    match codec {
        Codec::None if data.len() > limit_bytes => Err(CompressionError::TooLarge { limit_bytes }),
        Codec::None => Ok(Cow::Borrowed(data)),
        Codec::Gzip => read_bounded(codec, flate2::read::MultiGzDecoder::new(data), limit_bytes)
            .map(Cow::Owned),
        Codec::Snappy => snappy::decompress(data, limit_bytes).map(Cow::Owned),
        Codec::Lz4 => lz4::decompress(data, limit_bytes).map(Cow::Owned),
        Codec::Zstd => {
            // The window is reserved by the frame's claim (at most 128 MiB), but its pages are touched only by what is decoded.
            let decoder = zstd::Decoder::with_buffer(data)
                .map_err(|source| CompressionError::Invalid { codec, source })?;
            read_bounded(codec, decoder, limit_bytes).map(Cow::Owned)
        }
    }
}

/// Reads all of a decoder's output, and one byte more than the limit at most.
fn read_bounded(
    codec: Codec,
    decoder: impl Read,
    limit_bytes: usize,
) -> Result<Vec<u8>, CompressionError> {
    let mut output = Vec::new();
    let one_more = u64::try_from(limit_bytes).unwrap_or(u64::MAX).saturating_add(1);
    decoder
        .take(one_more)
        .read_to_end(&mut output)
        .map_err(|source| CompressionError::Invalid { codec, source })?;
    if output.len() > limit_bytes {
        return Err(CompressionError::TooLarge { limit_bytes });
    }
    Ok(output)
}

fn invalid(codec: Codec, reason: &'static str) -> CompressionError {
    let source = std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
    CompressionError::Invalid { codec, source }
}

/// The attribute bits that hold the codec.
pub(super) const COMPRESSION_BITS: i16 = 0b0000_0111;

#[cfg(test)]
mod tests;
