//! What was found, what was not done, and what the figures rest on.

use super::super::format::{count, counted, escape_html as escape};
use super::super::{Anomaly, RunReport, Verdict};
use super::plot::section as begin;

pub(super) fn anomalies(page: &mut String, report: &RunReport) {
    let Some(verdict) = &report.verdict else { return };
    if verdict.anomalies.is_empty() {
        return;
    }
    begin(
        page,
        "anomalies",
        "Anomalies",
        "What the clients&#39; settings do not allow. Below each example are the operations \
         involved, as the history has them.",
    );
    for anomaly in &verdict.anomalies {
        one(page, anomaly);
    }
    page.push_str("</section>\n");
}

fn one(page: &mut String, anomaly: &Anomaly) {
    page.push_str(&format!(
        "<article class=\"anomaly\">\n<h3><code>{}</code> <span>{}</span></h3>\n<p>{}</p>\n",
        escape(&anomaly.name),
        counted(anomaly.count, "time"),
        escape(&anomaly.meaning)
    ));
    for example in &anomaly.examples {
        page.push_str(&format!(
            "<p class=\"what\">{}</p>\n<pre tabindex=\"0\"><code>{}</code></pre>\n",
            escape(&example.what),
            escape(&example.operations.join("\n"))
        ));
    }
    let shown = u64::try_from(anomaly.examples.len()).unwrap_or(u64::MAX);
    if shown > 0 && shown < anomaly.count {
        let more = count(anomaly.count - shown);
        page.push_str(&format!("<p class=\"note\">And {more} more like it.</p>\n"));
    }
    page.push_str("</article>\n");
}

pub(super) fn not_done(page: &mut String, report: &RunReport) {
    let unchecked = report.verdict.as_ref().map_or(&[][..], |verdict| &verdict.unchecked);
    if report.not_done.is_empty() && unchecked.is_empty() {
        return;
    }
    begin(page, "not-done", "Not done", "What this run does not show, and why.");
    page.push_str("<ul>\n");
    for reason in report.not_done.iter().chain(unchecked) {
        page.push_str(&format!("<li>{}</li>\n", escape(reason)));
    }
    page.push_str("</ul>\n</section>\n");
}

pub(super) fn details(page: &mut String, report: &RunReport) {
    begin(page, "details", "Details", "Everything in this page is in report.json, too.");
    if let Some(verdict) = &report.verdict {
        sends(page, verdict);
    }
    let mut rows: Vec<(&str, String)> = vec![
        ("Target", report.target.clone()),
        ("Machine", report.machine.clone()),
        ("Date", report.date.clone()),
        ("Seed", report.seed.map(|seed| seed.to_string()).unwrap_or_default()),
    ];
    if let Some(traffic) = &report.traffic {
        let sends = format!(
            "{} sent, {} acknowledged, {} failed, {} unknown; {} polled",
            count(traffic.sent),
            count(traffic.acknowledged),
            count(traffic.failed),
            count(traffic.unknown),
            count(traffic.polled)
        );
        rows.push(("Traffic", sends));
    }
    if let Some(verdict) = &report.verdict {
        rows.push(("History", counted(verdict.events, "event")));
        let allowed: Vec<_> = verdict
            .allowed
            .iter()
            .map(|(name, number)| format!("{name}: {}", count(*number)))
            .collect();
        rows.push(("Seen, and allowed by the settings", allowed.join("; ")));
    }
    page.push_str("<dl class=\"details\">\n");
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        page.push_str(&format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value)));
    }
    page.push_str("</dl>\n</section>\n");
}

fn sends(page: &mut String, verdict: &Verdict) {
    if verdict.sends.is_empty() {
        return;
    }
    page.push_str(
        "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">acks</th><th scope=\"col\">Sent</th>\
         <th scope=\"col\">Acknowledged</th><th scope=\"col\">Found</th><th scope=\"col\">Lost</th>\
         <th scope=\"col\">Duplicated</th></tr></thead><tbody>\n",
    );
    for (acks, tally) in &verdict.sends {
        let numbers = [tally.sent, tally.acknowledged, tally.found, tally.lost, tally.duplicated];
        let cells: String =
            numbers.iter().map(|number| format!("<td>{}</td>", count(*number))).collect();
        page.push_str(&format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", escape(acks)));
    }
    page.push_str("</tbody></table></div>\n");
}
