//! Lines that a test leaves for its reader although it passed: figures, and what was left out and why.
//!
//! They go to standard error past the test harness, which shows captured output of failed tests alone.

use std::io::Write as _;
use std::time::Duration;

/// Says a measured figure.
pub fn measured(what: &str, value: impl std::fmt::Display) {
    line(&format!("measured: {what}: {value}"));
}

/// Says that a test did not run, and what it would need.
pub fn skipped(test: &str, needs: &str) {
    line(&format!("skipped: {test}: {needs}"));
}

/// Says something while a long test runs.
pub fn line(text: &str) {
    // Nobody reads it any more when this fails.
    let _written = writeln!(std::io::stderr(), "{text}");
}

/// Whole milliseconds, for figures.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The middle of the durations in milliseconds, and all of them, as text: `median 210 ms of 180, 210, 340`.
#[must_use]
pub fn median_of(durations: &[Duration]) -> String {
    let mut sorted: Vec<u64> = durations.iter().copied().map(millis).collect();
    sorted.sort_unstable();
    let all: Vec<String> = durations.iter().map(|duration| millis(*duration).to_string()).collect();
    match sorted.get(sorted.len() / 2) {
        Some(median) => format!("median {median} ms of {}", all.join(", ")),
        None => "nothing was measured".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_order_is_kept() {
        let durations = [30, 10, 20].map(Duration::from_millis);
        assert_eq!(median_of(&durations), "median 20 ms of 30, 10, 20");
        assert_eq!(median_of(&[]), "nothing was measured");
    }
}
