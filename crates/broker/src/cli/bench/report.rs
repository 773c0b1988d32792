//! What a benchmark prints: a table for a reader, JSON for a script.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::processes::Spent;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// The result of one run.
#[derive(Debug)]
pub(super) struct Report {
    /// What was run, for a reader.
    pub(super) workload: String,
    /// What was run, for a script.
    pub(super) parameters: Value,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) requests: u64,
    pub(super) elapsed: Duration,
    /// Latencies in microseconds.
    pub(super) latencies: Latencies,
    /// What latency means here.
    pub(super) latency_of: &'static str,
    pub(super) brokers: Vec<Spent>,
    pub(super) own_cpu_seconds: f64,
}

/// Latencies, from one microsecond to an hour with three digits.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Self {
        Self(Histogram::new_with_max(LONGEST_MICROS, 3).expect("the bounds are in range"))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    fn percentile_ms(&self, percentile: f64) -> f64 {
        millis(self.0.value_at_percentile(percentile))
    }
}

impl Report {
    fn seconds(&self) -> f64 {
        self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn broker_cpu_seconds(&self) -> f64 {
        self.brokers.iter().map(|broker| broker.cpu_seconds).sum()
    }

    /// Returns the report for a script.
    pub(super) fn json(&self) -> Value {
        let percentiles: serde_json::Map<_, _> = PERCENTILES
            .iter()
            .map(|(name, percentile)| {
                ((*name).to_owned(), json!(self.latencies.percentile_ms(*percentile)))
            })
            .collect();
        let brokers: Value = self
            .brokers
            .iter()
            .map(|broker| {
                json!({
                    "pid": broker.pid,
                    "cpu_seconds": broker.cpu_seconds,
                    "resident_bytes": broker.resident_bytes,
                    "peak_resident_bytes": broker.peak_bytes,
                })
            })
            .collect();
        let has_brokers = !self.brokers.is_empty();
        json!({
            "workload": self.workload,
            "parameters": self.parameters,
            "records": self.records,
            "bytes": self.bytes,
            "requests": self.requests,
            "seconds": self.seconds(),
            "records_per_second": float(self.records) / self.seconds(),
            "megabytes_per_second": float(self.bytes) / 1e6 / self.seconds(),
            "latency_of": self.latency_of,
            "latency_ms": percentiles,
            "brokers": brokers,
            "broker_cpu_seconds": has_brokers.then(|| self.broker_cpu_seconds()),
            "broker_cpu_seconds_per_gigabyte":
                has_brokers.then(|| self.broker_cpu_seconds() / (float(self.bytes) / 1e9)),
            "broker_cpu_micros_per_request":
                has_brokers.then(|| self.broker_cpu_seconds() * 1e6 / float(self.requests)),
            "client_cpu_seconds": self.own_cpu_seconds,
        })
    }

    /// Prints the report for a reader.
    pub(super) fn print(&self, output: &mut Output) -> Result<(), Failure> {
        let gigabytes = float(self.bytes) / 1e9;
        output.line(&self.workload)?;
        output.line(&format!(
            "  throughput   {:.1} MB/s, {:.0} records/s ({} records, {:.3} GB in {:.2} s)",
            float(self.bytes) / 1e6 / self.seconds(),
            float(self.records) / self.seconds(),
            self.records,
            gigabytes,
            self.seconds(),
        ))?;
        let latencies: Vec<_> = PERCENTILES
            .iter()
            .map(|(name, percentile)| {
                format!("{name} {:.3}", self.latencies.percentile_ms(*percentile))
            })
            .collect();
        output.line(&format!(
            "  latency      {} ms ({})",
            latencies.join("  "),
            self.latency_of
        ))?;
        for broker in &self.brokers {
            output.line(&format!(
                "  broker {:<6}{:.2} CPU s, {:.1} MB resident, {:.1} MB at most",
                broker.pid,
                broker.cpu_seconds,
                float(broker.resident_bytes) / 1e6,
                float(broker.peak_bytes) / 1e6,
            ))?;
        }
        if !self.brokers.is_empty() {
            output.line(&format!(
                "  brokers      {:.2} CPU s, {:.2} CPU s/GB, {:.0} us/request",
                self.broker_cpu_seconds(),
                self.broker_cpu_seconds() / gigabytes,
                self.broker_cpu_seconds() * 1e6 / float(self.requests),
            ))?;
        }
        output.line(&format!(
            "  client       {:.2} CPU s, {:.2} CPU s/GB",
            self.own_cpu_seconds,
            self.own_cpu_seconds / gigabytes,
        ))
    }
}

/// Converts a count; beyond 2^52 the last digits do not matter.
#[expect(clippy::cast_precision_loss, reason = "a report rounds anyway")]
fn float(count: u64) -> f64 {
    count as f64
}

fn millis(micros: u64) -> f64 {
    float(micros) / 1e3
}

/// Greatest latency that is told apart.
const LONGEST_MICROS: u64 = 3_600_000_000;

const PERCENTILES: &[(&str, f64)] =
    &[("p50", 50.0), ("p95", 95.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_rates_percentiles_and_costs() {
        let mut latencies = Latencies::new();
        for micros in 1..=1_000 {
            latencies.record(Duration::from_micros(micros));
        }
        let mut more = Latencies::new();
        more.record(Duration::from_millis(50));
        latencies.add(&more);
        let report = Report {
            workload: "w".to_owned(),
            parameters: Value::Null,
            records: 1_000,
            bytes: 2_000_000_000,
            requests: 100,
            elapsed: Duration::from_secs(2),
            latencies,
            latency_of: "request",
            brokers: vec![Spent { pid: 1, cpu_seconds: 4.0, resident_bytes: 1, peak_bytes: 2 }],
            own_cpu_seconds: 1.0,
        };
        let json = report.json();
        assert_eq!(json["megabytes_per_second"], 1_000.0);
        assert_eq!(json["broker_cpu_seconds_per_gigabyte"], 2.0);
        assert_eq!(json["broker_cpu_micros_per_request"], 40_000.0);
        let median = json["latency_ms"]["p50"].as_f64().unwrap();
        assert!((0.49..0.51).contains(&median), "{median}");
        assert!(json["latency_ms"]["max"].as_f64().unwrap() >= 50.0);
    }
}
