//! A whole clean, from its beginning to its end.
//!
//! Owns the alternation between the two sides: what blocks runs off the owner's lock, what changes the log runs under it, by a closure that the owner gives.

use super::clean::{Clean, CleanDone, CleanError, CleanStats, Pace};
use super::swap::{Replacement, Swap};

/// The log's side of a clean. Each call takes the owner's lock for a moment.
pub trait CleanedLog {
    /// Calls [`Log::begin_swap`](crate::Log::begin_swap).
    fn begin_swap(&self, replacement: Replacement) -> Option<Swap>;

    /// Calls [`Log::complete_clean`](crate::Log::complete_clean).
    fn complete_clean(&self, done: CleanDone);
}

impl Clean {
    /// Runs the clean; blocks for as long as it takes. `pace` is told of the bytes that were read and written, and may wait.
    ///
    /// # Errors
    /// [`CleanError`]. What was swapped in before stays.
    pub fn run(
        mut self,
        log: &impl CleanedLog,
        pace: &mut dyn FnMut(u64) -> Pace,
    ) -> Result<CleanStats, CleanError> {
        match self.clean(log, pace) {
            Ok(()) => {
                let done = self.done();
                let stats = done.stats;
                log.complete_clean(done);
                Ok(stats)
            }
            // What was read while the log was cut is no damage.
            Err(CleanError::Unreadable { .. }) if self.is_overtaken() => Err(CleanError::Abandoned),
            Err(error) => Err(error),
        }
    }

    fn clean(
        &mut self,
        log: &impl CleanedLog,
        pace: &mut dyn FnMut(u64) -> Pace,
    ) -> Result<(), CleanError> {
        self.map(pace)?;
        while let Some(replacement) = self.next_group(pace)? {
            let Some(swap) = log.begin_swap(replacement) else {
                self.discard()?;
                return Err(CleanError::Abandoned);
            };
            swap.run()?;
        }
        Ok(())
    }
}
