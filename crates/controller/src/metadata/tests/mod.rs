//! Tests of the metadata machine: golden scripts (`testscripts/<a sentence>`, one scenario each) and random commands.
//!
//! A script opens with its intent, then one command a line (see `commands`), then `---` and the whole observable output. `UPDATE_SCRIPTS=1` rewrites
//! the outputs; the diff is then for a human to judge.

mod commands;
mod format;
mod random;

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
    session.output
}

fn scripts() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/metadata/testscripts");
    let mut paths: Vec<_> = fs::read_dir(directory)
        .expect("the directory of scripts is part of the crate")
        .map(|entry| entry.expect("it is readable").path())
        .collect();
    paths.sort();
    paths
}

/// Shows where two texts part.
fn difference(expected: &str, actual: &str) -> String {
    let same = expected.lines().zip(actual.lines()).take_while(|(left, right)| left == right);
    let same = same.count();
    let rest = |text: &str| text.lines().skip(same).take(6).collect::<Vec<_>>().join("\n    ");
    format!(
        "line {} of the output\n  golden:\n    {}\n  now:\n    {}\n",
        same + 1,
        rest(expected),
        rest(actual)
    )
}

#[test]
fn every_script_yields_its_golden_output() {
    let update = std::env::var_os("UPDATE_SCRIPTS").is_some();
    let mut failures = String::new();
    let paths = scripts();
    assert!(paths.len() >= 40, "only {} scripts were found", paths.len());
    for path in paths {
        let text = fs::read_to_string(&path).expect("scripts are text");
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        assert!(text.starts_with("# "), "{name} begins with its intent");
        let (commands, expected) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
        let actual = run(commands);
        if update {
            fs::write(&path, format!("{commands}{SEPARATOR}{actual}")).expect("it is writable");
        } else if expected != actual {
            failures += &format!("{name}: {}", difference(expected, &actual));
        }
    }
    assert!(failures.is_empty(), "outputs differ:\n{failures}");
}

/// Every deliberate bug changes the output of some script, or breaks an invariant there.
#[cfg(feature = "mutations")]
#[test]
fn every_mutation_is_seen_by_a_script() {
    use crate::metadata::{Mutation, activate};
    for mutation in Mutation::ALL {
        activate(Some(mutation));
        let seen = scripts().into_iter().any(|path| {
            let text = fs::read_to_string(&path).expect("scripts are text");
            let (commands, expected) = text.split_once(SEPARATOR).expect("it has an output");
            std::panic::catch_unwind(|| run(commands)).map_or(true, |actual| actual != expected)
        });
        activate(None);
        assert!(seen, "no script sees {mutation:?}");
    }
}
