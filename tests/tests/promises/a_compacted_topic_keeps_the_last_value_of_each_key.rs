//! A compacted topic becomes small on every replica and keeps the last value of each key: through a change of its leader, and on a broker that copies it anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use client::admin::NewTopic;
use client::producer::{Delivery, Producer, ProducerConfig, ProducerRecord};
use cluster_tests::admin::Admin;
use cluster_tests::cluster::Cluster;
use cluster_tests::deadline::wait_until;
use cluster_tests::read_back;
use cluster_tests::report::measured;

use crate::LIMIT;

const TOPIC: &str = "prices";
const KEYS: u32 = 50;

/// What was acknowledged last for each key; null as `None`.
type Last = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Writes `rounds` values of a kilobyte for each key, now and then a tombstone, all of them acknowledged.
fn write(admin: &Admin, last: &mut Last, rounds: u32, begin: u32) {
    admin.block_on(async {
        let producer = Producer::new(admin.client().clone(), ProducerConfig::default());
        let mut deliveries: Vec<Delivery> = Vec::new();
        for number in begin * KEYS..(begin + rounds) * KEYS {
            let key = format!("key {}", number % KEYS).into_bytes();
            let is_deleted = number % 977 == 0;
            let value = format!("{number:01000}").into_bytes();
            let value = (!is_deleted).then_some(value);
            let record = ProducerRecord {
                topic: TOPIC,
                partition: Some(0),
                timestamp: None,
                key: Some(&key),
                value: value.as_deref(),
                headers: &[],
            };
            deliveries.push(producer.send(&record).await.expect("a record is taken"));
            last.insert(key, value);
        }
        for delivery in deliveries {
            delivery.outcome().await.expect("a record is acknowledged");
        }
    });
}

/// Reads the topic: offsets rise, and the last record of each key is the last that was acknowledged. Returns how many records there are.
fn check(cluster: &Cluster, last: &Last, when: &str) -> usize {
    let found = read_back::read_keyed(&cluster.bootstrap(), TOPIC, 1, LIMIT).expect(when);
    assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0), "{when}: offsets rise");
    let mut has = Last::new();
    for (_, key, value) in &found {
        let key = key.clone().expect("every record has a key").to_vec();
        has.insert(key, value.as_ref().map(|value| value.to_vec()));
    }
    let living = |all: &Last| -> Last {
        all.iter()
            .filter(|(_, value)| value.is_some())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    assert_eq!(living(&has), living(last), "{when}");
    found.len()
}

/// Bytes of batches in a replica's directory.
fn size_of(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let logs = entries.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "log"));
    logs.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

fn wait_until_compacted(cluster: &Cluster, brokers: &[u16]) {
    for broker in brokers {
        let directory = cluster.broker_dir(*broker).join("data").join(format!("{TOPIC}-0"));
        // The active segment, and what is left of the others.
        wait_until(&format!("broker {broker} has compacted"), LIMIT, || {
            size_of(&directory) < 2_500_000
        });
    }
}

#[test]
fn a_compacted_topic_is_small_on_every_replica_and_whole() {
    let mut cluster = Cluster::start_with(
        3,
        &["log.cleaner.backoff.ms=200", "log.flush.offset.checkpoint.interval.ms=200"],
    );
    let admin = Admin::new(&cluster.bootstrap());
    let config = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    admin
        .create(&NewTopic {
            name: TOPIC.to_owned(),
            partitions: Some(1),
            replication_factor: Some(3),
            configs: vec![
                config("cleanup.policy", "compact"),
                config("segment.bytes", "1048576"),
                config("min.cleanable.dirty.ratio", "0.01"),
                config("delete.retention.ms", "0"),
            ],
            ..NewTopic::default()
        })
        .expect("a topic is created");
    admin.wait_for_leaders(TOPIC);

    let mut last = Last::new();
    write(&admin, &mut last, 200, 0);
    wait_until_compacted(&cluster, &[1, 2, 3]);
    let left = check(&cluster, &last, "after the first compaction");
    measured("a compacted topic", format!("{left} of {} records are left", 200 * KEYS));
    assert!(left < 50 * usize::try_from(KEYS).expect("a small number"), "{left} are left");

    let leader = admin.wait_for_leader(TOPIC, 0);
    cluster.kill(leader);
    write(&admin, &mut last, 100, 200);
    check(&cluster, &last, "after a change of the leader");

    // It comes back with nothing and copies a log that two others have compacted, each in its own way.
    fs::remove_dir_all(cluster.broker_dir(leader).join("data")).expect("the broker is gone");
    cluster.restart_broker(leader);
    admin.wait_for_full_isr(TOPIC, LIMIT);
    write(&admin, &mut last, 50, 300);
    wait_until_compacted(&cluster, &[1, 2, 3]);
    for other in (1..=3).filter(|broker| *broker != leader) {
        cluster.terminate(other);
        check(&cluster, &last, "while a broker is away");
        cluster.restart_broker(other);
        admin.wait_for_full_isr(TOPIC, LIMIT);
    }
    // Whoever leads now: each of them once.
    for broker in 1..=3 {
        if admin.wait_for_leader(TOPIC, 0) == broker {
            cluster.kill(broker);
            write(&admin, &mut last, 1, 400 + u32::from(broker));
            check(&cluster, &last, "when another leads");
            cluster.restart_broker(broker);
            admin.wait_for_full_isr(TOPIC, LIMIT);
        }
    }
    let failures =
        (1..=3).filter_map(|broker| cluster.metric(broker, "steadfast_log_cleaner_failures_total"));
    assert_eq!(failures.sum::<f64>().to_string(), "0", "a compaction failed");
    check(&cluster, &last, "at the end");
}
