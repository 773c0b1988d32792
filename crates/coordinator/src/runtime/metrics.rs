//! What the coordinators count as it happens. Counters are atomics of the whole broker; what can be read off the shards is read at the scrape, by `gauges`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::refusal::Refusal;

/// What the shards of one kind of coordinator count; clones count into the same ones.
#[derive(Clone)]
pub(super) struct ShardMetrics {
    counters: Arc<ShardCounters>,
}

struct ShardCounters {
    refused: Family<[(&'static str, &'static str); 1], Counter>,
    load_seconds: Histogram,
    rewrites: Counter,
    skipped_records: Counter,
}

impl Default for ShardMetrics {
    fn default() -> Self {
        let counters = ShardCounters {
            refused: Family::default(),
            // 1 ms to 33 s: an empty partition, up to a log that was never rewritten.
            load_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            rewrites: Counter::default(),
            skipped_records: Counter::default(),
        };
        // A kind that never came up is shown as 0, so that an alert on it has something to look at.
        for refusal in Refusal::ALL {
            drop(counters.refused.get_or_create(&label(refusal)));
        }
        Self { counters: Arc::new(counters) }
    }
}

impl ShardMetrics {
    /// Registers the counters of a kind of coordinator: `group` or `transaction`.
    pub(super) fn register(&self, registry: &mut Registry, kind: &str) {
        let counters = &self.counters;
        let name = |name: &str| format!("steadfast_{kind}_{name}");
        let help = format!("Logs of {kind} coordinators that were rewritten");
        registry.register(name("log_rewrites"), help, counters.rewrites.clone());
        let help = format!("Records that loads of {kind} coordinators could not read and left out");
        registry.register(name("skipped_records"), help, counters.skipped_records.clone());
        let help = format!("Requests to {kind}s that their coordinator did not answer, by reason");
        registry.register(name("refused_requests"), help, counters.refused.clone());
        let help =
            format!("Time from an election to the end of the load of its {kind} coordinator");
        registry.register(name("load_seconds"), help, counters.load_seconds.clone());
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.counters.refused.get_or_create(&label(refusal)).inc();
    }

    pub(super) fn loaded(&self, took: Duration) {
        self.counters.load_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn rewritten(&self) {
        self.counters.rewrites.inc();
    }

    pub(super) fn skipped(&self, records: u64) {
        self.counters.skipped_records.inc_by(records);
    }
}

/// The counters of groups; clones count into the same ones.
#[derive(Clone)]
pub struct GroupMetrics {
    shards: ShardMetrics,
    commits: Counter,
    commit_seconds: Histogram,
}

impl fmt::Debug for GroupMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupMetrics")
    }
}

impl Default for GroupMetrics {
    fn default() -> Self {
        Self {
            shards: ShardMetrics::default(),
            commits: Counter::default(),
            // 100 us to 3.3 s: a page cache, up to a follower that hangs.
            commit_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
        }
    }
}

impl GroupMetrics {
    /// Registers the counters under Prometheus names.
    pub fn register(&self, registry: &mut Registry) {
        self.shards.register(registry, "group");
        let help = "OffsetCommit requests that were answered";
        registry.register("steadfast_group_commits", help, self.commits.clone());
        let help = "Time from an OffsetCommit request to its answer";
        registry.register("steadfast_group_commit_seconds", help, self.commit_seconds.clone());
    }

    pub(super) fn shards(&self) -> &ShardMetrics {
        &self.shards
    }

    pub(super) fn committed(&self, latency: Duration) {
        self.commits.inc();
        self.commit_seconds.observe(latency.as_secs_f64());
    }
}

fn label(refusal: Refusal) -> [(&'static str, &'static str); 1] {
    let reason = match refusal {
        Refusal::NotCoordinator => "not_coordinator",
        Refusal::LoadInProgress => "load_in_progress",
        Refusal::NotAvailable => "not_available",
        Refusal::TooLarge => "too_large",
    };
    [("reason", reason)]
}
