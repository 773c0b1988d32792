//! The gaps of a run by fault.

use super::FaultSpan;

/// The worst gaps of all faults of one name, in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GapDistribution {
    pub(crate) name: String,
    pub(crate) count: usize,
    pub(crate) median_ms: f64,
    /// By nearest rank: of fewer than 100 gaps it is the longest.
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// Every gap, ascending.
    pub(crate) gaps_ms: Vec<f64>,
}

/// The gaps of each fault that has one, the name with the longest median first.
pub(crate) fn gap_distribution(faults: &[FaultSpan]) -> Vec<GapDistribution> {
    let mut names: Vec<&str> = faults.iter().map(|fault| fault.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut distributions: Vec<_> = names
        .into_iter()
        .filter_map(|name| {
            let of_name = faults.iter().filter(|fault| fault.name == name);
            of(name, of_name.filter_map(|fault| fault.worst_gap_ms).collect())
        })
        .collect();
    distributions.sort_by(|one, two| two.median_ms.total_cmp(&one.median_ms));
    distributions
}

fn of(name: &str, mut gaps_ms: Vec<f64>) -> Option<GapDistribution> {
    gaps_ms.sort_by(f64::total_cmp);
    let count = gaps_ms.len();
    let max_ms = *gaps_ms.last()?;
    let (low, high) = (gaps_ms[(count - 1) / 2], gaps_ms[count / 2]);
    let p99_ms = gaps_ms[(count * 99).div_ceil(100) - 1];
    let median_ms = f64::midpoint(low, high);
    Some(GapDistribution { name: name.to_owned(), count, median_ms, p99_ms, max_ms, gaps_ms })
}
