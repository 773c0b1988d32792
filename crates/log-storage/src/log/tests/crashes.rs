//! The power goes at every single operation of a workload, and comes back.

use std::collections::BTreeMap;

use model::record_batch::BatchHeader;
use model::{LeaderEpoch, Offset};

use super::fixture::{Home, small};
use crate::config::LogConfig;
use crate::error::{AppendError, FatalError, NotWritable, ReadError};
use crate::file_system::{CrashMode, Fault, FaultOperation, SimulatedDisk};
use crate::log::{AppendOutcome, Log};
use crate::reads::timestamp_lookup::TimestampQuery;
use crate::test_batches::BatchSpec;

/// What the owner of a log knows for certain.
#[derive(Default)]
struct Known {
    /// Batches by base offset, as they were appended last.
    appended: BTreeMap<i64, BatchHeader>,
    flushed: i64,
    log_start: i64,
    epochs: i32,
    sequence: i32,
    /// Set while a truncation may be half done: the offset that it cuts at.
    truncating_to: Option<i64>,
}

/// Why a workload stopped: the power.
struct PowerOff;

impl From<FatalError> for PowerOff {
    fn from(_: FatalError) -> Self {
        Self
    }
}

impl Known {
    fn append(&mut self, log: &mut Log, records: i32, fill: u8) -> Result<(), PowerOff> {
        let spec = BatchSpec::new(records).producer(7, 0, self.sequence).fill(fill);
        match log.lead(self.epochs, spec) {
            Ok(AppendOutcome::Appended(appended)) => {
                let header = spec.at(appended.base_offset.0).epoch(self.epochs).header();
                self.appended.insert(appended.base_offset.0, header);
                self.sequence += records;
                Ok(())
            }
            Ok(AppendOutcome::Duplicate(duplicate)) => panic!("{duplicate:?}"),
            Err(AppendError::Fatal(_)) => Err(PowerOff),
            Err(error) => panic!("{error}"),
        }
    }

    fn flush(&mut self, log: &mut Log) -> Result<(), PowerOff> {
        log.flush_now()?;
        self.flushed = log.flushed_offset().0;
        Ok(())
    }

    fn checkpoint(&mut self, log: &mut Log) -> Result<(), PowerOff> {
        log.checkpoint_now()?;
        self.flushed = log.flushed_offset().0;
        Ok(())
    }

    /// A producer that lost what came after `offset` begins anew there.
    fn restart_sequence(&mut self, offset: i64) {
        self.sequence = i32::try_from(offset).unwrap();
    }

    fn truncate(&mut self, log: &mut Log, offset: i64) -> Result<(), PowerOff> {
        self.truncating_to = Some(offset);
        self.flushed = self.flushed.min(offset);
        log.truncate_to(Offset(offset))?;
        assert_eq!(log.log_end_offset(), Offset(offset));
        self.truncating_to = None;
        self.appended.split_off(&offset);
        self.flushed = log.flushed_offset().0;
        self.restart_sequence(offset);
        self.epochs += 1;
        log.assign_epoch(LeaderEpoch(self.epochs), Offset(offset));
        Ok(())
    }

    /// Everything of interest happens at least once: rolls, flushes before and after, checkpoints, truncations into every kind of place, removal.
    fn workload(&mut self, log: &mut Log) -> Result<(), PowerOff> {
        for number in 0..9 {
            self.append(log, 2, b'a')?;
            if number % 4 == 2 {
                self.flush(log)?;
            }
        }
        self.checkpoint(log)?;
        for _ in 0..4 {
            self.append(log, 2, b'b')?;
        }
        self.flush(log)?;
        log.set_high_watermark(Offset(26));
        self.checkpoint(log)?;
        self.truncate(log, 22)?;
        for _ in 0..3 {
            self.append(log, 2, b'c')?;
        }
        self.flush(log)?;
        self.truncate(log, 14)?;
        for _ in 0..5 {
            self.append(log, 2, b'd')?;
        }
        self.checkpoint(log)?;
        log.set_high_watermark(Offset(24));
        if let Some(removal) = log.advance_log_start(Offset(12)) {
            self.log_start = 12;
            removal.run()?.run();
        }
        self.append(log, 2, b'e')?;
        self.checkpoint(log)?;
        self.append(log, 2, b'f')?;
        Ok(())
    }

