//! Round trips, bounds, and the forms that only foreign writers produce.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 20;

proptest! {
    #[test]
    fn what_was_compressed_comes_back(data in proptest::collection::vec(any::<u8>(), 0..100_000), repeat in 1_usize..5) {
        let data = data.repeat(repeat);
        for codec in Codec::ALL {
            let compressed = compress(codec, None, &data).unwrap();
            prop_assert_eq!(&*decompress(codec, &compressed, LIMIT).unwrap(), &data[..]);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_stay_below_the_limit(data in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        for codec in Codec::ALL {
            if let Ok(output) = decompress(codec, &data, 1_000) {
                prop_assert!(output.len() <= 1_000);
            }
        }
    }

    #[test]
    fn damaged_data_is_refused_or_stays_below_the_limit(at in 0_usize..400, bits in 1_u8..=255) {
        let data: Vec<u8> = (0..4_000_u32).flat_map(|n| (n / 7).to_be_bytes()).collect();
        for codec in Codec::ALL {
            let mut compressed = compress(codec, None, &data).unwrap();
            let at = at % compressed.len();
            compressed[at] ^= bits;
            if let Ok(output) = decompress(codec, &compressed, data.len()) {
                prop_assert!(output.len() <= data.len());
            }
        }
    }
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let zeros = vec![0; 16 << 20];
    for codec in Codec::ALL {
        let bomb = compress(codec, None, &zeros).unwrap();
        let result = decompress(codec, &bomb, LIMIT);
        assert!(
            matches!(result, Err(CompressionError::TooLarge { limit_bytes: LIMIT })),
            "{codec:?} {result:?}"
        );
    }
}

#[test]
fn the_limit_itself_is_allowed() {
    let data = vec![7; LIMIT];
    for codec in Codec::ALL {
        let compressed = compress(codec, None, &data).unwrap();
        assert_eq!(decompress(codec, &compressed, LIMIT).unwrap().len(), LIMIT, "{codec:?}");
        assert!(decompress(codec, &compressed, LIMIT - 1).is_err(), "{codec:?}");
    }
}

#[test]
fn levels_beyond_their_range_are_clamped() {
    for codec in Codec::ALL {
        for level in [i32::MIN, -1, 0, 1, 9, 22, i32::MAX] {
            let compressed = compress(codec, Some(level), b"abcabcabc").unwrap();
            assert_eq!(&*decompress(codec, &compressed, 9).unwrap(), b"abcabcabc");
        }
    }
}

#[test]
fn snappy_without_a_frame_is_read() {
    let raw = snap::raw::Encoder::new().compress_vec(b"hello hello hello").unwrap();
    assert_eq!(&*decompress(Codec::Snappy, &raw, LIMIT).unwrap(), b"hello hello hello");
}

#[test]
fn snappy_streams_behind_one_another_are_read() {
    let mut twice = compress(Codec::Snappy, None, b"one").unwrap();
    twice.extend(compress(Codec::Snappy, None, b"two").unwrap());
    assert_eq!(&*decompress(Codec::Snappy, &twice, LIMIT).unwrap(), b"onetwo");
}

#[test]
fn a_snappy_length_that_its_block_cannot_hold_reserves_nothing() {
    // The varint says 2^32 - 1 bytes, the block has none.
    let result = decompress(Codec::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f], usize::MAX);
    assert!(matches!(result, Err(CompressionError::Invalid { .. })), "{result:?}");
}
