//! The latency heat map: time to the right, latency upward on a logarithmic axis, colour by count.

use super::super::format::{count, milliseconds};
use super::super::{HeatMap, RunReport, Traffic};
use super::plot::{TimeAxis, number, section as begin};

/// Classes of colour.
const CLASSES: usize = 8;
const LABELS_MS: [f64; 6] = [0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0];

pub(super) fn section(page: &mut String, report: &RunReport, traffic: &Traffic) {
    let map = &traffic.heat_map;
    let Some(rows) = rows(map) else { return };
    let axis = TimeAxis::of(report);
    begin(
        page,
        "latency",
        "Latency over time",
        "Each send stands at the moment when it should have been sent, by the rate that was asked \
         for, so that waiting counts. Shaded: the faults of the timeline.",
    );
    page.push_str(&format!(
        "<figure class=\"plots\" data-seconds=\"{}\">\n{}<div class=\"row heat\">\
         <div class=\"name\"><b>Latency</b><small>logarithmic</small></div><div class=\"cell\">",
        axis.seconds(),
        axis.bands(&report.faults)
    ));
    labels(page, map, &rows);
    let thresholds = thresholds(map);
    cells(page, (map, &rows), axis, &thresholds);
    page.push_str("</div></div>\n");
    page.push_str(&axis.labels());
    page.push_str("</figure>\n");
    legend(page, &thresholds);
    let latency = &traffic.latency;
    let figures =
        [("p50", latency.p50), ("p90", latency.p90), ("p99", latency.p99), ("p99.9", latency.p999)];
    page.push_str("<dl class=\"figures small\">\n");
    for (name, value) in figures.into_iter().chain([("max", latency.max)]) {
        page.push_str(&format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", milliseconds(value)));
    }
    page.push_str("</dl>\n</section>\n");
}

/// The rows with something in them, and one more on either side.
fn rows(map: &HeatMap) -> Option<std::ops::Range<usize>> {
    let used = |row: &usize| {
        map.columns.iter().any(|column| column.get(*row).is_some_and(|count| *count > 0))
    };
    let all = map.row_bounds_ms.len() + 1;
    let first = (0..all).find(used)?;
    let last = (0..all).rev().find(used)?;
    Some(first.saturating_sub(1)..(last + 2).min(all))
}

/// Labels at the decades, where a bound of a row is there.
fn labels(page: &mut String, map: &HeatMap, rows: &std::ops::Range<usize>) {
    let Some(first) = map.row_bounds_ms.first() else { return };
    let per_row = match map.row_bounds_ms.get(1) {
        Some(second) => (second / first).ln(),
        None => return,
    };
    for label in LABELS_MS {
        // Row r ends at bound r; the bottom of the drawing is the begin of the first row.
        let row = (label / first).ln() / per_row + 1.0;
        let bottom = (row - rows.start as f64) / rows.len() as f64 * 100.0;
        if (0.0..=100.0).contains(&bottom) {
            page.push_str(&format!(
                "<span class=\"y line\" style=\"bottom:{}%\">{}</span>",
                number(bottom),
                short(label)
            ));
        }
    }
}

fn short(milliseconds: f64) -> String {
    if milliseconds >= 1000.0 {
        format!("{} s", milliseconds / 1000.0)
    } else {
        format!("{milliseconds} ms")
    }
}

/// The least count of each class: even steps of the logarithm up to the highest count.
fn thresholds(map: &HeatMap) -> Vec<u32> {
    let most = map.columns.iter().flatten().copied().max().unwrap_or(1).max(1);
    let mut thresholds: Vec<u32> = (0..CLASSES)
        .map(|class| {
            let exact = f64::from(most).powf(class as f64 / CLASSES as f64);
            format!("{exact:.0}").parse().unwrap_or(u32::MAX)
        })
        .collect();
    // Few counts need fewer classes.
    thresholds.dedup();
    thresholds
}

/// The colour of a class: the last class has the strongest, however few there are.
fn colour(class: usize, classes: usize) -> usize {
    if classes < 2 { CLASSES - 1 } else { class * (CLASSES - 1) / (classes - 1) }
}

/// One path per class: its cells as squares of one unit.
fn cells(
    page: &mut String,
    (map, rows): (&HeatMap, &std::ops::Range<usize>),
    axis: TimeAxis,
    thresholds: &[u32],
) {
    let mut paths = vec![String::new(); thresholds.len()];
    for (at, column) in map.columns.iter().enumerate() {
        for row in rows.clone() {
            let count = column.get(row).copied().unwrap_or(0);
            let classes = thresholds.iter().filter(|least| **least <= count).count();
            if let Some(class) = classes.checked_sub(1) {
                let y = rows.end - 1 - row;
                paths[class].push_str(&format!("M{at} {y}h1v1h-1z"));
            }
        }
    }
    let seconds = map.columns.len() as f64 * f64::from(map.column_ms) / 1000.0;
    page.push_str(&format!(
        "<svg class=\"chart\" viewBox=\"0 0 {} {}\" preserveAspectRatio=\"none\" role=\"img\" \
         style=\"width:{}%\" aria-label=\"Latencies over time; the percentiles stand below\">",
        map.columns.len(),
        rows.len(),
        number(axis.percent(seconds))
    ));
    for (class, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
        let colour = colour(class, thresholds.len());
        page.push_str(&format!("<path class=\"h{colour}\" d=\"{path}\"/>"));
    }
    page.push_str("</svg>");
}

fn legend(page: &mut String, thresholds: &[u32]) {
    page.push_str("<p class=\"legend under\"><span>sends in a cell:</span>");
    for (class, least) in thresholds.iter().enumerate() {
        let colour = colour(class, thresholds.len());
        let least = count(u64::from(*least));
        page.push_str(&format!("<span><i class=\"h{colour}\"></i>{least}</span>"));
    }
    page.push_str("<span>and more</span></p>\n");
}
