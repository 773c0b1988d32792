//! A transaction is all or nothing, whoever dies on the way: what was committed is read, what was aborted never is, and what a former producer or a former request says changes nothing.

use cluster_tests::admin::Admin;
use cluster_tests::cluster::{Cluster, Signal};
use cluster_tests::transactions::{Protocol, TransactionalProducer, coordinator, read_committed};
use model::ErrorCode;
use model::record_batch::TransactionResult::{Abort, Commit};

use crate::{LIMIT, with_topic};

const TOPIC: &str = "accounts";

fn texts(cluster: &Cluster, admin: &Admin, topic: &str, partition: i32) -> Vec<String> {
    read_committed(cluster, admin, topic, partition).0
}

/// Finds a name whose coordinator is none of some brokers.
fn name_elsewhere(cluster: &Cluster, brokers: &[u16]) -> String {
    let names = (0..1_000).map(|number| format!("copier-{number}"));
    let mut names = names.filter(|name| !brokers.contains(&coordinator(cluster, name)));
    names.next().expect("each of three brokers leads some of 50 partitions")
}

#[test]
fn committed_transactions_are_read_whole_and_aborted_ones_not_at_all() {
    let (cluster, admin) = with_topic(TOPIC, 2);
    for (protocol, name) in [(Protocol::V1, "old"), (Protocol::V2, "new")] {
        let before = texts(&cluster, &admin, TOPIC, 0).len();
        let mut producer = TransactionalProducer::init(&cluster, name, protocol);
        for partition in [0, 1] {
            producer.write(&cluster, &admin, (TOPIC, partition), "kept");
        }
        let (read, last_stable, high_watermark) = read_committed(&cluster, &admin, TOPIC, 0);
        assert_eq!(read.len(), before, "{name}: nothing of an open transaction is read");
        assert!(last_stable < high_watermark, "{name}");
        producer.end(&cluster, Commit);
        producer.wait_until_complete(&cluster);
        for partition in [0, 1] {
            producer.write(&cluster, &admin, (TOPIC, partition), "dropped");
        }
        producer.end(&cluster, Abort);
        producer.wait_until_complete(&cluster);
        producer.write(&cluster, &admin, (TOPIC, 0), "kept too");
        producer.end(&cluster, Commit);
        producer.wait_until_complete(&cluster);
        let (read, last_stable, high_watermark) = read_committed(&cluster, &admin, TOPIC, 0);
        assert_eq!(read[before..], ["kept", "kept too"], "{name}");
        assert_eq!(last_stable, high_watermark, "{name}: everything is decided");
    }
    assert_eq!(texts(&cluster, &admin, TOPIC, 1), ["kept", "kept"]);
}

#[test]
fn a_coordinator_killed_between_decision_and_markers_is_succeeded_by_one_that_writes_them() {
    let (mut cluster, admin) = with_topic(TOPIC, 1);
    // One replica alone, so that nobody can write its marker while its broker is stopped.
    admin.create_assigned("single", &[&[2]]);
    let name = name_elsewhere(&cluster, &[2]);
    let coordinating = coordinator(&cluster, &name);
    let mut producer = TransactionalProducer::init(&cluster, &name, Protocol::V2);
    producer.write(&cluster, &admin, ("single", 0), "paid");
    producer.write(&cluster, &admin, (TOPIC, 0), "received");
    cluster.signal(2, Signal::Stop);
    producer.end(&cluster, Commit);
    assert_eq!(producer.state(&cluster), "PrepareCommit");
    cluster.kill(coordinating);
    cluster.signal(2, Signal::Continue);
    producer.wait_until_complete(&cluster);
    assert_ne!(coordinator(&cluster, &name), coordinating);
    assert_eq!(texts(&cluster, &admin, "single", 0), ["paid"]);
    assert_eq!(texts(&cluster, &admin, TOPIC, 0), ["received"]);
}

