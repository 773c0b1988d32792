//! `make demo`: three brokers on this machine, a million records of a real data set with acks=all, and SIGKILL to the leader of a partition
//! again and again meanwhile. Everything is read back; exit code 0 only when nothing that was acknowledged is lost and nothing is there twice.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cluster_tests::admin::Admin;
use cluster_tests::cluster::Cluster;
use cluster_tests::content::Content;
use cluster_tests::history::{History, Verdict};
use cluster_tests::load::{Load, LoadOptions, Rate};
use cluster_tests::read_back::read_topic;
use cluster_tests::report::millis;

const TOPIC: &str = "flights";
const PARTITIONS: i32 = 3;
const RECORDS: u64 = 1_000_000;

/// Slow enough that several kills fall into the run, each after the cluster has healed from the one before.
const RECORDS_PER_SECOND: u64 = 40_000;

/// Shares of the records, in percent, after which a leader is killed.
const KILLS_AT: [u64; 4] = [10, 32, 54, 76];

/// How long anything may take before the demo gives up: far above what it should.
const LIMIT: Duration = Duration::from_secs(60);

/// What a kill did.
struct Kill {
    gap: Duration,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let records = match arguments.as_slice() {
        [] => RECORDS,
        [records] if records.parse::<u64>().is_ok_and(|records| records > 0) => {
            records.parse().unwrap_or(RECORDS)
        }
        _ => {
            eprintln!("demo: usage: demo [RECORDS]");
            return ExitCode::from(2);
        }
    };
    match run(records) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("demo: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Runs it all; true when every promise was kept.
fn run(records: u64) -> Result<bool, String> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/flights.csv");
    let content = Content::of_table(&data, "tailnum")?;
    let started = Instant::now();
    let mut cluster = Cluster::start(3);
    let admin = Admin::new(&cluster.bootstrap());
    admin.create_topic(TOPIC, PARTITIONS);
    say(&format!(
        "three brokers on {}, ready after {} ms; topic {TOPIC}, {PARTITIONS} partitions, 3 replicas each, every acknowledgement after fsync",
        cluster.bootstrap(),
        millis(cluster.ready_after()),
    ));
    let options = LoadOptions {
        records: Some(records),
        rate: Rate::PerSecond(RECORDS_PER_SECOND),
        content,
        ..LoadOptions::new(TOPIC, PARTITIONS)
    };
    say(&format!("writing {records} records with acks=all, idempotent producer"));
    let load = Load::start(&cluster.bootstrap(), options.clone());
    let mut kills = Vec::new();
    for (partition, percent) in KILLS_AT.into_iter().enumerate() {
        wait_for_acked(&load, records * percent / 100)?;
        if load.is_finished() {
            break;
        }
        kills.push(kill_leader(&mut cluster, &admin, &load, partition % 3));
    }
    wait_for_acked(&load, records)?;
    let history = load.finish(LIMIT);
    say(&format!("all {} acknowledged, reading back", history.acked()));
    let reading = Instant::now();
    let found = read_topic(&cluster.bootstrap(), &options, LIMIT)?;
    let verdict = history.judge(&found);
    let read_in = reading.elapsed();
    cluster.stop_all();
    table(&history, &verdict, &kills, [read_in, started.elapsed()]);
    Ok(verdict.lost == 0 && verdict.duplicated == 0 && verdict.is_clean() && verdict.failed == 0)
}

/// Waits for acknowledgements, with a line every few seconds.
fn wait_for_acked(load: &Load, wanted: u64) -> Result<(), String> {
    let mut progressed = (Instant::now(), load.acked());
    let mut told = Instant::now();
    while load.acked() < wanted && !load.is_finished() {
        if load.acked() > progressed.1 {
            progressed = (Instant::now(), load.acked());
        }
        if progressed.0.elapsed() > LIMIT {
            return Err(format!(
                "no acknowledgement for {} s, after {} of {} records",
                LIMIT.as_secs(),
                load.acked(),
                load.sent()
            ));
        }
        if told.elapsed() > Duration::from_secs(3) {
            told = Instant::now();
            say(&format!("{:>9} acknowledged", load.acked()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Kills the leader of a partition, waits for acknowledgements, starts it again and waits until it is in sync.
fn kill_leader(cluster: &mut Cluster, admin: &Admin, load: &Load, partition: usize) -> Kill {
    let leader = admin.wait_for_leader(TOPIC, partition);
    load.wait_for_new_acks(LIMIT);
    let _before = load.take_gaps();
    say(&format!(
        "{:>9} acknowledged; kill -9 of broker {leader}, which leads {TOPIC}-{partition}",
        load.acked()
    ));
    cluster.kill(leader);
    load.wait_for_new_acks(LIMIT);
    let gap = load.take_longest_gap();
    let now = admin.wait_for_leader(TOPIC, partition);
    let started = Instant::now();
    cluster.restart_broker(leader);
    admin.wait_for_full_isr(TOPIC, LIMIT);
    say(&format!(
        "          broker {now} leads, longest gap {} ms; broker {leader} started again, in sync after {} ms",
        millis(gap),
        millis(started.elapsed())
    ));
    Kill { gap }
}

fn table(history: &History, verdict: &Verdict, kills: &[Kill], [read_in, total]: [Duration; 2]) {
    let per_second = |count: u64, time: Duration| count * 1_000 / millis(time).max(1);
    let gaps: Vec<String> = kills.iter().map(|kill| millis(kill.gap).to_string()).collect();
    let rows = [
        ("acknowledged", verdict.acked.to_string()),
        ("errors", verdict.failed.to_string()),
        ("read back", verdict.read.to_string()),
        ("lost", verdict.lost.to_string()),
        ("duplicated", verdict.duplicated.to_string()),
        ("out of order", verdict.out_of_order.to_string()),
        ("leaders killed", kills.len().to_string()),
        ("gap after each kill, ms", gaps.join(" ")),
        ("longest gap, ms", millis(verdict.longest_gap).to_string()),
        ("written, records/s (paced)", per_second(verdict.acked, history.elapsed).to_string()),
        ("read, records/s", per_second(verdict.read, read_in).to_string()),
        ("time in all, s", format!("{:.1}", total.as_secs_f64())),
    ];
    say("");
    for (name, value) in rows {
        say(&format!("  {name:<28}{value}"));
    }
    if !verdict.is_clean() {
        say(&format!("\n  NOT KEPT: {verdict}"));
    }
    for (error, count) in &history.errors {
        say(&format!("  {count} times: {error}"));
    }
}

#[expect(clippy::print_stdout, reason = "its lines are this program's output")]
fn say(line: &str) {
    println!("{line}");
}
