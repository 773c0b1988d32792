//! Keeps the house in order: file sizes, purity of the state machines, the arrows between crates, module docs, paths that the map names.
//!
//! Few and coarse rules on purpose; a rule that needs exceptions does not belong here. Reads the sources as text and depends on none of them.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a source file. A longer one owns a second subject.
const MAX_FILE_LINES: usize = 800;

/// Modules that are pure state machines, and what they may not name: time, chance, I/O and tasks come in as values.
const MACHINES: [&str; 5] = [
    "crates/replication/src/partition",
    "crates/controller/src/metadata",
    "crates/controller/src/active/liveness",
    "crates/coordinator/src/group",
    "crates/coordinator/src/transaction",
];
const IMPURE: [&str; 10] = [
    "async fn",
    ".await",
    "tokio",
    "std::fs",
    "std::net",
    "Instant",
    "SystemTime",
    "rand::",
    "HashMap",
    "HashSet",
];
const ALL_BUT_LAB: [&str; 6] =
    ["protocol", "log-storage", "replication", "controller", "coordinator", "client"];

/// Which of our crates a crate may use. Everybody may use `model`.
const ARROWS: [(&str, &[&str]); 12] = [
    ("model", &[]),
    ("protocol", &[]),
    ("log-storage", &[]),
    ("replication", &["log-storage"]),
    ("controller", &["log-storage"]),
    ("coordinator", &["protocol"]),
    ("client", &["protocol"]),
    ("broker", &ALL_BUT_LAB),
    ("cluster-tests", &ALL_BUT_LAB),
    ("lab", &[]), // the judge shares no code with the broker
    ("scripts", &[]),
    ("tidy", &[]),
];

/// What tests alone may use besides: the runner of golden scripts, where a machine is.
const ARROWS_OF_TESTS: [(&str, &[&str]); 3] =
    [("replication", &["scripts"]), ("controller", &["scripts"]), ("coordinator", &["scripts"])];

/// Pages with a limit on their lines: what is longer is not read.
const PAGES: [(&str, usize); 5] = [
    ("ARCHITECTURE.md", 300),
    ("docs/STYLE.md", 150),
    ("CONTRIBUTING.md", 60),
    ("Makefile", 80),
    ("tests/style/tidy.rs", 300),
];

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("tests/style lies in the workspace").to_owned()
}

fn sources(under: &Path, found: &mut Vec<(PathBuf, String)>) {
    let mut entries: Vec<_> = fs::read_dir(under)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .expect("the folders of the sources can be read");
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("sources are text");
            found.push((path, text));
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["crates", "tests"] {
        sources(&root().join(folder), &mut found);
    }
    assert!(found.len() > 50, "the walk found the sources");
    found
}

fn assert_none(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
fn no_file_is_longer_than_the_limit() {
    let offenders: Vec<String> = all_sources()
        .iter()
        .filter(|(_, text)| text.lines().count() > MAX_FILE_LINES)
        .map(|(path, text)| format!("{}: {} lines", shown(path), text.lines().count()))
        .collect();
    assert_none("which second subject do these files own?", &offenders);
}

#[test]
fn every_file_says_what_it_owns() {
    let offenders: Vec<String> = all_sources()
        .iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| shown(path))
        .collect();
    assert_none("a file opens with a //! comment that says what it owns", &offenders);
}

/// The code of a line, without its comment: prose may say what a machine does not do.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

#[test]
fn the_state_machines_are_pure() {
    let mut offenders = Vec::new();
    for machine in MACHINES {
        let mut files = Vec::new();
        sources(&root().join(machine), &mut files);
        assert!(!files.is_empty(), "{machine} exists");
        for (path, text) in files
            .iter()
            .filter(|(path, _)| !path.ends_with("tests.rs") && !shown(path).contains("/tests/"))
        {
            for (number, line) in text.lines().enumerate() {
                for word in IMPURE.iter().filter(|word| code(line).contains(**word)) {
                    offenders.push(format!("{}:{}: {word}", shown(path), number + 1));
                }
            }
        }
    }
    assert_none("a state machine takes time, chance and I/O as values", &offenders);
}

/// Our own crates named in a section of a manifest.
fn dependencies(manifest: &str, wanted: &str, ours: &[&str]) -> Vec<String> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section == wanted {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if ours.contains(&name) {
                found.push(name.to_owned());
            }
        }
    }
    found
}

