//! Waits for a condition of the cluster, for a bounded time.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::ExperimentError;

/// Between two looks; each asks the cluster.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Waits until a condition holds.
///
/// # Errors
/// When it does not within `patience`.
pub(crate) fn wait_until(
    what: &str,
    patience: Duration,
    condition: impl Fn() -> bool,
) -> Result<(), ExperimentError> {
    let begun = Instant::now();
    while !condition() {
        if begun.elapsed() > patience {
            let seconds = patience.as_secs();
            return Err(ExperimentError::Waited(format!("{what}: not within {seconds} s")));
        }
        sleep(LOOK_AGAIN);
    }
    Ok(())
}
