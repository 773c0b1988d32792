//! What a clean keeps and drops, and what may happen around it.

use std::cell::RefCell;
use std::time::Duration;

use model::record_batch::{Batches, Codec};
use model::{LeaderEpoch, Offset, UnixMillis};

use super::cleaning::{Keyed, compacted, keys};
use super::fixture::{Home, NOW};
use crate::compaction::{CleanDone, CleanError, CleanedLog, Pace, Replacement, Swap};
use crate::config::{CleanupPolicy, LogConfig};
use crate::file_system::{CrashMode, SimulatedDisk};
use crate::log::{CleanRequest, Log};

const DAY: i64 = 24 * 3_600_000;

fn log_of(config: LogConfig, batches: &[Keyed]) -> (Home, Log) {
    let home = Home::real();
    let (mut log, _) = home.open(config);
    for batch in batches {
        log.write_keyed(batch);
    }
    log.close_segment();
    (home, log)
}

fn request(log: &Log) -> CleanRequest {
    CleanRequest { now: NOW, stable_offset: log.log_end_offset(), map_bytes: 1 << 20 }
}

fn found(log: &Log) -> Vec<(i64, String)> {
    keys(&log.records()).into_iter().map(|(offset, key)| (offset, key.to_owned())).collect()
}

fn expected(keys: &[(i64, &str)]) -> Vec<(i64, String)> {
    keys.iter().map(|(offset, key)| (*offset, (*key).to_owned())).collect()
}

#[test]
fn the_last_record_of_each_key_stays_at_its_offset_and_no_hole_is_left() {
    let (home, mut log) = log_of(
        compacted(),
        &[
            Keyed::new(&[("a", "1"), ("b", "1"), ("a", "2")]),
            Keyed::new(&[("a", "3")]),
            Keyed::new(&[("b", "2")]),
            Keyed::new(&[("c", "1"), ("a", "4")]),
        ],
    );
    let before = log.size_bytes();
    let stats = log.clean_now().unwrap();
    assert_eq!(found(&log), expected(&[(4, "b"), (5, "c"), (6, "a")]));
    assert_eq!(log.log_end_offset(), Offset(7));
    assert_eq!(log.cleaned_offset(), Offset(7));
    assert_eq!(before - log.size_bytes(), stats.bytes_removed);
    let headers = log.headers();
    assert_eq!(headers.len(), 3, "one vacant batch stands for the two that went");
    assert_eq!((headers[0].base_offset, headers[0].next_offset()), (Offset(0), Offset(4)));
    assert!(headers[0].is_vacant());
    assert!(log.clean_now().is_none(), "nothing is dirty any more");

    drop(log);
    let (log, recovery) = home.open(compacted());
    assert_eq!((recovery.scanned_bytes, recovery.corruption), (0, None));
    assert_eq!(found(&log), expected(&[(4, "b"), (5, "c"), (6, "a")]));
    assert_eq!(log.epoch_for(Offset(2)), Some(LeaderEpoch(0)));
}

#[test]
fn a_fetch_inside_what_went_finds_what_follows() {
    let (_home, mut log) =
        log_of(compacted(), &[Keyed::new(&[("a", "1")]), Keyed::new(&[("a", "2"), ("a", "3")])]);
    log.write_keyed(&Keyed::new(&[("b", "1")]));
    log.close_segment();
    log.write_keyed(&Keyed::new(&[("a", "4")]));
    log.close_segment();
    log.clean_now().unwrap();
    for from in 0..5 {
        let bytes = log.read_from(from, 10_000).unwrap();
        let next = Batches::whole(&bytes).next().unwrap().unwrap().header.next_offset();
        assert!(next > Offset(from), "from {from}");
    }
    assert_eq!(found(&log), expected(&[(3, "b"), (4, "a")]));
}

#[test]
fn codec_producer_and_times_of_a_batch_that_is_written_anew_stay() {
    for codec in Codec::ALL {
        let batch = Keyed::new(&[("a", "1"), ("b", "1"), ("c", "1")]).codec(codec).by(7, 0);
        let (_home, mut log) = log_of(compacted(), &[batch, Keyed::new(&[("b", "2")])]);
        let before = log.headers()[0];
        log.clean_now().unwrap();
        let after = log.headers()[0];
        assert_eq!(found(&log), expected(&[(0, "a"), (2, "c"), (3, "b")]));
        assert_eq!((after.codec(), after.producer), (codec, before.producer));
        assert_eq!(after.last_offset(), before.last_offset());
        assert_eq!((after.max_timestamp, after.record_count), (NOW, 2));
        assert_eq!(after.leader_epoch, Some(LeaderEpoch(0)));
    }
}

