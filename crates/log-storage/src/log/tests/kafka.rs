//! Kafka's own dump tool reads our files. Needs Apache Kafka in `KAFKA_DIR` (a directory with the script `kafka`); says so and passes where it is not there.

use std::path::Path;
use std::process::Command;

use model::record_batch::{BatchBuilder, BatchKind, BatchOptions, Codec, NewRecord, TimestampType};
use model::{LeaderEpoch, Offset, UnixMillis};

use super::fixture::Home;
use crate::config::LogConfig;
use crate::log::{AppendOrigin, LeaderAppend};

const NOW: i64 = 1_700_000_000_000;

fn batch(number: i64) -> Vec<u8> {
    let codec = Codec::ALL[usize::try_from(number).unwrap() % Codec::ALL.len()];
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: Offset::ZERO,
        leader_epoch: None,
        codec,
        level: None,
        timestamp_type: TimestampType::CreateTime,
        producer: None,
        kind: BatchKind::Plain,
    });
    for index in 0..3 {
        // Not in order: the time index must hold the greatest so far.
        let timestamp = UnixMillis(NOW + (number * 7_919) % 1_000 + index);
        let value = format!("value {number} {index}").repeat(20);
        let record =
            NewRecord { timestamp, key: Some(b"key"), value: Some(value.as_bytes()), headers: &[] };
        builder.append(&record).unwrap();
    }
    builder.build().unwrap()
}

fn write_log(home: &Home) {
    let config = LogConfig { segment_bytes: 20_000, ..LogConfig::default() };
    let (mut log, _) = home.open(config);
    for number in 0..200 {
        let append = LeaderAppend {
            leader_epoch: LeaderEpoch(i32::try_from(number / 50).unwrap()),
            now: UnixMillis(NOW),
            origin: AppendOrigin::Client,
            verification: None,
        };
        log.append_as_leader(&mut batch(number), append).unwrap();
    }
    log.truncate_to(Offset(555)).unwrap();
    log.checkpoint_now().unwrap();
    assert!(log.segment_base_offsets().len() > 2);
}

#[test]
fn kafkas_dump_tool_finds_every_batch_and_no_mismatch_in_log_and_indexes() {
    let Some(kafka) = std::env::var_os("KAFKA_DIR") else {
        eprintln!("skipped: KAFKA_DIR is not set");
        return;
    };
    let home = Home::real();
    write_log(&home);
    let directory = home.log_directory();
    let mut names: Vec<String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .filter(|path| path.ends_with(".log") || path.ends_with("index"))
        .collect();
    names.sort();
    assert!(names.iter().any(|path| path.ends_with(".timeindex")), "{names:?}");
    let output = Command::new(Path::new(&kafka).join("kafka"))
        .args(["run", "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--files"])
        .arg(names.join(","))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let batches = text.lines().filter(|line| line.starts_with("baseOffset:")).count();
    assert_eq!(batches, 185, "{text}\n{errors}");
    assert_eq!(text.matches("isvalid: true").count(), 185, "{text}");
    for complaint in ["Mismatches", "not allowed", "Index timestamp", "Invalid", "Found"] {
        assert!(!text.contains(complaint), "{complaint}: {text}\n{errors}");
    }
}
