//! The heat map: how many sends by the time at which they should have begun, and by their latency.

use crate::report::HeatMap;

use super::NANOS_PER_MS;

/// Width of a column at first.
const COLUMN_MS: u32 = 250;
/// Columns that a heat map has at most; then each two become one.
const MAX_COLUMNS: u64 = 600;
const FASTEST_MS: f64 = 0.1;
const SLOWEST_MS: f64 = 30_000.0;
const ROWS_PER_DECADE: f64 = 6.0;

#[derive(Debug)]
pub(super) struct Heat {
    column_ms: u32,
    row_bounds_ms: Vec<f64>,
    columns: Vec<Vec<u32>>,
}

impl Heat {
    pub(super) fn new() -> Self {
        let step = 10_f64.powf(1.0 / ROWS_PER_DECADE);
        let bounds = std::iter::successors(Some(FASTEST_MS), |bound| Some(bound * step));
        let row_bounds_ms = bounds.take_while(|bound| *bound < SLOWEST_MS * 1.01).collect();
        Self { column_ms: COLUMN_MS, row_bounds_ms, columns: Vec::new() }
    }

    /// A send that should have begun at this time took so long, both in nanoseconds.
    pub(super) fn add(&mut self, intended: u64, latency: u64) {
        while self.column(intended) >= MAX_COLUMNS {
            self.merge();
        }
        let column = usize::try_from(self.column(intended)).unwrap_or(usize::MAX);
        if column >= self.columns.len() {
            // One row more than bounds: what is slower than the last.
            let empty = vec![0; self.row_bounds_ms.len() + 1];
            self.columns.resize(column + 1, empty);
        }
        let milliseconds = latency as f64 / NANOS_PER_MS as f64;
        let row = self.row_bounds_ms.partition_point(|bound| *bound < milliseconds);
        let count = &mut self.columns[column][row];
        *count = count.saturating_add(1);
    }

    pub(super) fn finish(self) -> HeatMap {
        let Self { column_ms, row_bounds_ms, columns } = self;
        HeatMap { column_ms, row_bounds_ms, columns }
    }

    fn column(&self, time: u64) -> u64 {
        time / (u64::from(self.column_ms) * NANOS_PER_MS)
    }

    fn merge(&mut self) {
        self.column_ms *= 2;
        let pairs = self.columns.chunks(2);
        self.columns = pairs
            .map(|pair| match pair {
                [one, two] => {
                    one.iter().zip(two).map(|(one, two)| one.saturating_add(*two)).collect()
                }
                others => others.concat(),
            })
            .collect();
    }
}
