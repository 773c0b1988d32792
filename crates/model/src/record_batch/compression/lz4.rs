//! LZ4 frames, in the standard form and in the one of message format 0.
//!
//! Kafka's first implementation computed the checksum of a frame's descriptor over the frame's magic as well (KIP-57). Format 0 keeps that for
//! ever: its writer writes the broken checksum and its reader checks none. Formats 1 and 2 follow the standard.

use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::{Codec, CompressionError, invalid, read_bounded};

pub(super) fn compress(data: &[u8]) -> Result<Vec<u8>, CompressionError> {
    // Java's reader knows independent blocks only.
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder
        .write_all(data)
        .map_err(|source| CompressionError::Invalid { codec: Codec::Lz4, source })?;
    encoder
        .finish()
        .map_err(|error| CompressionError::Invalid { codec: Codec::Lz4, source: error.into() })
}

pub(super) fn decompress(data: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CompressionError> {
    read_bounded(Codec::Lz4, FrameDecoder::new(data), limit_bytes)
}

/// Compresses into a frame with format 0's broken descriptor checksum.
///
/// # Errors
/// As [`super::compress`].
pub fn compress_lz4_format_0(data: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let mut frame = compress(data)?;
    let end = descriptor_end(&frame)?;
    frame[end] = checksum_byte(&frame[..end]);
    Ok(frame)
}

/// Decompresses a frame whatever its descriptor checksum says.
///
/// # Errors
/// As [`super::decompress`].
pub fn decompress_lz4_format_0(
    data: &[u8],
    limit_bytes: usize,
) -> Result<Vec<u8>, CompressionError> {
    let end = descriptor_end(data)?;
    let mut frame = data.to_vec();
    frame[end] = checksum_byte(&data[MAGIC.len()..end]);
    decompress(&frame, limit_bytes)
}

/// Finds the descriptor's checksum byte: behind flags, block size and the two optional fields.
fn descriptor_end(frame: &[u8]) -> Result<usize, CompressionError> {
    let flags = match frame.split_first_chunk() {
        Some((&MAGIC, [flags, ..])) => *flags,
        _ => return Err(invalid(Codec::Lz4, "no LZ4 frame")),
    };
    let content_size = if flags & 0b1000 == 0 { 0 } else { 8 };
    let dictionary = if flags & 0b0001 == 0 { 0 } else { 4 };
    let end = MAGIC.len() + 2 + content_size + dictionary;
    if end < frame.len() { Ok(end) } else { Err(invalid(Codec::Lz4, "short LZ4 frame header")) }
}

/// Returns the second byte of the xxHash-32 (seed 0) of a descriptor, its checksum.
fn checksum_byte(descriptor: &[u8]) -> u8 {
    xx_hash_32_short(descriptor).to_le_bytes()[1]
}

/// xxHash-32 with seed 0 of fewer than 16 bytes, which is all that a descriptor that our writer makes and the standard's longest one have.
fn xx_hash_32_short(data: &[u8]) -> u32 {
    debug_assert!(data.len() < 16, "longer input needs the four lanes");
    let length = u32::try_from(data.len()).expect("short input");
    let mut hash = PRIME_5.wrapping_add(length);
    let words = data.chunks_exact(4);
    let rest = words.remainder();
    for word in words {
        let word = u32::from_le_bytes(word.try_into().expect("chunks of four bytes"));
        hash = hash.wrapping_add(word.wrapping_mul(PRIME_3)).rotate_left(17).wrapping_mul(PRIME_4);
    }
    for byte in rest {
        let product = u32::from(*byte).wrapping_mul(PRIME_5);
        hash = hash.wrapping_add(product).rotate_left(11).wrapping_mul(PRIME_1);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(PRIME_2);
    hash = (hash ^ (hash >> 13)).wrapping_mul(PRIME_3);
    hash ^ (hash >> 16)
}

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const PRIME_1: u32 = 0x9e37_79b1;
const PRIME_2: u32 = 0x85eb_ca77;
const PRIME_3: u32 = 0xc2b2_ae3d;
const PRIME_4: u32 = 0x27d4_eb2f;
const PRIME_5: u32 = 0x1656_67b1;
