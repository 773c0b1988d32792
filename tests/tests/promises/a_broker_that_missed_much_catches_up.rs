//! A broker that was away while much was written fetches it and joins the in-sync sets again, and holds nobody up meanwhile.

use std::time::{Duration, Instant};

use cluster_tests::load::{Load, LoadOptions, Rate};
use cluster_tests::read_back;
use cluster_tests::report::{measured, millis};

use crate::{LIMIT, LONGEST_GAP, PARTITIONS, assert_kept, number_from, with_topic};

/// Enough for a million records on a busy machine.
const LONG: Duration = Duration::from_secs(120);

#[test]
fn a_broker_comes_back_after_missing_many_records() {
    let missed = number_from("STEADFAST_TEST_MISSED", 200_000);
    let (mut cluster, admin) = with_topic("missed", PARTITIONS);
    admin.create_topic("meanwhile", PARTITIONS);
    cluster.kill(3);
    let options = LoadOptions {
        records: Some(missed),
        rate: Rate::Full,
        ..LoadOptions::new("missed", PARTITIONS)
    };
    let history = Load::start(&cluster.bootstrap(), options.clone()).finish(LONG);
    assert_eq!((history.acked(), history.failed()), (missed, 0), "{:?}", history.errors);

    let meanwhile = Load::start(&cluster.bootstrap(), LoadOptions::new("meanwhile", PARTITIONS));
    meanwhile.wait_for_new_acks(LIMIT);
    let _before = meanwhile.take_gaps();
    let started = Instant::now();
    cluster.restart_broker(3);
    admin.wait_for_full_isr("missed", LONG);
    let caught_up = started.elapsed();
    let gap = meanwhile.take_longest_gap();
    measured(
        &format!("a broker that missed {missed} records is in sync again after its start"),
        format!("{} ms; longest gap of others meanwhile {} ms", millis(caught_up), millis(gap)),
    );
    assert!(gap < LONGEST_GAP, "catching up held acknowledgements for {gap:?}");
    let _kept = assert_kept("while another caught up", &cluster, meanwhile);

    // What it fetched is all there when it leads: the others are gone from the leadership.
    for other in [1, 2] {
        cluster.terminate(other);
        cluster.restart_broker(other);
        admin.wait_for_full_isr("missed", LIMIT);
    }
    let verdict = read_back::judge(&cluster.bootstrap(), &options, &history, LIMIT);
    assert!(verdict.is_clean(), "{verdict}");
}
