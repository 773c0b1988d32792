//! What a run found, for people: a live view in the terminal, one HTML page without any network, Markdown, JSON.
//!
//! All of them show the plain data of `data` and add nothing: who doubts a plot finds its numbers in report.json.

mod comparison;
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

pub(crate) use comparison::Comparison;
pub(crate) use data::{
    Anomaly, Cell, Example, FaultSpan, HeatMap, Matrix, PartitionSeries, Percentiles, RunReport,
    Tally, Traffic, Verdict,
};
pub(crate) use html::{html, of_comparison as comparison_html};
pub(crate) use markdown::{markdown, of_comparison as comparison_markdown};
pub(crate) use terminal::{Live, LiveState, summary, summary_of_comparison};

/// Where the files of a report are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paths {
    pub(crate) html: PathBuf,
    pub(crate) markdown: PathBuf,
    pub(crate) json: PathBuf,
}

/// Data as JSON, on one line.
pub(crate) fn json(data: &impl serde::Serialize) -> String {
    serde_json::to_string(data).expect("plain data with strings as keys is always JSON")
}

/// Writes report.html, report.md and report.json into a directory, which is created where it is missing.
///
/// # Errors
/// When the directory cannot be created or a file not written.
pub(crate) fn write_all(directory: &Path, report: &RunReport) -> io::Result<Paths> {
    write(directory, [html(report), markdown(report), json(report) + "\n"])
}

/// The same of a comparison.
///
/// # Errors
/// When the directory cannot be created or a file not written.
pub(crate) fn write_comparison(directory: &Path, comparison: &Comparison) -> io::Result<Paths> {
    let (html, markdown) = (comparison_html(comparison), comparison_markdown(comparison));
    write(directory, [html, markdown, json(comparison) + "\n"])
}

fn write(directory: &Path, [html, markdown, json]: [String; 3]) -> io::Result<Paths> {
    fs::create_dir_all(directory)?;
    let paths = Paths {
        html: directory.join("report.html"),
        markdown: directory.join("report.md"),
        json: directory.join("report.json"),
    };
    fs::write(&paths.html, html)?;
    fs::write(&paths.markdown, markdown)?;
    fs::write(&paths.json, json)?;
    Ok(paths)
}
