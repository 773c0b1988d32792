//! The report as Markdown: for a repository, a ticket, a mail.

use std::fmt::Write as _;

use super::comparison::{GAP_HEADS, Sides};
use super::format::{clock, count, escape_markdown as escape, milliseconds, nodes, percent};
use super::gaps::gap_distribution;
use super::grid::Grid;
use super::headline::{Headline, Tone};
use super::{Anomaly, Comparison, Matrix, RunReport, Traffic, Verdict};

/// The whole report.
pub(crate) fn markdown(report: &RunReport) -> String {
    let headline = Headline::of(report);
    let mark = match headline.tone {
        Tone::Kept => "\u{2714}",
        Tone::Broken => "\u{2718}",
        Tone::Unknown => "?",
    };
    let mut out = format!(
        "# {}\n\n**{mark} {}.** {}\n",
        escape(&report.title),
        escape(&headline.text),
        escape(&headline.below)
    );
    details(&mut out, report);
    if let Some(verdict) = &report.verdict {
        anomalies(&mut out, &verdict.anomalies);
    }
    if let Some(matrix) = &report.matrix {
        durability(&mut out, matrix);
    }
    if let Some(verdict) = &report.verdict {
        tallies(&mut out, verdict);
    }
    if let Some(traffic) = &report.traffic {
        figures(&mut out, traffic);
    }
    gaps(&mut out, report);
    faults(&mut out, report);
    list(&mut out, "Not done", &report.not_done);
    out
}

/// The whole comparison.
pub(crate) fn of_comparison(comparison: &Comparison) -> String {
    let sides = Sides::of(comparison);
    let mut out = format!("# {}\n", escape(&comparison.title));
    let about = comparison.runs.first().map(|run| (escape(&run.machine), escape(&run.date)));
    if let Some((machine, date)) = about {
        let _ = writeln!(out, "\nOne after the other on one machine ({machine}), from {date} on.");
    }
    block(&mut out, "Replay it:", "sh", &comparison.command);
    let targets: Vec<_> = sides.targets.iter().map(|target| escape(target)).collect();
    let _ =
        writeln!(out, "\n| | {} |\n|---|{}", targets.join(" | "), "---:|".repeat(targets.len()));
    for (name, values) in &sides.figures {
        let values: Vec<_> = values.iter().map(|value| escape(value)).collect();
        let _ = writeln!(out, "| {name} | {} |", values.join(" | "));
    }
    let rows = sides.gap_rows();
    if !rows.is_empty() {
        let heads = GAP_HEADS.join(" | ");
        let _ = writeln!(out, "\n## Gap per fault\n\n| {heads} |\n|---|---|{}", "---:|".repeat(5));
        for row in rows {
            let _ = writeln!(out, "| {} |", row.map(|cell| escape(&cell)).join(" | "));
        }
    }
    for run in &comparison.runs {
        list(&mut out, &format!("Not done: {}", escape(&run.target)), &run.not_done);
    }
    out
}

fn details(out: &mut String, report: &RunReport) {
    let duration = if report.duration_s > 0.0 { clock(report.duration_s) } else { String::new() };
    let seed = report.seed.map(|seed| seed.to_string()).unwrap_or_default();
    let rows = [
        ("Target", escape(&report.target)),
        ("Machine", escape(&report.machine)),
        ("Date", escape(&report.date)),
        ("Duration", duration),
        ("Seed", seed),
    ];
    out.push_str("\n| | |\n|---|---|\n");
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(out, "| {name} | {value} |");
    }
    if !report.command.is_empty() {
        block(out, "Replay it:", "sh", &report.command);
    }
}

/// A fenced block; the fence is longer than any run of backticks inside.
fn block(out: &mut String, before: &str, language: &str, text: &str) {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let _ = writeln!(out, "\n{before}\n\n{fence}{language}\n{text}\n{fence}");
}

fn anomalies(out: &mut String, anomalies: &[Anomaly]) {
    if anomalies.is_empty() {
        return;
    }
    out.push_str("\n## Anomalies\n");
    for anomaly in anomalies {
        let (name, meaning) = (escape(&anomaly.name), escape(&anomaly.meaning));
        let _ = writeln!(out, "\n### {name}: {}\n\n{meaning}", count(anomaly.count));
        for example in &anomaly.examples {
            block(out, &escape(&example.what), "json", &example.operations.join("\n"));
        }
    }
}