    /// Whatever was flushed is there and is what was appended; what else is there is a dense prefix of what was appended.
    fn check(&self, log: &Log, context: &str) {
        let headers = log.headers();
        let start = log.log_start_offset().0;
        assert!(start <= self.log_start, "{context}: the log starts at {start}");
        let end = log.log_end_offset().0;
        assert!(end >= self.flushed, "{context}: {end} is left, {} was flushed", self.flushed);
        assert_eq!(log.flushed_offset().0, end, "{context}");
        let mut expected = headers.first().map_or(start, |header| header.base_offset.0);
        for header in &headers {
            assert_eq!(header.base_offset.0, expected, "{context}: dense");
            let appended = self.appended.get(&header.base_offset.0);
            assert_eq!(Some(header), appended, "{context}: at {expected}");
            assert_eq!(log.epoch_for(header.base_offset), header.leader_epoch, "{context}: epochs");
            expected = header.next_offset().0;
        }
        assert_eq!(expected, end, "{context}");
        let latest = headers.last().and_then(|header| header.leader_epoch);
        assert_eq!(log.last_epoch(), latest, "{context}");
    }
}

#[test]
fn a_crash_at_any_operation_loses_nothing_that_was_flushed() {
    let count = {
        let disk = SimulatedDisk::new(0);
        let (mut log, _) = Home::on(&disk).open(small());
        let before = disk.operations();
        assert!(Known::default().workload(&mut log).is_ok());
        disk.operations() - before
    };
    assert!(count > 60, "{count} operations");
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
    let (mut log, _) = Home::on(&disk).open(small());
    disk.power_off_after(operations);
    let _ = known.workload(&mut log);
    drop(log);
    disk.crash(mode);

    let home = Home::again(&disk);
    let (mut log, recovery) = home.open(small());
    assert_eq!(recovery.corruption, None, "{context}");
    known.check(&log, context);
    assert!(log.log_end_offset() >= recovery.high_watermark, "{context}: {recovery:?}");

    // A second start comes to the same, and the log goes on: the sequence of the producer continues where its batches end.
    let headers = log.headers();
    drop(log);
    disk.crash(CrashMode::LoseAll);
    let (again, _) = home.open(small());
    assert_eq!(again.headers(), headers, "{context}: recovered twice");
    log = again;
    known.epochs += 1;
    let end = log.log_end_offset().0;
    known.restart_sequence(end);
    known.appended.split_off(&end);
    assert!(known.append(&mut log, 2, b'z').is_ok(), "{context}");
    assert!(known.checkpoint(&mut log).is_ok());
    disk.crash(CrashMode::LoseAll);
    let (log, recovery) = home.open(small());
    assert_eq!(recovery.scanned_bytes, 0, "{context}: a checkpoint leaves nothing to scan");
    known.check(&log, context);
}

#[test]
fn what_recovery_counts_survives_the_next_power_loss_too() {
    let disk = SimulatedDisk::new(1);
    let home = Home::on(&disk);
    let (mut log, _) = home.open(small());
    log.lead_times(12, 0, BatchSpec::new(2));
    drop(log);
    disk.crash(CrashMode::KeepAll);
    let (log, _) = home.open(small());
    assert_eq!((log.log_end_offset(), log.flushed_offset()), (Offset(24), Offset(24)));
    drop(log);
    disk.crash(CrashMode::LoseAll);
    let (log, _) = home.open(small());
    assert_eq!(log.log_end_offset(), Offset(24));
}

#[test]
fn bytes_that_a_failed_sync_left_in_the_cache_alone_do_not_count_after_a_restart() {
    let disk = SimulatedDisk::new(1);
    let home = Home::on(&disk);
    let (mut log, _) = home.open(LogConfig::default());
    log.lead_times(3, 0, BatchSpec::new(2));
    log.flush_now().unwrap();
    log.lead_times(3, 0, BatchSpec::new(2));
    disk.inject(Fault {
        operation: FaultOperation::SyncData,
        path_contains: ".log".to_owned(),
        after: 0,
        times: 1,
        error: std::io::ErrorKind::Other,
    });
    assert!(log.flush_now().is_err());
    disk.crash(CrashMode::KeepAll);
    let (log, recovery) = home.open(LogConfig::default());
    assert_eq!((log.log_end_offset(), recovery.corruption), (Offset(6), None));
}

