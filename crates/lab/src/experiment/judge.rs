//! From a history to what a report shows, in one pass: the verdict, and what the clients saw.

use std::path::Path;

use super::ExperimentError;
use crate::checker::check_history;
use crate::history::HistoryReader;
use crate::report::{FaultSpan, Traffic, Verdict};
use crate::statistics::Statistics;

/// Width of a bucket of availability and throughput.
const BUCKET_MS: u32 = 100;

/// What a history says.
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) traffic: Traffic,
    pub(crate) faults: Vec<FaultSpan>,
}

/// Judges a history; `scratch` is a directory for what does not fit into memory.
///
/// # Errors
/// When the history cannot be read, or is none.
pub(crate) fn judge(history: &Path, scratch: &Path) -> Result<Judgement, ExperimentError> {
    let verdict = check_history(history, scratch)?;
    let mut statistics = Statistics::new(BUCKET_MS);
    for event in HistoryReader::open(history)? {
        statistics.observe(&event?);
    }
    let (traffic, faults) = statistics.finish();
    Ok(Judgement { verdict, traffic, faults })
}

/// Judges a history without looking at what the clients saw.
///
/// # Errors
/// When the history cannot be read, or is none.
pub(crate) fn verdict_of(history: &Path) -> Result<Verdict, ExperimentError> {
    let scratch = history.parent().unwrap_or_else(|| Path::new("."));
    Ok(check_history(history, scratch)?)
}
