//! Three brokers serve within a second or so, take little memory and next to no CPU while nothing happens, and a directory that holds a cluster
//! starts again as it is.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use cluster_tests::cluster::Cluster;
use cluster_tests::deadline::wait_until;
use cluster_tests::load::{Load, LoadOptions};
use cluster_tests::read_back;
use cluster_tests::report::{measured, millis};

use crate::{LIMIT, with_topic};

/// Aimed at: 1 s, 30 MiB a broker, 2 % of a core for three. Here: what a busy machine makes of it, and still far from a regression that matters.
const LONGEST_START: Duration = Duration::from_secs(10);
const MOST_RESIDENT_KIB: u64 = 64 * 1024;
const MOST_CPU_PERCENT: f64 = 10.0;

/// How long idleness is watched.
const IDLE: Duration = Duration::from_secs(5);

#[test]
fn three_brokers_start_and_idle() {
    let cluster = Cluster::start(3);
    measured("cold start of three brokers", format!("{} ms", millis(cluster.ready_after())));
    let before = cpu_seconds(&cluster);
    let started = Instant::now();
    wait_until("the end of an idle time", IDLE * 2, || started.elapsed() >= IDLE);
    let percent = (cpu_seconds(&cluster) - before) / started.elapsed().as_secs_f64() * 100.0;
    let resident: Vec<u64> = (1..=3).map(|broker| cluster.resident_kib(broker)).collect();
    let mebibytes: Vec<String> =
        resident.iter().map(|kib| format!("{:.1}", to_f64(*kib) / 1024.0)).collect();
    measured("idle memory of each broker, MiB", mebibytes.join(" "));
    measured("idle CPU of three brokers, percent of a core", format!("{percent:.1}"));
    assert!(cluster.ready_after() < LONGEST_START, "{:?}", cluster.ready_after());
    assert!(resident.iter().all(|kib| *kib < MOST_RESIDENT_KIB), "{resident:?} KiB");
    assert!(percent < MOST_CPU_PERCENT, "{percent} %");
}

#[test]
fn a_directory_that_holds_a_cluster_starts_again_as_it_is() {
    let (mut cluster, _admin) = with_topic("kept", 3);
    let options = LoadOptions { records: Some(1_000), ..LoadOptions::new("kept", 3) };
    let history = Load::start(&cluster.bootstrap(), options.clone()).finish(LIMIT);
    let started = Instant::now();
    cluster.stop_all();
    measured("ordered stop of three brokers", format!("{} ms", millis(started.elapsed())));
    cluster.launch();
    measured(
        "start of three brokers on their directory",
        format!("{} ms", millis(cluster.ready_after())),
    );
    let verdict = read_back::judge(&cluster.bootstrap(), &options, &history, LIMIT);
    assert!(verdict.is_clean() && verdict.read == 1_000, "{verdict}");
    cluster.stop_all();

    for (arguments, named) in
        [(["--brokers", "2"], "3 brokers"), (["--kafka-port", "20092"], "port")]
    {
        let refused = Command::new(cluster.binary())
            .arg("dev")
            .arg("--data-dir")
            .arg(cluster.data_dir())
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(matches!(refused.status.code(), Some(1 | 2)), "{:?}: {said}", refused.status);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(named), "{said}");
    }
}

/// CPU time of the three brokers together.
fn cpu_seconds(cluster: &Cluster) -> f64 {
    let ticks: u64 = (1..=3)
        .map(|broker| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", cluster.pid(broker)))
                .expect("the broker lives");
            // Behind the name in parentheses the state is field 3, user and system time are 14 and 15.
            let fields: Vec<&str> =
                stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            let field =
                |number: usize| fields[number - 3].parse::<u64>().expect("a count of ticks");
            field(14) + field(15)
        })
        .sum();
    to_f64(ticks) / TICKS_PER_SECOND
}

fn to_f64(count: u64) -> f64 {
    f64::from(u32::try_from(count).expect("a count below four thousand million"))
}

/// `USER_HZ`, which Linux fixes for what it shows in /proc.
const TICKS_PER_SECOND: f64 = 100.0;
