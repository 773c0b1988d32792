//! The commands that run brokers, as somebody types them: what is refused, with which exit code, and that nothing was touched.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs a command that is expected to end by itself.
fn steadfast(arguments: &[&str]) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while process.try_wait().unwrap().is_none() {
        if Instant::now() >= deadline {
            process.kill().unwrap();
            let output = process.wait_with_output().unwrap();
            panic!("{arguments:?} goes on: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    process.wait_with_output().unwrap()
}

/// Everything below a directory, with the content of files.
fn content(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        found.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
        if path.is_dir() {
            found.extend(content(&path));
        }
    }
    found.sort();
    found
}

#[test]
fn a_server_leaves_a_directory_alone_that_is_not_its_own() {
    let dir = tempfile::tempdir().unwrap();
    for broker in ["broker-1", "broker-2"] {
        let own = dir.path().join(broker);
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join("server.properties"), "node.id=1\n").unwrap();
    }
    let before = content(dir.path());
    let data_dir = format!("log.dirs={}", dir.path().display());
    let mut arguments = vec!["server", "--override", "node.id=1", "--override", &data_dir];
    for listener in [
        "listeners=PLAINTEXT://127.0.0.1:0",
        "replication.listener=127.0.0.1:0",
        "control.listener=127.0.0.1:0",
        "http.listener=127.0.0.1:0",
    ] {
        arguments.extend(["--override", listener]);
    }
    let refused = steadfast(&arguments);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    let line = told.lines().last().unwrap();
    assert!(line.starts_with(&format!("steadfast: {} is not", dir.path().display())), "{told}");
    assert!(line.contains("holds broker-1, broker-2;") && line.contains("log.dirs"), "{told}");
    assert_eq!(content(dir.path()), before);
}

#[test]
fn arguments_that_make_no_cluster_are_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().display().to_string();
    for (arguments, named) in [
        (&["--brokers", "0"][..], "--brokers"),
        (&["--brokers", "101"], "--brokers"),
        (&["--kafka-port", "0"], "--kafka-port"),
        (&["--kafka-port", "65500"], "--kafka-port"),
    ] {
        let refused = steadfast(&[&["dev", "--data-dir", &data_dir], arguments].concat());
        let told = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(named), "{arguments:?}: {told}");
        assert_eq!(content(dir.path()), [], "{arguments:?}");
    }
}
