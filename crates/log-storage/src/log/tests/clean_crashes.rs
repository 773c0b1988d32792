//! The power goes at every single operation of a workload with cleans, and comes back.

use std::collections::BTreeMap;

use model::Offset;
use model::record_batch::BatchHeader;

use super::cleaning::{Found, Keyed, compacted};
use super::fixture::{Home, NOW};
use crate::compaction::CleanError;
use crate::config::LogConfig;
use crate::error::{AppendError, FatalError};
use crate::file_system::{CrashMode, SimulatedDisk};
use crate::log::Log;

/// Why a workload stopped: the power.
struct PowerOff;

impl From<FatalError> for PowerOff {
    fn from(_: FatalError) -> Self {
        Self
    }
}

/// What the owner of a log knows for certain.
#[derive(Default)]
struct Known {
    appended: Vec<Found>,
    sequence: i32,
    flushed: i64,
    log_start: i64,
    cleans: usize,
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 700, ..compacted() }
}

impl Known {
    fn append(&mut self, log: &mut Log, records: &[(&'static str, bool)]) -> Result<(), PowerOff> {
        let pairs = records.iter().enumerate().map(|(index, (key, has_value))| {
            let value = has_value.then(|| format!("{}", self.appended.len() + index));
            (Some(*key), value)
        });
        let batch = Keyed::of(pairs.collect()).by(7, self.sequence);
        let base = match log.try_write(0, &batch) {
            Ok(appended) => appended.base_offset.0,
            Err(AppendError::Fatal(_)) => return Err(PowerOff),
            Err(error) => panic!("{error}"),
        };
        for (offset, (key, value)) in (base..).zip(batch.records) {
            self.appended.push(Found { offset, key: key.map(str::to_owned), value });
            self.sequence += 1;
        }
        Ok(())
    }

    fn close(&mut self, log: &mut Log) -> Result<(), PowerOff> {
        log.roll_at_end(NOW).map_err(PowerOff::from)?;
        log.checkpoint_now()?;
        self.flushed = log.flushed_offset().0;
        Ok(())
    }

    fn clean(&mut self, log: &mut Log, now: i64) -> Result<(), PowerOff> {
        match log.clean_at(now) {
            None => Ok(()),
            Some(Ok(_)) => {
                self.cleans += 1;
                Ok(())
            }
            Some(Err(CleanError::Fatal(_) | CleanError::Unreadable { .. })) => Err(PowerOff),
            Some(Err(error)) => panic!("{error}"),
        }
    }

    /// Groups of one segment and of several, batches that go, that are written anew and that are emptied, tombstones that come and go, a removal, a truncation.
    fn workload(&mut self, log: &mut Log) -> Result<(), PowerOff> {
        self.append(log, &[("a", true), ("b", true)])?;
        self.append(log, &[("c", true)])?;
        self.close(log)?;
        self.append(log, &[("a", true)])?;
        self.append(log, &[("b", false), ("d", true)])?;
        self.close(log)?;
        self.append(log, &[("c", false)])?;
        self.close(log)?;
        self.append(log, &[("e", true)])?;
        self.clean(log, NOW.0)?;
        for key in ["a", "d", "e", "a", "d", "f", "a", "b"] {
            self.append(log, &[(key, true), ("g", true)])?;
        }
        self.close(log)?;
        self.append(log, &[("f", false)])?;
        self.close(log)?;
        self.clean(log, NOW.0 + 1)?;
        self.append(log, &[("h", true), ("a", true)])?;
        self.close(log)?;
        if let Some(removal) = log.advance_log_start(Offset(6)) {
            removal.run()?.run();
        }
        self.log_start = 6;
        self.clean(log, NOW.0 + 2)?;
        self.append(log, &[("h", false)])?;
        Ok(())
    }

    /// The last record of each key that the log has ever reached is the last that was appended, whatever was cleaned; a tombstone may be gone.
    fn check(&self, log: &Log, context: &str) {
        let end = log.log_end_offset().0;
        let start = log.log_start_offset().0;
        assert!(end >= self.flushed, "{context}: {end} is left, {} was flushed", self.flushed);
        assert!(start <= self.log_start, "{context}: it starts at {start}");
        let found = log.records();
        assert!(found.windows(2).all(|pair| pair[0].offset < pair[1].offset), "{context}: order");
        for record in &found {
            assert!(self.appended.contains(record), "{context}: {record:?} was never appended");
        }
        let mut next = log.headers().first().map_or(start, |header| header.base_offset.0);
        for header in log.headers() {
            assert_eq!(header.base_offset.0, next, "{context}: a hole");
            let offset = header.base_offset.max(log.log_start_offset());
            assert_eq!(log.epoch_for(offset), header.leader_epoch, "{context}");
            next = header.next_offset().0;
        }
        assert_eq!(next, end, "{context}");
        let last = |records: &[Found]| -> BTreeMap<String, Option<String>> {
            let kept = records.iter().filter(|record| (start..end).contains(&record.offset));
            kept.map(|record| (record.key.clone().unwrap(), record.value.clone())).collect()
        };
        let (mut wanted, mut has) = (last(&self.appended), last(&found));
        wanted.retain(|_, value| value.is_some());
        has.retain(|_, value| value.is_some());
        assert_eq!(has, wanted, "{context}: {found:?}");
    }
}

#[test]
fn a_crash_at_any_operation_of_a_clean_loses_nothing_that_it_must_keep() {
    let count = {
        let disk = SimulatedDisk::new(0);
        let (mut log, _) = Home::on(&disk).open(config());
        let before = disk.operations();
        let mut known = Known::default();
        assert!(known.workload(&mut log).is_ok());
        assert_eq!(known.cleans, 3);
        known.check(&log, "without a crash");
        disk.operations() - before
    };
    assert!(count > 120, "{count} operations");
    for operations in 0..=count {
        for (seed, mode) in [
            (1, CrashMode::LoseAll),
            (2, CrashMode::KeepAll),
            (3, CrashMode::Random),
            (4, CrashMode::Random),
            (5, CrashMode::Random),
            (6, CrashMode::Random),
        ] {
            let context = format!("power off after {operations} operations, seed {seed}, {mode:?}");
            crash_once(operations, seed, mode, &context);
        }
    }
}

fn crash_once(operations: u64, seed: u64, mode: CrashMode, context: &str) {
    let disk = SimulatedDisk::new(seed);
    let mut known = Known::default();
    let (mut log, _) = Home::on(&disk).open(config());
    disk.power_off_after(operations);
    let _ = known.workload(&mut log);
    drop(log);
    disk.crash(mode);

    // The power goes again while the start puts things in order.
    for interrupted in [0, 1, 2, 4, 7] {
        disk.power_off_after(interrupted);
        let _ = Home::again(&disk).try_open(config());
        disk.crash(mode);
    }
    let home = Home::again(&disk);
    let (log, recovery) = home.open(config());
    assert_eq!(recovery.corruption, None, "{context}");
    known.check(&log, context);
    let names = home.fs.list(&home.log_directory()).unwrap();
    let is_left = |name: &str| name.ends_with(".cleaned") || name.ends_with(".swap");
    assert!(!names.iter().any(|entry| is_left(&entry.name)), "{context}: {names:?}");

    // A second start comes to the same, and the log goes on: appended to by its producer, and cleaned.
    let headers = log.headers();
    drop(log);
    disk.crash(CrashMode::LoseAll);
    let (mut log, _) = home.open(config());
    assert_eq!(log.headers(), headers, "{context}: recovered twice");
    let end = log.log_end_offset().0;
    known.appended.retain(|record| record.offset < end);
    known.flushed = 0;
    known.sequence = i32::try_from(end).unwrap();
    assert!(known.append(&mut log, &[("a", true), ("z", true)]).is_ok(), "{context}");
    assert!(known.close(&mut log).is_ok(), "{context}");
    assert!(known.clean(&mut log, NOW.0 + 10).is_ok(), "{context}");
    known.check(&log, context);
    disk.crash(CrashMode::LoseAll);
    let (log, recovery) = home.open(config());
    assert_eq!(recovery.corruption, None, "{context}");
    known.check(&log, context);
    let _: Vec<BatchHeader> = log.headers();
}
