//! The page of a comparison: the figures of each target beside each other, and every gap of each fault as a dot.

use super::super::Comparison;
use super::super::comparison::{GAP_HEADS, Sides};
use super::super::format::escape_html as escape;
use super::super::gaps::GapDistribution;
use super::super::headline::{Headline, Tone};
use super::gaps::plot;
use super::plot::section;
use super::{begin, end, replay};

/// The whole page.
pub(crate) fn page(comparison: &Comparison) -> String {
    let sides = Sides::of(comparison);
    let mut page = begin(&comparison.title);
    head(&mut page, comparison);
    figures(&mut page, &sides);
    gaps(&mut page, &sides);
    for run in comparison.runs.iter().filter(|run| !run.not_done.is_empty()) {
        let about = "What the machine or the target could not do, each with the reason.";
        section(&mut page, "not-done", &format!("Not done: {}", escape(&run.target)), about);
        page.push_str("<ul>\n");
        for reason in &run.not_done {
            page.push_str(&format!("<li>{}</li>\n", escape(reason)));
        }
        page.push_str("</ul>\n</section>\n");
    }
    end(&mut page);
    page
}

fn head(page: &mut String, comparison: &Comparison) {
    let is_broken = |run| Headline::of(run).tone == Tone::Broken;
    let class = if comparison.runs.iter().any(is_broken) { "broken" } else { "kept" };
    let targets: Vec<&str> = comparison.runs.iter().map(|run| run.target.as_str()).collect();
    page.push_str(&format!(
        "<header class=\"{class}\">\n<div class=\"eyebrow\"><span>{}</span>\
         <button id=\"theme\" type=\"button\" hidden>Light / dark</button></div>\n\
         <h1><span>{}</span></h1>\n\
         <p class=\"below\">The same clients, the same seed and the same schedule of faults, one \
         after the other on one machine.</p>\n",
        escape(&comparison.title),
        escape(&targets.join(" beside ")),
    ));
    if let Some(run) = comparison.runs.first() {
        let about = [run.machine.as_str(), run.date.as_str()].map(escape);
        page.push_str(&format!("<p class=\"about\">{}</p>\n", about.join(" \u{b7} ")));
    }
    let seed = comparison.runs.first().and_then(|run| run.seed);
    replay(page, &comparison.command, seed);
    page.push_str("</header>\n");
}

fn figures(page: &mut String, sides: &Sides) {
    section(page, "figures", "Side by side", "What the clients of each target saw.");
    let heads = std::iter::once("").chain(sides.targets.iter().map(String::as_str));
    let rows = sides.figures.iter();
    let rows = rows.map(|(name, values)| ((*name).to_owned(), values.clone()));
    table(page, heads, rows);
    page.push_str("</section>\n");
}

fn gaps(page: &mut String, sides: &Sides) {
    if sides.faults.is_empty() {
        return;
    }
    section(
        page,
        "gaps",
        "Gap per fault",
        "The longest time without an acknowledged send that overlaps the fault or begins within \
         5 s after it, on the partition that fared worst. Each dot is one fault; the long mark \
         is the median, the short one the 99th percentile.",
    );
    let named = |(target, gaps): (&String, &Option<GapDistribution>), fault: &str| {
        gaps.clone().map(|gaps| GapDistribution { name: format!("{fault}, {target}"), ..gaps })
    };
    let distributions: Vec<GapDistribution> = sides
        .faults
        .iter()
        .flat_map(|fault| {
            let both = sides.targets.iter().zip(&fault.gaps);
            both.filter_map(move |side| named(side, &fault.name))
        })
        .collect();
    plot(page, &distributions);
    let rows = sides.gap_rows().into_iter().map(|row| {
        let [first, rest @ ..] = row;
        (first, rest.to_vec())
    });
    table(page, GAP_HEADS.into_iter(), rows);
    page.push_str("</section>\n");
}

fn table<'a>(
    page: &mut String,
    heads: impl Iterator<Item = &'a str>,
    rows: impl Iterator<Item = (String, Vec<String>)>,
) {
    page.push_str("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>");
    for head in heads {
        page.push_str(&format!("<th scope=\"col\">{}</th>", escape(head)));
    }
    page.push_str("</tr></thead><tbody>\n");
    for (name, values) in rows {
        page.push_str(&format!("<tr><th scope=\"row\">{}</th>", escape(&name)));
        for value in values {
            page.push_str(&format!("<td>{}</td>", escape(&value)));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}
