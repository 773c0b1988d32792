//! The one place that reads the machine's clocks. Drivers hold a [`Clock`]; state machines get its readings as arguments.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::timestamp::{Timestamp, UnixMillis};

/// A driver's clock: monotonic time since it was made, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts a clock at [`Timestamp::ZERO`].
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Returns the monotonic time since the start.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.timestamp_of(Instant::now())
    }

    /// Returns the timestamp of an `Instant`; one from before the start is [`Timestamp::ZERO`].
    #[must_use]
    pub fn timestamp_of(&self, instant: Instant) -> Timestamp {
        let elapsed = instant.saturating_duration_since(self.origin);
        Timestamp(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Returns the `Instant` of a timestamp of this clock, to arm a timer with.
    #[must_use]
    pub fn instant_of(&self, timestamp: Timestamp) -> Instant {
        self.origin + std::time::Duration::from_nanos(timestamp.0)
    }

    /// Returns the wall clock's time; it may jump, so nothing but records and retention may depend on it.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else is passed"
    )]
    pub fn wall(&self) -> UnixMillis {
        let millis =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        UnixMillis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}
