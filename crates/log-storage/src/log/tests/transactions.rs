//! Transactions in a log: the rules of epochs and markers, what is stable, and which aborted ones a reader is told of.

use model::record_batch::BatchProducer;
use model::{Offset, ProducerEpoch, ProducerId, TransactionVersion, UnixMillis};

use super::fixture::{Home, NOW, TxnClient, small};
use super::naive::Naive;
use crate::config::LogConfig;
use crate::error::AppendError;
use crate::file_names::FileKind;
use crate::log::{AppendOutcome, Log};
use crate::test_batches::BatchSpec;

const V0: TransactionVersion = TransactionVersion::V0;
const V2: TransactionVersion = TransactionVersion::V2;

fn log() -> (Home, Log) {
    let home = Home::real();
    let (log, _) = home.open(small());
    (home, log)
}

fn data(id: i64, epoch: i16, sequence: i32) -> BatchSpec {
    BatchSpec::new(2).producer(id, epoch, sequence).transactional()
}

fn producer(id: i64, epoch: i16, sequence: i32) -> BatchProducer {
    let (id, epoch) = (ProducerId(id), ProducerEpoch(epoch));
    BatchProducer { id, epoch, base_sequence: Some(sequence) }
}

fn is_fenced(outcome: Result<AppendOutcome, AppendError>) -> bool {
    matches!(outcome, Err(AppendError::InvalidProducerEpoch { .. }))
}

fn is_out_of_transaction(outcome: Result<AppendOutcome, AppendError>) -> bool {
    matches!(outcome, Err(AppendError::InvalidTransactionState { .. }))
}

#[test]
fn the_last_stable_offset_waits_for_the_earliest_transaction_and_for_its_marker() {
    let (_home, mut log) = log();
    log.lead(0, BatchSpec::new(3)).unwrap();
    log.lead_in_transaction(0, data(1, 0, 0));
    log.lead_in_transaction(0, data(2, 0, 0));
    assert_eq!(log.last_stable_offset(Offset(7)), Offset(3));
    assert_eq!(log.last_stable_offset(Offset(2)), Offset(2));
    log.mark(1, 0, true, V0).unwrap();
    assert_eq!(log.last_stable_offset(Offset(7)), Offset(3), "the marker is not committed");
    log.set_high_watermark(Offset(8));
    assert_eq!(log.last_stable_offset(Offset(8)), Offset(5));
    log.mark(2, 0, false, V0).unwrap();
    log.set_high_watermark(Offset(9));
    assert_eq!(log.last_stable_offset(Offset(9)), Offset(9));
    let aborted = log.aborted_lookup(Offset(0)).execute(Offset(9)).unwrap();
    let one: Vec<_> = aborted.iter().map(|one| (one.first_offset.0, one.last_offset.0)).collect();
    assert_eq!(one, [(5, 8)]);
}

#[test]
fn a_transaction_whose_head_was_removed_holds_nothing_back_below_the_log_start() {
    let (_home, mut log) = log();
    log.lead_in_transaction(0, data(1, 0, 0));
    log.lead_times(4, 0, BatchSpec::new(3));
    log.set_high_watermark(Offset(14));
    drop(log.advance_log_start(Offset(8)));
    assert_eq!(log.last_stable_offset(Offset(14)), Offset(8));
    assert_eq!(log.first_open_transaction(), Some(Offset(0)));
}

#[test]
fn a_marker_is_taken_by_the_epoch_rules_of_its_transaction_version() {
    for (version, epoch, is_open, accepted) in [
        (V0, 4, true, false),
        (V0, 5, true, true),
        (V0, 6, true, true),
        (V0, 4, false, false),
        (V0, 5, false, true),
        (V2, 4, true, false),
        (V2, 5, true, false),
        (V2, 6, true, true),
        (V2, 4, false, false),
        (V2, 5, false, true),
        (V2, 6, false, true),
    ] {
        let (_home, mut log) = log();
        log.lead_in_transaction(0, data(1, 5, 0));
        if !is_open {
            log.mark(1, 5, true, V0).unwrap();
        }
        let outcome = log.mark(1, epoch, false, version);
        let context = format!("{version:?}, marker epoch {epoch}, open: {is_open}");
        assert_eq!(outcome.is_ok(), accepted, "{context}: {outcome:?}");
        assert!(accepted || is_fenced(outcome), "{context}");
        assert_eq!(log.first_open_transaction().is_none(), accepted || !is_open, "{context}");
    }
}

