//! One cluster at a time: whoever starts one waits for its turn, across tests and across test programs.
//!
//! Two clusters on two cores would measure one another, and a test that kills brokers would be judged by its neighbour's load.
//! The lock is a file that the kernel frees when its holder ends, however it ends.

use std::fs::{File, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use crate::report::line;

/// How long a test waits for all those before it; the whole package takes less.
const LIMIT: Duration = Duration::from_secs(1_200);

/// The right to run a cluster; it ends with the value, which tells how long it was.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
    since: Instant,
}

impl Turn {
    /// Waits until no other test of this machine runs a cluster.
    ///
    /// # Panics
    /// When the turn does not come within twenty minutes, or the lock's file cannot be made.
    #[must_use]
    pub fn take() -> Self {
        let path = std::env::temp_dir().join("steadfast-cluster-tests.lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let deadline = Instant::now() + LIMIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Self { _lock: file, since: Instant::now() },
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => panic!("{}: {error}", path.display()),
            }
            assert!(Instant::now() < deadline, "waited {LIMIT:?} in vain for {}", path.display());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // The harness names a test's thread after the test.
        if let Some(test) = thread::current().name().filter(|name| *name != "main") {
            line(&format!("turn: {test}: {:.1} s", self.since.elapsed().as_secs_f64()));
        }
    }
}
