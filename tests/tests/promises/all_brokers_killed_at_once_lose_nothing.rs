//! All three killed in the same moment and started again: everything acknowledged is there, and a producer that kept trying delivers the rest.

use std::time::{Duration, Instant};

use cluster_tests::report::{measured, millis};

use crate::{LIMIT, assert_kept, under_load};

/// From the start of the processes until a producer that kept trying has new acknowledgements of every partition. Meant: five seconds; allowed here: what a busy machine makes of it.
const LONGEST_RETURN: Duration = Duration::from_secs(15);

#[test]
fn a_producer_that_keeps_trying_delivers_everything() {
    let (mut cluster, admin, load) = under_load("everything");
    for round in 1..=2 {
        cluster.kill_all();
        let acked = load.acked();
        let started = Instant::now();
        let ready = cluster.launch_without_waiting();
        load.wait_for_new_acks(LIMIT);
        let back = started.elapsed();
        cluster.wait_for_launch(&ready);
        measured(
            "all brokers killed: acknowledgements again after the restart",
            format!("{} ms (round {round}, {acked} acked before)", millis(back)),
        );
        assert!(back < LONGEST_RETURN, "{back:?}");
        admin.wait_for_full_isr("everything", LIMIT);
    }
    let verdict = assert_kept("all killed at once", &cluster, load);
    measured("all brokers killed at once, twice", &verdict);
}