#[test]
fn a_tombstone_stays_for_its_time_after_the_first_clean_and_goes_then() {
    let config = LogConfig { delete_retention: Duration::from_secs(24 * 3_600), ..compacted() };
    let (_home, mut log) =
        log_of(config, &[Keyed::new(&[("a", "1"), ("b", "1")]), Keyed::tombstone("a")]);
    log.clean_now().unwrap();
    assert_eq!(found(&log), expected(&[(1, "b"), (2, "a")]));
    assert_eq!(log.headers()[1].delete_horizon(), Some(UnixMillis(NOW.0 + DAY)));

    for (now, key, stays) in [(NOW.0 + DAY - 1, "x", true), (NOW.0 + DAY, "y", false)] {
        log.write_keyed(&Keyed::new(&[(key, "1")]));
        log.close_segment();
        log.clean_at(now).unwrap().unwrap();
        let has = log.records().iter().any(|record| record.key.as_deref() == Some("a"));
        assert_eq!(has, stays, "at {now}");
    }
    assert_eq!(found(&log), expected(&[(1, "b"), (3, "x"), (4, "y")]));
}

#[test]
fn records_without_a_key_go() {
    let none = Keyed::of(vec![(None, Some("v".to_owned())), (Some("a"), Some("1".to_owned()))]);
    let (_home, mut log) = log_of(compacted(), &[none]);
    log.clean_now().unwrap();
    assert_eq!(found(&log), expected(&[(1, "a")]));
}

#[test]
fn a_producers_last_batch_stays_empty_so_that_its_sequence_goes_on() {
    let batches: Vec<_> =
        (0..4).map(|number| Keyed::new(&[("a", "1"), ("b", "1")]).by(7, number * 2)).collect();
    let (_home, mut log) = log_of(compacted(), &batches);
    log.write_keyed(&Keyed::new(&[("a", "2"), ("b", "2")]).by(8, 0));
    log.close_segment();
    log.clean_now().unwrap();
    assert_eq!(found(&log), expected(&[(8, "a"), (9, "b")]));

    // A replica that has nothing but the cleaned log knows where the producer was.
    let other = Home::real();
    let (mut follower, _) = other.open(compacted());
    follower.follow(0, &log.read_from(0, 100_000).unwrap()).unwrap();
    follower.try_write(0, &Keyed::new(&[("a", "3")]).by(7, 9)).unwrap_err();
    follower.try_write(0, &Keyed::new(&[("a", "3")]).by(7, 8)).unwrap();
}

#[test]
fn aborted_records_go_and_their_marker_only_when_they_are_gone_and_its_time_has_come() {
    let (_home, mut log) = log_of(
        compacted(),
        &[
            Keyed::new(&[("a", "1")]),
            Keyed::new(&[("a", "aborted"), ("b", "aborted")]).by(7, 0).transactional(),
            Keyed::marker(7, false),
            Keyed::new(&[("c", "1")]).by(9, 0).transactional(),
            Keyed::marker(9, true),
            Keyed::new(&[("z", "1")]).by(7, 2),
        ],
    );
    let markers = |log: &Log| -> Vec<(i64, bool)> {
        let controls = log.headers().into_iter().filter(|header| header.is_control());
        controls.map(|header| (header.base_offset.0, header.delete_horizon().is_some())).collect()
    };
    log.clean_now().unwrap();
    assert_eq!(found(&log), expected(&[(0, "a"), (4, "c"), (6, "z")]));
    assert_eq!(markers(&log), [(3, false), (5, false)], "their records were there");

    let step = |log: &mut Log, key: &'static str| {
        log.write_keyed(&Keyed::new(&[(key, "1")]));
        log.close_segment();
        log.clean_now().unwrap();
    };
    step(&mut log, "x");
    assert_eq!(markers(&log), [(3, true), (5, false)], "the time of the first begins");
    step(&mut log, "y");
    assert_eq!(markers(&log), [(5, false)]);
}

