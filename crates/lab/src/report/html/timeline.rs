//! The timeline: faults, throughput and availability, all on one axis of time.

use super::super::format::{count, escape_html as escape, milliseconds, percent};
use super::super::{FaultSpan, PartitionSeries, RunReport, Traffic};
use super::plot::{TimeAxis, WIDTH, describe, number, section as begin};

/// Partitions that are drawn; of more, those with the longest gaps.
const MAX_PARTITIONS: usize = 24;
/// Peaks above so many times the usual rate are cut, so that the usual rate stays visible.
const PEAK: f64 = 1.6;
/// Room that the label of a bar needs, in percent of the width of a phone.
const LABEL_ROOM: f64 = 17.0;

pub(super) fn section(page: &mut String, report: &RunReport, traffic: &Traffic) {
    if traffic.partitions.is_empty() {
        return;
    }
    let axis = TimeAxis::of(report);
    let lead = format!(
        "Acknowledged sends per second, in buckets of {}. The strip below each partition: \
         <span class=\"key up\"></span> acknowledged, <span class=\"key down\"></span> sends were \
         due and none was acknowledged. Shaded: faults, each with its worst gap. What was \
         sent late after a gap makes peaks, which are cut at the upper edge.",
        milliseconds(f64::from(traffic.bucket_ms))
    );
    begin(page, "timeline", "Timeline", &lead);
    page.push_str(&format!(
        "<figure class=\"plots\" data-seconds=\"{}\">\n{}",
        axis.seconds(),
        axis.bands(&report.faults)
    ));
    faults(page, axis, &report.faults);
    total(page, axis, traffic);
    let mut shown: Vec<_> = traffic.partitions.iter().collect();
    if shown.len() > MAX_PARTITIONS {
        shown.sort_by(|one, two| two.longest_gap_ms.total_cmp(&one.longest_gap_ms));
        shown.truncate(MAX_PARTITIONS);
    }
    for series in &shown {
        partition(page, axis, series, traffic.bucket_ms);
    }
    page.push_str(&axis.labels());
    page.push_str("</figure>\n");
    if shown.len() < traffic.partitions.len() {
        page.push_str(&format!(
            "<p class=\"note\">Of {} partitions the {} with the longest gaps; all are in \
             report.json.</p>\n",
            traffic.partitions.len(),
            shown.len()
        ));
    }
    page.push_str("</section>\n");
}

/// One row per name of a fault: labels cannot collide.
fn faults(page: &mut String, axis: TimeAxis, faults: &[FaultSpan]) {
    let mut names: Vec<&str> = Vec::new();
    for fault in faults {
        if !names.contains(&fault.name.as_str()) {
            names.push(&fault.name);
        }
    }
    for name in names {
        page.push_str(&format!(
            "<div class=\"row fault\"><div class=\"name\">{}</div><div class=\"cell\">",
            escape(name)
        ));
        let of_name: Vec<_> = faults.iter().filter(|fault| fault.name == name).collect();
        for (number, fault) in of_name.iter().enumerate() {
            let next = of_name.get(number + 1).map_or(100.0, |next| axis.percent(next.from_s));
            let before = number.checked_sub(1).map_or(0.0, |at| axis.percent(of_name[at].to_s));
            bar(page, axis, fault, (before, next));
        }
        page.push_str("</div></div>\n");
    }
}

/// A bar with its gap beside it, on the side where there is room between the neighbours; without it where there is none.
fn bar(page: &mut String, axis: TimeAxis, fault: &FaultSpan, (before, next): (f64, f64)) {
    let (from, to) = (axis.percent(fault.from_s), axis.percent(fault.to_s));
    page.push_str(&format!(
        "<span class=\"bar\" style=\"left:{}%;width:{}%\" title=\"{}\"></span>",
        number(from),
        number(to - from),
        describe(fault)
    ));
    let Some(gap) = fault.worst_gap_ms.map(milliseconds) else { return };
    if next - to >= LABEL_ROOM {
        page.push_str(&format!("<span class=\"gap\" style=\"left:{}%\">{gap}</span>", number(to)));
    } else if from - before >= 2.0 * LABEL_ROOM {
        let right = number(100.0 - from);
        page.push_str(&format!("<span class=\"gap\" style=\"right:{right}%\">{gap}</span>"));
    }
}

fn total(page: &mut String, axis: TimeAxis, traffic: &Traffic) {
    let sum = |of: fn(&PartitionSeries) -> &Vec<u32>| {
        let buckets = traffic.partitions.iter().map(|series| of(series).len()).max().unwrap_or(0);
        let mut sum = vec![0_u32; buckets];
        for series in &traffic.partitions {
            for (total, bucket) in sum.iter_mut().zip(of(series)) {
                *total = total.saturating_add(*bucket);
            }
        }
        sum
    };
    let acknowledged = sum(|series| &series.acknowledged);
    let intended = sum(|series| &series.intended);
    let top = top(&acknowledged);
    let rate = top * 1000.0 / f64::from(traffic.bucket_ms.max(1));
    page.push_str(&format!(
        "<div class=\"row total\"><div class=\"name\"><b>All partitions</b><small>line: \
         intended</small></div><div class=\"cell\"><span class=\"y top\">{}/s</span>\
         <span class=\"y bottom\">0</span>",
        rounded(rate)
    ));
    let label = format!("Acknowledged sends per second, all partitions, up to {}", rounded(rate));
    open_svg(page, &label);
    page.push_str(&area(axis, &acknowledged, traffic.bucket_ms, top));
    page.push_str(&line(axis, &intended, traffic.bucket_ms, top));
    page.push_str("</svg></div></div>\n");
}

