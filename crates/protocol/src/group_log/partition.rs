//! The partition of `__consumer_offsets` that keeps a group: the rule by which Kafka finds the group's coordinator.
//!
//! Invariant: the same partition as Kafka gives, for any text, since the log of one is read by the other.

use std::num::NonZeroU32;

/// Returns the number of the partition of `__consumer_offsets` that keeps a group, from 0 to `partition_count` − 1.
#[must_use]
pub fn partition_of_group(group_id: &str, partition_count: NonZeroU32) -> i32 {
    // The absolute value, and not the lower 31 bits as where a producer picks a partition. The smallest number has none
    // in Java; Kafka takes 0 for it.
    let hash = java_hash_code(group_id).checked_abs().unwrap_or(0);
    let partition = hash.unsigned_abs() % partition_count;
    i32::try_from(partition).expect("it is not above an absolute value of 32 signed bits")
}

/// Returns Java's `String.hashCode`, which is defined over UTF-16 units.
fn java_hash_code(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(group_id: &str, partition_count: u32) -> i32 {
        partition_of_group(group_id, NonZeroU32::new(partition_count).unwrap())
    }

    #[test]
    fn hashes_are_javas() {
        // Printed by a Java program: `text.hashCode()`.
        let known = [
            ("", 0),
            ("a", 97),
            ("orders", -1_008_770_331),
            ("console-consumer-12345", 158_455_506),
            ("my-group", -1_906_497_762),
            ("größe", 98_762_257),
            ("группа", 1_749_938_458),
            ("日本語のグループ", -935_085_811),
            ("😀", 1_772_899),
            ("consumer-😀-group", -1_427_745_396),
            ("polygenelubricants", -2_147_483_648),
            ("GydZG_", -2_147_483_648),
            ("perf-consumer-17051", -1_262_785_101),
        ];
        for (text, hash) in known {
            assert_eq!(java_hash_code(text), hash, "{text}");
        }
    }

    #[test]
    fn partitions_are_kafkas() {
        // Printed by a Java program: `Utils.abs(text.hashCode()) % count` with Kafka 4.3.1's `Utils`.
        let known = [
            ("", 0, 0, 0),
            ("a", 47, 6, 0),
            ("orders", 31, 2, 0),
            ("console-consumer-12345", 6, 6, 0),
            ("my-group", 12, 1, 0),
            ("größe", 7, 6, 0),
            ("группа", 8, 2, 0),
            ("日本語のグループ", 11, 2, 0),
            ("😀", 49, 2, 0),
            ("consumer-😀-group", 46, 0, 0),
            ("polygenelubricants", 0, 0, 0),
            ("GydZG_", 0, 0, 0),
            ("perf-consumer-17051", 1, 4, 0),
        ];
        for (text, of_50, of_7, of_1) in known {
            let partitions = [50, 7, 1].map(|count| partition(text, count));
            assert_eq!(partitions, [of_50, of_7, of_1], "{text}");
        }
    }

    #[test]
    fn a_hash_without_an_absolute_value_gives_partition_0() {
        assert_eq!(java_hash_code("polygenelubricants"), i32::MIN);
        // An absolute value of 2,147,483,648 would give 48.
        assert_eq!(partition("polygenelubricants", 50), 0);
        assert_eq!(partition("polygenelubricants", u32::MAX), 0);
    }
}
