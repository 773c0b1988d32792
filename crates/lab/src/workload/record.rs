//! The content of a record: value number, who sent it, padding and a checksum over all that, so that a reader knows the number and
//! notices foreign or changed bytes.
//!
//! ```text
//! number 8 | length of the tag 1 | tag | padding | FNV-1a of what stands before and of partition and topic 8     (big endian)
//! ```

use crate::history::Partition;

/// Shortest record: number, tag length, no tag, checksum.
pub(crate) const MIN_BYTES: usize = HEAD_BYTES + SUM_BYTES;

/// What a reader records for a record that is not one of the lab's, or was changed, or belongs elsewhere: no producer ever sends it.
pub(super) const DAMAGED: u64 = u64::MAX;

const HEAD_BYTES: usize = 9;
const SUM_BYTES: usize = 8;

/// Writes a record into `buffer`: `bytes` long, or as long as it must be. `noise` is repeated as padding; random bytes do not compress.
pub(super) fn encode(
    buffer: &mut Vec<u8>,
    (partition, value): (&Partition, u64),
    process: &str,
    noise: &[u8],
    bytes: usize,
) {
    buffer.clear();
    buffer.extend_from_slice(&value.to_be_bytes());
    let room = bytes.saturating_sub(MIN_BYTES).min(usize::from(u8::MAX));
    let tag = process.as_bytes().get(..room.min(process.len())).unwrap_or_default();
    buffer.push(u8::try_from(tag.len()).unwrap_or(u8::MAX));
    buffer.extend_from_slice(tag);
    let padding = bytes.saturating_sub(buffer.len() + SUM_BYTES);
    // Another part of the noise each time, or all records of a batch would compress into one.
    let skip = usize::try_from(value % 251).unwrap_or_default();
    buffer.extend(noise.iter().cycle().skip(skip).take(padding));
    let sum = checksum(partition, buffer);
    buffer.extend_from_slice(&sum.to_be_bytes());
}

/// The value number of a record, or [`DAMAGED`].
pub(super) fn decode(partition: &Partition, payload: Option<&[u8]>) -> u64 {
    let Some((content, sum)) = payload.and_then(|bytes| bytes.split_last_chunk::<SUM_BYTES>())
    else {
        return DAMAGED;
    };
    match content.first_chunk::<8>() {
        Some(value) if u64::from_be_bytes(*sum) == checksum(partition, content) => {
            u64::from_be_bytes(*value)
        }
        _ => DAMAGED,
    }
}

fn checksum(partition: &Partition, content: &[u8]) -> u64 {
    let place = partition.number.to_be_bytes();
    let bytes = content.iter().chain(&place).chain(partition.topic.as_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> Partition {
        Partition { topic: "orders".into(), number }
    }

    fn record(bytes: usize) -> Vec<u8> {
        let mut buffer = Vec::new();
        encode(&mut buffer, (&partition(3), 77), "producer-1", &[1, 2, 3], bytes);
        buffer
    }

    #[test]
    fn a_record_has_the_length_asked_for_and_gives_its_number_back() {
        for bytes in [MIN_BYTES, 20, 100, 4096] {
            assert_eq!(record(bytes).len(), bytes);
            assert_eq!(decode(&partition(3), Some(&record(bytes))), 77);
        }
    }

    #[test]
    fn any_flipped_bit_and_any_other_partition_is_noticed() {
        let whole = record(40);
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&partition(3), Some(&changed)), DAMAGED, "bit {bit}");
        }
        assert_eq!(decode(&partition(4), Some(&whole)), DAMAGED);
        assert_eq!(decode(&partition(3), Some(&whole[..30])), DAMAGED);
        assert_eq!(decode(&partition(3), None), DAMAGED);
    }
}
