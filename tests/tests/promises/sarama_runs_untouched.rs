//! Programs on Go's sarama with its untouched configuration, of two versions: the examples, and a SyncProducer through kills, whose errors are
//! counted and printed. tests/compat/install.sh builds them; `COMPAT_TOOLS` names where, `target/compat` otherwise.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cluster_tests::cluster::Cluster;
use cluster_tests::deadline::wait_until;
use cluster_tests::read_back::read_values;
use cluster_tests::report::{measured, skipped};

use crate::{LIMIT, PARTITIONS, heal, with_topic};

/// Bytes of the file of confirmations that come between two kills: some fifty lines.
const SOME_CONFIRMATIONS: u64 = 200;

fn tool(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("COMPAT_TOOLS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/compat"),
        PathBuf::from,
    );
    Some(folder.join(name)).filter(|path| path.exists())
}

fn run_examples(version: &str) {
    let names = ["example-producer", "example-consumer"].map(|name| format!("{name}{version}"));
    let [Some(producer), Some(consumer)] = names.each_ref().map(|name| tool(name)) else {
        return skipped(&names.join(" and "), "tests/compat/install.sh did not build them");
    };
    let cluster = Cluster::start(3);
    let run = |program: &Path, more: &[&str]| {
        let output = Command::new("timeout")
            .arg("20")
            .arg(program)
            .args(["-brokers", &cluster.bootstrap()])
            .args(more)
            .output()
            .expect("timeout can be run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {said}", program.display());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // The topic is made by the first request for it.
    let sent = run(&producer, &[]);
    assert_eq!(sent.lines().count(), 10, "{sent}");
    let read = run(&consumer, &["-count", "10"]);
    for number in 0..10 {
        assert!(read.contains(&format!("key-{number} = message {number}\n")), "{read}");
    }
}

#[test]
fn the_examples_run_on_sarama_1_38() {
    run_examples("");
}

#[test]
fn the_examples_run_on_sarama_1_22() {
    run_examples("-1.22");
}

#[test]
fn a_sync_producer_goes_through_kills() {
    let Some(program) = tool("sarama-failover") else {
        return skipped(
            "a sync producer goes through kills",
            "tests/compat/install.sh did not build sarama-failover",
        );
    };
    let (mut cluster, admin) = with_topic("sarama", PARTITIONS);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("confirmed");
    // It writes a line to the file for each confirmation, until its standard input ends.
    let mut child = Command::new(program)
        .args([&cluster.bootstrap(), "sarama"])
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let wait_for_confirmations = || {
        let size = || std::fs::metadata(&file).map_or(0, |file| file.len());
        let before = size();
        wait_until("confirmations", LIMIT, || size() > before + SOME_CONFIRMATIONS);
    };
    wait_for_confirmations();
    for _kill in 0..3 {
        let leader = admin.wait_for_leader("sarama", 0);
        cluster.kill(leader);
        // The new leaders are there before the old one returns, so that each kill is one of a leader.
        wait_until("another leader", LIMIT, || {
            admin.leader("sarama", 0).is_some_and(|now| now != leader)
        });
        heal(&mut cluster, &admin, leader, "sarama");
        wait_for_confirmations();
    }
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let confirmed = std::fs::read_to_string(&file).unwrap();
    let confirmed: BTreeSet<&str> = confirmed.lines().collect();
    let values = read_values(&cluster.bootstrap(), "sarama", PARTITIONS, LIMIT).unwrap();
    let log: BTreeSet<&str> =
        values.iter().map(|value| std::str::from_utf8(value).unwrap()).collect();
    let lost = confirmed.difference(&log).count();
    measured(
        "untouched sarama SyncProducer (acks=1) through three kills of its leader",
        format!("{told}, confirmed and lost {lost}"),
    );
    assert!(confirmed.len() > 100, "{told}");
    // acks=1 promises no more; each kill may cost the last few that no follower had fetched.
    assert!(lost <= 30, "{lost} of {} confirmed records are lost", confirmed.len());
}
