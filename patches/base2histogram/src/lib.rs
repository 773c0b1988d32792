//! Stands in for the crate `base2histogram`, which openraft uses for statistics of its own that nobody here reads.
//!
//! The published crate builds tables for sixteen resolutions when the first value is recorded: 22 MiB in every broker, more than all else
//! that an idle one holds. This one keeps a count per power of two. It has what openraft names without its feature `runtime-stats`, and no more.

use std::fmt;
use std::marker::PhantomData;

/// Counts of values by power of two: bucket 0 holds zero, bucket n the values from 2^(n-1) to 2^n - 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: [u64; BUCKETS],
    slots: PhantomData<T>,
}

/// Percentiles of a histogram: each the greatest value that its bucket can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PercentileStats {
    /// Number of values.
    pub samples: u64,
    /// Percentile 0.1.
    pub p0_1: u64,
    /// Percentile 1.
    pub p1: u64,
    /// Percentile 5.
    pub p5: u64,
    /// Percentile 10.
    pub p10: u64,
    /// Median.
    pub p50: u64,
    /// Percentile 90.
    pub p90: u64,
    /// Percentile 99.
    pub p99: u64,
    /// Percentile 99.9.
    pub p99_9: u64,
}

/// Histograms by name, shown as a line of percentiles each.
#[derive(Clone, Debug)]
pub struct AsciiChart<T = ()> {
    series: Vec<(String, Histogram<T>)>,
}

impl<T> Default for AsciiChart<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> AsciiChart<T> {
    /// Makes an empty chart.
    #[must_use]
    pub fn new() -> Self {
        Self { series: Vec::new() }
    }

    /// Adds a histogram.
    #[must_use]
    pub fn add(mut self, name: &str, histogram: Histogram<T>) -> Self {
        self.series.push((name.to_owned(), histogram));
        self
    }

    /// Returns the chart in the form that takes the least room, which is the only one here.
    #[must_use]
    pub fn compact(&self) -> &Self {
        self
    }

    /// Returns the chart in its only form.
    #[must_use]
    pub fn detailed(&self) -> &Self {
        self
    }
}

impl<T> fmt::Display for AsciiChart<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.series.iter().try_for_each(|(name, histogram)| {
            writeln!(f, "{name}: {}", histogram.percentile_stats())
        })
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Histogram<T> {
    /// Makes an empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self { counts: [0; BUCKETS], slots: PhantomData }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value several times.
    pub fn record_n(&mut self, value: u64, count: u64) {
        let bucket = bucket_of(value);
        self.counts[bucket] = self.counts[bucket].saturating_add(count);
    }

    /// Returns how many values were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |total, count| total.saturating_add(*count))
    }

    /// Returns the usual percentiles.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.total(),
            p0_1: self.per_mille(1),
            p1: self.per_mille(10),
            p5: self.per_mille(50),
            p10: self.per_mille(100),
            p50: self.per_mille(500),
            p90: self.per_mille(900),
            p99: self.per_mille(990),
            p99_9: self.per_mille(999),
        }
    }

    fn per_mille(&self, share: u16) -> u64 {
        let wanted = self.total().saturating_mul(u64::from(share)).div_ceil(1000);
        let mut seen: u64 = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if *count > 0 && seen >= wanted {
                return greatest_of(bucket);
            }
        }
        0
    }
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, p50, p90, p99, p99_9, .. } = self;
        write!(f, "{samples} samples, p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p99_9}")
    }
}

fn bucket_of(value: u64) -> usize {
    usize::try_from(u64::BITS - value.leading_zeros()).unwrap_or(BUCKETS - 1)
}

fn greatest_of(bucket: usize) -> u64 {
    match bucket {
        0 => 0,
        BUCKETS.. => u64::MAX,
        _ => u64::MAX >> (BUCKETS - 1 - bucket),
    }
}

/// One for zero, one for each bit.
const BUCKETS: usize = 65;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_bound_of_its_bucket() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats().p99, 0);
        for value in [0, 1, 3, 100, 100, 100, 100, 100, 100, u64::MAX] {
            histogram.record(value);
        }
        let stats = histogram.percentile_stats();
        assert_eq!(
            (stats.samples, stats.p0_1, stats.p50, stats.p90, stats.p99),
            (10, 0, 127, 127, u64::MAX)
        );
    }
}
