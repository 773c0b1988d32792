//! One operation at a time.

use std::io;
use std::time::Duration;

use model::record_batch::{Batches, TimestampType};
use model::{LeaderEpoch, Offset, UnixMillis};

use super::fixture::{Home, NOW, offsets, small};
use crate::config::{CleanupPolicy, LogConfig};
use crate::error::{AppendError, FollowerAppendError, NotWritable, ReadError};
use crate::file_system::{CrashMode, Fault, FaultOperation, SimulatedDisk};
use crate::log::{AppendOrigin, AppendOutcome, FlushWish, LeaderAppend, Log};
use crate::producers::Producers;
use crate::reads::read_plan::{Minimum, ReadRequest};
use crate::reads::timestamp_lookup::{TimestampAndOffset, TimestampQuery};
use crate::test_batches::BatchSpec;

fn filled(home: &Home, config: LogConfig, batches: i32) -> Log {
    let (mut log, _) = home.open(config);
    for _ in 0..batches {
        log.lead(0, BatchSpec::new(2)).unwrap();
    }
    log
}

#[test]
fn a_new_log_is_empty_and_has_no_files() {
    let home = Home::real();
    let (mut log, recovery) = home.open(LogConfig::default());
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset(), log.flushed_offset()),
        (Offset(0), Offset(0), Offset(0))
    );
    assert_eq!(recovery.scanned_bytes, 0);
    assert!(log.begin_flush().is_none());
    assert!(home.fs.list(&home.log_directory()).unwrap().is_empty());
}

#[test]
fn a_leader_assigns_offset_and_epoch_in_place_and_leaves_the_rest() {
    let home = Home::real();
    let (mut log, _) = home.open(LogConfig::default());
    log.lead(3, BatchSpec::new(5)).unwrap();
    let outcome = log.lead(4, BatchSpec::new(2).fill(b'x')).unwrap();
    let AppendOutcome::Appended(appended) = outcome else { panic!("{outcome:?}") };
    assert_eq!((appended.base_offset, appended.last_offset), (Offset(5), Offset(6)));
    assert_eq!(appended.flush, FlushWish::Now);
    let bytes = log.read_from(5, 10_000).unwrap();
    assert_eq!(bytes, BatchSpec::new(2).fill(b'x').at(5).epoch(4).bytes());
    assert_eq!(log.last_epoch(), Some(LeaderEpoch(4)));
    assert_eq!(log.end_offset_for(LeaderEpoch(3)), Some((LeaderEpoch(3), Offset(5))));
    assert_eq!(log.epoch_for(Offset(4)), Some(LeaderEpoch(3)));
}

#[test]
fn refused_batches_leave_the_log_as_it_was() {
    let home = Home::real();
    let config = LogConfig { max_message_bytes: 400, segment_bytes: 300, ..LogConfig::default() };
    let (mut log, _) = home.open(config);
    log.lead(5, BatchSpec::new(1)).unwrap();
    let kind = |outcome: Result<AppendOutcome, AppendError>| match outcome.unwrap_err() {
        AppendError::CorruptMessage(_) => "corrupt",
        AppendError::InvalidRecord(_) => "invalid record",
        AppendError::BatchCount { .. } => "batch count",
        AppendError::MessageTooLarge { .. } => "message too large",
        AppendError::RecordListTooLarge { .. } => "record list too large",
        AppendError::InvalidTimestamp { .. } => "timestamp",
        AppendError::FencedLeaderEpoch { .. } => "fenced",
        other => panic!("{other}"),
    };
    let hour = 3_600_000;
    assert_eq!(kind(log.lead(5, BatchSpec::new(1).value_bytes(500))), "message too large");
    assert_eq!(kind(log.lead(5, BatchSpec::new(1).value_bytes(260))), "record list too large");
    assert_eq!(kind(log.lead(5, BatchSpec::new(1).attributes(0x20))), "invalid record");
    assert_eq!(kind(log.lead(5, BatchSpec::new(1).at(7))), "invalid record");
    assert_eq!(kind(log.lead(4, BatchSpec::new(1))), "fenced");
    assert_eq!(kind(log.lead(5, BatchSpec::new(1).timestamps(NOW.0 + hour + 1, 0))), "timestamp");
    assert_eq!(kind(log.lead(5, BatchSpec::new(2).timestamps(NOW.0, hour + 1))), "timestamp");
    let append = |log: &mut Log, mut bytes: Vec<u8>| {
        let origin = AppendOrigin::Client;
        log.append_as_leader(
            &mut bytes,
            LeaderAppend { leader_epoch: LeaderEpoch(5), now: NOW, origin, verification: None },
        )
    };
    let mut damaged = BatchSpec::new(1).bytes();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(kind(append(&mut log, damaged)), "corrupt");
    assert_eq!(kind(append(&mut log, BatchSpec::new(1).bytes()[..70].to_vec())), "corrupt");
    assert_eq!(
        kind(append(&mut log, [BatchSpec::new(1).bytes(), BatchSpec::new(1).bytes()].concat())),
        "batch count"
    );
    assert_eq!(log.log_end_offset(), Offset(1));
    assert_eq!(offsets(&log.headers()), [0]);
}

