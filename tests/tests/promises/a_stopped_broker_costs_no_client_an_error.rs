//! SIGTERM to one broker after the other, as in a rolling restart: leaderships move first, no error reaches a client that retries, nothing is lost.

use cluster_tests::load::{Load, LoadOptions};
use cluster_tests::report::{measured, median_of};
use model::Acks;

use crate::{LIMIT, LONGEST_GAP, PARTITIONS, assert_kept, heal, under_load};

#[test]
fn every_broker_is_restarted_in_turn() {
    let (mut cluster, admin, load) = under_load("rolling");
    admin.create_topic("rolling-acks-1", PARTITIONS);
    let one_ack = Load::start(
        &cluster.bootstrap(),
        LoadOptions::new("rolling-acks-1", PARTITIONS).with_acks(Acks::Leader),
    );
    one_ack.wait_for_new_acks(LIMIT);
    let mut gaps = Vec::new();
    for broker in 1..=3 {
        let _before = load.take_gaps();
        cluster.terminate(broker);
        load.wait_for_new_acks(LIMIT);
        gaps.push(load.take_longest_gap());
        heal(&mut cluster, &admin, broker, "rolling");
        admin.wait_for_full_isr("rolling-acks-1", LIMIT);
    }
    let one_ack = one_ack.stop(LIMIT);
    assert_eq!(one_ack.errors.len(), 0, "acks=1: {:?}", one_ack.errors);
    let verdict = assert_kept("SIGTERM", &cluster, load);
    measured("SIGTERM, time without acknowledgements", median_of(&gaps));
    measured("SIGTERM of every broker in turn", &verdict);
    let longest = gaps.into_iter().max().unwrap_or_default();
    assert!(longest < LONGEST_GAP, "{longest:?} without an acknowledgement");
}
