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
    /// From the end of a fault that an ISR shrank in, until all ISRs were full again.
    pub(crate) recovery_median_ms: Option<f64>,
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
            let recovered = of_name.clone().filter_map(|fault| fault.recovered_ms).collect();
            of(name, of_name.filter_map(|fault| fault.worst_gap_ms).collect(), recovered)
        })
        .collect();
    distributions.sort_by(|one, two| two.median_ms.total_cmp(&one.median_ms));
    distributions
}

fn of(name: &str, mut gaps_ms: Vec<f64>, mut recovered: Vec<f64>) -> Option<GapDistribution> {
    gaps_ms.sort_by(f64::total_cmp);
    recovered.sort_by(f64::total_cmp);
    let count = gaps_ms.len();
    Some(GapDistribution {
        name: name.to_owned(),
        count,
        median_ms: median(&gaps_ms)?,
        p99_ms: gaps_ms[(count * 99).div_ceil(100) - 1],
        max_ms: *gaps_ms.last()?,
        recovery_median_ms: median(&recovered),
        gaps_ms,
    })
}

/// Of values in ascending order.
fn median(sorted: &[f64]) -> Option<f64> {
    let high = sorted.get(sorted.len() / 2)?;
    Some(f64::midpoint(sorted[(sorted.len() - 1) / 2], *high))
}