#[test]
fn the_persisted_high_watermark_never_exceeds_what_is_flushed() {
    let home = Home::real();
    let (mut log, _) = home.open(small());
    log.lead_times(4, 0, BatchSpec::new(2));
    log.flush_now().unwrap();
    log.lead_times(4, 0, BatchSpec::new(2));
    log.set_high_watermark(Offset(16));
    assert_eq!(log.options.checkpoint.high_watermark(), Offset(8));
    log.options.checkpoint.persist().unwrap();
    let truncation = log.begin_truncation(Offset(6));
    drop(truncation.run().unwrap());
    drop(log);
    let (_, recovery) = home.open(small());
    assert_eq!(recovery.high_watermark, Offset(6), "lowered before anything is cut");
}

#[test]
fn a_high_watermark_that_is_told_during_a_truncation_does_not_pass_its_point() {
    let home = Home::real();
    let (mut log, _) = home.open(small());
    log.lead_times(8, 0, BatchSpec::new(2));
    log.flush_now().unwrap();
    let truncation = log.begin_truncation(Offset(6));
    log.set_high_watermark(Offset(16));
    drop(truncation.run().unwrap());
    drop(log);
    let (log, recovery) = home.open(small());
    assert!(log.log_end_offset() >= recovery.high_watermark, "{recovery:?}");
}

#[test]
fn a_snapshot_of_producers_from_before_a_truncation_is_never_believed_again() {
    let disk = SimulatedDisk::new(1);
    let home = Home::on(&disk);
    let config = LogConfig::default;
    let (mut log, _) = home.open(config());
    let batch = |id, sequence| BatchSpec::new(2).producer(id, 0, sequence);
    for number in 0..10 {
        log.lead(0, batch(7, number * 2)).unwrap();
    }
    log.checkpoint_now().unwrap();
    log.truncate_to(Offset(10)).unwrap();
    for number in 0..15 {
        log.lead(1, batch(8, number * 2)).unwrap();
    }
    log.checkpoint_now().unwrap();
    drop(log);
    let (mut log, _) = home.open(config());
    log.truncate_to(Offset(30)).unwrap();
    assert!(matches!(log.lead(2, batch(7, 10)), Ok(AppendOutcome::Appended(_))));
}

#[test]
fn a_torn_tail_is_cut_at_whatever_byte_it_ends() {
    let disk = SimulatedDisk::new(1);
    let home = Home::on(&disk);
    let (mut log, _) = home.open(LogConfig::default());
    for _ in 0..3 {
        log.lead(0, BatchSpec::new(2)).unwrap();
    }
    log.flush_now().unwrap();
    let path = home.log_directory().join("00000000000000000000.log");
    let whole = disk.content(&path).unwrap();
    let size = whole.len() / 3;
    for length in 0..=whole.len() {
        let disk = SimulatedDisk::new(1);
        let home = Home::on(&disk);
        let file = home.fs.open(&path, crate::file_system::OpenMode::Create).unwrap();
        file.write_at(&whole[..length], 0).unwrap();
        let (log, recovery) = home.open(LogConfig::default());
        assert_eq!(log.log_end_offset().0, i64::try_from(length / size).unwrap() * 2);
        assert_eq!(recovery.cut_bytes, u64::try_from(length % size).unwrap());
        assert_eq!(disk.content(&path).unwrap().len(), length / size * size);
    }
}