#[test]
fn log_append_time_replaces_the_producers_timestamp() {
    let home = Home::real();
    let config = LogConfig { timestamp_type: TimestampType::LogAppendTime, ..LogConfig::default() };
    let (mut log, _) = home.open(config);
    let spec = BatchSpec::new(2).timestamps(NOW.0 * 1_000, 0).producer(7, 0, 0);
    let AppendOutcome::Appended(appended) = log.lead(0, spec).unwrap() else { panic!() };
    assert_eq!(appended.log_append_time, Some(NOW));
    assert_eq!(log.headers()[0].max_timestamp, NOW);
    let AppendOutcome::Duplicate(duplicate) = log.lead(0, spec).unwrap() else { panic!() };
    assert_eq!(duplicate.log_append_time, Some(NOW));
}

#[test]
fn a_batch_sent_again_is_answered_with_its_first_offsets_even_after_a_restart() {
    let home = Home::real();
    let (mut log, _) = home.open(small());
    let batch = |sequence| BatchSpec::new(3).producer(7, 0, sequence);
    for sequence in [0, 3, 6, 9, 12, 15] {
        log.lead(0, batch(sequence)).unwrap();
    }
    log.checkpoint_now().unwrap();
    log.lead(0, batch(18)).unwrap();
    log.flush_now().unwrap();
    drop(log);
    let (mut log, _) = home.open(small());
    for sequence in [6, 9, 12, 15, 18] {
        let outcome = log.lead(0, batch(sequence)).unwrap();
        let AppendOutcome::Duplicate(duplicate) = outcome else { panic!("{outcome:?}") };
        assert_eq!(
            (duplicate.base_offset.0, duplicate.last_offset.0),
            (i64::from(sequence), i64::from(sequence) + 2)
        );
    }
    assert!(matches!(log.lead(0, batch(3)), Err(AppendError::OutOfOrderSequence { .. })));
    assert!(matches!(log.lead(0, batch(24)), Err(AppendError::OutOfOrderSequence { .. })));
    assert_eq!(log.log_end_offset(), Offset(21));
}

#[test]
fn segments_are_closed_by_size_index_age_and_offset_range() {
    let size = BatchSpec::new(2).bytes().len();
    let bases = |config: LogConfig, batches: &[BatchSpec]| {
        let home = Home::real();
        let (mut log, _) = home.open(config);
        batches.iter().for_each(|spec| log.lead_times(1, 0, *spec));
        log.segment_base_offsets().iter().map(|base| base.0).collect::<Vec<_>>()
    };
    let four = [BatchSpec::new(2); 4];
    let config = LogConfig::default;
    assert_eq!(bases(config(), &four), [0]);
    assert_eq!(bases(LogConfig { segment_bytes: size * 2, ..config() }, &four), [0, 4]);
    let index = LogConfig { segment_index_bytes: 8, index_interval_bytes: 0, ..config() };
    assert_eq!(bases(index, &four), [0, 4], "an entry for each batch but the first");
    let minute = 60_000;
    let aging: Vec<_> = [0, minute, minute + 1]
        .iter()
        .map(|age| BatchSpec::new(2).timestamps(NOW.0 + age, 0))
        .collect();
    assert_eq!(
        bases(LogConfig { segment_age: Duration::from_millis(60_000), ..config() }, &aging),
        [0, 4]
    );
}

