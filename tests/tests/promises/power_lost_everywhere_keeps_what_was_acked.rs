//! Power lost on all three nodes in the same moment: each disk keeps what had reached it and nothing else, and everything acknowledged is among that.

use std::time::{Duration, Instant};

use cluster_tests::admin::Admin;
use cluster_tests::cluster::Cluster;
use cluster_tests::disk::LoopDisk;
use cluster_tests::load::{Load, LoadOptions};
use cluster_tests::report::{measured, millis, skipped};

use crate::{LIMIT, PARTITIONS, assert_kept};

#[test]
fn every_node_loses_power_at_once() {
    if let Some(missing) = LoopDisk::missing() {
        return skipped("every node loses power at once", &missing);
    }
    let images = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::prepare(3, &[]);
    let disks: Vec<LoopDisk> = (1..=3)
        .map(|broker| {
            let image = images.path().join(format!("disk-{broker}"));
            LoopDisk::mount_at(&cluster.broker_dir(broker).join("data"), &image, 512)
        })
        .collect();
    cluster.launch();
    let admin = Admin::new(&cluster.bootstrap());
    admin.create_topic("power", PARTITIONS);
    let load = Load::start(&cluster.bootstrap(), LoadOptions::new("power", PARTITIONS));
    for round in 1..=2 {
        load.wait_for_new_acks(LIMIT);
        let switches: Vec<_> = disks.iter().map(LoopDisk::power_switch).collect();
        let started = Instant::now();
        for switch in switches {
            switch.cut();
        }
        let cut_in = started.elapsed();
        cluster.kill_all();
        for disk in &disks {
            disk.unmount();
            disk.mount();
        }
        let acked = load.acked();
        let started = Instant::now();
        cluster.launch();
        load.wait_for_new_acks(LIMIT);
        measured(
            "power lost on three nodes: acknowledgements again after the restart",
            format!(
                "{} ms (round {round}, cut within {} us, {acked} acked before)",
                millis(started.elapsed()),
                cut_in.as_micros()
            ),
        );
        admin.wait_for_full_isr("power", Duration::from_secs(60));
    }
    let verdict = assert_kept("power lost everywhere", &cluster, load);
    measured("power lost on three nodes at once, twice", &verdict);
}