#[test]
fn a_flipped_bit_above_the_recovery_point_cuts_and_below_it_is_reported() {
    let batches = 6;
    let size = BatchSpec::new(2).bytes().len();
    let path = |home: &Home| home.log_directory().join("00000000000000000000.log");
    for position in (0..size * batches).step_by(7) {
        let disk = SimulatedDisk::new(1);
        let home = Home::on(&disk);
        let config = LogConfig::default;
        let (mut log, _) = home.open(config());
        log.lead_times(6, 0, BatchSpec::new(2));
        log.flush_now().unwrap();
        drop(log);
        disk.flip_bit(&path(&home), position, 3).unwrap();
        let (log, recovery) = home.open(config());
        let damaged = i64::try_from(position / size).unwrap() * 2;
        // Of the leader epoch, outside the checksum, any value is as good as another.
        let is_epoch = (12..16).contains(&(position % size));
        let expected = if is_epoch { 12 } else { damaged };
        assert_eq!(log.log_end_offset().0, expected, "byte {position}");
        assert_eq!(recovery.corruption, None);
    }
}

/// Twelve batches of two records in three segments, all below the recovery point.
fn checkpointed() -> (SimulatedDisk, Home) {
    let disk = SimulatedDisk::new(1);
    let home = Home::on(&disk);
    let (mut log, _) = home.open(small());
    log.lead_times(12, 0, BatchSpec::new(2));
    log.checkpoint_now().unwrap();
    (disk, home)
}

#[test]
fn corruption_below_the_recovery_point_is_never_cut_and_ends_with_a_truncation() {
    let size = BatchSpec::new(2).bytes().len();
    // The headers of the batch that ends each segment are walked at a start; a length that is wrong breaks the walk.
    for (segment, batch, corrupt_from) in [(20, 1, 22), (10, 4, 18)] {
        let (disk, home) = checkpointed();
        let path = home.log_directory().join(format!("{segment:020}.log"));
        let before = disk.content(&path).unwrap().len();
        disk.flip_bit(&path, batch * size + 8, 0).unwrap();
        let (mut log, recovery) = home.open(small());
        let corruption = recovery.corruption.expect("it is reported");
        assert_eq!(corruption.offset, Offset(corrupt_from), "{}", corruption.reason);
        assert_eq!(log.log_end_offset(), Offset(corrupt_from));
        assert_eq!(disk.content(&path).unwrap().len(), before, "nothing is cut");
        let refused = log.lead(1, BatchSpec::new(1));
        assert!(matches!(refused, Err(AppendError::NotWritable(NotWritable::Corrupt(_)))));
        assert!(log.begin_flush().is_none());
        assert_eq!(log.headers().len(), usize::try_from(corrupt_from / 2).unwrap());
        drop(log);
        let (mut log, recovery) = home.open(small());
        assert!(recovery.corruption.is_some(), "a second start reports it too");
        log.truncate_to(Offset(corrupt_from)).unwrap();
        log.lead(1, BatchSpec::new(2)).unwrap();
        log.checkpoint_now().unwrap();
        let end = log.log_end_offset();
        drop(log);
        let (log, recovery) = home.open(small());
        assert_eq!((recovery.corruption, log.log_end_offset()), (None, end));
    }
}

#[test]
fn bytes_that_rotted_on_the_disk_are_not_given_to_a_reader() {
    let size = BatchSpec::new(2).bytes().len();
    // A bit of a record, and one of a base offset, which lies outside of the checksum.
    for (byte, bit) in [(size - 1, 3), (7, 4)] {
        let (disk, home) = checkpointed();
        let path = home.log_directory().join(format!("{:020}.log", 10));
        disk.flip_bit(&path, 2 * size + byte, bit).unwrap();
        let (log, recovery) = home.open(small());
        assert_eq!(recovery.corruption, None, "a start reads little of what it has flushed");
        let whole = log.read_from(10, 2 * size).unwrap();
        assert_eq!(whole.len(), 2 * size, "what lies before is served");
        let error = log.read_from(10, 10_000).unwrap_err();
        let ReadError::Corrupt { offset, reason } = error else { panic!("{error}") };
        assert_eq!(offset, Offset(14), "{reason}");
    }
}

