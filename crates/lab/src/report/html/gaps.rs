//! The gap per fault: every gap as a dot, with median and 99th percentile, and the figures.

use super::super::RunReport;
use super::super::format::{clock, escape_html as escape, milliseconds, nodes};
use super::super::gaps::{GapDistribution, gap_distribution};
use super::plot::{number, section as begin};

pub(super) fn section(page: &mut String, report: &RunReport) {
    if report.faults.is_empty() {
        return;
    }
    begin(
        page,
        "gaps",
        "Gap per fault",
        "The longest time without an acknowledged send that overlaps the fault or begins within \
         5 s after it, on the partition that fared worst. Each dot is one fault; where there \
         are more, the long mark is the median, the short one the 99th percentile.",
    );
    let distributions = gap_distribution(&report.faults);
    if !distributions.is_empty() {
        plot(page, &distributions);
        table(page, &distributions);
    }
    every_fault(page, report);
    page.push_str("</section>\n");
}

/// A logarithmic axis over whole decades.
#[derive(Clone, Copy, Debug)]
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    fn of(distributions: &[GapDistribution]) -> Self {
        let gaps = || distributions.iter().flat_map(|gaps| &gaps.gaps_ms).map(|gap| gap.max(1.0));
        let least = gaps().fold(f64::INFINITY, f64::min).log10().floor();
        let most = gaps().fold(1.0, f64::max).log10().ceil();
        Self { from: least, to: most.max(least + 1.0) }
    }

    fn percent(self, gap_ms: f64) -> f64 {
        // Neither edge is touched, so that dots stay whole.
        2.0 + (gap_ms.max(1.0).log10() - self.from) / (self.to - self.from) * 96.0
    }

    fn decades(self) -> impl Iterator<Item = f64> {
        std::iter::successors(Some(self.from), |exponent| Some(exponent + 1.0))
            .take_while(move |exponent| *exponent <= self.to)
            .map(|exponent| 10_f64.powf(exponent))
    }
}

/// A row of dots for each distribution, all on one axis.
pub(super) fn plot(page: &mut String, distributions: &[GapDistribution]) {
    let axis = Axis::of(distributions);
    page.push_str("<figure class=\"plots\">\n<div class=\"bands\">");
    for decade in axis.decades() {
        page.push_str(&format!("<i style=\"left:{}%\"></i>", number(axis.percent(decade))));
    }
    page.push_str("</div>\n");
    for gaps in distributions {
        page.push_str(&format!(
            "<div class=\"row dots\"><div class=\"name\">{}</div><div class=\"cell\">",
            escape(&gaps.name)
        ));
        for gap in &gaps.gaps_ms {
            page.push_str(&format!(
                "<i class=\"dot\" style=\"left:{}%\" title=\"{}\"></i>",
                number(axis.percent(*gap)),
                milliseconds(*gap)
            ));
        }
        let marks = [("median", "median", gaps.median_ms), ("p99", "99th percentile", gaps.p99_ms)];
        // A single gap is its own median.
        for (class, name, value) in marks.into_iter().filter(|_| gaps.count > 1) {
            page.push_str(&format!(
                "<i class=\"{class}\" style=\"left:{}%\" title=\"{name} {}\"></i>",
                number(axis.percent(value)),
                milliseconds(value)
            ));
        }
        page.push_str("</div></div>\n");
    }
    page.push_str("<div class=\"row axis\"><div class=\"name\"></div><div class=\"cell\" aria-hidden=\"true\">");
    for decade in axis.decades() {
        let label = if decade >= 1000.0 {
            format!("{} s", number(decade / 1000.0))
        } else {
            format!("{} ms", number(decade))
        };
        let left = axis.percent(decade);
        let end = if left > 97.0 { " class=\"end\"" } else { "" };
        page.push_str(&format!("<span{end} style=\"left:{}%\">{label}</span>", number(left)));
    }
    page.push_str("</div></div>\n</figure>\n");
}

fn table(page: &mut String, distributions: &[GapDistribution]) {
    page.push_str(
        "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">Fault</th><th scope=\"col\">Times</th>\
         <th scope=\"col\">Median</th><th scope=\"col\">p99</th><th scope=\"col\">Longest</th><th scope=\"col\">In sync again (median)</th></tr></thead><tbody>\n",
    );
    for gaps in distributions {
        page.push_str(&format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape(&gaps.name),
            gaps.count,
            milliseconds(gaps.median_ms),
            milliseconds(gaps.p99_ms),
            milliseconds(gaps.max_ms),
            gaps.recovery_median_ms.map(milliseconds).unwrap_or_default()
        ));
    }
    page.push_str("</tbody></table></div>\n");
}

fn every_fault(page: &mut String, report: &RunReport) {
    page.push_str(&format!(
        "<details><summary>Every fault ({})</summary>\n<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>\
         <th scope=\"col\">At</th><th scope=\"col\">Fault</th><th scope=\"col\">Nodes</th><th scope=\"col\">Lasted</th>\
         <th scope=\"col\">Gap</th><th scope=\"col\" class=\"text\">Detail</th></tr></thead><tbody>\n",
        report.faults.len()
    ));
    for fault in &report.faults {
        page.push_str(&format!(
            "<tr><td>{}</td><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td>\
             <td class=\"text\">{}</td></tr>\n",
            clock(fault.from_s),
            escape(&fault.name),
            nodes(&fault.nodes),
            milliseconds((fault.to_s - fault.from_s) * 1000.0),
            fault.worst_gap_ms.map(milliseconds).unwrap_or_default(),
            escape(&fault.detail)
        ));
    }
    page.push_str("</tbody></table></div></details>\n");
}