#[test]
fn a_follower_appends_what_continues_its_log_and_nothing_else() {
    let home = Home::real();
    let (mut log, _) = home.open(small());
    let batch = |offset, epoch| BatchSpec::new(2).at(offset).epoch(epoch).bytes();
    let several: Vec<u8> = (0..10).flat_map(|number| batch(number * 2, 1)).collect();
    let appended = log.follow(1, &several).unwrap().unwrap();
    assert_eq!((appended.base_offset, appended.last_offset), (Offset(0), Offset(19)));
    assert!(log.segment_base_offsets().len() > 1, "batches of one message go to several segments");
    assert_eq!(log.follow(1, &[]).unwrap(), None);
    assert!(matches!(log.follow(1, &batch(22, 1)), Err(FollowerAppendError::Gap { .. })));
    assert!(matches!(log.follow(1, &batch(18, 1)), Err(FollowerAppendError::Gap { .. })));
    assert!(matches!(log.follow(1, &batch(20, 2)), Err(FollowerAppendError::LeaderEpoch { .. })));
    assert!(matches!(log.follow(1, &batch(20, 0)), Err(FollowerAppendError::LeaderEpoch { .. })));
    assert!(matches!(
        log.follow(1, &BatchSpec::new(2).at(20).bytes()),
        Err(FollowerAppendError::LeaderEpoch { .. })
    ));
    let mut damaged = batch(20, 1);
    damaged[70] ^= 1;
    assert!(matches!(log.follow(1, &damaged), Err(FollowerAppendError::CorruptMessage(_))));
    assert!(matches!(
        log.follow(1, &batch(20, 1)[..80]),
        Err(FollowerAppendError::CorruptMessage(_))
    ));
    assert_eq!(log.log_end_offset(), Offset(20));
    log.follow(2, &[batch(20, 1), batch(22, 2)].concat()).unwrap();
    assert_eq!(log.headers().len(), 12);
}

#[test]
fn the_file_of_a_closed_segment_stays_open_neither_after_a_flush_nor_after_a_start() {
    let home = Home::real();
    let open_files = || {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
        let open = descriptors.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        open.filter(|path| path.starts_with(home.log_directory())).collect::<Vec<_>>()
    };
    let active = home.log_directory().join("00000000000000000050.log");
    let mut log = filled(&home, small(), 30);
    assert_eq!(open_files().len(), 6);
    log.flush_now().unwrap();
    assert_eq!(open_files(), std::slice::from_ref(&active));
    log.checkpoint_now().unwrap();
    drop(log);
    let (log, _) = home.open(small());
    assert_eq!(open_files(), std::slice::from_ref(&active));
    assert_eq!(log.headers().len(), 30);
}

#[test]
fn reads_return_whole_batches_within_their_bounds_from_memory_and_from_the_index_alike() {
    let home = Home::real();
    let mut log = filled(&home, small(), 10);
    let size = BatchSpec::new(2).bytes().len();
    log.checkpoint_now().unwrap();
    drop(log);
    let (cold, _) = home.open(small());
    let hot_home = Home::real();
    let mut hot = filled(&hot_home, small(), 10);
    hot.flush_now().unwrap();
    for (log, is_hot) in [(&hot, true), (&cold, false)] {
        let read = |from: i64, upper: i64, max_bytes: usize, minimum| {
            let request =
                ReadRequest { from: Offset(from), upper_bound: Offset(upper), max_bytes, minimum };
            let plan = log.read(request).unwrap();
            assert_eq!(plan.is_hot(), is_hot || plan.is_empty(), "from {from} to {upper}");
            let bytes = plan.execute().unwrap();
            Batches::whole(&bytes)
                .map(|batch| batch.unwrap().header.base_offset.0)
                .collect::<Vec<_>>()
        };
        let nothing: [i64; 0] = [];
        assert_eq!(read(0, 20, 10_000, Minimum::Nothing), [0, 2, 4, 6, 8], "one segment at a time");
        assert_eq!(
            read(3, 20, 10_000, Minimum::Nothing),
            [2, 4, 6, 8],
            "the batch that holds the offset"
        );
        assert_eq!(read(10, 20, size * 2 + 1, Minimum::Nothing), [10, 12]);
        assert_eq!(
            read(10, 13, 10_000, Minimum::Nothing),
            [10],
            "a batch across the bound is left out"
        );
        assert_eq!(read(10, 11, 10_000, Minimum::OneBatch), nothing);
        assert_eq!(read(10, 20, 1, Minimum::OneBatch), [10]);
        assert_eq!(read(10, 20, 1, Minimum::Nothing), nothing);
        assert_eq!(read(20, 20, 10_000, Minimum::OneBatch), nothing);
        assert_eq!(read(19, 99, 10_000, Minimum::OneBatch), [18]);
    }
    for from in [-1, 21] {
        assert!(matches!(cold.read_from(from, 100), Err(ReadError::OffsetOutOfRange { .. })));
    }
}

