//! The report as one HTML page: no network, no foreign font, plots as inline SVG. It is readable without its script, which adds the switch of
//! the theme and a reading of the time under the pointer.
//!
//! Plots are stretched to the width that there is; text beside them is HTML, so that it keeps its size on a phone. All foreign text passes
//! `escape_html`.

mod comparison;
mod findings;
mod gaps;
mod heat;
mod matrix;
mod plot;
mod timeline;

#[cfg(test)]
mod tests;

pub(crate) use comparison::page as of_comparison;

use super::RunReport;
use super::format::{clock, count, escape_html as escape, milliseconds};
use super::headline::{Headline, Tone};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The whole page.
pub(crate) fn html(report: &RunReport) -> String {
    let mut page = begin(&report.title);
    head(&mut page, report);
    findings::anomalies(&mut page, report);
    if let Some(matrix) = &report.matrix {
        matrix::section(&mut page, matrix);
    }
    if let Some(traffic) = &report.traffic {
        timeline::section(&mut page, report, traffic);
        heat::section(&mut page, report, traffic);
    }
    gaps::section(&mut page, report);
    findings::not_done(&mut page, report);
    findings::details(&mut page, report);
    end(&mut page);
    page
}

/// A page up to its content.
fn begin(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<main>\n",
        escape(title)
    )
}

/// What follows the content.
fn end(page: &mut String) {
    page.push_str("</main>\n<script>\n");
    page.push_str(SCRIPT);
    page.push_str("</script>\n</body>\n</html>\n");
}

fn head(page: &mut String, report: &RunReport) {
    let headline = Headline::of(report);
    let (class, mark) = match headline.tone {
        Tone::Kept => ("kept", "<path d=\"M7 12.5l3.5 3.5L17 8.5\"/>"),
        Tone::Broken => ("broken", "<path d=\"M8 8l8 8M16 8l-8 8\"/>"),
        Tone::Unknown => ("unknown", "<path d=\"M9 9.5a3 3 0 1 1 3.5 3v1.5M12.5 17v.5\"/>"),
    };
    page.push_str(&format!(
        "<header class=\"{class}\">\n<div class=\"eyebrow\"><span>{}</span>\
         <button id=\"theme\" type=\"button\" hidden>Light / dark</button></div>\n\
         <h1><svg class=\"mark\" viewBox=\"0 0 24 24\" aria-hidden=\"true\">\
         <circle cx=\"12\" cy=\"12\" r=\"11\"/>{mark}</svg><span>{}</span></h1>\n\
         <p class=\"below\">{}</p>\n",
        escape(&report.title),
        escape(&headline.text),
        escape(&headline.below)
    ));
    key_figures(page, report);
    let about = [report.target.clone(), clock_of(report), report.date.clone()];
    let about: Vec<_> = about.iter().filter(|text| !text.is_empty()).map(|t| escape(t)).collect();
    page.push_str(&format!("<p class=\"about\">{}</p>\n", about.join(" · ")));
    replay(page, &report.command, report.seed);
    page.push_str("</header>\n");
}

fn replay(page: &mut String, command: &str, seed: Option<u64>) {
    if !command.is_empty() {
        let seed = seed.map(|seed| format!(" (seed {seed})")).unwrap_or_default();
        page.push_str(&format!(
            "<div class=\"replay\"><span>Replay it{seed}</span><pre><code>{}</code></pre></div>\n",
            escape(command)
        ));
    }
}

fn clock_of(report: &RunReport) -> String {
    if report.duration_s > 0.0 {
        format!("duration {}", clock(report.duration_s))
    } else {
        String::new()
    }
}

fn key_figures(page: &mut String, report: &RunReport) {
    let mut figures: Vec<(&str, String)> = Vec::new();
    if let Some(traffic) = &report.traffic {
        figures.push(("acknowledged", count(traffic.acknowledged)));
    }
    if let Some(verdict) = &report.verdict {
        // The strongest promise first.
        for (acks, tally) in verdict.sends.iter().rev() {
            let label = match acks.as_str() {
                "all" => "lost, acks=all",
                "1" => "lost, acks=1",
                _ => "lost, acks=0",
            };
            figures.push((label, count(tally.lost)));
        }
    }
    if let Some(traffic) = &report.traffic {
        figures.push(("outcome unknown", count(traffic.unknown)));
        let gaps = traffic.partitions.iter().map(|series| series.longest_gap_ms);
        figures.push(("longest gap", milliseconds(gaps.fold(0.0, f64::max))));
        figures.push(("p99 latency", milliseconds(traffic.latency.p99)));
    }
    if !report.faults.is_empty() {
        figures.push(("faults", report.faults.len().to_string()));
    }
    if figures.is_empty() {
        return;
    }
    page.push_str("<dl class=\"figures\">\n");
    for (label, value) in figures {
        let lost = label == "lost, acks=all" && value != "0";
        let class = if lost { " class=\"lost\"" } else { "" };
        page.push_str(&format!("<div{class}><dt>{label}</dt><dd>{value}</dd></div>\n"));
    }
    page.push_str("</dl>\n");
}