#[test]
fn nothing_at_or_above_an_open_transaction_is_cleaned() {
    let (_home, mut log) = log_of(compacted(), &[Keyed::new(&[("a", "1"), ("a", "2")])]);
    log.write_keyed(&Keyed::new(&[("a", "3")]).by(7, 0).transactional());
    log.write_keyed(&Keyed::new(&[("b", "1"), ("b", "2")]));
    log.close_segment();
    assert_eq!(log.clean_now().map(|stats| stats.segments_replaced), Some(1));
    assert_eq!(found(&log), expected(&[(1, "a"), (2, "a"), (3, "b"), (4, "b")]));
    log.write_keyed(&Keyed::marker(7, true));
    log.close_segment();
    log.clean_now().unwrap();
    assert_eq!(found(&log), expected(&[(2, "a"), (4, "b")]));
}

#[test]
fn a_start_after_a_clean_knows_what_is_aborted_and_what_is_not() {
    let (home, mut log) = log_of(
        compacted(),
        &[
            Keyed::new(&[("a", "1")]).by(7, 0).transactional(),
            Keyed::marker(7, true),
            Keyed::new(&[("a", "2"), ("b", "1")]).by(7, 1).transactional(),
            Keyed::marker(7, false),
        ],
    );
    log.clean_now().unwrap();
    assert_eq!(found(&log), expected(&[(0, "a")]));
    log.write_keyed(&Keyed::new(&[("c", "1")]).by(7, 3).transactional());
    log.write_keyed(&Keyed::marker(7, false));
    log.checkpoint_now().unwrap();
    let aborted = |log: &Log| -> Vec<i64> {
        let bases = log.segment_base_offsets();
        let lookups = bases.iter().map(|base| log.aborted_lookup(*base));
        let found = lookups.flat_map(|lookup| lookup.execute(Offset(i64::MAX)).unwrap());
        found.map(|one| one.first_offset.0).collect()
    };
    assert_eq!(aborted(&log), [5]);
    drop(log);
    let (log, recovery) = home.open(compacted());
    assert_eq!(recovery.corruption, None);
    assert_eq!(aborted(&log), [5]);
    assert_eq!(found(&log), expected(&[(0, "a"), (5, "c")]));
}

#[test]
fn a_transaction_whose_marker_was_cleaned_away_is_open_for_nobody() {
    let (home, mut log) =
        log_of(compacted(), &[Keyed::new(&[("a", "aborted")]).by(7, 0).transactional()]);
    // The snapshot at the start of this segment says that the transaction is open.
    log.write_keyed(&Keyed::marker(7, false));
    for key in ["b", "c", "d"] {
        log.write_keyed(&Keyed::new(&[(key, "1")]));
        log.close_segment();
        log.clean_now().unwrap();
    }
    assert!(!log.headers().iter().any(model::record_batch::BatchHeader::is_control));
    let end = log.log_end_offset();
    assert_eq!(log.last_stable_offset(end), end);
    // Every snapshot that a start could fall back on is damaged, or was never right.
    let damaged: Vec<_> =
        names(&home).into_iter().filter(|name| name.ends_with(".snapshot")).collect();
    drop(log);
    for keep in 0..=damaged.len() {
        for name in &damaged[keep..] {
            let path = home.log_directory().join(name);
            std::fs::write(path, b"damage").unwrap();
        }
        let (log, recovery) = home.open(compacted());
        assert_eq!(recovery.corruption, None);
        assert_eq!(log.last_stable_offset(end), end, "{damaged:?} from {keep} on");
    }
}

#[test]
fn small_segments_become_one_as_far_as_one_may_reach() {
    let (home, mut log) = log_of(compacted(), &[]);
    for number in 0..12 {
        log.write_keyed(&Keyed::new(&[(["a", "b", "c"][number % 3], "value")]));
        if number % 2 == 1 {
            log.close_segment();
        }
    }
    assert_eq!(log.segment_base_offsets().len(), 7);
    let before = log.records();
    log.clean_now().unwrap();
    assert_eq!(log.segment_base_offsets(), [Offset(0), Offset(6), Offset(12)]);
    assert_eq!(log.records(), before[9..]);
    drop(log);
    let (log, recovery) = home.open(compacted());
    assert_eq!(recovery.corruption, None);
    assert_eq!(log.segment_base_offsets(), [Offset(0), Offset(6), Offset(12)]);
    assert_eq!(log.records(), before[9..]);
    let names = home.fs.list(&home.log_directory()).unwrap();
    let logs = names.iter().filter(|entry| entry.name.contains(".log")).count();
    assert_eq!(logs, 3, "{names:?}");
}