#[test]
fn a_damaged_or_missing_index_costs_no_data() {
    let home = Home::real();
    let mut log = filled(&home, LogConfig { segment_bytes: 2_000, ..small() }, 60);
    log.checkpoint_now().unwrap();
    drop(log);
    let config = LogConfig { segment_bytes: 2_000, ..small() };
    let paths: Vec<_> = home.fs.list(&home.log_directory()).unwrap();
    let indexes = paths.iter().filter(|entry| entry.name.ends_with("index"));
    for (number, entry) in indexes.enumerate() {
        let path = home.log_directory().join(&entry.name);
        if number % 3 == 0 {
            std::fs::remove_file(&path).unwrap();
        } else {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.iter_mut().step_by(3).for_each(|byte| *byte ^= 0x55);
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let (log, recovery) = home.open(config);
    assert_eq!(recovery.corruption, None);
    for offset in 0..120 {
        let bytes = log.read_from(offset, 1).unwrap();
        let header = Batches::whole(&bytes).next().unwrap().unwrap().header;
        assert_eq!(header.base_offset.0, offset / 2 * 2);
    }
}

#[test]
fn a_flush_makes_durable_what_was_appended_before_it_began() {
    let home = Home::real();
    let mut log = filled(&home, small(), 8);
    let flush = log.begin_flush().unwrap();
    assert_eq!(flush.done.end_offset, Offset(16));
    assert_eq!(flush.file_count(), log.segment_base_offsets().len());
    log.lead(0, BatchSpec::new(2)).unwrap();
    assert_eq!(log.complete_flush(flush.run().unwrap()), Some(Offset(16)));
    assert_eq!(log.flushed_offset(), Offset(16));
    let flush = log.begin_flush().unwrap();
    assert_eq!(flush.file_count(), 1, "old tails are synced once");
    log.complete_flush(flush.run().unwrap());
    assert!(log.begin_flush().is_none());
}

#[test]
fn a_flush_that_began_before_a_truncation_counts_for_nothing() {
    let home = Home::real();
    let mut log = filled(&home, small(), 8);
    let flush = log.begin_flush().unwrap();
    let done = flush.run().unwrap();
    log.truncate_to(Offset(6)).unwrap();
    log.lead(1, BatchSpec::new(20)).unwrap();
    assert_eq!(log.complete_flush(done), None);
    assert!(log.flushed_offset() <= Offset(6));
}

#[test]
fn the_flush_policy_counts_records_and_time() {
    let home = Home::real();
    let config = LogConfig {
        flush_messages: 5,
        flush_interval: Some(Duration::from_millis(100)),
        ..LogConfig::default()
    };
    let (mut log, _) = home.open(config);
    let wish = |log: &mut Log| match log.lead(0, BatchSpec::new(2)).unwrap() {
        AppendOutcome::Appended(appended) => appended.flush,
        AppendOutcome::Duplicate(_) => panic!(),
    };
    assert_eq!(wish(&mut log), FlushWish::Now, "the first append creates a file");
    log.flush_now().unwrap();
    assert_eq!(wish(&mut log), FlushWish::Later);
    assert_eq!(wish(&mut log), FlushWish::Later);
    assert!(!log.is_flush_due(UnixMillis(NOW.0 + 99)));
    assert!(log.is_flush_due(UnixMillis(NOW.0 + 100)));
    assert_eq!(wish(&mut log), FlushWish::Now);
    log.flush_now().unwrap();
    assert!(!log.is_flush_due(UnixMillis(NOW.0 + 10_000)));
}

#[test]
fn truncation_removes_whole_batches_epochs_and_producers_and_appends_go_on() {
    for offset in 0..=22 {
        let home = Home::real();
        let (mut log, _) = home.open(small());
        for number in 0..10 {
            let spec = BatchSpec::new(2)
                .producer(7, 0, number * 2)
                .timestamps(NOW.0 + i64::from(number), 0);
            log.lead(number / 3, spec).unwrap();
            if number == 4 {
                log.checkpoint_now().unwrap();
            }
        }
        log.flush_now().unwrap();
        log.assign_epoch(LeaderEpoch(9), Offset(20));
        log.truncate_to(Offset(offset)).unwrap();
        let end = (offset.min(20)) / 2 * 2;
        assert_eq!(log.log_end_offset(), Offset(end), "truncated to {offset}");
        assert_eq!(log.flushed_offset(), Offset(end));
        let expected: Vec<i64> = (0..end / 2).map(|number| number * 2).collect();
        assert_eq!(offsets(&log.headers()), expected);
        let last_epoch = (end > 0).then(|| LeaderEpoch(i32::try_from((end / 2 - 1) / 3).unwrap()));
        let expected_epoch = if offset > 20 { Some(LeaderEpoch(9)) } else { last_epoch };
        assert_eq!(log.last_epoch(), expected_epoch, "truncated to {offset}");
        let found = log.timestamp_lookup(TimestampQuery::Latest, Offset(end)).execute().unwrap();
        assert_eq!(found.map(|found| found.offset.0), (end > 0).then_some(end - 2));
        let next = BatchSpec::new(2).producer(7, 0, i32::try_from(end).unwrap());
        assert!(matches!(log.lead(9, next).unwrap(), AppendOutcome::Appended(_)));
        log.flush_now().unwrap();
        let headers = log.headers();
        drop(log);
        let (mut again, recovery) = home.open(small());
        assert_eq!(recovery.corruption, None);
        assert_eq!(again.headers(), headers, "reopened after truncation to {offset}");
        assert!(matches!(again.lead(9, next).unwrap(), AppendOutcome::Duplicate(_)));
    }
}

#[test]
fn nothing_is_appended_or_flushed_while_a_truncation_runs() {
    let home = Home::real();
    let mut log = filled(&home, small(), 8);
    let truncation = log.begin_truncation(Offset(7));
    assert!(matches!(
        log.lead(1, BatchSpec::new(1)),
        Err(AppendError::NotWritable(NotWritable::Truncating))
    ));
    assert!(log.begin_flush().is_none());
    assert!(log.begin_checkpoint().is_none());
    assert_eq!(offsets(&log.headers_below(7)), [0, 2, 4]);
    let done = truncation.run().unwrap();
    assert_eq!(done.end_offset, Offset(6));
    log.complete_truncation(done);
    log.lead(1, BatchSpec::new(1)).unwrap();
}

#[test]
fn a_read_that_a_truncation_overtakes_returns_no_bytes() {
    let home = Home::real();
    let mut log = filled(&home, small(), 8);
    let plan = |log: &Log, from| {
        let request = ReadRequest {
            from: Offset(from),
            upper_bound: Offset(16),
            max_bytes: 10_000,
            minimum: Minimum::OneBatch,
        };
        log.read(request).unwrap()
    };
    let (hot, cold) = (plan(&log, 12), plan(&log, 0));
    log.truncate_to(Offset(2)).unwrap();
    log.lead_times(7, 1, BatchSpec::new(2).fill(b'n'));
    assert!(matches!(hot.execute(), Err(ReadError::Changed)));
    assert!(matches!(cold.execute(), Err(ReadError::Changed)));
}

#[test]
fn a_restart_empties_the_log_and_survives() {
    for offset in [3, 16, 100] {
        let home = Home::real();
        let mut log = filled(&home, small(), 8);
        log.checkpoint_now().unwrap();
        log.restart_at(Offset(offset)).unwrap();
        let bounds =
            |log: &Log| (log.log_start_offset().0, log.log_end_offset().0, log.flushed_offset().0);
        assert_eq!(bounds(&log), (offset, offset, offset));
        assert_eq!(log.last_epoch(), None);
        drop(log);
        let (mut log, recovery) = home.open(small());
        assert_eq!((bounds(&log), recovery.corruption), ((offset, offset, offset), None));
        log.follow(3, &BatchSpec::new(2).at(offset).epoch(2).bytes()).unwrap();
        assert_eq!(offsets(&log.headers()), [offset]);
    }
}

#[test]
fn raising_the_start_removes_segments_that_lie_wholly_below() {
    let home = Home::real();
    let mut log = filled(&home, small(), 12);
    log.checkpoint_now().unwrap();
    assert_eq!(log.segment_base_offsets(), [Offset(0), Offset(10), Offset(20)]);
    assert!(log.advance_log_start(Offset(9)).is_none());
    assert!(log.advance_log_start(Offset(5)).is_none(), "it never goes back");
    assert_eq!(log.log_start_offset(), Offset(9));
    let removal = log.advance_log_start(Offset(13)).unwrap();
    assert_eq!(log.segment_base_offsets(), [Offset(10), Offset(20)]);
    let delayed = removal.run().unwrap();
    assert_eq!(delayed.delay(), Duration::from_secs(60));
    let names = || {
        home.fs
            .list(&home.log_directory())
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect::<Vec<_>>()
    };
    assert!(names().contains(&"00000000000000000000.log.deleted".to_owned()));
    delayed.run();
    assert!(!names().iter().any(|name| name.starts_with("00000000000000000000.")), "{:?}", names());
    assert!(matches!(log.read_from(12, 100), Err(ReadError::OffsetOutOfRange { .. })));
    drop(log);
    let (mut log, _) = home.open(small());
    assert_eq!(log.log_start_offset(), Offset(13));
    assert!(log.advance_log_start(Offset(99)).is_some());
    assert_eq!(log.log_start_offset(), Offset(24), "held to the end");
}

#[test]
fn retention_takes_old_segments_up_to_the_high_watermark() {
    let at = |age: i64| BatchSpec::new(2).timestamps(NOW.0 - age, 0);
    let build = |home: &Home, config: LogConfig| {
        let (mut log, _) = home.open(config);
        for age in [900, 900, 900, 900, 900, 800, 800, 800, 800, 800, 10] {
            log.lead(0, at(age)).unwrap();
        }
        assert_eq!(log.segment_base_offsets(), [Offset(0), Offset(10), Offset(20)]);
        log
    };
    let segment = u64::try_from(BatchSpec::new(2).bytes().len() * 5).unwrap();
    let by_time =
        |millis| LogConfig { retention_age: Some(Duration::from_millis(millis)), ..small() };
    let by_size =
        |bytes| LogConfig { retention_bytes: Some(bytes), retention_age: None, ..small() };
    for (config, high_watermark, expected) in [
        (by_time(1_000), 22, 0),
        (by_time(850), 22, 10),
        (by_time(100), 22, 20),
        (by_time(100), 19, 10),
        (by_time(5), 22, 22),
        (by_size(0), 22, 20),
        (by_size(segment), 22, 10),
        (by_size(segment + 1_000), 22, 0),
        (LogConfig { cleanup: CleanupPolicy::Compact, ..by_size(0) }, 22, 0),
    ] {
        let home = Home::real();
        let mut log = build(&home, config.clone());
        let removal = log.apply_retention(NOW, Offset(high_watermark));
        assert_eq!(log.log_start_offset(), Offset(expected), "{config:?}");
        assert_eq!(removal.is_some(), expected > 0);
        if let Some(removal) = removal {
            removal.run().unwrap().run();
        }
        log.flush_now().unwrap();
        drop(log);
        let (log, recovery) = home.open(config);
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(expected), Offset(22)));
        assert_eq!(recovery.corruption, None);
    }
}

