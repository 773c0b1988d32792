//! Whatever comes, in any order: brokers killed one by one, two or three at once, while they start, ended in order, hung. At the end everything
//! acknowledged is there, once and in order. `STEADFAST_TEST_SEED` chooses the day, `STEADFAST_TEST_DEEDS` its length.

use std::time::Duration;

use cluster_tests::cluster::{Cluster, Signal};
use cluster_tests::load::{Load, LoadOptions};
use cluster_tests::report::{line, measured, millis};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::{LIMIT, PARTITIONS, assert_kept, number_from, with_topic};

/// What happens to some brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Kill,
    KillWhileItStarts,
    Terminate,
    Hang,
}

const DEEDS: [Deed; 4] = [Deed::Kill, Deed::KillWhileItStarts, Deed::Terminate, Deed::Hang];

/// How long the brokers are down, at most: shorter and longer than a session.
const LONGEST_ABSENCE: Duration = Duration::from_millis(1_500);

#[test]
fn everything_acknowledged_is_there_at_the_end_of_a_hard_day() {
    let seed = number_from("STEADFAST_TEST_SEED", 1);
    let mut random = StdRng::seed_from_u64(seed);
    let (mut cluster, admin) = with_topic("day", PARTITIONS);
    let options = LoadOptions {
        request_timeout: Duration::from_secs(2),
        ..LoadOptions::new("day", PARTITIONS)
    };
    let load = Load::start(&cluster.bootstrap(), options);
    load.wait_for_new_acks(LIMIT);
    for number in 1..=number_from("STEADFAST_TEST_DEEDS", 12) {
        let deed = DEEDS[random.random_range(0..DEEDS.len())];
        let mut brokers = [1, 2, 3];
        brokers.shuffle(&mut random);
        // Mostly one, now and then two or all.
        let count = [1, 1, 1, 2, 2, 3][random.random_range(0..6)];
        let brokers = &brokers[..count];
        let absence = random.random_range(Duration::ZERO..LONGEST_ABSENCE);
        let _before = load.take_gaps();
        do_deed(&mut cluster, deed, brokers, absence);
        if random.random_bool(0.5) {
            admin.wait_for_full_isr("day", LIMIT);
        } else {
            load.wait_for_new_acks(LIMIT);
        }
        line(&format!(
            "day {seed}, deed {number}: {deed:?} {brokers:?}, back after {} ms; gap {} ms",
            millis(absence),
            millis(load.take_longest_gap())
        ));
    }
    for broker in 1..=3 {
        cluster.wait_ready(broker);
    }
    admin.wait_for_full_isr("day", LIMIT);
    load.wait_for_new_acks(LIMIT);
    let verdict = assert_kept(&format!("day {seed}"), &cluster, load);
    measured(&format!("a hard day, seed {seed}"), &verdict);
}

fn do_deed(cluster: &mut Cluster, deed: Deed, brokers: &[u16], absence: Duration) {
    match deed {
        Deed::Hang => {
            brokers.iter().for_each(|broker| cluster.signal(*broker, Signal::Stop));
            std::thread::sleep(absence);
            brokers.iter().for_each(|broker| cluster.signal(*broker, Signal::Continue));
            return;
        }
        Deed::Terminate => brokers.iter().for_each(|broker| cluster.terminate(*broker)),
        Deed::Kill | Deed::KillWhileItStarts => cluster.kill_together(brokers),
    }
    std::thread::sleep(absence);
    brokers.iter().for_each(|broker| cluster.start_broker(*broker));
    if deed == Deed::KillWhileItStarts {
        std::thread::sleep(absence / 4);
        brokers.iter().for_each(|broker| cluster.kill(*broker));
        brokers.iter().for_each(|broker| cluster.start_broker(*broker));
    }
}