#[test]
fn a_flushed_file_that_is_missing_or_short_is_corruption() {
    for cut in ["short", "missing", "all missing"] {
        let (_disk, home) = checkpointed();
        let path = |base: i64| home.log_directory().join(format!("{base:020}.log"));
        match cut {
            "short" => {
                let file = home.fs.open(&path(20), crate::file_system::OpenMode::Write).unwrap();
                file.set_len(10).unwrap();
            }
            "missing" => home.fs.remove_file(&path(20)).unwrap(),
            _ => [0, 10, 20].iter().for_each(|base| home.fs.remove_file(&path(*base)).unwrap()),
        }
        let (log, recovery) = home.open(small());
        let corruption = recovery.corruption.expect(cut);
        assert_eq!(corruption.offset, log.log_end_offset(), "{cut}");
        assert_eq!(
            log.log_end_offset(),
            Offset(if cut == "all missing" { 0 } else { 20 }),
            "{cut}"
        );
    }
}

#[test]
fn a_missing_head_is_corruption_and_never_raises_the_log_start() {
    for lost in [1, 2] {
        let (_disk, home) = checkpointed();
        let path = |base: i64| home.log_directory().join(format!("{base:020}.log"));
        [0, 10].iter().take(lost).for_each(|base| home.fs.remove_file(&path(*base)).unwrap());
        for start in ["first", "second"] {
            let (log, recovery) = home.open(small());
            let corruption = recovery.corruption.expect("it is reported");
            assert_eq!(corruption.offset, Offset(0), "{}", corruption.reason);
            assert_eq!(log.log_start_offset(), Offset(0), "{start} start, {lost} segments lost");
            assert_eq!(log.log_end_offset(), Offset(0), "what stands behind a hole is no log");
            assert!(home.fs.exists(&path(20)).unwrap(), "nothing is removed");
        }
        let (mut log, _) = home.open(small());
        log.truncate_to(Offset(0)).unwrap();
        log.lead_times(2, 1, BatchSpec::new(2));
        log.checkpoint_now().unwrap();
        drop(log);
        let (log, recovery) = home.open(small());
        assert_eq!((recovery.corruption, log.log_end_offset()), (None, Offset(4)));
    }
}

#[test]
fn a_restart_below_the_log_that_a_crash_interrupts_leaves_the_old_log_and_no_corruption() {
    let disk = SimulatedDisk::new(1);
    let home = Home::on(&disk);
    let (mut log, _) = home.open(small());
    log.restart_at(Offset(100)).unwrap();
    log.lead_times(12, 0, BatchSpec::new(2));
    log.checkpoint_now().unwrap();
    let restart = log.begin_restart(Offset(50));
    // The checkpoint files are lowered, and then the power goes.
    log.options.checkpoint.persist().unwrap();
    drop(restart);
    drop(log);
    disk.crash(CrashMode::LoseAll);
    for start in ["first", "second"] {
        let (mut log, recovery) = home.open(small());
        assert_eq!(recovery.corruption, None, "{start} start");
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(100), Offset(124)));
        // The recovery point rises again, past a log start that the files hold too low.
        log.checkpoint_now().unwrap();
        disk.crash(CrashMode::LoseAll);
    }
}

#[test]
fn a_batch_that_rots_while_the_log_is_open_is_reported_by_lookups() {
    let (disk, home) = checkpointed();
    let (log, _) = home.open(small());
    let path = home.log_directory().join("00000000000000000000.log");
    disk.flip_bit(&path, 16, 5).unwrap();
    assert!(matches!(log.read_from(0, 100), Err(ReadError::Corrupt { .. })));
    let lookup = log.timestamp_lookup(TimestampQuery::AtLeast(super::fixture::NOW), Offset(24));
    assert!(matches!(lookup.execute(), Err(ReadError::Corrupt { .. })));
}

#[test]
fn a_truncation_inside_a_batch_leaves_no_hole_below_the_recovery_point() {
    let disk = SimulatedDisk::new(1);
    let home = Home::on(&disk);
    let (mut log, _) = home.open(LogConfig::default());
    log.lead_times(2, 0, BatchSpec::new(3));
    log.checkpoint_now().unwrap();
    log.truncate_to(Offset(5)).unwrap();
    assert_eq!(log.log_end_offset(), Offset(3));
    disk.crash(CrashMode::LoseAll);
    let (log, recovery) = home.open(LogConfig::default());
    assert_eq!(recovery.corruption, None);
    assert_eq!((log.log_end_offset(), recovery.scanned_from), (Offset(3), Offset(3)));
}