#[test]
fn a_marker_of_a_deposed_coordinator_is_refused() {
    let (_home, mut log) = log();
    log.lead_in_transaction(0, data(1, 0, 0));
    log.mark_of(0, BatchSpec::marker(true, 7).producer(1, 0, -1), V0).unwrap();
    log.lead_in_transaction(0, data(1, 0, 2));
    let late = log.mark_of(0, BatchSpec::marker(false, 6).producer(1, 0, -1), V0);
    assert!(matches!(
        late,
        Err(AppendError::TransactionCoordinatorFenced { given: 6, current: 7, .. })
    ));
    assert_eq!(log.first_open_transaction(), Some(Offset(3)));
    log.mark_of(0, BatchSpec::marker(false, 7).producer(1, 0, -1), V0).unwrap();
    assert_eq!(log.active_producers()[0].coordinator_epoch, Some(7));
}

#[test]
fn a_control_batch_that_holds_no_marker_is_refused() {
    let (_home, mut log) = log();
    let spec = BatchSpec::new(1).producer(1, 0, -1).attributes(0x30);
    assert!(matches!(log.mark_of(0, spec, V0), Err(AppendError::InvalidMarker(_))));
    // One that came here by replication decides nothing.
    log.follow(0, &spec.epoch(0).bytes()).unwrap();
    assert!(log.active_producers().is_empty());
}

#[test]
fn a_record_outside_the_open_transaction_is_refused() {
    let (_home, mut log) = log();
    log.lead_in_transaction(0, data(1, 0, 0));
    let plain = BatchSpec::new(2).producer(1, 0, 2);
    assert!(is_out_of_transaction(log.lead(0, plain)));
    log.mark(1, 0, true, V0).unwrap();
    log.lead(0, plain).unwrap();
}

#[test]
fn a_marker_with_a_new_epoch_makes_sequences_begin_at_zero() {
    let (_home, mut log) = log();
    log.lead_in_transaction(0, data(1, 0, 0));
    log.mark(1, 1, true, V2).unwrap();
    let guard = log.begin_verification(producer(1, 0, 2), V2, NOW);
    assert!(is_fenced(log.lead_verified(0, data(1, 0, 2), guard)));
    let guard = log.begin_verification(producer(1, 1, 2), V2, NOW);
    let refused = log.lead_verified(0, data(1, 1, 2), guard);
    assert!(matches!(refused, Err(AppendError::OutOfOrderSequence { .. })));
    let guard = log.begin_verification(producer(1, 1, 0), V2, NOW);
    log.lead_verified(0, data(1, 1, 0), guard).unwrap();
}

#[test]
fn an_unknown_producer_of_version_2_begins_at_zero_and_an_older_one_anywhere() {
    let (_home, mut log) = log();
    let guard = log.begin_verification(producer(1, 3, 5), V2, NOW);
    let refused = log.lead_verified(0, data(1, 3, 5), guard);
    assert!(matches!(refused, Err(AppendError::OutOfOrderSequence { .. })));
    let guard = log.begin_verification(producer(2, 3, 5), V0, NOW);
    log.lead_verified(0, data(2, 3, 5), guard).unwrap();
}

#[test]
fn the_first_batch_of_a_transaction_needs_a_guard_that_no_marker_took_away() {
    let (_home, mut log) = log();
    assert!(is_out_of_transaction(log.lead(0, data(1, 0, 0))));
    let guard = log.begin_verification(producer(1, 0, 0), V0, NOW);
    // The coordinator says yes, and aborts before the batch comes: the answer is of a transaction that is over.
    log.mark(1, 0, false, V0).unwrap();
    assert!(is_out_of_transaction(log.lead_verified(0, data(1, 0, 0), guard)));
    let other = log.begin_verification(producer(2, 0, 0), V0, NOW);
    let guard = log.begin_verification(producer(1, 0, 0), V0, NOW);
    assert!(is_out_of_transaction(log.lead_verified(0, data(1, 0, 0), other)));
    assert!(log.needs_verification(producer(1, 0, 0)));
    log.lead_verified(0, data(1, 0, 0), guard).unwrap();
    // What follows belongs to the open transaction, in this epoch.
    assert!(!log.needs_verification(producer(1, 0, 2)));
    assert_eq!(log.begin_verification(producer(1, 0, 2), V0, NOW), None);
    log.lead(0, data(1, 0, 2)).unwrap();
    assert!(log.needs_verification(producer(1, 1, 0)));
    assert!(is_out_of_transaction(log.lead(0, data(1, 1, 0))));
    // A copy of a batch that the log has needs no verification, even when its transaction is over.
    log.mark(1, 0, true, V0).unwrap();
    assert!(matches!(log.lead(0, data(1, 0, 2)), Ok(AppendOutcome::Duplicate(_))));
    assert!(is_out_of_transaction(log.lead(0, data(1, 0, 4))));
}

