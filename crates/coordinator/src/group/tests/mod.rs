//! Tests of the group machine: golden scripts (`testscripts/<a sentence>`, one scenario each), and random steps.
//!
//! A script opens with its intent, then one command a line (see `commands`), then `---` and the whole observable output. `UPDATE_SCRIPTS=1` rewrites
//! the outputs; the diff is then for a human to judge.

mod bounds;
mod commands;
mod format;
mod live_walk;
mod offset_commands;
mod random;
mod replay;

use std::fs;
use std::path::{Path, PathBuf};

use commands::Session;

const SEPARATOR: &str = "---\n";

/// Runs one script's commands and returns its output.
fn run(script: &str) -> String {
    let mut session = Session::default();
    for line in script.lines().map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') {
            session.run(line);
        }
    }
    session.end()
}

fn scripts() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/group/testscripts");
    let mut paths: Vec<_> = fs::read_dir(directory)
        .expect("the directory of scripts is part of the crate")
        .map(|entry| entry.expect("it is readable").path())
        .collect();
    paths.sort();
    paths
}

/// Shows the lines that differ, with both versions.
fn diff(expected: &str, actual: &str) -> String {
    let (expected, actual): (Vec<_>, Vec<_>) =
        (expected.lines().collect(), actual.lines().collect());
    let same = expected.iter().zip(&actual).take_while(|(left, right)| left == right).count();
    let mut text = String::new();
    for line in &expected[same.saturating_sub(3)..same] {
        text += &format!("    {line}\n");
    }
    for line in &expected[same..] {
        text += &format!("  - {line}\n");
    }
    for line in &actual[same..] {
        text += &format!("  + {line}\n");
    }
    text
}

#[test]
fn every_script_yields_its_golden_output() {
    let update = std::env::var_os("UPDATE_SCRIPTS").is_some();
    let mut failures = String::new();
    let paths = scripts();
    assert!(paths.len() >= 60, "only {} scripts were found", paths.len());
    for path in paths {
        let text = fs::read_to_string(&path).expect("scripts are text");
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        assert!(text.starts_with("# "), "{name} begins with its intent");
        let (commands, expected) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
        let actual = run(commands);
        if update {
            fs::write(&path, format!("{commands}{SEPARATOR}{actual}")).expect("it is writable");
        } else if expected != actual {
            failures += &format!("{name}:\n{}", diff(expected, &actual));
        }
    }
    assert!(failures.is_empty(), "outputs differ (- golden, + now):\n{failures}");
}

/// Each deliberate bug changes the output of a script, or makes it panic.
#[cfg(feature = "mutations")]
#[test]
fn every_deliberate_bug_is_seen_by_a_script() {
    use super::mutation::{Mutation, activate};
    use std::panic::catch_unwind;

    for mutation in Mutation::ALL {
        activate(Some(mutation));
        let seen = scripts().iter().any(|path| {
            let text = fs::read_to_string(path).expect("scripts are text");
            let (commands, expected) = text.split_once(SEPARATOR).expect("scripts have outputs");
            catch_unwind(|| run(commands)).map_or(true, |actual| actual != expected)
        });
        activate(None);
        assert!(seen, "no script sees {mutation:?}");
    }
}