#[test]
fn lookups_by_time_find_the_first_record_at_or_after() {
    let home = Home::real();
    let (mut log, _) = home.open(small());
    // Ten records each: 100, 101, ... then 300, 301, ... then back to 200, 201, ...
    for base in [100, 300, 200, 400] {
        log.lead(0, BatchSpec::new(10).timestamps(base, 1)).unwrap();
    }
    log.checkpoint_now().unwrap();
    drop(log);
    let (mut log, _) = home.open(small());
    log.lead(0, BatchSpec::new(10).timestamps(250, 1)).unwrap();
    let lookup = |query, upper| {
        let found = log.timestamp_lookup(query, Offset(upper)).execute().unwrap();
        found.map(|TimestampAndOffset { timestamp, offset, .. }| (timestamp.0, offset.0))
    };
    let at_least = |target, upper| lookup(TimestampQuery::AtLeast(UnixMillis(target)), upper);
    for (target, expected) in [
        (0, Some((100, 0))),
        (105, Some((105, 5))),
        (110, Some((300, 10))),
        (205, Some((300, 10))),
        (309, Some((309, 19))),
        (310, Some((400, 30))),
        (409, Some((409, 39))),
        (410, None),
    ] {
        assert_eq!(at_least(target, 50), expected, "target {target}");
    }
    assert_eq!(at_least(400, 30), None, "nothing above the bound counts");
    assert_eq!(lookup(TimestampQuery::Latest, 50), Some((409, 39)));
    assert_eq!(lookup(TimestampQuery::Latest, 30), Some((309, 19)));
    assert_eq!(lookup(TimestampQuery::Latest, 0), None);
    log.advance_log_start(Offset(35));
    let lookup = |query| {
        log.timestamp_lookup(query, Offset(50)).execute().unwrap().map(|found| found.offset.0)
    };
    assert_eq!(lookup(TimestampQuery::AtLeast(UnixMillis(0))), Some(35));
    assert_eq!(lookup(TimestampQuery::Latest), Some(39));
}

