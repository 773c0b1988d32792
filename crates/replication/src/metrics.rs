//! What the data plane counts: atomics of the whole broker. What can be read off the replicas instead is in `replicas::gauges`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use log_storage::{CleanStats, FlushObserver};
use model::Acks;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::partition::PartitionMetadata;

/// The counters; clones count into the same ones.
#[derive(Clone)]
pub struct ReplicationMetrics {
    counters: Arc<Counters>,
}

struct Counters {
    isr_shrinks: Counter,
    isr_expands: Counter,
    produced_acks_none: Counter,
    produced_acks_leader: Counter,
    produced_acks_all: Counter,
    refused: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    replication_bytes_in: Counter,
    replication_bytes_out: Counter,
    cleans: Counter,
    cleans_failed: Counter,
    cleaner_bytes_read: Counter,
    cleaner_bytes_written: Counter,
    cleaner_bytes_removed: Counter,
    flush_seconds: Histogram,
}

impl fmt::Debug for ReplicationMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplicationMetrics")
    }
}

impl Default for ReplicationMetrics {
    fn default() -> Self {
        Self {
            counters: Arc::new(Counters {
                isr_shrinks: Counter::default(),
                isr_expands: Counter::default(),
                produced_acks_none: Counter::default(),
                produced_acks_leader: Counter::default(),
                produced_acks_all: Counter::default(),
                refused: Counter::default(),
                bytes_in: Counter::default(),
                bytes_out: Counter::default(),
                replication_bytes_in: Counter::default(),
                replication_bytes_out: Counter::default(),
                cleans: Counter::default(),
                cleans_failed: Counter::default(),
                cleaner_bytes_read: Counter::default(),
                cleaner_bytes_written: Counter::default(),
                cleaner_bytes_removed: Counter::default(),
                // 50 us to 3.3 s: a page cache that lies, up to a disk that hangs.
                flush_seconds: Histogram::new(exponential_buckets(0.000_05, 2.0, 17)),
            }),
        }
    }
}

impl ReplicationMetrics {
    /// Registers the counters under Prometheus names.
    pub fn register(&self, registry: &mut Registry) {
        let counters = &self.counters;
        for (name, help, counter) in [
            (
                "isr_shrinks",
                "Members that left an ISR of a partition led here",
                &counters.isr_shrinks,
            ),
            (
                "isr_expands",
                "Members that joined an ISR of a partition led here",
                &counters.isr_expands,
            ),
            (
                "produced_batches_acks_none",
                "Batches appended with acks=0",
                &counters.produced_acks_none,
            ),
            (
                "produced_batches_acks_leader",
                "Batches appended with acks=1",
                &counters.produced_acks_leader,
            ),
            (
                "produced_batches_acks_all",
                "Batches appended with acks=all",
                &counters.produced_acks_all,
            ),
            ("refused_batches", "Batches that were refused before an append", &counters.refused),
            ("bytes_in", "Bytes of batches appended for clients", &counters.bytes_in),
            ("bytes_out", "Bytes of batches read for clients", &counters.bytes_out),
            (
                "replication_bytes_in",
                "Bytes of batches received from leaders",
                &counters.replication_bytes_in,
            ),
            (
                "replication_bytes_out",
                "Bytes of batches sent to followers",
                &counters.replication_bytes_out,
            ),
            ("log_cleaner_cleans", "Logs that were compacted", &counters.cleans),
            (
                "log_cleaner_failures",
                "Logs that could not be compacted, given up for a truncation or a stop apart",
                &counters.cleans_failed,
            ),
            (
                "log_cleaner_bytes_read",
                "Bytes that compaction has read",
                &counters.cleaner_bytes_read,
            ),
            (
                "log_cleaner_bytes_written",
                "Bytes of segments that compaction has written",
                &counters.cleaner_bytes_written,
            ),
            (
                "log_cleaner_bytes_removed",
                "Bytes by which compaction has made logs smaller",
                &counters.cleaner_bytes_removed,
            ),
        ] {
            registry.register(format!("steadfast_{name}"), help, counter.clone());
        }
        let help = "Time of one flush of one log to disk";
        registry.register("steadfast_flush_seconds", help, counters.flush_seconds.clone());
    }

    pub(crate) fn produced(&self, acks: Acks, size_bytes: usize, outcome: Outcome) {
        if outcome == Outcome::Refused {
            self.counters.refused.inc();
            return;
        }
        match acks {
            Acks::None => self.counters.produced_acks_none.inc(),
            Acks::Leader => self.counters.produced_acks_leader.inc(),
            Acks::All => self.counters.produced_acks_all.inc(),
        };
        add(&self.counters.bytes_in, size_bytes);
    }

    pub(crate) fn read(&self, size_bytes: usize) {
        add(&self.counters.bytes_out, size_bytes);
    }

    pub(crate) fn replicated_in(&self, size_bytes: usize) {
        add(&self.counters.replication_bytes_in, size_bytes);
    }

    pub(crate) fn replicated_out(&self, size_bytes: usize) {
        add(&self.counters.replication_bytes_out, size_bytes);
    }

    pub(crate) fn cleaned(&self, stats: &CleanStats) {
        let counters = &self.counters;
        counters.cleans.inc();
        counters.cleaner_bytes_read.inc_by(stats.bytes_read);
        counters.cleaner_bytes_written.inc_by(stats.bytes_written);
        counters.cleaner_bytes_removed.inc_by(stats.bytes_removed);
    }

    pub(crate) fn clean_failed(&self) {
        self.counters.cleans_failed.inc();
    }

    /// Counts joins and leaves between two images of a partition that is led here.
    pub(crate) fn isr_changed(&self, before: &PartitionMetadata, after: &PartitionMetadata) {
        if before.partition_epoch >= after.partition_epoch {
            return;
        }
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.counters.isr_shrinks.inc_by(count(before.isr.difference(&after.isr).count()));
        self.counters.isr_expands.inc_by(count(after.isr.difference(&before.isr).count()));
    }
}

/// What became of a produced batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Appended,
    Refused,
}

impl FlushObserver for ReplicationMetrics {
    fn flushed(&self, latency: Duration, _files: usize) {
        self.counters.flush_seconds.observe(latency.as_secs_f64());
    }
}

fn add(counter: &Counter, size_bytes: usize) {
    counter.inc_by(u64::try_from(size_bytes).unwrap_or(u64::MAX));
}