fn partition(page: &mut String, axis: TimeAxis, series: &PartitionSeries, bucket_ms: u32) {
    let top = top(&series.acknowledged);
    let available = percent(series.availability);
    let gap = milliseconds(series.longest_gap_ms);
    let name = escape(&series.partition);
    page.push_str(&format!(
        "<div class=\"row partition\"><div class=\"name\"><b>{name}</b>\
         <small>{available} · gap {gap}</small></div><div class=\"cell\">\
         <span class=\"y top\">{}/s</span>",
        rounded(top * 1000.0 / f64::from(bucket_ms.max(1)))
    ));
    let label = format!("{name}: available {available}, longest gap {gap}");
    open_svg(page, &label);
    page.push_str(&area(axis, &series.acknowledged, bucket_ms, top));
    page.push_str("</svg>");
    strip(page, axis, series, bucket_ms);
    page.push_str("</div></div>\n");
}

fn open_svg(page: &mut String, label: &str) {
    page.push_str(&format!(
        "<svg class=\"chart\" viewBox=\"0 0 1000 100\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{label}\">"
    ));
}

/// The count that reaches the upper edge: the highest, but not far above the usual ones.
fn top(buckets: &[u32]) -> f64 {
    let mut busy: Vec<u32> = buckets.iter().copied().filter(|count| *count > 0).collect();
    busy.sort_unstable();
    let usual = busy.get(busy.len() / 2).copied().map_or(1.0, f64::from);
    let most = busy.last().copied().map_or(1.0, f64::from);
    most.min(usual * PEAK)
}

/// A rate for a label: the rest of its digits would be noise.
fn rounded(rate: f64) -> String {
    format!("{rate:.0}").parse().map_or_else(|_| String::new(), count)
}

/// The outline of the buckets as steps; runs of equal height are one segment.
fn steps(axis: TimeAxis, buckets: &[u32], bucket_ms: u32, top: f64) -> String {
    let y = |count: u32| 100.0 - (f64::from(count) / top).min(1.0) * 97.0;
    let at = |bucket: usize| number(axis.x(bucket as f64 * f64::from(bucket_ms) / 1000.0));
    let mut path = String::new();
    let mut bucket = 0;
    for run in buckets.chunk_by(|one, two| one == two) {
        let height = number(y(run[0]));
        bucket += run.len();
        path.push_str(&format!("V{height}H{}", at(bucket)));
    }
    path
}

fn area(axis: TimeAxis, buckets: &[u32], bucket_ms: u32, top: f64) -> String {
    let steps = steps(axis, buckets, bucket_ms, top);
    format!("<path class=\"area\" d=\"M0 100{steps}V100z\"/>")
}

fn line(axis: TimeAxis, buckets: &[u32], bucket_ms: u32, top: f64) -> String {
    let steps = steps(axis, buckets, bucket_ms, top);
    // The first move takes the place of the first rise.
    match steps.strip_prefix('V').and_then(|steps| steps.split_once('H')) {
        Some((y, rest)) => format!("<path class=\"intended\" d=\"M0 {y}H{rest}\"/>"),
        None => String::new(),
    }
}

/// The availability: up where something was acknowledged, down where something should have been. Down is taller, for who sees no colours.
fn strip(page: &mut String, axis: TimeAxis, series: &PartitionSeries, bucket_ms: u32) {
    let mut paths = [String::new(), String::new()];
    let states: Vec<Option<usize>> = series
        .acknowledged
        .iter()
        .zip(&series.intended)
        .map(|(acknowledged, intended)| match (acknowledged, intended) {
            (0, 0) => None,
            (0, _) => Some(1),
            _ => Some(0),
        })
        .collect();
    let at = |bucket: usize| axis.x(bucket as f64 * f64::from(bucket_ms) / 1000.0);
    let mut bucket = 0;
    for run in states.chunk_by(|one, two| one == two) {
        let (from, to) = (at(bucket), at(bucket + run.len()));
        bucket += run.len();
        if let Some(state) = run[0] {
            let (x, width) = (number(from), number((to - from).min(WIDTH)));
            let (y, height) = if state == 0 { (5, 5) } else { (0, 10) };
            paths[state].push_str(&format!("M{x} {y}h{width}v{height}h-{width}z"));
        }
    }
    let [up, down] = paths;
    page.push_str(&format!(
        "<svg class=\"strip\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" \
         aria-hidden=\"true\"><path class=\"up\" d=\"{up}\"/><path class=\"down\" d=\"{down}\"/>\
         </svg>"
    ));
}
