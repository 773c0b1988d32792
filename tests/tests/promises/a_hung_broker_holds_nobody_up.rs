//! SIGSTOP: a process that hangs closes no connection. Acknowledgements go on within `replica.lag.time.max.ms`, and one that wakes up as an old
//! leader has no say any more.

use std::time::Duration;

use cluster_tests::admin::Admin;
use cluster_tests::cluster::{Cluster, Signal};
use cluster_tests::load::{Load, LoadOptions};
use cluster_tests::report::{measured, millis};

use crate::{LIMIT, PARTITIONS, assert_kept};

/// `replica.lag.time.max.ms` by default, and a second for the change itself.
const LAG_LIMIT: Duration = Duration::from_secs(6);

#[test]
fn a_follower_that_hangs() {
    hang("a follower that hangs", |leader, controller| {
        (1..=3).find(|broker| *broker != leader && *broker != controller)
    });
}

#[test]
fn a_leader_that_hangs_and_wakes_up_again() {
    hang("a leader that hangs", |leader, _controller| Some(leader));
}

fn hang(what: &str, choose: impl Fn(u16, u16) -> Option<u16>) {
    let cluster = Cluster::start(3);
    let admin = Admin::new(&cluster.bootstrap());
    admin.create_topic("hung", PARTITIONS);
    // A client waits for a hung leader's answer as long as it is told to; Kafka's 30 s would hide the cluster's part.
    let options = LoadOptions {
        request_timeout: Duration::from_secs(2),
        ..LoadOptions::new("hung", PARTITIONS)
    };
    let load = Load::start(&cluster.bootstrap(), options);
    load.wait_for_new_acks(LIMIT);
    let leader = admin.wait_for_leader("hung", 0);
    // Where leader and controller are the same there are two to choose from.
    let hung = choose(leader, cluster.wait_for_controller()).expect("one of three is left");
    let _before = load.take_gaps();
    cluster.signal(hung, Signal::Stop);
    load.wait_for_new_acks(LIMIT);
    let gap = load.take_longest_gap();
    measured(&format!("{what}: time without acknowledgements"), format!("{} ms", millis(gap)));
    cluster.signal(hung, Signal::Continue);
    admin.wait_for_full_isr("hung", LIMIT);
    load.wait_for_new_acks(LIMIT);
    let verdict = assert_kept(what, &cluster, load);
    measured(what, &verdict);
    assert!(gap < LAG_LIMIT, "{gap:?} without an acknowledgement");
}