#[test]
fn a_full_disk_refuses_the_append_and_nothing_of_it_stays() {
    let disk = SimulatedDisk::new(1);
    let home = Home::on(&disk);
    let (mut log, _) = home.open(LogConfig::default());
    log.lead(0, BatchSpec::new(2)).unwrap();
    let size = log.size_bytes();
    disk.inject(Fault {
        operation: FaultOperation::Write,
        path_contains: ".log".to_owned(),
        after: 0,
        times: 1,
        error: io::ErrorKind::StorageFull,
    });
    assert!(matches!(log.lead(0, BatchSpec::new(2)), Err(AppendError::OutOfSpace(_))));
    let path = home.log_directory().join("00000000000000000000.log");
    assert_eq!(u64::try_from(disk.content(&path).unwrap().len()).unwrap(), size);
    log.lead(0, BatchSpec::new(2)).unwrap();
    assert_eq!(offsets(&log.headers()), [0, 2]);
}

#[test]
fn any_other_failed_write_or_sync_is_final() {
    for operation in [FaultOperation::Write, FaultOperation::SyncData] {
        let disk = SimulatedDisk::new(1);
        let home = Home::on(&disk);
        let (mut log, _) = home.open(LogConfig::default());
        log.lead(0, BatchSpec::new(2)).unwrap();
        log.flush_now().unwrap();
        disk.inject(Fault {
            operation,
            path_contains: ".log".to_owned(),
            after: 0,
            times: 1,
            error: io::ErrorKind::Other,
        });
        if operation == FaultOperation::Write {
            assert!(matches!(log.lead(0, BatchSpec::new(2)), Err(AppendError::Fatal(_))));
            assert!(matches!(
                log.lead(0, BatchSpec::new(2)),
                Err(AppendError::NotWritable(NotWritable::Failed))
            ));
        } else {
            log.lead(0, BatchSpec::new(2)).unwrap();
            assert!(log.flush_now().is_err());
        }
        assert_eq!(log.flushed_offset(), Offset(2));
        disk.crash(CrashMode::KeepAll);
        let (log, recovery) = Home::again(&disk).open(LogConfig::default());
        assert_eq!((log.log_end_offset(), recovery.corruption), (Offset(2), None));
    }
}

fn producer_count(log: &Log) -> usize {
    log.producers.as_ref().map_or(0, Producers::count)
}

#[test]
fn idempotent_producers_expire_by_local_time_and_raft_logs_have_none() {
    let home = Home::real();
    let (mut log, _) = home.open(LogConfig::default());
    log.lead(0, BatchSpec::new(2).producer(7, 0, 0)).unwrap();
    assert_eq!(producer_count(&log), 1);
    log.expire_producers(UnixMillis(NOW.0 + 86_399_999));
    assert_eq!(producer_count(&log), 1);
    log.expire_producers(UnixMillis(NOW.0 + 86_400_000));
    assert_eq!(producer_count(&log), 0);
}
