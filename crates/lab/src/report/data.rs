//! What a report shows: plain data, written as JSON beside every report, so that others can draw their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A run, whole. Times are seconds since the run began, latencies milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunReport {
    /// Such as `Random chaos, seed 7`.
    pub(crate) title: String,
    /// What was under test.
    pub(crate) target: String,
    /// Cores, memory, kernel.
    pub(crate) machine: String,
    /// The date, as `2026-11-24 16:00 UTC`.
    pub(crate) date: String,
    /// The one command that replays the run.
    pub(crate) command: String,
    pub(crate) seed: Option<u64>,
    pub(crate) duration_s: f64,
    /// What the machine or the target could not do, each with the reason.
    pub(crate) not_done: Vec<String>,
    pub(crate) faults: Vec<FaultSpan>,
    pub(crate) traffic: Option<Traffic>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) matrix: Option<Matrix>,
}

/// A fault, from its begin to its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FaultSpan {
    /// Such as `kill leader`.
    pub(crate) name: String,
    pub(crate) detail: String,
    pub(crate) nodes: Vec<u32>,
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
    /// The longest time without an acknowledged send of acks=all that overlaps the fault or begins within 5 s after it: on the partition that
    /// fared worst, in milliseconds.
    pub(crate) worst_gap_ms: Option<f64>,
    /// From its end until all ISRs were full, in milliseconds; none when none shrank, or when it was not seen.
    #[serde(default)]
    pub(crate) recovered_ms: Option<f64>,
}

/// What the clients saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// Width of a bucket of the series.
    pub(crate) bucket_ms: u32,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
    pub(crate) polled: u64,
    /// From the intended start to the acknowledgement.
    pub(crate) latency: Percentiles,
    pub(crate) partitions: Vec<PartitionSeries>,
    /// Latency over time.
    pub(crate) heat_map: HeatMap,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// One partition over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartitionSeries {
    pub(crate) partition: String,
    /// Sends acknowledged in each bucket.
    pub(crate) acknowledged: Vec<u32>,
    /// Sends that should have begun in each bucket.
    pub(crate) intended: Vec<u32>,
    /// Buckets with at least one acknowledgement, of those in which a send was intended: 0 to 1.
    pub(crate) availability: f64,
    pub(crate) longest_gap_ms: f64,
}

/// Counts by time and latency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeatMap {
    /// Width of a column.
    pub(crate) column_ms: u32,
    /// Upper bounds of the rows in milliseconds, ascending; the last row has none.
    pub(crate) row_bounds_ms: Vec<f64>,
    /// `columns[column][row]`.
    pub(crate) columns: Vec<Vec<u32>>,
}

/// What the checker found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// No anomaly that the clients' settings do not allow.
    pub(crate) valid: bool,
    /// Events read.
    pub(crate) events: u64,
    pub(crate) anomalies: Vec<Anomaly>,
    /// What happened and was allowed, such as losses with acks=1: name and count.
    pub(crate) allowed: BTreeMap<String, u64>,
    /// Sends by their acks: "all", "1", "0".
    pub(crate) sends: BTreeMap<String, Tally>,
    /// What could not be checked, and why: no final read, say.
    pub(crate) unchecked: Vec<String>,
}

/// One kind of anomaly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Anomaly {
    /// The checker's name of it, such as `lost-write`.
    pub(crate) name: String,
    /// What it means, a sentence.
    pub(crate) meaning: String,
    pub(crate) count: u64,
    /// The first few, each with the operations involved, as lines of the history.
    pub(crate) examples: Vec<Example>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Example {
    /// What happened here, a sentence with partition, offset and value.
    pub(crate) what: String,
    pub(crate) operations: Vec<String>,
}

/// Sends and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    /// Of the acknowledged ones, those that the final read found.
    pub(crate) found: u64,
    /// Acknowledged and not found.
    pub(crate) lost: u64,
    /// Records beyond the first with the same value.
    pub(crate) duplicated: u64,
}

/// The durability matrix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Matrix {
    pub(crate) cells: Vec<Cell>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// `0`, `1` or `all`.
    pub(crate) acks: String,
    /// `each message` or `page cache`.
    pub(crate) flush: String,
    /// Such as `all nodes lose power`.
    pub(crate) fault: String,
    pub(crate) rounds: u32,
    /// Rounds in which at least one acknowledged record was lost.
    pub(crate) rounds_with_loss: u32,
    pub(crate) tally: Tally,
}