#[test]
fn only_what_is_stable_old_enough_and_closed_is_cleaned() {
    let (_home, mut log) = log_of(compacted(), &[Keyed::new(&[("a", "1"), ("a", "2")])]);
    log.write_keyed(&Keyed::new(&[("a", "3")]));
    log.close_segment();
    log.write_keyed(&Keyed::new(&[("a", "4")]));
    let dirty = |log: &Log, stable| {
        log.cleanable(NOW, Offset(stable)).map(|cleanable| cleanable.dirty_bytes)
    };
    let all = log.size_bytes();
    let active = u64::try_from(Keyed::new(&[("a", "4")]).bytes().len()).unwrap();
    assert_eq!(dirty(&log, 4), Some(all - active), "the active segment is left alone");
    assert_eq!(dirty(&log, 2), Some(all - 2 * active));
    assert_eq!(dirty(&log, 1), None);
    let lag = LogConfig { min_compaction_lag: Duration::from_millis(1), ..compacted() };
    log.set_config(lag);
    assert_eq!(dirty(&log, 4), None);
    log.set_config(LogConfig { cleanup: CleanupPolicy::Delete, ..compacted() });
    assert_eq!(dirty(&log, 4), None);
}

#[test]
fn a_log_is_cleaned_when_its_dirty_share_is_large_or_a_record_is_overdue() {
    let half = LogConfig { min_cleanable_millionths: 500_000, ..compacted() };
    let (_home, mut log) = log_of(half.clone(), &[Keyed::new(&[("a", "1"), ("b", "2")])]);
    log.clean_now().unwrap();
    log.write_keyed(&Keyed::new(&[("c", "1")]));
    log.close_segment();
    assert_eq!(log.cleanable(NOW, Offset(3)), None, "less than half of it is dirty");
    let lag = Some(Duration::from_millis(10));
    log.set_config(LogConfig { max_compaction_lag: lag, ..half });
    assert_eq!(log.cleanable(UnixMillis(NOW.0 + 10), Offset(3)), None);
    assert!(log.cleanable(UnixMillis(NOW.0 + 11), Offset(3)).unwrap().is_overdue);
}

#[test]
fn what_a_small_map_does_not_hold_is_cleaned_by_the_next_clean() {
    let home = Home::real();
    let (mut log, _) = home.open(compacted());
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    for round in ["1", "2"] {
        for name in names {
            log.write_keyed(&Keyed::new(&[(name, round)]));
        }
    }
    log.close_segment();
    let mut rounds = 0;
    loop {
        let small = CleanRequest { map_bytes: 24 * 5, ..request(&log) };
        let Some(clean) = log.begin_clean(small) else { break };
        clean.run(&Shared(RefCell::new(&mut log)), &mut |_| Pace::GoOn).unwrap();
        rounds += 1;
    }
    assert_eq!(rounds, 5, "four keys a round");
    assert_eq!(log.records().len(), 10, "{:?}", log.records());
    assert!(log.records().iter().all(|record| record.value.as_deref() == Some("2")));
}

#[test]
fn a_map_without_room_for_one_batch_is_an_error_and_changes_nothing() {
    let (_home, mut log) =
        log_of(compacted(), &[Keyed::new(&[("a", "1"), ("b", "1"), ("c", "1"), ("a", "2")])]);
    let before = log.records();
    let clean = log.begin_clean(CleanRequest { map_bytes: 0, ..request(&log) }).unwrap();
    let outcome = clean.run(&Shared(RefCell::new(&mut log)), &mut |_| Pace::GoOn);
    assert!(matches!(outcome, Err(CleanError::MapTooSmall(Offset(0)))));
    assert_eq!(log.records(), before);
}

