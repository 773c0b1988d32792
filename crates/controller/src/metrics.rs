//! The control plane's metrics, in Prometheus' names.
//!
//! Owns the cells; whoever changes a state sets its gauge.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The cells. Cheap to clone; clones share the cells.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// 1 on the active controller, 0 elsewhere.
    pub(crate) active_controller: Gauge,
    /// Leadership changes of partitions that this broker's image went through.
    pub(crate) leader_elections: Counter,
    /// Registered brokers that are fenced in this broker's image.
    pub(crate) fenced_brokers: Gauge,
    /// Commands known to be committed and not yet in this broker's image.
    pub(crate) applied_index_lag: Gauge,
    /// Seconds of one fdatasync of Raft's log.
    pub(crate) raft_fsync: Histogram,
    /// Seconds from a leader's broken connection to the election of its successor, on the active controller.
    pub(crate) election: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        // 50 microseconds to 1.6 seconds.
        let bounds = (0..16).map(|power| 0.000_05 * f64::from(1_u32 << power));
        Self {
            active_controller: Gauge::default(),
            leader_elections: Counter::default(),
            fenced_brokers: Gauge::default(),
            applied_index_lag: Gauge::default(),
            raft_fsync: Histogram::new(bounds.clone()),
            election: Histogram::new(bounds),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let controller = registry.sub_registry_with_prefix("controller");
        controller.register(
            "active",
            "1 on the active controller, 0 elsewhere",
            self.active_controller.clone(),
        );
        controller.register(
            "leader_elections",
            "Leadership changes of partitions seen in the metadata",
            self.leader_elections.clone(),
        );
        controller.register(
            "fenced_brokers",
            "Registered brokers that are fenced",
            self.fenced_brokers.clone(),
        );
        controller.register(
            "applied_index_lag",
            "Committed metadata commands that are not yet applied here",
            self.applied_index_lag.clone(),
        );
        controller.register(
            "raft_fsync_seconds",
            "Time of one fdatasync of the metadata log",
            self.raft_fsync.clone(),
        );
        controller.register(
            "election_seconds",
            "Time from a leader's broken connection to the election of its successor",
            self.election.clone(),
        );
    }
}