#[test]
fn a_partition_whose_leader_dies_before_its_marker_has_it_from_the_next_leader() {
    let (mut cluster, admin) = with_topic(TOPIC, 1);
    let leader = admin.wait_for_leader(TOPIC, 0);
    let name = name_elsewhere(&cluster, &[leader]);
    let mut producer = TransactionalProducer::init(&cluster, &name, Protocol::V2);
    producer.write(&cluster, &admin, (TOPIC, 0), "dropped");
    producer.end(&cluster, Abort);
    producer.wait_until_complete(&cluster);
    producer.write(&cluster, &admin, (TOPIC, 0), "kept");
    cluster.signal(leader, Signal::Stop);
    producer.end(&cluster, Commit);
    cluster.kill(leader);
    producer.wait_until_complete(&cluster);
    assert_eq!(texts(&cluster, &admin, TOPIC, 0), ["kept"]);
    cluster.restart_broker(leader);
    admin.wait_for_full_isr(TOPIC, LIMIT);
    assert_eq!(texts(&cluster, &admin, TOPIC, 0), ["kept"]);
}

#[test]
fn a_producer_that_was_replaced_writes_nothing_and_ends_nothing() {
    let (cluster, admin) = with_topic(TOPIC, 1);
    for protocol in [Protocol::V1, Protocol::V2] {
        let name = format!("{protocol:?}");
        let before = texts(&cluster, &admin, TOPIC, 0).len();
        let mut zombie = TransactionalProducer::init(&cluster, &name, protocol);
        zombie.write(&cluster, &admin, (TOPIC, 0), "of the zombie");
        // The successor has the zombie's transaction aborted.
        let mut successor = TransactionalProducer::init(&cluster, &name, protocol);
        let fenced = [ErrorCode::InvalidProducerEpoch, ErrorCode::ProducerFenced];
        let code = zombie.try_write(&cluster, &admin, (TOPIC, 0), "late");
        assert!(fenced.contains(&code), "{name}: {code}");
        let (code, ..) = zombie.send_end(&cluster, &zombie.end_request(Commit));
        assert!(fenced.contains(&code), "{name}: {code}");
        successor.write(&cluster, &admin, (TOPIC, 0), "of the successor");
        successor.end(&cluster, Commit);
        successor.wait_until_complete(&cluster);
        assert_eq!(texts(&cluster, &admin, TOPIC, 0)[before..], ["of the successor"], "{name}");
    }
}

#[test]
fn a_request_that_was_delayed_into_the_next_transaction_changes_nothing_there() {
    let (cluster, admin) = with_topic(TOPIC, 1);
    let mut producer = TransactionalProducer::init(&cluster, "delayed", Protocol::V2);
    producer.write(&cluster, &admin, (TOPIC, 0), "first");
    // The abort of the first transaction is lost on the way, and comes back when the second is open (KAFKA-17754).
    let delayed = producer.end_request(Abort);
    let mut late_writer = producer.clone();
    producer.end(&cluster, Abort);
    producer.wait_until_complete(&cluster);
    producer.write(&cluster, &admin, (TOPIC, 0), "second");
    let (code, ..) = producer.send_end(&cluster, &delayed);
    assert_ne!(
        code,
        ErrorCode::None,
        "the second transaction is open and not that request's to end"
    );
    assert_eq!(producer.state(&cluster), "Ongoing");
    let code = late_writer.try_write(&cluster, &admin, (TOPIC, 0), "of the first, late");
    assert_ne!(code, ErrorCode::None);
    producer.end(&cluster, Commit);
    producer.wait_until_complete(&cluster);
    assert_eq!(texts(&cluster, &admin, TOPIC, 0), ["second"]);
}

#[test]
fn a_partition_that_was_not_added_takes_no_record_of_an_older_client() {
    let (cluster, admin) = with_topic(TOPIC, 2);
    let mut producer = TransactionalProducer::init(&cluster, "unverified", Protocol::V1);
    producer.write(&cluster, &admin, (TOPIC, 0), "added");
    // The other partition is written to without having been added.
    let mut careless = producer.clone();
    let code = careless.try_write_unadded(&cluster, &admin, (TOPIC, 1), "not added");
    assert_eq!(code, ErrorCode::TransactionAbortable);
    producer.end(&cluster, Commit);
    producer.wait_until_complete(&cluster);
    assert_eq!(texts(&cluster, &admin, TOPIC, 0), ["added"]);
    assert_eq!(texts(&cluster, &admin, TOPIC, 1), [""; 0]);
}
