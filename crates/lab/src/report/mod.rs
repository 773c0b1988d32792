//! What a run found, for people: a live view in the terminal, one HTML page without any network, Markdown, JSON.

mod data;

pub(crate) use data::{
    Anomaly, Cell, Example, FaultSpan, HeatMap, Matrix, PartitionSeries, Percentiles, RunReport,
    Tally, Traffic, Verdict,
};
