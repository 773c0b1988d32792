//! kill -9 of the leader, of the controller, and of a broker that is both, under load with acks=all: nothing acknowledged is lost, nothing
//! is twice, the order stays. The time without acknowledgements is measured at the client.

use std::time::{Duration, Instant};

use cluster_tests::admin::Admin;
use cluster_tests::cluster::Cluster;
use cluster_tests::load::{Load, LoadOptions};
use cluster_tests::read_back;
use cluster_tests::report::{measured, median_of, millis};
use model::Acks;

use crate::{LIMIT, LONGEST_GAP, assert_kept, heal, number_from, others, with_topic};

/// What the broker is that dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Leader,
    Controller,
    LeaderAndController,
}

impl Victim {
    fn name(self) -> &'static str {
        match self {
            Self::Leader => "the leader",
            Self::Controller => "the controller",
            Self::LeaderAndController => "leader and controller in one",
        }
    }

    /// Chooses the broker to kill, and the preferred leaders of two partitions such that it is what it should be.
    fn stage(self, controller: u16) -> (u16, [u16; 2]) {
        let [first, second] = others(controller);
        match self {
            Self::Leader => (first, [first, controller]),
            Self::Controller => (controller, [first, second]),
            Self::LeaderAndController => (controller, [controller, first]),
        }
    }
}

/// Kills such a broker in several rounds, each with a topic and a load of its own, and returns the gaps.
fn kill_in_rounds(victim: Victim) {
    let mut cluster = Cluster::start(3);
    let admin = Admin::new(&cluster.bootstrap());
    let mut gaps = Vec::new();
    let mut acked = 0;
    for round in 1..=number_from("STEADFAST_TEST_ROUNDS", 3) {
        let topic = format!("round-{round}");
        let (broker, leaders) = victim.stage(cluster.wait_for_controller());
        let assigned = leaders.map(|leader| {
            let [first, second] = others(leader);
            [leader, first, second]
        });
        admin.create_assigned(&topic, &[&assigned[0], &assigned[1]]);
        let load = Load::start(&cluster.bootstrap(), LoadOptions::new(&topic, 2));
        load.wait_for_new_acks(LIMIT);
        admin.wait_for_full_isr(&topic, LIMIT);
        let _before = load.take_gaps();
        cluster.kill(broker);
        load.wait_for_new_acks(LIMIT);
        gaps.push(load.take_longest_gap());
        heal(&mut cluster, &admin, broker, &topic);
        load.wait_for_new_acks(LIMIT);
        acked += assert_kept(victim.name(), &cluster, load).acked;
    }
    measured(
        &format!("kill -9 of {}, time without acknowledgements", victim.name()),
        format!("{}; acked {acked}, lost 0, duplicated 0", median_of(&gaps)),
    );
    let longest = gaps.iter().copied().max().unwrap_or_default();
    assert!(longest < LONGEST_GAP, "{longest:?} without an acknowledgement");
}

#[test]
fn the_leader_is_killed() {
    kill_in_rounds(Victim::Leader);
}

#[test]
fn the_controller_is_killed() {
    kill_in_rounds(Victim::Controller);
}

#[test]
fn leader_and_controller_in_one_are_killed() {
    kill_in_rounds(Victim::LeaderAndController);
}

#[test]
fn the_leader_of_many_partitions_is_killed() {
    let partitions = 150;
    let (mut cluster, admin) = with_topic("many", partitions);
    let load = Load::start(&cluster.bootstrap(), LoadOptions::new("many", partitions));
    load.wait_for_new_acks(LIMIT);
    let leader = admin.wait_for_leader("many", 0);
    let _before = load.take_gaps();
    cluster.kill(leader);
    load.wait_for_new_acks(LIMIT);
    let gap = load.take_longest_gap();
    heal(&mut cluster, &admin, leader, "many");
    let verdict = assert_kept("many partitions", &cluster, load);
    measured(
        &format!("kill -9 of the leader of a third of {partitions} partitions"),
        format!("gap {} ms; {verdict}", millis(gap)),
    );
    assert!(gap < LONGEST_GAP, "{gap:?} without an acknowledgement");
}

#[test]
fn with_fewer_acks_the_order_of_what_was_kept_and_the_cluster_survive() {
    let mut cluster = Cluster::start(3);
    let admin = Admin::new(&cluster.bootstrap());
    for acks in [Acks::Leader, Acks::None] {
        let topic = format!("acks-{}", acks.to_wire());
        admin.create_topic(&topic, 3);
        let options = LoadOptions {
            delivery_timeout: Duration::from_secs(10),
            ..LoadOptions::new(&topic, 3).with_acks(acks)
        };
        let load = Load::start(&cluster.bootstrap(), options.clone());
        load.wait_for_new_acks(LIMIT);
        let leader = admin.wait_for_leader(&topic, 0);
        let _before = load.take_gaps();
        cluster.kill(leader);
        load.wait_for_new_acks(LIMIT);
        let gap = load.take_longest_gap();
        heal(&mut cluster, &admin, leader, &topic);
        let history = load.stop(LIMIT);
        // Consumers see a record when all replicas have it, which these acks do not wait for.
        let reading = Instant::now();
        let verdict = loop {
            let verdict = read_back::judge(&cluster.bootstrap(), &options, &history, LIMIT);
            if verdict.lost == 0 || reading.elapsed() > Duration::from_secs(2) {
                break verdict;
            }
        };
        measured(
            &format!("kill -9 of the leader with acks={}", acks.to_wire()),
            format!("gap {} ms; {verdict}", millis(gap)),
        );
        assert_eq!(verdict.foreign, 0, "nothing is in the log that was not sent: {verdict}");
        // What a dead leader alone had is lost with acks 0 and 1; a second of the load is far more than one replication round.
        assert!(verdict.lost < 3_000, "{verdict}");
    }
}
