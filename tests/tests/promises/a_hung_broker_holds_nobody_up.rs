//! SIGSTOP: a process that hangs closes no connection. Acknowledgements go on within `replica.lag.time.max.ms`, and one that wakes up as an old
//! leader has no say any more.

use std::time::Duration;

use cluster_tests::admin::Admin;
use cluster_tests::cluster::{Cluster, Signal};
use cluster_tests::load::{Load, LoadOptions};
use cluster_tests::report::{measured, millis};

use crate::{LIMIT, assert_kept, others};

/// `replica.lag.time.max.ms` by default, and a second for the change itself.
const LAG_LIMIT: Duration = Duration::from_secs(6);

/// Which broker hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hung {
    /// One that leads nothing and is not the controller.
    Follower,
    /// The leader of the first partition.
    Leader,
}

#[test]
fn a_follower_that_hangs() {
    hang(Hung::Follower, "a follower that hangs");
}

#[test]
fn a_leader_that_hangs_and_wakes_up_again() {
    // The client's request timeout is part of its time.
    hang(Hung::Leader, "a leader that hangs, with a client that waits 2 s for an answer");
}

fn hang(who: Hung, what: &str) {
    let cluster = Cluster::start(3);
    let admin = Admin::new(&cluster.bootstrap());
    let controller = cluster.wait_for_controller();
    let [other, hung] = others(controller);
    let first = if who == Hung::Leader { hung } else { other };
    let rest = |leader: u16| {
        let [second, third] = others(leader);
        [leader, second, third]
    };
    admin.create_assigned("hung", &[&rest(first), &rest(controller)]);
    // A client waits for a hung leader's answer as long as it is told to; Kafka's 30 s would hide the cluster's part.
    let options =
        LoadOptions { request_timeout: Duration::from_secs(2), ..LoadOptions::new("hung", 2) };
    let load = Load::start(&cluster.bootstrap(), options);
    load.wait_for_new_acks(LIMIT);
    admin.wait_for_full_isr("hung", LIMIT);
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
