//! The durability matrix as a table: rows acks x flush, columns faults.

use super::{Cell, Matrix};

/// The cells in their places; a place may be empty.
#[derive(Debug)]
pub(super) struct Grid<'a> {
    /// In the order in which the matrix has them.
    pub(super) faults: Vec<&'a str>,
    pub(super) rows: Vec<Row<'a>>,
}

#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) acks: &'a str,
    pub(super) flush: &'a str,
    pub(super) cells: Vec<Option<&'a Cell>>,
}

impl<'a> Grid<'a> {
    pub(super) fn new(matrix: &'a Matrix) -> Self {
        let mut faults: Vec<&str> = Vec::new();
        let mut rows: Vec<Row<'a>> = Vec::new();
        for cell in &matrix.cells {
            if !faults.contains(&cell.fault.as_str()) {
                faults.push(&cell.fault);
            }
            if !rows.iter().any(|row| row.acks == cell.acks && row.flush == cell.flush) {
                rows.push(Row { acks: &cell.acks, flush: &cell.flush, cells: Vec::new() });
            }
        }
        // Weakest promise first; within it the order of the matrix.
        rows.sort_by_key(|row| ["0", "1", "all"].iter().position(|acks| *acks == row.acks));
        for row in &mut rows {
            row.cells = faults
                .iter()
                .map(|fault| {
                    let here = |cell: &&Cell| {
                        cell.acks == row.acks && cell.flush == row.flush && cell.fault == *fault
                    };
                    matrix.cells.iter().find(here)
                })
                .collect();
        }
        Self { faults, rows }
    }
}

/// Lost of acknowledged, 0 to 1.
pub(super) fn loss_share(cell: &Cell) -> f64 {
    let acknowledged = cell.tally.acknowledged.max(1);
    (cell.tally.lost as f64 / acknowledged as f64).min(1.0)
}
