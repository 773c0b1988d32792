//! A broker whose disk was wiped comes back under its id with nothing, copies its replicas, votes anew; then another may die.

use std::fs;
use std::time::Instant;

use cluster_tests::report::{measured, millis};

use crate::{LIMIT, PARTITIONS, assert_kept, under_load};

#[test]
fn the_cluster_serves_when_another_dies_after_a_wiped_one_came_back() {
    let (mut cluster, admin, load) = under_load("wiped");
    let wiped = cluster.wait_for_controller();
    cluster.kill(wiped);
    load.wait_for_new_acks(LIMIT);
    fs::remove_dir_all(cluster.broker_dir(wiped).join("data")).expect("the broker is gone");
    let started = Instant::now();
    cluster.restart_broker(wiped);
    admin.wait_for_full_isr("wiped", LIMIT);
    measured(
        "a wiped broker is in sync again after its start",
        format!("{} ms", millis(started.elapsed())),
    );

    // Two of three voters are needed, so the wiped one votes, under a new identity.
    let killed = cluster.wait_for_controller();
    assert_ne!(killed, wiped, "the wiped broker came back as the active controller");
    cluster.kill(killed);
    load.wait_for_new_acks(LIMIT);
    admin.create_topic("after", PARTITIONS);
    let verdict = assert_kept("wiped, then another killed", &cluster, load);
    measured("one broker wiped, then another killed", &verdict);
}
