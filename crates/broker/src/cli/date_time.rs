//! Points in time on the command line: `@MS`, or a date and time as ISO 8601 has them.

use model::UnixMillis;

/// Reads `@MS` (milliseconds since 1970), or `2026-01-31`, `2026-01-31T12:00`, `...:30`, `...:30.250`, with `Z` or `+02:00` behind it; without one, the time is
/// UTC.
pub(super) fn parse_time(text: &str) -> Result<UnixMillis, String> {
    let invalid =
        || format!("'{text}' is no time: give 2026-01-31T12:00:00.000, UTC unless +HH:MM, or @MS");
    if let Some(millis) = text.strip_prefix('@') {
        let millis = millis.parse::<i64>().ok().filter(|millis| *millis >= 0);
        return millis.map(UnixMillis).ok_or_else(invalid);
    }
    date_and_time(text).map(UnixMillis).ok_or_else(invalid)
}

fn date_and_time(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00"));
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4, 1970..=9999)?;
    let month = number(parts.next()?, 2, 1..=12)?;
    let day = number(parts.next()?, 2, 1..=days_in_month(year, month))?;
    let (time, offset_minutes) = zone(time)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = time.split(':');
    let hour = number(clock.next()?, 2, 0..=23)?;
    let minute = number(clock.next()?, 2, 0..=59)?;
    let second = clock.next().map_or(Some(0), |second| number(second, 2, 0..=59))?;
    if parts.next().is_some() || clock.next().is_some() {
        return None;
    }
    let is_fraction = (1..=3).contains(&fraction.len());
    let fraction = is_fraction.then(|| format!("{fraction:0<3}"))?;
    let millis = number(&fraction, 3, 0..=999)?;
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    Some((minutes * 60 + second) * 1000 + millis).filter(|millis| *millis >= 0)
}

/// Takes the zone off the end of a time; returns how many minutes it is ahead of UTC.
fn zone(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, 0)) };
    let (time, zone) = time.split_at(at);
    let (hours, minutes) = zone[1..].split_once(':').unwrap_or_else(|| (&zone[1..], "00"));
    let ahead = number(hours, 2, 0..=18)? * 60 + number(minutes, 2, 0..=59)?;
    Some((time, if zone.starts_with('-') { -ahead } else { ahead }))
}

fn number(digits: &str, length: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let is_number = digits.len() == length && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|number| is_number && range.contains(number))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let years: i64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let months: i64 = (1..month).map(|month| days_in_month(year, month)).sum();
    years + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_iso_8601_in_utc_or_millis() {
        let table = [
            ("@1700000000000", 1_700_000_000_000),
            ("1970-01-01", 0),
            ("2023-11-14T22:13:20.000", 1_700_000_000_000),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-15T00:13:20.5+02:00", 1_700_000_000_500),
            ("2023-11-14 17:13:20-05:00", 1_700_000_000_000),
            ("2024-02-29T00:00", 1_709_164_800_000),
            ("2000-03-01", 951_868_800_000),
        ];
        for (text, millis) in table {
            assert_eq!(parse_time(text), Ok(UnixMillis(millis)), "{text}");
        }
        let wrong = [
            "",
            "@",
            "@-1",
            "2023",
            "2023-02-29",
            "2023-13-01",
            "2023-1-1",
            "2023-01-01T24:00",
            "2023-01-01T12",
            "2023-01-01T12:00:00.1234",
            "2023-01-01T12:00+2",
            "1969-12-31",
            "1970-01-01T00:00+01:00",
            "2023-01-01T1a:00",
            "2023-01-01-01",
            "2023-01-01T+1:+1",
        ];
        for text in wrong {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
