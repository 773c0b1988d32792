//! The broker's metrics, by Prometheus conventions.
//!
//! Owns the registry and the metrics of the client side. What other parts count is read when the page is rendered, so that nothing is
//! counted twice.

use std::sync::Mutex;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Label of metrics per Kafka API.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ApiLabel {
    /// Kafka's name of the API.
    pub api: &'static str,
}

/// Label of produce metrics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AcksLabel {
    /// `0`, `1` or `all`.
    pub acks: &'static str,
}

/// Label of errors.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrorLabel {
    /// Kafka's name of the API.
    pub api: &'static str,
    /// Kafka's name of the error code.
    pub error: &'static str,
}

/// Counters of client connections.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    /// Connections accepted.
    pub accepted: Counter,
    /// Times an accept had to wait because `max.connections` was reached.
    pub deferred: Counter,
    /// Connections closed for what the client sent.
    pub faulty: Counter,
    /// Requests whose decoding panicked.
    pub decode_panics: Counter,
    /// Connections that are open.
    pub open: Gauge,
}

/// Counters of requests.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    /// Seconds from the whole request to its whole answer, long polls included.
    pub seconds: Family<ApiLabel, Histogram, fn() -> Histogram>,
    /// Error codes in answers.
    pub errors: Family<ErrorLabel, Counter>,
    /// Produce requests.
    pub produce: Family<AcksLabel, Counter>,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            seconds: Family::new_with_constructor(latency_histogram),
            errors: Family::default(),
            produce: Family::default(),
        }
    }
}

/// Buckets from 50 us to 10 s: an append in the page cache and a failover both fall inside.
fn latency_histogram() -> Histogram {
    Histogram::new([
        0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
        0.5, 1.0, 2.5, 5.0, 10.0,
    ])
}

/// What this broker sees in its metadata image; set when the page is rendered.
#[derive(Clone, Debug, Default)]
pub struct ClusterMetrics {
    /// Partitions of the cluster without a leader.
    pub leaderless: Gauge,
    /// Brokers that are registered and not fenced.
    pub live_brokers: Gauge,
}

/// All metrics of one broker.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Of client connections.
    pub connections: ConnectionMetrics,
    /// Of requests.
    pub requests: RequestMetrics,
    /// Of the cluster.
    pub cluster: ClusterMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Makes and registers the broker's own metrics.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let connections = ConnectionMetrics::default();
        let requests = RequestMetrics::default();
        let cluster = ClusterMetrics::default();
        let own = registry.sub_registry_with_prefix(PREFIX);
        register_connections(own, &connections);
        register_requests(own, &requests);
        register_cluster(own, &cluster);
        Self { registry: Mutex::new(registry), connections, requests, cluster }
    }

    /// Lets another part of the broker register its metrics; it gets the registry without the prefix `steadfast`.
    pub fn register(&self, register: impl FnOnce(&mut Registry)) {
        // A panic ends the process, so the lock is never poisoned.
        if let Ok(mut registry) = self.registry.lock() {
            register(&mut registry);
        }
    }

    /// Renders the page in the OpenMetrics text format, which Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = String::new();
        if let Ok(registry) = self.registry.lock() {
            // Writing into a string does not fail.
            let _ = encode(&mut page, &registry);
        }
        page
    }
}

/// Prefix of every metric's name.
pub const PREFIX: &str = "steadfast";

fn register_connections(registry: &mut Registry, metrics: &ConnectionMetrics) {
    registry.register(
        "connections_accepted",
        "Client connections accepted",
        metrics.accepted.clone(),
    );
    registry.register(
        "connections_deferred",
        "Accepts that waited because max.connections was reached",
        metrics.deferred.clone(),
    );
    registry.register(
        "connections_faulty",
        "Client connections closed for what the client sent",
        metrics.faulty.clone(),
    );
    registry.register(
        "request_decode_panics",
        "Requests whose decoding panicked",
        metrics.decode_panics.clone(),
    );
    registry.register("connections", "Client connections that are open", metrics.open.clone());
}

fn register_requests(registry: &mut Registry, metrics: &RequestMetrics) {
    registry.register_with_unit(
        "request",
        "Time from the whole request to its answer, by API",
        Unit::Seconds,
        metrics.seconds.clone(),
    );
    registry.register("request_errors", "Error codes in answers", metrics.errors.clone());
    registry.register("produce_requests", "Produce requests by acks", metrics.produce.clone());
}

fn register_cluster(registry: &mut Registry, metrics: &ClusterMetrics) {
    registry.register(
        "leaderless_partitions",
        "Partitions of the cluster without a leader",
        metrics.leaderless.clone(),
    );
    registry.register(
        "live_brokers",
        "Brokers that are registered and not fenced",
        metrics.live_brokers.clone(),
    );
}
