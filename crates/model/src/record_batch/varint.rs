//! Zigzag varints of at most five and ten bytes (Kafka's `ByteUtils`).
//!
//! Reading takes a number off the front of a slice and returns `None` when it is cut off or longer than its type allows.

pub(super) fn read_i32(rest: &mut &[u8]) -> Option<i32> {
    let raw = u32::try_from(read(rest, 5)?).ok()?;
    Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

pub(super) fn read_i64(rest: &mut &[u8]) -> Option<i64> {
    let raw = read(rest, 10)?;
    Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

fn read(rest: &mut &[u8], longest: usize) -> Option<u64> {
    let mut raw = 0_u64;
    for (index, byte) in rest.iter().take(longest).enumerate() {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if index == 9 && bits > 1 {
            return None;
        }
        raw |= bits << (7 * index);
        if byte & 0x80 == 0 {
            *rest = &rest[index + 1..];
            return Some(raw);
        }
    }
    None
}

pub(super) fn write_i32(output: &mut Vec<u8>, value: i32) {
    write(output, u64::from(((value << 1) ^ (value >> 31)).cast_unsigned()));
}

pub(super) fn write_i64(output: &mut Vec<u8>, value: i64) {
    write(output, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

fn write(output: &mut Vec<u8>, mut raw: u64) {
    while raw >= 0x80 {
        output.push(low_seven_bits(raw) | 0x80);
        raw >>= 7;
    }
    output.push(low_seven_bits(raw));
}

/// Returns the bytes that a number takes.
pub(super) fn size_of_i64(value: i64) -> usize {
    let raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let bits = 64 - (raw | 1).leading_zeros();
    usize::try_from(bits.div_ceil(7)).expect("ten at most")
}

fn low_seven_bits(raw: u64) -> u8 {
    u8::try_from(raw & 0x7f).expect("seven bits fit")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: i64) {
            let narrow = i32::try_from(value >> 32).unwrap();
            let mut bytes = Vec::new();
            write_i64(&mut bytes, value);
            prop_assert_eq!(bytes.len(), size_of_i64(value));
            write_i32(&mut bytes, narrow);
            let mut rest = &bytes[..];
            prop_assert_eq!(read_i64(&mut rest), Some(value));
            prop_assert_eq!(read_i32(&mut rest), Some(narrow));
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn numbers_have_kafkas_bytes() {
        let table: [(i32, &[u8]); 7] = [
            (0, &[0x00]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (value, expected) in table {
            let mut bytes = Vec::new();
            write_i32(&mut bytes, value);
            assert_eq!(bytes, expected, "{value}");
            assert_eq!(read_i32(&mut &bytes[..]), Some(value));
        }
    }

    #[test]
    fn numbers_that_are_cut_off_or_too_long_are_refused() {
        for bytes in [&[][..], &[0x80], &[0xff, 0xff, 0xff, 0xff, 0x1f], &[0x80; 6]] {
            assert_eq!(read_i32(&mut &bytes[..]), None, "{bytes:?}");
        }
        assert_eq!(read_i64(&mut &[0x80; 11][..]), None);
        let mut too_wide = [0x80; 10];
        too_wide[9] = 0x02;
        assert_eq!(read_i64(&mut &too_wide[..]), None);
    }
}
