//! Both experiments, short, as a user starts them: the cluster is the binary that `STEADFAST_BIN` names.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

/// Runs the lab; returns what it printed, and whether it called the history valid.
fn lab(out: &Path, arguments: &[&str]) -> (String, bool) {
    let binary = std::env::var("STEADFAST_BIN")
        .expect("STEADFAST_BIN names the broker's binary; `make test` sets it");
    let binary = std::fs::canonicalize(&binary).unwrap_or_else(|error| panic!("{binary}: {error}"));
    let output = Command::new("timeout")
        .args(["120", env!("CARGO_BIN_EXE_steadfast-lab")])
        .args(arguments)
        .arg("--set")
        .arg(format!("binary={}", binary.display()))
        .arg("--out")
        .arg(out)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    (said + &complaints, output.status.success())
}

/// The report as JSON.
fn report(out: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(out.join("report.json")).unwrap()).unwrap()
}

#[test]
fn a_short_chaos_run_is_valid_and_can_be_judged_again() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("chaos");
    // The kill and nothing else, so that the run is the same with and without root.
    let arguments = ["chaos", "--duration", "30s", "--seed", "7", "--faults", "kill-leader"];
    let (said, is_valid) = lab(&out, &arguments);
    assert!(is_valid, "{said}");
    let report = report(&out);
    let sends = &report["verdict"]["sends"]["all"];
    assert!(sends["acknowledged"].as_u64().unwrap() > 10_000, "{sends}");
    assert_eq!(sends["acknowledged"], sends["found"]);
    assert!(!report["faults"].as_array().unwrap().is_empty());
    let history = out.join("history.jsonl");
    let check = |history: &Path| {
        let lab = env!("CARGO_BIN_EXE_steadfast-lab");
        Command::new(lab).arg("check").arg(history).output().unwrap()
    };
    assert!(check(&history).status.success());
    // Without what the final reader read, the same history must be one of lost records.
    let text = std::fs::read_to_string(&history).unwrap();
    let is_final_poll =
        |line: &&str| line.contains("\"process\":\"final") && line.contains("\"f\":\"poll\"");
    let cut: Vec<&str> = text.lines().filter(|line| !is_final_poll(line)).collect();
    assert_ne!(cut.len(), text.lines().count());
    let spoiled = out.join("spoiled.jsonl");
    std::fs::write(&spoiled, cut.join("\n")).unwrap();
    let judged = check(&spoiled);
    let said = String::from_utf8_lossy(&judged.stdout);
    assert_eq!(judged.status.code(), Some(1), "{said}");
    assert!(said.contains("lost-write"), "{said}");
}

#[test]
fn a_round_of_the_durability_matrix_keeps_what_was_acknowledged_by_all() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("durability");
    let arguments =
        ["durability", "--rounds", "1", "--faults", "all-killed", "--write-for", "500ms"];
    let (said, is_valid) = lab(&out, &arguments);
    assert!(is_valid, "{said}");
    let report = report(&out);
    let cells = report["matrix"]["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 6, "three acks, two flushes");
    for cell in cells.iter().filter(|cell| cell["acks"] == "all") {
        assert!(cell["tally"]["acknowledged"].as_u64().unwrap() > 0, "{cell}");
        assert_eq!(cell["tally"]["lost"], 0, "{cell}");
    }
}
