//! LZ4 frames in the standard form. (Message format 0 has another checksum, which `protocol` knows.)

use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::{Codec, CompressionError, read_bounded};

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
