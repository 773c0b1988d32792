//! The end of a log whose directory is deleted while its jobs are under way, and whose name another log may take.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use model::Offset;

use super::fixture::{Home, small};
use crate::error::{AppendError, NotWritable};
use crate::log::Log;
use crate::test_batches::BatchSpec;

fn filled(home: &Home) -> Log {
    let (mut log, _) = home.open(small());
    log.lead_times(3, 0, BatchSpec::new(2));
    log
}

/// Renames the directory away, as a deletion does.
fn rename_directory(home: &Home) {
    home.fs.rename(&home.log_directory(), &home.root.join("t-0-delete")).unwrap();
}

#[test]
fn a_flush_that_finds_its_directory_deleted_is_void_and_no_failed_disk() {
    let home = Home::real();
    let mut log = filled(&home);
    // The first flush syncs the new segment's name, too, and looks the directory up for that.
    let flush = log.begin_flush().unwrap();
    log.retire().run();
    rename_directory(&home);
    let done = flush.run().unwrap();
    assert_eq!(log.complete_flush(done), None);
    assert_eq!(log.flushed_offset(), Offset(0));
}

#[test]
fn a_flush_that_finds_no_directory_of_a_log_that_lives_is_a_failed_disk() {
    let home = Home::real();
    let mut log = filled(&home);
    let flush = log.begin_flush().unwrap();
    rename_directory(&home);
    assert!(flush.run().is_err());
}

#[test]
fn jobs_that_begin_to_run_after_the_deletion_leave_the_next_log_of_that_name_alone() {
    let home = Home::real();
    let mut log = filled(&home);
    let checkpoint = log.begin_checkpoint().unwrap();
    let truncation = log.begin_truncation(Offset(2));
    log.retire().run();
    rename_directory(&home);
    home.fs.create_dir(&home.log_directory()).unwrap();
    log.complete_checkpoint(checkpoint.run().unwrap());
    log.complete_truncation(truncation.run().unwrap());
    assert_eq!(home.fs.list(&home.log_directory()).unwrap(), []);
}

#[test]
fn a_retirement_waits_for_the_job_that_works_on_the_files() {
    let home = Home::real();
    let mut log = filled(&home);
    let turn = log.turns.begin();
    let working = turn.take();
    let retirement = log.retire();
    let (ended, end) = mpsc::channel();
    let waiting = thread::spawn(move || {
        retirement.run();
        ended.send(()).unwrap();
    });
    assert_eq!(end.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Timeout));
    drop(working);
    waiting.join().unwrap();
}

#[test]
fn a_retired_log_takes_nothing_and_begins_nothing() {
    let home = Home::real();
    let mut log = filled(&home);
    log.retire().run();
    let refused = log.lead(0, BatchSpec::new(1));
    assert!(matches!(refused, Err(AppendError::NotWritable(NotWritable::Retired))));
    assert!(log.begin_flush().is_none());
    assert!(log.begin_checkpoint().is_none());
    assert!(log.advance_log_start(Offset(2)).is_none());
}
