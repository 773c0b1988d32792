//! What the reports say, compared with what is kept beside; `UPDATE_GOLDEN=1` writes them anew.

use super::gaps::gap_distribution;
use std::path::Path;

use super::*;

fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert_eq!(text, golden, "{name} differs; see it, then UPDATE_GOLDEN=1");
}

#[test]
fn the_markdown_of_a_broken_run_is_as_agreed() {
    compare("broken.md", &markdown(&sample::broken()));
}

#[test]
fn the_summary_of_a_broken_run_is_as_agreed() {
    compare("broken.txt", &summary(&sample::broken()));
}

#[test]
fn the_summary_of_a_valid_run_is_as_agreed() {
    compare("valid.txt", &summary(&sample::valid()));
}

#[test]
fn the_summary_of_a_durability_run_is_as_agreed() {
    compare("durability.txt", &summary(&sample::durability()));
}

#[test]
fn the_pages_of_a_comparison_are_as_agreed() {
    compare("comparison.md", &comparison_markdown(&sample::comparison()));
    compare("comparison.txt", &summary_of_comparison(&sample::comparison()));
}

#[test]
fn a_comparison_is_written_and_read_back_and_is_no_report_of_one_run() {
    let scratch = tempfile::tempdir().unwrap();
    let comparison = sample::comparison();
    let paths = write_comparison(scratch.path(), &comparison).unwrap();
    let text = fs::read_to_string(paths.json).unwrap();
    let read: Comparison = serde_json::from_str(&text).unwrap();
    assert_eq!(read.command, comparison.command);
    let targets = |comparison: &Comparison| -> Vec<String> {
        comparison.runs.iter().map(|run| run.target.clone()).collect()
    };
    assert_eq!(targets(&read), targets(&comparison));
    assert!(serde_json::from_str::<RunReport>(&text).is_err());
    assert!(serde_json::from_str::<Comparison>(&json(&sample::valid())).is_err());
    let page = fs::read_to_string(paths.html).unwrap();
    assert!(page.contains("kill leader, Kafka 4.3.1, 3 processes"), "{page}");
}

#[test]
fn the_json_reads_back_as_the_same_report() {
    let report = sample::durability();
    assert_eq!(serde_json::from_str::<RunReport>(&json(&report)).unwrap(), report);
}

#[test]
fn all_three_files_are_written_into_a_new_directory() {
    let scratch = tempfile::tempdir().unwrap();
    let paths = write_all(&scratch.path().join("a/b"), &sample::valid()).unwrap();
    assert!(fs::read_to_string(paths.html).unwrap().contains("was lost"));
    assert!(fs::read_to_string(paths.markdown).unwrap().starts_with("# Random chaos"));
    assert!(fs::read_to_string(paths.json).unwrap().ends_with("}\n"));
}

#[test]
fn nothing_is_claimed_of_records_that_no_final_read_looked_for() {
    let mut report = sample::valid();
    let verdict = report.verdict.as_mut().unwrap();
    for tally in verdict.sends.values_mut() {
        (tally.found, tally.lost) = (0, 0);
    }
    let headline = headline::Headline::of(&report);
    assert_eq!(headline.tone, headline::Tone::Unknown);
    assert_eq!(headline.text, "No anomaly found");
}

#[test]
fn losses_with_weaker_acks_do_not_hide_behind_a_valid_verdict() {
    let headline = headline::Headline::of(&sample::valid());
    assert_eq!(headline.text, "Nothing acknowledged with acks=all was lost");
    assert!(headline.below.contains("37 records lost with weaker acks"), "{}", headline.below);
}

#[test]
fn a_matrix_without_losses_with_weaker_acks_is_called_no_test() {
    let mut report = sample::durability();
    for cell in &mut report.matrix.as_mut().unwrap().cells {
        cell.tally.lost = 0;
    }
    let headline = headline::Headline::of(&report);
    assert!(headline.below.contains("no test of them"), "{}", headline.below);
}

#[test]
fn the_gaps_of_a_fault_have_the_median_between_and_the_p99_by_nearest_rank() {
    let fault = |name: &str, gap: f64| FaultSpan {
        name: name.to_owned(),
        worst_gap_ms: Some(gap),
        ..FaultSpan::default()
    };
    let mut faults: Vec<_> = (1..=200).map(|gap| fault("kill", f64::from(gap))).collect();
    faults.push(fault("pause", 5000.0));
    faults.push(FaultSpan { name: "clock".to_owned(), ..FaultSpan::default() });
    let distributions = gap_distribution(&faults);
    let figures: Vec<_> = distributions
        .iter()
        .map(|gaps| (gaps.name.as_str(), gaps.count, gaps.median_ms, gaps.p99_ms, gaps.max_ms))
        .collect();
    assert_eq!(figures, [("pause", 1, 5000.0, 5000.0, 5000.0), ("kill", 200, 100.5, 198.0, 200.0)]);
}

#[test]
fn an_empty_report_can_be_shown() {
    let empty = RunReport::default();
    assert!(html(&empty).contains("No verdict"));
    assert!(markdown(&empty).contains("No verdict"));
    assert!(summary(&empty).starts_with("UNKNOWN: No verdict"));
}

#[test]
fn foreign_text_stays_text() {
    let evil = "<script>x</script>|`\u{1b}[2J".to_owned();
    let report = RunReport { title: evil.clone(), target: evil, ..sample::broken() };
    assert!(!html(&report).contains("<script>x"));
    assert!(!markdown(&report).contains("<script>x"));
    assert!(!summary(&report).contains('\u{1b}'));
    let runs = vec![report];
    let comparison = Comparison { title: String::new(), command: String::new(), runs };
    assert!(!comparison_html(&comparison).contains("<script>x"));
    assert!(!comparison_markdown(&comparison).contains("<script>x"));
    assert!(!summary_of_comparison(&comparison).contains('\u{1b}'));
}
