//! The table that a run ends with.

use std::fmt::Write as _;

use super::super::comparison::{GAP_HEADS, Sides};
use super::super::format::{clock, count, milliseconds, one_line, percent};
use super::super::gaps::gap_distribution;
use super::super::grid::Grid;
use super::super::headline::{Headline, Tone};
use super::super::{Comparison, Matrix, RunReport, Traffic, Verdict};

/// The verdict, tallies, gaps per fault and the matrix, as plain text without colours.
pub(crate) fn summary(report: &RunReport) -> String {
    let headline = Headline::of(report);
    let mark = match headline.tone {
        Tone::Kept => "VALID",
        Tone::Broken => "BROKEN",
        Tone::Unknown => "UNKNOWN",
    };
    let mut out = format!("{mark}: {}\n{}\n", headline.text, headline.below);
    let mut about = format!("{}, {}", report.title, report.target);
    if report.duration_s > 0.0 {
        let _ = write!(about, ", {}", clock(report.duration_s));
    }
    let _ = writeln!(out, "{}", one_line(&about));
    if let Some(verdict) = &report.verdict {
        anomalies(&mut out, verdict);
        sends(&mut out, verdict);
    }
    if let Some(traffic) = &report.traffic {
        figures(&mut out, traffic);
    }
    gaps(&mut out, report);
    if let Some(matrix) = &report.matrix {
        durability(&mut out, matrix);
    }
    for reason in &report.not_done {
        let _ = writeln!(out, "\nnot done: {}", one_line(reason));
    }
    if !report.command.is_empty() {
        let _ = writeln!(out, "\nreplay: {}", one_line(&report.command));
    }
    out
}

/// A comparison: the figures of each target, and the gaps of each fault with each.
pub(crate) fn of_comparison(comparison: &Comparison) -> String {
    let sides = Sides::of(comparison);
    let mut out = format!("{}\n", one_line(&comparison.title));
    let mut figures = vec![vec![String::new()]];
    figures[0].extend(sides.targets.iter().map(|target| one_line(target)));
    for (name, values) in &sides.figures {
        let mut cells = row([name]);
        cells.extend(values.iter().map(|value| one_line(value)));
        figures.push(cells);
    }
    table(&mut out, &figures);
    let mut gaps = vec![row(GAP_HEADS)];
    gaps.extend(sides.gap_rows().iter().map(|cells| cells.iter().map(|c| one_line(c)).collect()));
    table(&mut out, &gaps);
    for run in &comparison.runs {
        for reason in &run.not_done {
            let (target, reason) = (one_line(&run.target), one_line(reason));
            let _ = writeln!(out, "\nnot done with {target}: {reason}");
        }
    }
    let _ = writeln!(out, "\nreplay: {}", one_line(&comparison.command));
    out
}

fn anomalies(out: &mut String, verdict: &Verdict) {
    for anomaly in &verdict.anomalies {
        let (name, meaning) = (one_line(&anomaly.name), one_line(&anomaly.meaning));
        let _ = writeln!(out, "\n{name}: {} ({meaning})", count(anomaly.count));
        if let Some(example) = anomaly.examples.first() {
            let _ = writeln!(out, "  such as: {}", one_line(&example.what));
            for operation in &example.operations {
                let _ = writeln!(out, "    {}", one_line(operation));
            }
        }
    }
    for reason in &verdict.unchecked {
        let _ = writeln!(out, "\nnot checked: {}", one_line(reason));
    }
}

fn sends(out: &mut String, verdict: &Verdict) {
    let mut rows = vec![row(["acks", "sent", "acknowledged", "found", "lost", "duplicated"])];
    for (acks, tally) in &verdict.sends {
        let numbers = [tally.sent, tally.acknowledged, tally.found, tally.lost, tally.duplicated];
        let mut cells = vec![acks.clone()];
        cells.extend(numbers.map(count));
        rows.push(cells);
    }
    table(out, &rows);
    for (name, number) in &verdict.allowed {
        let _ = writeln!(out, "allowed by the settings: {} {}", count(*number), one_line(name));
    }
}

fn figures(out: &mut String, traffic: &Traffic) {
    let latency = &traffic.latency;
    let _ = writeln!(
        out,
        "\nlatency: p50 {}, p99 {}, p99.9 {}, max {}; {} failed, {} unknown",
        milliseconds(latency.p50),
        milliseconds(latency.p99),
        milliseconds(latency.p999),
        milliseconds(latency.max),
        count(traffic.failed),
        count(traffic.unknown)
    );
    let mut worst: Vec<_> = traffic.partitions.iter().collect();
    worst.sort_by(|one, two| two.longest_gap_ms.total_cmp(&one.longest_gap_ms));
    if let Some(series) = worst.first() {
        let _ = writeln!(
            out,
            "longest gap: {} on {} (available {})",
            milliseconds(series.longest_gap_ms),
            one_line(&series.partition),
            percent(series.availability)
        );
    }
}

fn gaps(out: &mut String, report: &RunReport) {
    let mut rows = vec![row(["gap per fault", "times", "median", "p99", "max", "in sync again"])];
    rows.extend(gap_distribution(&report.faults).into_iter().map(|gaps| {
        vec![
            one_line(&gaps.name),
            gaps.count.to_string(),
            milliseconds(gaps.median_ms),
            milliseconds(gaps.p99_ms),
            milliseconds(gaps.max_ms),
            gaps.recovery_median_ms.map(milliseconds).unwrap_or_default(),
        ]
    }));
    table(out, &rows);
}

fn durability(out: &mut String, matrix: &Matrix) {
    let grid = Grid::new(matrix);
    let mut head = row(["acks", "flush"]);
    head.extend(grid.faults.iter().map(|fault| one_line(fault)));
    let mut rows = vec![head];
    for line in &grid.rows {
        let mut cells = row([line.acks, line.flush]);
        cells.extend(line.cells.iter().map(|cell| match cell {
            None => String::new(),
            Some(cell) if cell.tally.lost == 0 => "kept".to_owned(),
            Some(cell) => {
                format!("{} of {}", count(cell.tally.lost), count(cell.tally.acknowledged))
            }
        }));
        rows.push(cells);
    }
    if rows.len() > 1 {
        out.push_str("\nlost of acknowledged:");
    }
    table(out, &rows);
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.iter().map(|cell| one_line(cell)).collect()
}

/// Columns as wide as they must be, the first to the left, the others to the right; nothing when there is a head alone.
fn table(out: &mut String, rows: &[Vec<String>]) {
    if rows.len() < 2 {
        return;
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    out.push('\n');
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}