#[test]
fn no_later_batch_overtakes_one_whose_verification_is_tried_again() {
    let (_home, mut log) = log();
    let first = log.begin_verification(producer(1, 0, 0), V0, NOW);
    let second = log.begin_verification(producer(1, 0, 2), V0, NOW);
    assert_eq!(first, second);
    let refused = log.lead_verified(0, data(1, 0, 2), second);
    assert!(matches!(refused, Err(AppendError::OutOfOrderSequence { .. })));
    log.lead_verified(0, data(1, 0, 0), first).unwrap();
    log.lead_verified(0, data(1, 0, 2), second).unwrap();
}

#[test]
fn a_producer_with_an_open_transaction_does_not_expire() {
    let (_home, mut log) = log();
    log.lead_in_transaction(0, data(1, 0, 0));
    log.lead(0, BatchSpec::new(1).producer(2, 0, 0)).unwrap();
    let later = UnixMillis(NOW.0 + 10 * 86_400_000);
    log.expire_producers(later);
    assert_eq!(log.active_producers().len(), 1);
    log.mark(1, 0, true, V0).unwrap();
    log.expire_producers(later);
    assert!(log.active_producers().is_empty());
}

#[test]
fn followers_take_what_a_leader_would_refuse_and_come_to_the_same() {
    let (_home, mut leader) = log();
    let (_other, mut follower) = log();
    leader.lead_in_transaction(0, data(1, 5, 0));
    leader.mark(1, 6, false, V2).unwrap();
    leader.lead_in_transaction(0, data(2, 0, 0));
    leader.mark(1, 6, false, V2).unwrap();
    let bytes = leader.read_from(0, 1 << 20).unwrap();
    follower.follow(0, &bytes).unwrap();
    assert_eq!(follower.active_producers(), leader.active_producers());
    let end = follower.log_end_offset().0;
    // A marker of an older epoch and coordinator, and a record outside the transaction.
    let marker = BatchSpec::marker(true, 0).producer(2, 0, -1).at(end).epoch(0).bytes();
    follower.follow(0, &marker).unwrap().unwrap();
    let stale = BatchSpec::new(1).producer(1, 2, 9).at(end + 1).epoch(0).bytes();
    follower.follow(0, &stale).unwrap().unwrap();
    Naive::of(&follower).check(&follower, 0, "follower");
}

/// Many transactions of three producers, interleaved, over many segments. Returns the highest high watermark that the log was told: whatever was decided below it is
/// decided for good, and the log need not remember a lower one.
fn fill(log: &mut Log) -> i64 {
    let mut told = 0;
    let mut clients = [TxnClient::new(1), TxnClient::new(2), TxnClient::new(3)];
    for step in 0..120_usize {
        let client = &mut clients[step * step % 3];
        match step % 5 {
            0..=2 => client.write(log, 0, 2),
            3 => client.end(log, 0, step % 2 == 0),
            _ => {
                log.lead(0, BatchSpec::new(1)).unwrap();
            }
        }
        if step % 31 == 0 {
            told = log.log_end_offset().0;
            log.set_high_watermark(Offset(told));
        }
    }
    told
}

#[test]
fn what_is_stable_and_aborted_is_what_a_replay_of_all_batches_says_and_survives_restarts() {
    let (home, mut log) = log();
    let told = fill(&mut log);
    assert!(told < log.log_end_offset().0 - 10);
    let naive = Naive::of(&log);
    assert!(log.segment_base_offsets().len() > 5, "{:?}", log.segment_base_offsets());
    naive.check(&log, told, "in memory");
    log.checkpoint_now().unwrap();
    naive.check(&log, told, "in the files");
    drop(log);
    let (mut log, recovery) = home.open(small());
    assert_eq!(recovery.scanned_bytes, 0);
    naive.check(&log, told, "opened again");
    let told = fill(&mut log);
    Naive::of(&log).check(&log, told, "gone on");
    drop(log);
    let (mut log, recovery) = home.open(small());
    assert!(recovery.scanned_bytes > 0);
    Naive::of(&log).check(&log, told, "recovered");
    log.checkpoint_now().unwrap();
    Naive::of(&log).check(&log, told, "recovered and in the files");
}

