//! Waiting for a condition, with a deadline, in place of sleeping and hoping.

use std::time::{Duration, Instant};

/// Looks at a condition every 5 ms until it holds.
///
/// # Panics
/// When it does not hold within `limit`; the message names `what` was waited for.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
