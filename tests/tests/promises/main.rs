//! What a user is promised, checked with real processes: one file per promise, one program for all, one cluster at a time.
//!
//! Clusters wait for their turn (`cluster_tests::turn`), so the threads of the test harness do no harm. `STEADFAST_TEST_ROUNDS` sets how often
//! each kind of kill is repeated (3), `STEADFAST_TEST_MISSED` how many records a broker misses (200000), `STEADFAST_TEST_GROUPS` how many groups a coordinator takes over (1000), `STEADFAST_TEST_SEED` and
//! `STEADFAST_TEST_DEEDS` what happens on a hard day, `STEADFAST_TEST_LOGS` a folder for the brokers' logs. Figures go to standard error.

mod a_broker_that_missed_much_catches_up;
mod a_compacted_topic_keeps_the_last_value_of_each_key;
mod a_full_disk_is_an_answer;
mod a_hard_day_loses_nothing;
mod a_hung_broker_holds_nobody_up;
mod a_killed_broker_costs_no_acked_record;
mod a_stopped_broker_costs_no_client_an_error;
mod a_wiped_broker_is_replaced;
mod all_brokers_killed_at_once_lose_nothing;
mod bad_bytes_cost_nothing;
mod groups;
mod groups_are_managed_by_the_command_line;
mod it_starts_fast_and_idles_cheaply;
mod many_groups_load_fast;
mod power_lost_everywhere_keeps_what_was_acked;
mod sarama_runs_untouched;
mod the_command_line_keeps_its_contract;
mod topics_are_whole_while_a_broker_is_down;
mod transactions_survive_faults;

use std::time::Duration;

use cluster_tests::admin::Admin;
use cluster_tests::cluster::Cluster;
use cluster_tests::history::Verdict;
use cluster_tests::load::{Load, LoadOptions};
use cluster_tests::read_back;

/// How long anything may take before a test calls it a hang: far above what it takes.
const LIMIT: Duration = Duration::from_secs(30);

/// The longest time without acknowledgements after a kill that passes, on a machine that is busy with other things. The printed figures tell the truth.
const LONGEST_GAP: Duration = Duration::from_secs(5);

/// Number of partitions where a test does not care.
const PARTITIONS: i32 = 3;

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The other two of three brokers.
fn others(broker: u16) -> [u16; 2] {
    match broker {
        1 => [2, 3],
        2 => [3, 1],
        _ => [1, 2],
    }
}

/// Ends a load, reads its topic back, and asserts that an idempotent producer with acks=all got what it is promised: no error, nothing lost, nothing twice, all in order.
fn assert_kept(what: &str, cluster: &Cluster, load: Load) -> Verdict {
    let options = load.options().clone();
    let history = load.stop(Duration::from_secs(60));
    let verdict = read_back::judge(&cluster.bootstrap(), &options, &history, LIMIT);
    assert!(verdict.is_clean(), "{what}: {verdict}");
    assert_eq!(history.errors.len(), 0, "{what}: {verdict}; errors {:?}", history.errors);
    assert!(verdict.acked > 0, "{what}: nothing was written");
    verdict
}

/// Starts a broker again and waits until every replica of the topic is in sync.
fn heal(cluster: &mut Cluster, admin: &Admin, broker: u16, topic: &str) {
    cluster.restart_broker(broker);
    admin.wait_for_full_isr(topic, LIMIT);
}

/// Three brokers, a client, and a topic.
fn with_topic(topic: &str, partitions: i32) -> (Cluster, Admin) {
    let cluster = Cluster::start(3);
    let admin = Admin::new(&cluster.bootstrap());
    admin.create_topic(topic, partitions);
    (cluster, admin)
}

/// The same with [`PARTITIONS`] partitions under load.
fn under_load(topic: &str) -> (Cluster, Admin, Load) {
    let (cluster, admin) = with_topic(topic, PARTITIONS);
    let load = Load::start(&cluster.bootstrap(), LoadOptions::new(topic, PARTITIONS));
    load.wait_for_new_acks(LIMIT);
    (cluster, admin, load)
}