#[test]
fn a_truncation_cuts_the_transaction_index_and_opens_again_what_its_marker_had_closed() {
    for (checkpoint, segment_bytes) in [(false, 500), (true, 500), (false, 2_500), (true, 2_500)] {
        let home = Home::real();
        let config = || LogConfig { segment_bytes, ..small() };
        let (mut log, _) = home.open(config());
        fill(&mut log);
        if checkpoint {
            log.checkpoint_now().unwrap();
        }
        let mut end = log.log_end_offset().0;
        while end > 0 {
            log.truncate_to(Offset(end)).unwrap();
            let context = format!("cut at {end}");
            Naive::of(&log).check(&log, log.log_end_offset().0, &context);
            end = log.log_end_offset().0 - 5;
        }
        drop(log);
        let (log, _) = home.open(config());
        Naive::of(&log).check(&log, log.log_end_offset().0, "opened again");
    }
}

#[test]
fn a_damaged_or_missing_transaction_index_is_made_anew_and_never_believed_empty() {
    let damage: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes.clear(),
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| {
            let last = bytes.len() - 34;
            bytes[last + 1] = 9;
        },
        |bytes| bytes.extend([7; 100]),
    ];
    for (number, damage) in damage.into_iter().enumerate() {
        for missing in [false, true] {
            let (home, mut log) = log();
            let told = fill(&mut log);
            log.checkpoint_now().unwrap();
            let naive = Naive::of(&log);
            let bases = log.segment_base_offsets();
            drop(log);
            let mut count = 0;
            for base in bases {
                let path = FileKind::TransactionIndex.path(&home.log_directory(), base);
                let Ok(mut bytes) = std::fs::read(&path) else { continue };
                count += 1;
                damage(&mut bytes);
                if missing {
                    std::fs::remove_file(&path).unwrap();
                } else {
                    std::fs::write(&path, bytes).unwrap();
                }
            }
            assert!(count > 3);
            let (mut log, recovery) = home.open(small());
            assert_eq!(recovery.corruption, None);
            let context = format!("damage {number}, missing: {missing}");
            naive.check(&log, told, &context);
            log.lead(0, BatchSpec::new(1)).unwrap();
            log.checkpoint_now().unwrap();
            drop(log);
            let (log, _) = home.open(small());
            Naive::of(&log).check(&log, told, &context);
        }
    }
}

#[test]
fn segments_take_their_transaction_indexes_along_when_they_are_removed() {
    let (home, mut log) = log();
    fill(&mut log);
    log.checkpoint_now().unwrap();
    let bases = log.segment_base_offsets();
    log.advance_log_start(bases[4]).unwrap().run().unwrap().run();
    for base in &bases[..4] {
        let path = FileKind::TransactionIndex.path(&home.log_directory(), *base);
        assert!(!path.exists(), "{path:?}");
    }
    let aborted =
        |log: &Log, from: Offset| log.aborted_lookup(from).execute(Offset(i64::MAX)).unwrap();
    let before: Vec<_> =
        (bases[4].0..log.log_end_offset().0).map(|at| aborted(&log, Offset(at))).collect();
    drop(log);
    let (log, _) = home.open(small());
    let after: Vec<_> =
        (bases[4].0..log.log_end_offset().0).map(|at| aborted(&log, Offset(at))).collect();
    assert_eq!(before, after);
}

#[test]
fn logs_that_do_not_track_producers_know_no_transactions() {
    let home = Home::real();
    let (mut log, _) = home.open_untracked(LogConfig::default());
    log.lead(0, data(1, 0, 0)).unwrap();
    assert_eq!(log.last_stable_offset(Offset(2)), Offset(2));
    assert!(!log.needs_verification(producer(1, 0, 0)));
}

/// Each deliberate bug, and what shows it.
#[cfg(feature = "mutations")]
#[test]
fn deliberate_bugs_are_seen() {
    use crate::mutation::{Mutation, activate};

    let shows: [(Mutation, fn()); 3] = [
        (
            Mutation::OpenTransactionsIgnored,
            what_is_stable_and_aborted_is_what_a_replay_of_all_batches_says_and_survives_restarts,
        ),
        (
            Mutation::AbortIndexLostAtTruncation,
            a_truncation_cuts_the_transaction_index_and_opens_again_what_its_marker_had_closed,
        ),
        (
            Mutation::VerificationSkipped,
            the_first_batch_of_a_transaction_needs_a_guard_that_no_marker_took_away,
        ),
    ];
    for (mutation, test) in shows {
        activate(Some(mutation));
        let outcome = std::panic::catch_unwind(test);
        activate(None);
        assert!(outcome.is_err(), "{mutation:?} was not seen");
    }
}
