//! Snappy as Kafka's clients write it: raw blocks in the framing of xerial's snappy-java.
//!
//! ```text
//! 82 'S' 'N' 'A' 'P' 'P' 'Y' 00   magic
//! i32 version, i32 lowest compatible version
//! { i32 length, raw snappy block } ...
//! ```
//!
//! Reading also takes one raw block without a frame, as some clients send, and a stream of several framed ones.

use super::{Codec, CompressionError, invalid};

pub(super) fn compress(data: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let mut encoder = snap::raw::Encoder::new();
    let mut output = Vec::with_capacity(HEADER.len() + data.len() / 2);
    output.extend_from_slice(&HEADER);
    for block in data.chunks(BLOCK_BYTES) {
        let compressed = encoder.compress_vec(block).map_err(|error| snappy(error.into()))?;
        let length = u32::try_from(compressed.len())
            .map_err(|_| invalid(Codec::Snappy, "block too large"))?;
        output.extend_from_slice(&length.to_be_bytes());
        output.extend_from_slice(&compressed);
    }
    Ok(output)
}

pub(super) fn decompress(data: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CompressionError> {
    let mut output = Vec::new();
    if !data.starts_with(&MAGIC) {
        append_block(&mut output, data, limit_bytes)?;
        return Ok(output);
    }
    let mut rest = data;
    while !rest.is_empty() {
        if rest.starts_with(&MAGIC) {
            rest =
                rest.get(HEADER.len()..).ok_or_else(|| invalid(Codec::Snappy, "short header"))?;
            continue;
        }
        let (length, behind) =
            rest.split_first_chunk().ok_or_else(|| invalid(Codec::Snappy, "short block length"))?;
        let block = usize::try_from(u32::from_be_bytes(*length))
            .ok()
            .and_then(|length| behind.get(..length))
            .ok_or_else(|| invalid(Codec::Snappy, "block longer than the data"))?;
        append_block(&mut output, block, limit_bytes)?;
        rest = &behind[block.len()..];
    }
    Ok(output)
}

fn append_block(
    output: &mut Vec<u8>,
    block: &[u8],
    limit_bytes: usize,
) -> Result<(), CompressionError> {
    let length = snap::raw::decompress_len(block).map_err(|error| snappy(error.into()))?;
    let start = output.len();
    if length > limit_bytes - start {
        return Err(CompressionError::TooLarge { limit_bytes });
    }
    // A block of n bytes cannot decode to more than 64 for each 3 of them, so a claim beyond that is no reason to reserve memory.
    if length / 22 > block.len() {
        return Err(invalid(Codec::Snappy, "length that the block cannot hold"));
    }
    output.resize(start + length, 0);
    let written = snap::raw::Decoder::new()
        .decompress(block, &mut output[start..])
        .map_err(|error| snappy(error.into()))?;
    output.truncate(start + written);
    Ok(())
}

fn snappy(source: std::io::Error) -> CompressionError {
    CompressionError::Invalid { codec: Codec::Snappy, source }
}

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";

/// Block size of snappy-java's output stream, which Kafka keeps.
const BLOCK_BYTES: usize = 32 * 1024;
