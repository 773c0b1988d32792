//! What a run found, for people: a live view in the terminal, one HTML page without any network, Markdown, JSON.
//!
//! All of them show the plain data of `data` and add nothing: who doubts a plot finds its numbers in report.json.

mod data;
mod format;
mod gaps;
mod grid;
mod headline;
mod html;
mod markdown;
#[cfg(test)]
mod sample;
mod terminal;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::{fs, io};

pub(crate) use data::{
    Anomaly, Cell, Example, FaultSpan, HeatMap, Matrix, PartitionSeries, Percentiles, RunReport,
    Tally, Traffic, Verdict,
};
pub(crate) use html::html;
pub(crate) use markdown::markdown;
pub(crate) use terminal::{Live, LiveState, summary};

/// Where the files of a report are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paths {
    pub(crate) html: PathBuf,
    pub(crate) markdown: PathBuf,
    pub(crate) json: PathBuf,
}

/// The report as JSON, on one line.
pub(crate) fn json(report: &RunReport) -> String {
    serde_json::to_string(report).expect("plain data with strings as keys is always JSON")
}

/// Writes report.html, report.md and report.json into a directory, which is created where it is missing.
///
/// # Errors
/// When the directory cannot be created or a file not written.
pub(crate) fn write_all(directory: &Path, report: &RunReport) -> io::Result<Paths> {
    fs::create_dir_all(directory)?;
    let paths = Paths {
        html: directory.join("report.html"),
        markdown: directory.join("report.md"),
        json: directory.join("report.json"),
    };
    fs::write(&paths.html, html(report))?;
    fs::write(&paths.markdown, markdown(report))?;
    fs::write(&paths.json, json(report) + "\n")?;
    Ok(paths)
}
