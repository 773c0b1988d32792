//! Which partition a record goes to: by its key as Java's client does, so that both agree; without a key, one partition at a time.

/// Returns the partition of a key among `partition_count` (Kafka's `BuiltInPartitioner.partitionForKey`).
///
/// # Panics
/// When `partition_count` is not positive.
#[must_use]
pub fn partition_for_key(key: &[u8], partition_count: i32) -> i32 {
    assert!(partition_count > 0, "a topic has at least one partition");
    (murmur2(key) & i32::MAX) % partition_count
}

/// MurmurHash2 with Kafka's seed (`Utils.murmur2`).
fn murmur2(data: &[u8]) -> i32 {
    // Java's arithmetic wraps and its length is an int.
    let length = u32::try_from(data.len() & 0xffff_ffff).expect("masked to 32 bits");
    let mut hash = SEED ^ length;
    let words = data.chunks_exact(4);
    let rest = words.remainder();
    for word in words {
        let mut k = u32::from_le_bytes(word.try_into().expect("chunks of four bytes"));
        k = k.wrapping_mul(M);
        k ^= k >> R;
        k = k.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !rest.is_empty() {
        for (index, byte) in (0..).zip(rest) {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    hash.cast_signed()
}

const SEED: u32 = 0x9747_b28c;
const M: u32 = 0x5bd1_e995;
const R: u32 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_in_java() {
        // Values of Kafka's `UtilsTest.testMurmur2`.
        let table: [(&[u8], i32); 7] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
        ];
        for (key, expected) in table {
            assert_eq!(murmur2(key), expected, "{key:?}");
        }
    }

    #[test]
    fn a_key_has_one_partition_in_the_range() {
        for count in [1, 2, 7, 100] {
            for key in 0..1_000_i32 {
                let partition = partition_for_key(&key.to_be_bytes(), count);
                assert!((0..count).contains(&partition));
            }
        }
    }
}
