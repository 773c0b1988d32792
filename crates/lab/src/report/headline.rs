//! The one sentence that a report begins with. It never claims more than was checked.

use super::format::{count, counted};
use super::{Matrix, RunReport, Tally, Verdict};

/// Good, bad or open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Kept,
    Broken,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Headline {
    pub(super) tone: Tone,
    pub(super) text: String,
    /// A sentence or two below it.
    pub(super) below: String,
}

impl Headline {
    pub(super) fn of(report: &RunReport) -> Self {
        let headline = match (&report.verdict, &report.matrix) {
            (Some(verdict), _) if !verdict.valid => of_anomalies(verdict),
            (_, Some(matrix)) => of_matrix(matrix),
            (Some(verdict), None) => of_valid(verdict),
            (None, None) => Self::new(
                Tone::Unknown,
                "No verdict",
                "The history of this run was not checked.".to_owned(),
            ),
        };
        match report.not_done.len() {
            0 => headline,
            skipped => {
                let below = format!(
                    "{} {} not done here; see \u{201c}Not done\u{201d}.",
                    headline.below,
                    match skipped {
                        1 => "One thing was".to_owned(),
                        more => format!("{more} things were"),
                    }
                );
                Self { below: below.trim_start().to_owned(), ..headline }
            }
        }
    }

    fn new(tone: Tone, text: impl Into<String>, below: String) -> Self {
        Self { tone, text: text.into(), below }
    }
}

fn of_anomalies(verdict: &Verdict) -> Headline {
    let lost = verdict.sends.get("all").map_or(0, |tally| tally.lost);
    let names: Vec<_> = verdict
        .anomalies
        .iter()
        .map(|anomaly| format!("{} ({})", anomaly.name, count(anomaly.count)))
        .collect();
    let found = format!("Found: {}.", names.join(", "));
    if lost > 0 {
        let were = if lost == 1 { "was" } else { "were" };
        let text = format!("{} {were} lost", counted(lost, "acknowledged record"));
        return Headline::new(Tone::Broken, text, format!("With acks=all. {found}"));
    }
    let kinds = u64::try_from(verdict.anomalies.len()).unwrap_or(u64::MAX);
    let text = match kinds {
        0 => "The history is not valid".to_owned(),
        kinds => format!("{} of anomaly found", counted(kinds, "kind")),
    };
    Headline::new(Tone::Broken, text, found)
}

fn of_valid(verdict: &Verdict) -> Headline {
    let all = verdict.sends.get("all").copied().unwrap_or_default();
    let total = verdict.sends.values().fold(Tally::default(), |sum, tally| sum.plus(tally));
    let events = counted(verdict.events, "event");
    if total.acknowledged > 0 && total.lost == 0 && total.is_settled() {
        let below = format!(
            "All {} were found in the final read; {events} checked.",
            counted(total.acknowledged, "acknowledged record")
        );
        return Headline::new(Tone::Kept, "Nothing acknowledged was lost", below);
    }
    if all.acknowledged > 0 && all.lost == 0 && all.is_settled() {
        let text = "Nothing acknowledged with acks=all was lost";
        let below = format!(
            "All {} of them were found in the final read. {} with weaker acks, which promise no \
             more; {events} checked.",
            count(all.acknowledged),
            match total.lost {
                0 => "Not every record could be looked for".to_owned(),
                lost => format!("{} lost", counted(lost, "record")),
            },
        );
        return Headline::new(Tone::Kept, text, below);
    }
    let below = format!(
        "{events} checked, but not every acknowledged record could be looked for: this is no \
         proof that nothing was lost."
    );
    Headline::new(Tone::Unknown, "No anomaly found", below)
}

fn of_matrix(matrix: &Matrix) -> Headline {
    let sum = |wanted: &dyn Fn(&super::Cell) -> bool| {
        let cells = matrix.cells.iter().filter(|cell| wanted(cell));
        cells.fold(Tally::default(), |sum, cell| sum.plus(&cell.tally))
    };
    let all = sum(&|cell| cell.acks == "all");
    let flushed = sum(&|cell| cell.acks == "all" && cell.flush == "each message");
    let weaker = sum(&|cell| cell.acks != "all");
    let rest = match weaker {
        Tally { acknowledged: 0, .. } => String::new(),
        Tally { lost: 0, .. } => {
            " Nothing was lost with weaker acks either: these faults were no test of them."
                .to_owned()
        }
        Tally { lost, acknowledged, .. } => {
            format!(" With weaker acks {} of {} were lost.", count(lost), count(acknowledged))
        }
    };
    let cells = counted(u64::try_from(matrix.cells.len()).unwrap_or(u64::MAX), "cell");
    if all.acknowledged == 0 {
        let below = format!("No record was acknowledged with acks=all; {cells}.{rest}");
        return Headline::new(Tone::Unknown, "No verdict on acks=all", below);
    }
    if all.lost == 0 {
        let below = format!(
            "{} with acks=all, all of them found; {cells}.{rest}",
            counted(all.acknowledged, "acknowledged record")
        );
        return Headline::new(Tone::Kept, "acks=all lost nothing", below);
    }
    if flushed.acknowledged > 0 && flushed.lost == 0 {
        let below = format!(
            "{}, all of them found. From the page cache {} of {} were lost with acks=all; \
             {cells}.{rest}",
            counted(flushed.acknowledged, "acknowledged record"),
            count(all.lost),
            count(all.acknowledged - flushed.acknowledged),
        );
        let text = "acks=all lost nothing where each message is flushed";
        return Headline::new(Tone::Kept, text, below);
    }
    let text = format!("acks=all lost {}", counted(all.lost, "acknowledged record"));
    let below = format!("Of {}; {cells}.{rest}", count(all.acknowledged));
    Headline::new(Tone::Broken, text, below)
}

impl Tally {
    fn plus(self, other: &Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            acknowledged: self.acknowledged + other.acknowledged,
            found: self.found + other.found,
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
        }
    }

    /// Whether it is known of every acknowledged record what became of it.
    fn is_settled(&self) -> bool {
        self.found + self.lost >= self.acknowledged
    }
}