#[test]
fn a_read_that_was_planned_before_the_swap_reads_what_was_there() {
    let (_home, mut log) = log_of(
        compacted(),
        &[Keyed::new(&[("a", "1"), ("b", "1")]), Keyed::new(&[("a", "2"), ("b", "2")])],
    );
    let read = |log: &Log, from: i64| {
        let request = crate::reads::read_plan::ReadRequest {
            from: Offset(from),
            upper_bound: Offset(4),
            max_bytes: 10_000,
            minimum: crate::reads::read_plan::Minimum::OneBatch,
        };
        log.read(request).unwrap()
    };
    let expected = read(&log, 0).execute().unwrap();
    let plans = [read(&log, 0), read(&log, 2)];
    let lookup = log.timestamp_lookup(
        crate::reads::timestamp_lookup::TimestampQuery::AtLeast(UnixMillis(0)),
        Offset(4),
    );
    log.clean_now().unwrap();
    assert_eq!(plans[0].execute().unwrap(), expected);
    assert_eq!(plans[1].execute().unwrap(), expected[expected.len() / 2..]);
    assert_eq!(lookup.execute().unwrap().unwrap().offset, Offset(0));
    assert_ne!(read(&log, 0).execute().unwrap(), expected);
}

/// A log whose owner does something else just before a cleaned segment is taken in.
struct Shared<'a>(RefCell<&'a mut Log>);

impl CleanedLog for Shared<'_> {
    fn begin_swap(&self, replacement: Replacement) -> Option<Swap> {
        self.0.borrow_mut().begin_swap(replacement)
    }

    fn complete_clean(&self, done: CleanDone) {
        self.0.borrow_mut().complete_clean(done);
    }
}

struct Interrupted<'a, F> {
    log: RefCell<&'a mut Log>,
    before: RefCell<Option<F>>,
}

impl<F: FnOnce(&mut Log)> CleanedLog for Interrupted<'_, F> {
    fn begin_swap(&self, replacement: Replacement) -> Option<Swap> {
        if let Some(before) = self.before.borrow_mut().take() {
            before(&mut self.log.borrow_mut());
        }
        self.log.borrow_mut().begin_swap(replacement)
    }

    fn complete_clean(&self, done: CleanDone) {
        self.log.borrow_mut().complete_clean(done);
    }
}

fn clean_with(
    log: &mut Log,
    before: impl FnOnce(&mut Log),
) -> Result<crate::compaction::CleanStats, CleanError> {
    let clean = log.begin_clean(request(log)).unwrap();
    let owner = Interrupted { log: RefCell::new(log), before: RefCell::new(Some(before)) };
    clean.run(&owner, &mut |_| Pace::GoOn)
}

