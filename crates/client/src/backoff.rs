//! Attempts until a deadline, with a wait between them. What is worth another attempt is said by [`Error`]'s `is_retriable...`.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;

/// The attempts of one operation.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    started: Instant,
    time: Duration,
    wait: Duration,
    longest_wait: Duration,
}

impl Backoff {
    /// Makes attempts whose wait begins with `first_wait` and doubles.
    pub(crate) fn new(first_wait: Duration, time: Duration) -> Self {
        Self { longest_wait: LONGEST_WAIT, ..Self::steady(first_wait, time) }
    }

    /// Makes attempts whose wait does not grow.
    pub(crate) fn steady(wait: Duration, time: Duration) -> Self {
        Self { started: Instant::now(), time, wait, longest_wait: wait }
    }

    /// Returns when the time is up.
    pub(crate) fn deadline(&self) -> Instant {
        self.started + self.time
    }

    /// Waits before the next attempt, or returns `failure` when the time is up.
    pub(crate) async fn after(&mut self, failure: Error) -> Result<(), Error> {
        if Instant::now() + self.wait >= self.deadline() {
            return Err(Error::GaveUp { after: self.time, last: Box::new(failure) });
        }
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(self.longest_wait);
        Ok(())
    }

    /// Runs `attempt` until it succeeds, fails in a way that `is_retriable` calls final, or the time is up.
    pub(crate) async fn run<T, F: Future<Output = Result<T, Error>>>(
        mut self,
        is_retriable: fn(&Error) -> bool,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Error> {
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) if !is_retriable(&failure) => return Err(failure),
                Err(failure) => self.after(failure).await?,
            }
        }
    }
}

const LONGEST_WAIT: Duration = Duration::from_secs(1);
