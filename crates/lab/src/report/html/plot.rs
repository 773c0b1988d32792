//! What the plots share: the axis of time, the bands of the faults, numbers in SVG.

use super::super::format::{clock, escape_html as escape, milliseconds, nodes};
use super::super::{FaultSpan, RunReport};

/// The width of every stretched drawing, in its own units.
pub(super) const WIDTH: f64 = 1000.0;

/// Where the run's times are on the axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeAxis {
    seconds: f64,
}

impl TimeAxis {
    /// As long as the run, or as what was seen in it.
    pub(super) fn of(report: &RunReport) -> Self {
        let traffic = report.traffic.as_ref();
        let series = traffic.map_or(0.0, |traffic| {
            let buckets = traffic.partitions.iter().map(|series| series.acknowledged.len()).max();
            buckets.unwrap_or(0) as f64 * f64::from(traffic.bucket_ms) / 1000.0
        });
        let heat = traffic.map_or(0.0, |traffic| {
            let map = &traffic.heat_map;
            map.columns.len() as f64 * f64::from(map.column_ms) / 1000.0
        });
        let faults = report.faults.iter().map(|fault| fault.to_s).fold(0.0, f64::max);
        let seconds = report.duration_s.max(series).max(heat).max(faults);
        Self { seconds: if seconds > 0.0 { seconds } else { 1.0 } }
    }

    /// A time in units of the drawing.
    pub(super) fn x(self, seconds: f64) -> f64 {
        (seconds / self.seconds).clamp(0.0, 1.0) * WIDTH
    }

    /// A time in percent of the width.
    pub(super) fn percent(self, seconds: f64) -> f64 {
        self.x(seconds) * 100.0 / WIDTH
    }

    /// Seconds between the labels: a round number, so that there are at most seven.
    fn step(self) -> f64 {
        let steps = [
            1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0,
            7200.0, 14_400.0, 28_800.0,
        ];
        steps.into_iter().find(|step| self.seconds / step <= 6.5).unwrap_or(self.seconds / 6.0)
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        let step = self.step();
        std::iter::successors(Some(0.0), move |at| Some(at + step))
            .take_while(move |at| *at <= self.seconds)
    }

    /// The row of labels below a plot.
    pub(super) fn labels(self) -> String {
        let labels: String = self
            .ticks()
            .map(|at| {
                let end = if self.percent(at) > 97.0 { " class=\"end\"" } else { "" };
                let left = number(self.percent(at));
                format!("<span{end} style=\"left:{left}%\">{}</span>", clock(at))
            })
            .collect();
        format!(
            "<div class=\"row axis\"><div class=\"name\"></div><div class=\"cell\" \
             aria-hidden=\"true\">{labels}</div></div>\n"
        )
    }

    /// The faults as bands and the ticks as lines, behind all rows of a plot.
    pub(super) fn bands(self, faults: &[FaultSpan]) -> String {
        let mut svg = String::from(
            "<div class=\"bands\"><svg viewBox=\"0 0 1000 1\" preserveAspectRatio=\"none\" \
             aria-hidden=\"true\">",
        );
        for at in self.ticks() {
            let x = number(self.x(at));
            svg.push_str(&format!("<path class=\"tick\" d=\"M{x} 0v1\"/>"));
        }
        for fault in faults {
            let x = self.x(fault.from_s);
            // A fault of one moment is seen, too.
            let width = (self.x(fault.to_s) - x).max(1.0);
            svg.push_str(&format!(
                "<rect x=\"{}\" width=\"{}\" height=\"1\"/><path d=\"M{0} 0v1\"/>",
                number(x),
                number(width)
            ));
        }
        svg.push_str("</svg></div>\n");
        svg
    }

    /// The length of the axis in seconds, for the script.
    pub(super) fn seconds(self) -> String {
        number(self.seconds)
    }
}

/// What a fault was, for a tooltip; escaped.
pub(super) fn describe(fault: &FaultSpan) -> String {
    let mut text = fault.name.clone();
    if !fault.nodes.is_empty() {
        text += &format!(", node {}", nodes(&fault.nodes));
    }
    if !fault.detail.is_empty() {
        text += &format!(" ({})", fault.detail);
    }
    let lasted = milliseconds((fault.to_s - fault.from_s) * 1000.0);
    text += &format!(": at {}, for {lasted}", clock(fault.from_s));
    if let Some(gap) = fault.worst_gap_ms {
        text += &format!("; worst gap {}", milliseconds(gap));
    }
    escape(&text)
}

/// A number as short as it is exact enough for a drawing.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Begins a section.
pub(super) fn section(page: &mut String, id: &str, title: &str, lead: &str) {
    page.push_str(&format!(
        "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{title}</h2>\n<p>{lead}</p>\n"
    ));
}
