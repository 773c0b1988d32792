//! While one broker is down a topic is created with all its replicas, serves at once, and is whole when the broker is back.

use cluster_tests::admin::Admin;
use cluster_tests::cluster::Cluster;
use cluster_tests::load::{Load, LoadOptions};

use crate::{LIMIT, PARTITIONS, assert_kept, heal};

#[test]
fn a_topic_is_created_with_three_replicas_while_one_broker_is_down() {
    let mut cluster = Cluster::start(3);
    let admin = Admin::new(&cluster.bootstrap());
    cluster.kill(3);
    admin.create_topic("whole", PARTITIONS);
    for partition in admin.partitions("whole") {
        assert_eq!(partition.replicas.len(), 3, "{partition:?}");
    }
    let load = Load::start(&cluster.bootstrap(), LoadOptions::new("whole", PARTITIONS));
    load.wait_for_new_acks(LIMIT);
    heal(&mut cluster, &admin, 3, "whole");
    load.wait_for_new_acks(LIMIT);
    let _kept = assert_kept("created while one was down", &cluster, load);
}