#[test]
fn crates_use_only_what_the_design_allows() {
    let ours: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let in_tests: BTreeMap<&str, &[&str]> = ARROWS_OF_TESTS.iter().copied().collect();
    let mut offenders = Vec::new();
    let mut manifests: Vec<PathBuf> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("Cargo.toml"))
        .collect();
    let of_tests = ["tests", "tests/scripts", "tests/style"];
    manifests.extend(of_tests.map(|path| root().join(path).join("Cargo.toml")));
    for path in manifests {
        let manifest = fs::read_to_string(&path).unwrap();
        let name = manifest
            .lines()
            .find_map(|line| line.strip_prefix("name = "))
            .expect("a package has a name")
            .trim_matches('"');
        let Some(permitted) = allowed.get(name) else {
            offenders.push(format!(
                "{name}: a new crate needs its arrows in tests/style/tidy.rs and in ARCHITECTURE.md"
            ));
            continue;
        };
        let in_tests = in_tests.get(name).copied().unwrap_or_default();
        for section in ["[dependencies]", "[dev-dependencies]", "[build-dependencies]"] {
            for dependency in dependencies(&manifest, section, &ours) {
                // A crate's tests may turn on a feature of the crate itself.
                let is_permitted = dependency == "model"
                    || dependency == name
                    || permitted.contains(&&*dependency)
                    || (section == "[dev-dependencies]" && in_tests.contains(&&*dependency));
                if !is_permitted {
                    offenders.push(format!("{name} -> {dependency} in {section}"));
                }
            }
        }
    }
    assert_none("these arrows are not in the design", &offenders);
}

#[test]
fn only_raft_knows_openraft() {
    let offenders: Vec<String> = all_sources()
        .iter()
        .filter(|(path, _)| {
            !shown(path).starts_with("crates/controller/src/raft/") && !path.ends_with("tidy.rs")
        })
        .filter(|(_, text)| text.lines().any(|line| code(line).contains("openraft::")))
        .map(|(path, _)| shown(path))
        .collect();
    assert_none("openraft stays inside crates/controller/src/raft", &offenders);
}

#[test]
fn only_the_file_system_module_touches_files_in_log_storage() {
    let offenders: Vec<String> = all_sources()
        .iter()
        .filter(|(path, _)| {
            let path = shown(path);
            path.starts_with("crates/log-storage/src/")
                && !path.contains("/file_system/")
                && !path.contains("tests")
        })
        .filter(|(_, text)| {
            // Tests at a file's end may damage files as they like.
            text.lines()
                .take_while(|line| *line != "#[cfg(test)]")
                .any(|line| code(line).contains("std::fs"))
        })
        .map(|(path, _)| shown(path))
        .collect();
    assert_none("log-storage reaches files through its FileSystem trait", &offenders);
}

#[test]
fn nothing_is_left_for_later_without_an_issue() {
    let words = ["TO".to_owned() + "DO", "FIX".to_owned() + "ME"];
    let mut offenders = Vec::new();
    for (path, text) in all_sources() {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word.as_str())) {
                offenders.push(format!("{}:{}", shown(&path), number + 1));
            }
        }
    }
    assert_none("finish it, or file an issue", &offenders);
}

#[test]
fn pages_stay_short_enough_to_be_read() {
    for (page, limit) in PAGES {
        let text = fs::read_to_string(root().join(page));
        let lines = text.unwrap_or_else(|error| panic!("{page}: {error}")).lines().count();
        assert!(lines <= limit, "{page} has {lines} lines, more than {limit}");
    }
}

/// The words in backticks of the map, each with the text that stands between it and the next.
fn words_of_the_map() -> Vec<(String, String)> {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let parts: Vec<&str> = map.split('`').skip(1).collect();
    parts
        .chunks(2)
        .map(|pair| (pair[0].to_owned(), pair.get(1).copied().unwrap_or("").to_owned()))
        .collect()
}

#[test]
fn the_map_names_only_what_exists() {
    let roots = ["crates/", "tests/", "docs/", "proto/", "deploy/", "examples/", "benches/"];
    let words = words_of_the_map();
    let mut offenders: Vec<String> = words
        .iter()
        .map(|(word, _)| word)
        .filter(|word| roots.iter().any(|root| word.starts_with(root)))
        .filter(|word| !word.contains(['*', '<', '{', ' ']) && !root().join(word).exists())
        .cloned()
        .collect();
    let mut named = 0;
    for pair in words.windows(2).filter(|pair| pair[0].1 == " in ") {
        let (function, path) = (&pair[0].0, &pair[1].0);
        let text = fs::read_to_string(root().join(path)).unwrap_or_default();
        named += 1;
        if path.starts_with("crates/") && !text.contains(&format!("fn {function}(")) {
            offenders.push(format!("{function} in {path}"));
        }
    }
    assert!(named > 5, "the map says where functions are");
    assert_none("ARCHITECTURE.md names what is not there", &offenders);
}