fn durability(out: &mut String, matrix: &Matrix) {
    let grid = Grid::new(matrix);
    out.push_str("\n## Durability: lost of acknowledged\n\n| acks | flush |");
    for fault in &grid.faults {
        let _ = write!(out, " {} |", escape(fault));
    }
    let _ = writeln!(out, "\n|---|---|{}", "---:|".repeat(grid.faults.len()));
    for row in &grid.rows {
        let _ = write!(out, "| {} | {} |", escape(row.acks), escape(row.flush));
        for cell in &row.cells {
            match cell {
                None => out.push_str(" |"),
                Some(cell) => {
                    let (lost, of) = (count(cell.tally.lost), count(cell.tally.acknowledged));
                    let strong = if cell.tally.lost > 0 { "**" } else { "" };
                    let _ = write!(out, " {strong}{lost}{strong} of {of} |");
                }
            }
        }
        out.push('\n');
    }
    let rounds = matrix.cells.iter().map(|cell| cell.rounds).min().zip(
        // The same in every cell, unless a run was cut short.
        matrix.cells.iter().map(|cell| cell.rounds).max(),
    );
    match rounds {
        Some((least, most)) if least == most => {
            let _ = writeln!(out, "\nRounds in each cell: {most}.");
        }
        Some((least, most)) => {
            let _ = writeln!(out, "\nRounds in a cell: {least} to {most}.");
        }
        None => {}
    }
}

fn tallies(out: &mut String, verdict: &Verdict) {
    if !verdict.sends.is_empty() {
        out.push_str("\n## Sends\n\n| acks | sent | acknowledged | found | lost | duplicated |\n");
        out.push_str("|---|---:|---:|---:|---:|---:|\n");
    }
    for (acks, tally) in &verdict.sends {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            escape(acks),
            count(tally.sent),
            count(tally.acknowledged),
            count(tally.found),
            count(tally.lost),
            count(tally.duplicated)
        );
    }
    let allowed =
        verdict.allowed.iter().map(|(name, number)| format!("{name}: {}", count(*number)));
    list(out, "Seen, and allowed by the clients' settings", &allowed.collect::<Vec<_>>());
    list(out, "Not checked", &verdict.unchecked);
}

fn figures(out: &mut String, traffic: &Traffic) {
    let _ = writeln!(
        out,
        "\n## Traffic\n\n{} sent: {} acknowledged, {} failed, {} unknown; {} polled.",
        count(traffic.sent),
        count(traffic.acknowledged),
        count(traffic.failed),
        count(traffic.unknown),
        count(traffic.polled)
    );
    let latency = &traffic.latency;
    let _ = writeln!(
        out,
        "Latency from the intended time: p50 {}, p90 {}, p99 {}, p99.9 {}, max {}.",
        milliseconds(latency.p50),
        milliseconds(latency.p90),
        milliseconds(latency.p99),
        milliseconds(latency.p999),
        milliseconds(latency.max)
    );
    out.push_str("\n| partition | acknowledged | availability | longest gap |\n");
    out.push_str("|---|---:|---:|---:|\n");
    for series in &traffic.partitions {
        let acknowledged = series.acknowledged.iter().map(|bucket| u64::from(*bucket)).sum();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            escape(&series.partition),
            count(acknowledged),
            percent(series.availability),
            milliseconds(series.longest_gap_ms)
        );
    }
}

fn gaps(out: &mut String, report: &RunReport) {
    let distributions = gap_distribution(&report.faults);
    if distributions.is_empty() {
        return;
    }
    out.push_str(
        "\n## Gap per fault\n\n| fault | times | median | p99 | max | in sync again (median) |\n",
    );
    out.push_str("|---|---:|---:|---:|---:|---:|\n");
    for gaps in distributions {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            escape(&gaps.name),
            gaps.count,
            milliseconds(gaps.median_ms),
            milliseconds(gaps.p99_ms),
            milliseconds(gaps.max_ms),
            gaps.recovery_median_ms.map(milliseconds).unwrap_or_default()
        );
    }
}

fn faults(out: &mut String, report: &RunReport) {
    if report.faults.is_empty() {
        return;
    }
    out.push_str(
        "\n## Faults\n\n| at | lasted | fault | nodes | gap |\n|---:|---:|---|---|---:|\n",
    );
    for fault in &report.faults {
        let detail = match fault.detail.as_str() {
            "" => String::new(),
            detail => format!(" ({})", escape(detail)),
        };
        let _ = writeln!(
            out,
            "| {} | {} | {}{detail} | {} | {} |",
            clock(fault.from_s),
            milliseconds((fault.to_s - fault.from_s) * 1000.0),
            escape(&fault.name),
            nodes(&fault.nodes),
            fault.worst_gap_ms.map(milliseconds).unwrap_or_default()
        );
    }
}

fn list(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n## {title}\n");
    for line in lines {
        let _ = writeln!(out, "- {}", escape(line));
    }
}
