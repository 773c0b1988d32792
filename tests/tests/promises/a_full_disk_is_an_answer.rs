//! A full disk is KAFKA_STORAGE_ERROR for producers, not the broker's end; deleting a topic makes room again, for which some was kept.

use std::time::Duration;

use cluster_tests::admin::Admin;
use cluster_tests::cluster::Cluster;
use cluster_tests::content::Content;
use cluster_tests::deadline::wait_until;
use cluster_tests::disk::LoopDisk;
use cluster_tests::load::{Load, LoadOptions, Rate};
use cluster_tests::read_back;
use cluster_tests::report::{measured, skipped};

use client::admin::NewTopic;

use crate::LIMIT;

/// Size of the disk: room for the metadata and some megabytes of records.
const DISK_MEBIBYTES: u32 = 64;

#[test]
fn a_full_disk_refuses_records_and_recovers_by_a_deletion() {
    if let Some(missing) = LoopDisk::missing() {
        return skipped("a full disk refuses records and recovers by a deletion", &missing);
    }
    let images = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::prepare(1, &[]);
    let data = cluster.broker_dir(1).join("data");
    let _disk = LoopDisk::mount_at(&data, &images.path().join("disk"), DISK_MEBIBYTES);
    cluster.launch();
    let pid = cluster.pid(1);
    let admin = Admin::new(&cluster.bootstrap());
    let create = |name: &str| {
        let topic = NewTopic { name: name.to_owned(), partitions: Some(1), ..NewTopic::default() };
        admin.create(&topic).unwrap();
        admin.wait_for_leaders(name);
    };
    create("big");
    let big = LoadOptions {
        // Twice what the disk holds.
        records: Some(u64::from(DISK_MEBIBYTES) * 2 * 1_024 / 10),
        rate: Rate::Full,
        content: Content::Numbers { value_bytes: 10_240 },
        delivery_timeout: Duration::from_secs(3),
        ..LoadOptions::new("big", 1)
    };
    let history = Load::start(&cluster.bootstrap(), big.clone()).finish(Duration::from_secs(60));
    assert!(history.failed() > 0, "more was acknowledged than the disk can hold");
    assert!(
        history.errors.keys().any(|error| error.contains("KAFKA_STORAGE_ERROR")),
        "{:?}",
        history.errors
    );
    assert_eq!(cluster.pid(1), pid);
    assert!(cluster.is_running(1), "the broker lives");
    let verdict = read_back::judge(&cluster.bootstrap(), &big, &history, LIMIT);
    measured("a disk of 64 MiB, full", &verdict);
    assert!(verdict.is_clean(), "{verdict}");

    admin.delete_topic("big").unwrap();
    create("small");
    let small = LoadOptions { records: Some(100), ..LoadOptions::new("small", 1) };
    let mut kept = 0;
    wait_until("room again after the deletion", LIMIT, || {
        let options = LoadOptions { delivery_timeout: Duration::from_secs(2), ..small.clone() };
        kept = Load::start(&cluster.bootstrap(), options).finish(LIMIT).acked();
        kept == 100
    });
}