fn names(home: &Home) -> Vec<String> {
    home.fs.list(&home.log_directory()).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_truncation_or_a_removal_in_between_voids_the_clean() {
    for interruption in ["truncation", "restart", "removal"] {
        let (home, mut log) = log_of(compacted(), &[Keyed::new(&[("a", "1"), ("a", "2")])]);
        log.write_keyed(&Keyed::new(&[("a", "3")]));
        log.close_segment();
        log.write_keyed(&Keyed::new(&[("a", "4")]));
        let outcome = clean_with(&mut log, |log| match interruption {
            "truncation" => log.truncate_to(Offset(2)).unwrap(),
            "restart" => log.restart_at(Offset(40)).unwrap(),
            _ => log.advance_log_start(Offset(3)).unwrap().run().unwrap().run(),
        });
        assert!(matches!(outcome, Err(CleanError::Abandoned)), "{interruption}: {outcome:?}");
        let left: Vec<_> =
            names(&home).into_iter().filter(|name| name.ends_with(".cleaned")).collect();
        assert!(left.is_empty(), "{interruption}: {left:?}");
        let wanted = match interruption {
            "truncation" => expected(&[(0, "a"), (1, "a")]),
            "restart" => expected(&[]),
            _ => expected(&[(3, "a")]),
        };
        assert_eq!(found(&log), wanted, "{interruption}");
        drop(log);
        let (log, recovery) = home.open(compacted());
        assert_eq!(recovery.corruption, None);
        assert_eq!(found(&log), wanted, "{interruption}");
    }
}

#[test]
fn a_clean_that_finds_its_directory_deleted_leaves_the_next_log_of_that_name_alone() {
    let (home, mut log) = log_of(compacted(), &[Keyed::new(&[("a", "1"), ("a", "2")])]);
    let outcome = clean_with(&mut log, |log| {
        log.retire().run();
        home.fs.rename(&home.log_directory(), &home.root.join("t-0-delete")).unwrap();
        home.fs.create_dir(&home.log_directory()).unwrap();
    });
    assert!(matches!(outcome, Err(CleanError::Abandoned)));
    assert_eq!(names(&home), Vec::<String>::new());
}

#[test]
fn a_truncation_into_what_was_swapped_in_cuts_the_new_segment() {
    let (home, mut log) = log_of(
        compacted(),
        &[
            Keyed::new(&[("a", "1"), ("b", "1")]),
            Keyed::new(&[("a", "2")]),
            Keyed::new(&[("c", "1")]),
            Keyed::new(&[("b", "2")]),
        ],
    );
    log.clean_now().unwrap();
    log.truncate_to(Offset(4)).unwrap();
    assert_eq!(log.cleaned_offset(), Offset(4), "what comes there now is dirty");
    assert_eq!(found(&log), expected(&[(2, "a"), (3, "c")]));
    log.write_keyed(&Keyed::new(&[("b", "3")]));
    log.close_segment();
    drop(log);
    let (mut log, recovery) = home.open(compacted());
    assert_eq!(recovery.corruption, None);
    log.clean_now().unwrap();
    assert_eq!(found(&log), expected(&[(2, "a"), (3, "c"), (4, "b")]));
}

#[test]
fn whoever_takes_the_turn_after_a_swap_was_begun_does_it() {
    let (home, mut log) = log_of(compacted(), &[Keyed::new(&[("a", "1"), ("a", "2")])]);
    log.write_keyed(&Keyed::new(&[("b", "1")]));
    let mut clean = log.begin_clean(request(&log)).unwrap();
    clean.map(&mut |_| Pace::GoOn).unwrap();
    let replacement = clean.next_group(&mut |_| Pace::GoOn).unwrap().unwrap();
    let swap = log.begin_swap(replacement).unwrap();
    // Cuts the segment whose files still have other names.
    let truncation = log.begin_truncation(Offset(2));
    log.complete_truncation(truncation.run().unwrap());
    swap.run().unwrap();
    drop(clean);
    assert_eq!(found(&log), expected(&[(1, "a")]));
    drop(log);
    let (log, recovery) = home.open(compacted());
    assert_eq!(recovery.corruption, None);
    assert_eq!(found(&log), expected(&[(1, "a")]));
    assert!(!names(&home).iter().any(|name| name.contains("swap") || name.contains("cleaned")));
}

#[test]
fn damage_ends_the_clean_and_is_not_written_again() {
    let disk = SimulatedDisk::new(1);
    let home = Home::on(&disk);
    let (mut log, _) = home.open(compacted());
    log.write_keyed(&Keyed::new(&[("a", "1"), ("b", "1")]));
    log.write_keyed(&Keyed::new(&[("a", "2")]));
    log.close_segment();
    let path = home.log_directory().join("00000000000000000000.log");
    disk.flip_bit(&path, 70, 3).unwrap();
    let outcome = log.clean_at(NOW.0).unwrap();
    assert!(
        matches!(outcome, Err(CleanError::Unreadable { offset: Offset(0), .. })),
        "{outcome:?}"
    );
    assert_eq!(log.cleaned_offset(), Offset(0));
    disk.crash(CrashMode::KeepAll);
    let (log, _) = home.open(compacted());
    assert!(log.read_from(0, 1_000).is_err(), "a reader is still told of it");
}

#[test]
fn both_policies_work_together() {
    let both = LogConfig {
        cleanup: CleanupPolicy::CompactAndDelete,
        retention_age: Some(Duration::from_millis(100)),
        ..compacted()
    };
    let (_home, mut log) = log_of(both, &[Keyed::new(&[("a", "1"), ("b", "1"), ("a", "2")])]);
    log.write_keyed(&Keyed::new(&[("c", "1")]).at_time(NOW.0 + 50));
    log.close_segment();
    log.clean_now().unwrap();
    assert_eq!(found(&log), expected(&[(1, "b"), (2, "a"), (3, "c")]));
    // One segment now, as old as its newest record.
    let end = log.log_end_offset();
    assert!(log.apply_retention(UnixMillis(NOW.0 + 150), end).is_none());
    let removal = log.apply_retention(UnixMillis(NOW.0 + 151), end).unwrap();
    removal.run().unwrap().run();
    assert_eq!(found(&log), expected(&[]));
}
