//! What the coordinators count as it happens. Counters are atomics of the whole broker; what can be read off the shards is read at the scrape, by `gauges`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::refusal::Refusal;

/// The counters; clones count into the same ones.
#[derive(Clone)]
pub struct GroupMetrics {
    counters: Arc<Counters>,
}

struct Counters {
    commits: Counter,
    commit_seconds: Histogram,
    refused: Family<[(&'static str, &'static str); 1], Counter>,
    load_seconds: Histogram,
    rewrites: Counter,
    skipped_records: Counter,
}

impl fmt::Debug for GroupMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupMetrics")
    }
}

impl Default for GroupMetrics {
    fn default() -> Self {
        let counters = Counters {
            commits: Counter::default(),
            // 100 us to 3.3 s: a page cache, up to a follower that hangs.
            commit_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
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

impl GroupMetrics {
    /// Registers the counters under Prometheus names.
    pub fn register(&self, registry: &mut Registry) {
        let counters = &self.counters;
        for (name, help, counter) in [
            ("commits", "OffsetCommit requests that were answered", &counters.commits),
            ("log_rewrites", "Logs of group coordinators that were rewritten", &counters.rewrites),
            (
                "skipped_records",
                "Records that loads of group coordinators could not read and left out",
                &counters.skipped_records,
            ),
        ] {
            registry.register(format!("steadfast_group_{name}"), help, counter.clone());
        }
        let help = "Requests to groups that their coordinator did not answer, by reason";
        registry.register("steadfast_group_refused_requests", help, counters.refused.clone());
        let help = "Time from an OffsetCommit request to its answer";
        registry.register("steadfast_group_commit_seconds", help, counters.commit_seconds.clone());
        let help = "Time from an election to the end of the load of its group coordinator";
        registry.register("steadfast_group_load_seconds", help, counters.load_seconds.clone());
    }

    pub(super) fn committed(&self, latency: Duration) {
        self.counters.commits.inc();
        self.counters.commit_seconds.observe(latency.as_secs_f64());
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

fn label(refusal: Refusal) -> [(&'static str, &'static str); 1] {
    let reason = match refusal {
        Refusal::NotCoordinator => "not_coordinator",
        Refusal::LoadInProgress => "load_in_progress",
        Refusal::NotAvailable => "not_available",
        Refusal::TooLarge => "too_large",
    };
    [("reason", reason)]
}
