//! LZ4 frames of message format 0.
//!
//! Kafka's first implementation computed the checksum of a frame's descriptor over the frame's magic as well (KIP-57). Format 0 keeps that for
//! ever: its writer writes the broken checksum and its reader checks none. All else in a frame is as formats 1 and 2 have it.

use std::borrow::Cow;
use std::io;

use model::record_batch::compression::{Codec, CompressionError, compress, decompress};

/// Compresses into a frame with the broken descriptor checksum.
pub(super) fn compress_lz4(data: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let mut frame = compress(Codec::Lz4, None, data)?;
    let end = descriptor_end(&frame)?;
    frame[end] = checksum_byte(&frame[..end]);
    Ok(frame)
}

/// Decompresses a frame, into at most `limit_bytes`, whatever its descriptor checksum says.
pub(super) fn decompress_lz4(data: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CompressionError> {
    let end = descriptor_end(data)?;
    let mut frame = data.to_vec();
    frame[end] = checksum_byte(&data[MAGIC.len()..end]);
    decompress(Codec::Lz4, &frame, limit_bytes).map(Cow::into_owned)
}

/// Finds the descriptor's checksum byte: behind flags, block size and the two optional fields.
fn descriptor_end(frame: &[u8]) -> Result<usize, CompressionError> {
    let flags = match frame.split_first_chunk() {
        Some((&MAGIC, [flags, ..])) => *flags,
        _ => return Err(invalid("no LZ4 frame")),
    };
    let content_size = if flags & 0b1000 == 0 { 0 } else { 8 };
    let dictionary = if flags & 0b0001 == 0 { 0 } else { 4 };
    let end = MAGIC.len() + 2 + content_size + dictionary;
    if end < frame.len() { Ok(end) } else { Err(invalid("short LZ4 frame header")) }
}

fn invalid(reason: &'static str) -> CompressionError {
    let source = io::Error::new(io::ErrorKind::InvalidData, reason);
    CompressionError::Invalid { codec: Codec::Lz4, source }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1 << 20;

    #[test]
    fn the_broken_descriptor_checksum_is_the_one_that_kafka_writes() {
        // Both are fixed by Kafka's own writer: flags 0x60, blocks of 64 KiB.
        assert_eq!(compress_lz4(b"x").unwrap()[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x1a]);
        let standard = compress(Codec::Lz4, None, b"x").unwrap();
        assert_eq!(standard[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
        assert!(decompress(Codec::Lz4, &compress_lz4(b"x").unwrap(), LIMIT).is_err());
        assert_eq!(decompress_lz4(&standard, LIMIT).unwrap(), b"x");
    }

    proptest! {
        // The content is the codec's, whose own tests are many; only the descriptor is ours.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_was_compressed_comes_back(data in proptest::collection::vec(any::<u8>(), 0..100_000), repeat in 1_usize..5) {
            let data = data.repeat(repeat);
            let compressed = compress_lz4(&data).unwrap();
            prop_assert_eq!(decompress_lz4(&compressed, LIMIT).unwrap(), data);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_or_stay_below_the_limit(data in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            for data in [data.clone(), [&MAGIC[..], &data].concat()] {
                if let Ok(output) = decompress_lz4(&data, 1_000) {
                    prop_assert!(output.len() <= 1_000);
                }
            }
        }
    }
}
