//! The runtime's clock: the timers' own, so that a test which holds time still holds it for the machines too.

use model::{Clock, Timestamp};
use tokio::time::Instant;

use crate::group::Now;

/// Monotonic time since the runtime's start, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct RuntimeClock {
    origin: Instant,
    wall: Clock,
}

impl RuntimeClock {
    pub(super) fn start() -> Self {
        Self { origin: Instant::now(), wall: Clock::start() }
    }

    pub(super) fn now(&self) -> Now {
        Now { monotonic: self.monotonic(), wall: self.wall.wall() }
    }

    pub(super) fn monotonic(&self) -> Timestamp {
        Timestamp(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn instant_of(&self, at: Timestamp) -> Instant {
        self.origin + at.since(Timestamp::ZERO)
    }
}
