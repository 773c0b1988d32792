//! Values on the command line: times, sizes, `key=value`, acks, codecs.

use std::time::Duration;

use model::Acks;
use model::record_batch::Codec;

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

/// Reads Kafka's `acks`.
pub(super) fn parse_acks(text: &str) -> Result<Acks, String> {
    match text {
        "0" => Ok(Acks::None),
        "1" => Ok(Acks::Leader),
        "all" | "-1" => Ok(Acks::All),
        _ => Err("acks is 0, 1 or all".to_owned()),
    }
}

/// Reads Kafka's `compression.type`.
pub(super) fn parse_codec(text: &str) -> Result<Codec, String> {
    Codec::from_name(text)
        .ok_or_else(|| "the codecs are none, gzip, snappy, lz4 and zstd".to_owned())
}

/// Writes Kafka's `acks`, as [`parse_acks`] reads it.
pub(super) fn acks_name(acks: Acks) -> &'static str {
    match acks {
        Acks::None => "0",
        Acks::Leader => "1",
        Acks::All => "all",
    }
}

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
    fn a_pair_needs_a_key_and_may_have_an_empty_value() {
        assert_eq!(parse_pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(parse_pair("a="), Ok(("a".to_owned(), String::new())));
        assert!(parse_pair("a").is_err() && parse_pair("=a").is_err());
    }
}
