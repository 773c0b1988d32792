//! A batch under another codec: the records' block is inflated and compressed again, the records themselves are not looked at.

use super::batches::Batch;
use super::compression::{Codec, CompressionError, compress, decompress};
use super::header::{HEADER_BYTES, LOG_OVERHEAD_BYTES, rewrite_block};

/// Returns the batch with its records under `codec`; every other field stays. Records that inflate to more than `limit_bytes` are refused.
///
/// # Errors
/// [`CompressionError`]: the block is not what its codec made, or it is too large.
pub fn recompress(
    batch: Batch<'_>,
    codec: Codec,
    level: Option<i32>,
    limit_bytes: usize,
) -> Result<Vec<u8>, CompressionError> {
    let block = batch.bytes.get(HEADER_BYTES..).unwrap_or_default();
    let inflated = decompress(batch.header.codec(), block, limit_bytes)?;
    let compressed = compress(codec, level, &inflated)?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + compressed.len());
    bytes.extend_from_slice(batch.bytes.get(..HEADER_BYTES).unwrap_or_default());
    bytes.extend_from_slice(&compressed);
    let length = i32::try_from(bytes.len() - LOG_OVERHEAD_BYTES)
        .map_err(|_| CompressionError::TooLarge { limit_bytes })?;
    rewrite_block(&mut bytes, length, codec);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_batch::{
        BatchBuilder, BatchOptions, Batches, NewRecord, Records, verify_crc,
    };
    use crate::timestamp::UnixMillis;

    fn batch(codec: Codec) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions { codec, ..BatchOptions::default() });
        for number in 0..100_i64 {
            let value = format!("value {number}").repeat(10);
            let record = NewRecord {
                timestamp: UnixMillis(number),
                key: Some(b"key"),
                value: Some(value.as_bytes()),
                headers: &[],
            };
            builder.append(&record).unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn every_codec_turns_into_every_other_and_the_records_stay() {
        let plain = batch(Codec::None);
        let wanted = Batches::whole(&plain).next().unwrap().unwrap();
        let wanted = Records::of(wanted, 1 << 20).unwrap().into_data().into_owned();
        let all = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
        for (from, to) in all.iter().flat_map(|from| all.map(|to| (*from, to))) {
            let bytes = batch(from);
            let original = Batches::whole(&bytes).next().unwrap().unwrap();
            let changed = recompress(original, to, None, 1 << 20).unwrap();
            verify_crc(&changed).unwrap();
            let changed = Batches::whole(&changed).next().unwrap().unwrap();
            assert_eq!(changed.header.codec(), to);
            assert_eq!(changed.header.record_count, original.header.record_count);
            assert_eq!(changed.header.max_timestamp, original.header.max_timestamp);
            assert_eq!(
                Records::of(changed, 1 << 20).unwrap().into_data(),
                wanted,
                "{from:?} to {to:?}"
            );
        }
    }

    #[test]
    fn a_block_that_its_codec_did_not_make_is_refused() {
        let mut bytes = batch(Codec::Gzip);
        bytes[HEADER_BYTES] ^= 0xff;
        let damaged = Batches::whole(&bytes).next().unwrap().unwrap();
        assert!(recompress(damaged, Codec::Zstd, None, 1 << 20).is_err());
        let plain = batch(Codec::None);
        let whole = Batches::whole(&plain).next().unwrap().unwrap();
        assert!(recompress(whole, Codec::Zstd, None, 100).is_err(), "a limit holds");
    }
}
