//! The log cleaner: which log is cleaned next, and how fast (Kafka's `LogCleaner` and `LogCleanerManager`).
//!
//! Owns the choice: overdue logs first, then by their dirty share; and the pace, by `log.cleaner.io.max.bytes.per.second`. Each of its threads takes one log after the other
//! and rests when there is none. A log that cannot be cleaned is left alone until the broker starts again, and told of once.

use std::collections::HashSet;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use log_storage::{CleanError, Cleanable, Pace};
use model::TopicIdPartition;
use tokio_util::sync::CancellationToken;

use super::Replicas;
use crate::config::CleanerConfig;
use crate::local_broker::LocalBroker;
use crate::partition_handle::PartitionHandle;

/// What the threads of the cleaner share.
#[derive(Debug)]
struct Cleaner {
    local: Arc<LocalBroker>,
    stop: CancellationToken,
    config: CleanerConfig,
    uncleanable: Mutex<HashSet<TopicIdPartition>>,
}

impl Replicas {
    /// Begins to clean. The threads are those of the runtime that may block; a clean that is under way at a stop is given up.
    pub(super) fn spawn_cleaner(&self) {
        let Some(running) = self.local.running() else { return };
        let config = self.local.config.cleaner.clone();
        let backoff = config.backoff;
        let cleaner = Arc::new(Cleaner {
            local: Arc::clone(&self.local),
            stop: running.stop.clone(),
            config,
            uncleanable: Mutex::default(),
        });
        for _ in 0..cleaner.config.threads {
            let (cleaner, stop) = (Arc::clone(&cleaner), running.stop.clone());
            let runtime = running.runtime.clone();
            let repeat = async move {
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(backoff) => {}
                    }
                    let cleaner = Arc::clone(&cleaner);
                    // A panic ends the process.
                    let _ = runtime.spawn_blocking(move || while cleaner.clean_one() {}).await;
                }
            };
            running.tasks.spawn_on(repeat, &running.runtime);
        }
    }
}

impl Cleaner {
    /// Cleans the log that needs it most; says whether there was one.
    fn clean_one(&self) -> bool {
        let mut candidates: Vec<(Cleanable, Arc<PartitionHandle>)> = {
            let uncleanable = self.uncleanable();
            let partitions = self.local.partitions();
            let known = partitions.iter().filter(|(id, _)| !uncleanable.contains(id));
            let dirty = known.filter_map(|(_, one)| Some((one.cleanable()?, Arc::clone(one))));
            dirty.collect()
        };
        candidates
            .sort_by_key(|(dirty, _)| (!dirty.is_overdue, u64::MAX - dirty.dirty_millionths()));
        for (_, partition) in candidates {
            if self.stop.is_cancelled() {
                return false;
            }
            if let Some(was_cleaned) = self.clean(&partition) {
                return was_cleaned;
            }
        }
        false
    }

    /// `None` when another thread is at it.
    fn clean(&self, partition: &Arc<PartitionHandle>) -> Option<bool> {
        let began = Instant::now();
        let mut throttle = Throttle::new(&self.config);
        let mut pace = |bytes: u64| throttle.pace(bytes, &self.stop);
        let map_bytes = self.config.dedupe_buffer_bytes / self.config.threads.max(1);
        let (name, outcome) = (partition.name(), partition.clean(map_bytes, &mut pace)?);
        match outcome {
            Ok(stats) => {
                let took = began.elapsed();
                tracing::info!(partition = %name, ?took, bytes_read = stats.bytes_read, bytes_written = stats.bytes_written, bytes_removed = stats.bytes_removed, "a log was compacted");
                return Some(true);
            }
            Err(CleanError::Abandoned) => {
                tracing::debug!(partition = %name, "the compaction of a log was given up: it was cut, or the broker stops");
            }
            Err(error @ CleanError::NoRoom(_)) => {
                tracing::warn!(partition = %name, error = &error as &dyn Error, "a log cannot be compacted at present");
            }
            // It was reported, and ends the process.
            Err(CleanError::Fatal(_)) => {}
            Err(error) => {
                tracing::error!(partition = %name, error = &error as &dyn Error, "a log cannot be compacted, and is left alone until the broker starts again");
                self.uncleanable().insert(partition.id());
            }
        }
        Some(false)
    }

    fn uncleanable(&self) -> MutexGuard<'_, HashSet<TopicIdPartition>> {
        self.uncleanable.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}

/// Holds one thread to its share of the bytes.
#[derive(Debug)]
struct Throttle {
    seconds_per_byte: f64,
    began: Instant,
    bytes: f64,
}

impl Throttle {
    fn new(config: &CleanerConfig) -> Self {
        let threads = f64::from(u32::try_from(config.threads.max(1)).unwrap_or(u32::MAX));
        let seconds_per_byte = threads / config.io_max_bytes_per_second;
        Self { seconds_per_byte, began: Instant::now(), bytes: 0.0 }
    }

    /// Waits until the bytes are paid for.
    #[expect(clippy::cast_precision_loss, reason = "a pace needs no more than 52 bits")]
    fn pace(&mut self, bytes: u64, stop: &CancellationToken) -> Pace {
        self.bytes += bytes as f64;
        let due = self.bytes * self.seconds_per_byte;
        loop {
            if stop.is_cancelled() {
                return Pace::Stop;
            }
            let ahead = due - self.began.elapsed().as_secs_f64();
            if ahead <= LEAST_WAIT.as_secs_f64() {
                return Pace::GoOn;
            }
            thread::sleep(Duration::from_secs_f64(ahead.min(LONGEST_WAIT.as_secs_f64())));
        }
    }
}

/// Shorter waits are not worth a sleep.
const LEAST_WAIT: Duration = Duration::from_millis(10);

/// A stop is noticed after so long.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttle_waits_for_what_was_read_and_ends_with_the_broker() {
        let config =
            CleanerConfig { io_max_bytes_per_second: 10_000.0, ..CleanerConfig::default() };
        let stop = CancellationToken::new();
        let mut throttle = Throttle::new(&config);
        assert_eq!(throttle.pace(1_000, &stop), Pace::GoOn);
        assert!(throttle.began.elapsed() >= Duration::from_millis(80));
        stop.cancel();
        assert_eq!(throttle.pace(u64::MAX, &stop), Pace::Stop);
        let mut free = Throttle::new(&CleanerConfig::default());
        assert_eq!(free.pace(u64::MAX, &CancellationToken::new()), Pace::GoOn);
    }
}
