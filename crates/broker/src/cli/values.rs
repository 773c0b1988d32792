//! Values on the command line: times, sizes, `key=value`.

use std::time::Duration;

/// Reads `500ms`, `5s`, `2m`, `1h`; a bare number is seconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let number: f64 =
        number.parse().map_err(|_| format!("'{text}' is no time such as 500ms, 5s or 2m"))?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(format!("'{unit}' is no unit of time: give us, ms, s, m or h")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("'{text}' is out of range"))
}

/// Reads what [`parse_duration`] reads, days as `7d`, and ISO 8601's `P1DT2H30M`, which Kafka's tools take.
pub(super) fn parse_long_duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("'{text}' is no duration such as 90m, 2h, 7d or PT2H");
    if let Some(days) = text.strip_suffix('d') {
        let days: u64 = days.parse().map_err(|_| invalid())?;
        return days.checked_mul(DAY_SECONDS).map(Duration::from_secs).ok_or_else(invalid);
    }
    let Some(iso) = text.strip_prefix('P') else { return parse_duration(text) };
    let (days, clock) = iso.split_once('T').unwrap_or((iso, ""));
    let mut total = Duration::ZERO;
    for (part, units) in [(days, "D"), (clock, "HMS")] {
        let mut rest = part;
        while !rest.is_empty() {
            let end = rest.find(|letter: char| letter.is_ascii_alphabetic()).ok_or_else(invalid)?;
            let number: u64 = rest[..end].parse().map_err(|_| invalid())?;
            let unit = &rest[end..=end];
            let seconds = match unit {
                _ if !units.contains(unit) => None,
                "D" => Some(DAY_SECONDS),
                "H" => Some(3600),
                "M" => Some(60),
                _ => Some(1),
            };
            let seconds = seconds.and_then(|unit| number.checked_mul(unit)).ok_or_else(invalid)?;
            total = total.checked_add(Duration::from_secs(seconds)).ok_or_else(invalid)?;
            rest = &rest[end + 1..];
        }
    }
    if iso.is_empty() || iso.ends_with('T') { Err(invalid()) } else { Ok(total) }
}

const DAY_SECONDS: u64 = 24 * 3600;

/// Reads `100`, `64K`, `1M`, `2G` (powers of 1024), with `B`, `iB` or nothing behind the letter.
pub(super) fn parse_bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = split_unit(text);
    let number: usize =
        number.parse().map_err(|_| format!("'{text}' is no size such as 100, 64K or 1M"))?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(format!("'{unit}' is no unit of size: give K, M or G")),
    };
    number.checked_mul(factor).ok_or_else(|| format!("'{text}' is out of range"))
}

/// Reads `key=value`.
pub(super) fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("'{text}' is not KEY=VALUE")),
    }
}

/// Writes bytes in standard base64 with padding (RFC 4648).
pub(super) fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let bits = usize::try_from(word >> (18 - 6 * index) & 63).expect("six bits fit");
            text.push(if index <= chunk.len() { char::from(BASE64[bits]) } else { '=' });
        }
    }
    text
}

/// Reads standard base64, with or without padding.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut word, mut bits) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = BASE64.iter().position(|candidate| *candidate == byte)?;
        word = word << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(word >> bits & 0xff).ok()?);
        }
    }
    // What is left over must be padding: fewer than six bits, all of them zero.
    (bits < 6 && word & ((1 << bits) - 1) == 0).then_some(bytes)
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_are_seconds_without() {
        let table =
            [("5", 5_000), ("1.5s", 1_500), ("250ms", 250), ("2m", 120_000), ("1h", 3_600_000)];
        for (text, millis) in table {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "5x", "-1s", "1e30h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn long_times_may_be_days_or_iso_8601() {
        let table = [
            ("90m", 5_400),
            ("7d", 604_800),
            ("PT2H", 7_200),
            ("P1DT1H1M1S", 90_061),
            ("P30D", 2_592_000),
        ];
        for (text, seconds) in table {
            assert_eq!(parse_long_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "P", "PT", "P1H", "PT1D", "P1", "PT-1H", "d", "-1d", "P99999999999999999D"]
        {
            assert!(parse_long_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        let table = [("0", 0), ("100", 100), ("64K", 65_536), ("1MiB", 1 << 20), ("2gb", 2 << 30)];
        for (text, bytes) in table {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", "1.5K", "5x", "99999999999G"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn base64_is_the_standard_one() {
        let table: [(&[u8], &str); 5] = [
            (b"", ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"\xff\xfe\xfd", "//79"),
        ];
        for (bytes, text) in table {
            assert_eq!(to_base64(bytes), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes));
        }
        assert_eq!(from_base64("Zg").as_deref(), Some(&b"f"[..]));
        for text in ["Z", "Zh", "Z?=="] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }

    #[test]
    fn a_pair_needs_a_key_and_may_have_an_empty_value() {
        assert_eq!(parse_pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(parse_pair("a="), Ok(("a".to_owned(), String::new())));
        assert!(parse_pair("a").is_err() && parse_pair("=a").is_err());
    }
}
