//! Two kinds of time that must not be mixed: a driver's monotonic clock, and the wall clock that records carry.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Monotonic time in nanoseconds since the driver's start. State machines get it as an argument;
/// a simulator can construct it, which `std::time::Instant` does not allow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The driver's start.
    pub const ZERO: Self = Self(0);

    /// Returns the time that passed since `earlier`, or zero when `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Shows milliseconds, with microseconds behind the point when there are any.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0 / 1_000;
        match micros % 1_000 {
            0 => write!(f, "{}ms", micros / 1_000),
            rest => write!(f, "{}.{rest:03}ms", micros / 1_000),
        }
    }
}

/// Wall-clock time in milliseconds since 1970 UTC, as record batches carry it. Negative times are legal for old formats' "none" (−1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub i64);
