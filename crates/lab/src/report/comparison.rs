//! Runs of the same schedule with several targets, side by side. What each page shows is chosen here, once.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::RunReport;
use super::format::{count, milliseconds, percent};
use super::gaps::{GapDistribution, gap_distribution};
use super::headline::Headline;

/// The runs, in the order in which they were done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Comparison {
    pub(crate) title: String,
    /// The one command that replays all of them.
    pub(crate) command: String,
    pub(crate) runs: Vec<RunReport>,
}

/// What every page has: a table of figures with a column for each target, and the gaps of each fault.
#[derive(Debug)]
pub(super) struct Sides {
    /// The targets' names.
    pub(super) targets: Vec<String>,
    /// Name of a figure, and its value for each target.
    pub(super) figures: Vec<(&'static str, Vec<String>)>,
    pub(super) faults: Vec<Fault>,
}

/// A fault, and the gaps that it made with each target.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) name: String,
    pub(super) gaps: Vec<Option<GapDistribution>>,
}

impl Sides {
    pub(super) fn of(comparison: &Comparison) -> Self {
        let runs = &comparison.runs;
        let of_all = |figure: &dyn Fn(&RunReport) -> String| runs.iter().map(figure).collect();
        let tally = |run: &RunReport| {
            let verdict = run.verdict.as_ref();
            verdict.and_then(|verdict| verdict.sends.get("all").copied()).unwrap_or_default()
        };
        let traffic = |run: &RunReport| run.traffic.clone().unwrap_or_default();
        let figures = vec![
            ("verdict", of_all(&|run| Headline::of(run).text)),
            ("acknowledged, acks=all", of_all(&|run| count(tally(run).acknowledged))),
            ("lost of them", of_all(&|run| count(tally(run).lost))),
            ("sends that failed", of_all(&|run| count(traffic(run).failed))),
            ("sends of unknown outcome", of_all(&|run| count(traffic(run).unknown))),
            ("latency p50", of_all(&|run| milliseconds(traffic(run).latency.p50))),
            ("latency p99", of_all(&|run| milliseconds(traffic(run).latency.p99))),
            ("least available partition", of_all(&|run| availability(run))),
            ("longest gap", of_all(&|run| longest_gap(run))),
            ("faults", of_all(&|run| run.faults.len().to_string())),
        ];
        let distributions: Vec<_> = runs.iter().map(|run| gap_distribution(&run.faults)).collect();
        let names: BTreeSet<&str> =
            distributions.iter().flatten().map(|gaps| gaps.name.as_str()).collect();
        let faults = names.into_iter().map(|name| {
            let here = |gaps: &Vec<GapDistribution>| gaps.iter().find(|g| g.name == name).cloned();
            Fault { name: name.to_owned(), gaps: distributions.iter().map(here).collect() }
        });
        Self {
            targets: runs.iter().map(|run| run.target.clone()).collect(),
            figures,
            faults: faults.collect(),
        }
    }

    /// Each fault with each target: fault, target, times, median, p99, longest, recovered.
    pub(super) fn gap_rows(&self) -> Vec<[String; 7]> {
        let of_fault = |fault: &Fault| -> Vec<[String; 7]> {
            let sides = self.targets.iter().zip(&fault.gaps);
            let row = |(target, gaps): (&String, &Option<GapDistribution>)| {
                let name = fault.name.clone();
                let Some(gaps) = gaps else {
                    let none = String::new;
                    return [name, target.clone(), "0".to_owned(), none(), none(), none(), none()];
                };
                [
                    name,
                    target.clone(),
                    gaps.count.to_string(),
                    milliseconds(gaps.median_ms),
                    milliseconds(gaps.p99_ms),
                    milliseconds(gaps.max_ms),
                    gaps.recovery_median_ms.map(milliseconds).unwrap_or_default(),
                ]
            };
            sides.map(row).collect()
        };
        self.faults.iter().flat_map(of_fault).collect()
    }
}

/// Heads of the columns of [`Sides::gap_rows`].
pub(super) const GAP_HEADS: [&str; 7] =
    ["fault", "target", "times", "median gap", "p99", "longest", "in sync again (median)"];

fn availability(run: &RunReport) -> String {
    let partitions = run.traffic.iter().flat_map(|traffic| &traffic.partitions);
    let least = partitions.map(|series| series.availability).min_by(f64::total_cmp);
    least.map(percent).unwrap_or_default()
}

fn longest_gap(run: &RunReport) -> String {
    let partitions = run.traffic.iter().flat_map(|traffic| &traffic.partitions);
    let longest = partitions.map(|series| series.longest_gap_ms).max_by(f64::total_cmp);
    longest.map(milliseconds).unwrap_or_default()
}
