//! Bytes that a disk has damaged: found by a read, by a start, by a follower; never cut before another replica can be copied.

use std::path::Path;
use std::time::Duration;

use model::{Acks, BrokerId};
use replication::FetchError;

use crate::support::{Cluster, Setup, batch, eventually, partition_id, read_from};

#[tokio::test]
async fn a_leader_with_damaged_bytes_steps_down_and_fetches_them_again() {
    let cluster = Cluster::new();
    let [first, second, third] = cluster.start_three(Setup::default).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    // More batches than a log remembers the places of, so that the read looks through what it finds.
    for _ in 0..300 {
        first.acknowledged(0, batch(2, 50), Acks::None).await;
    }
    eventually("the commit", || first.high_watermark(0) == 600).await;
    damage(&cluster.log_file(1), 1, 300);
    let partition = first.partition(0);
    let readable = partition.read(&read_from(2, 1 << 20)).unwrap();
    assert_eq!(partition.records(readable).await, Err(FetchError::Corrupt));
    eventually("the step down", || cluster.metadata(0).leader == Some(BrokerId(2))).await;
    eventually("the return to the ISR", || cluster.metadata(0).isr.len() == 3).await;
    assert!(cluster.have_same_log(&[1, 2]));
    eventually("the end of the lost mark", || {
        !cluster.data_dir(1).join("topic-0/replica-lost").exists()
    })
    .await;
    cluster.stop_all([first, second, third]).await;
}

#[tokio::test]
async fn damage_that_a_start_finds_is_named_and_fetched_again() {
    let cluster = Cluster::new();
    let [first, second, third] = cluster.start_three(Setup::default).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    for _ in 0..3 {
        first.acknowledged(0, batch(2, 50), Acks::All).await;
    }
    cluster.stop(first).await;
    damage(&cluster.log_file(1), 1, 3);
    let first = cluster.start(1, Setup::default()).await;
    assert!(first.proof.lost.contains(&partition_id(0)));
    assert_eq!(cluster.metadata(0).leader, Some(BrokerId(2)));
    eventually("the return to the ISR", || cluster.metadata(0).isr.len() == 3).await;
    assert!(cluster.have_same_log(&[1, 2]));
    cluster.stop_all([first, second, third]).await;
}

#[tokio::test]
async fn damage_that_the_run_before_gave_itself_up_for_is_cut_although_the_start_does_not_find_it()
{
    let cluster = Cluster::new();
    let [first, second, third] = cluster.start_three(Setup::default).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    // Enough that the walk of the start, which begins at the last entry of the index, does not meet the damage.
    for _ in 0..300 {
        first.acknowledged(0, batch(2, 50), Acks::None).await;
    }
    eventually("the commit", || first.high_watermark(0) == 600).await;
    cluster.stop(first).await;
    damage(&cluster.log_file(1), 1, 300);
    // The mark was written, and the process died before anybody heard.
    let mark = cluster.data_dir(1).join("topic-0/replica-lost");
    std::fs::write(&mark, "version: 0\ndamaged_from: 2\n").unwrap();
    let first = cluster.start(1, Setup::default()).await;
    assert!(first.proof.lost.contains(&partition_id(0)));
    eventually("the return to the ISR", || cluster.metadata(0).isr.len() == 3).await;
    assert!(cluster.have_same_log(&[1, 2]));
    assert!(!mark.exists());
    cluster.stop_all([first, second, third]).await;
}

#[tokio::test]
async fn a_damaged_replica_is_left_as_it_is_while_no_other_leads() {
    let cluster = Cluster::new();
    let first = cluster.start(1, Setup::default()).await;
    cluster.create(0, &[&first], 1).await;
    for _ in 0..3 {
        first.acknowledged(0, batch(2, 50), Acks::All).await;
    }
    cluster.stop(first).await;
    let path = cluster.log_file(1);
    damage(&path, 1, 3);
    let found = std::fs::read(&path).unwrap();
    let first = cluster.start(1, Setup::default()).await;
    assert!(first.proof.lost.contains(&partition_id(0)));
    assert_eq!(cluster.metadata(0).leader, None);
    cluster.stop(first).await;
    assert!(std::fs::read(&path).unwrap() == found, "what lies behind the damage is still there");
}

#[tokio::test]
async fn a_leader_whose_bytes_a_follower_refuses_looks_at_them_itself() {
    let cluster = Cluster::new();
    let setup = || Setup::with_lag(Duration::from_millis(500));
    let [first, second, third] = cluster.start_three(setup).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    cluster.stop(third).await;
    first.acknowledged(0, batch(2, 50), Acks::All).await;
    let mut bytes = std::fs::read(cluster.log_file(1)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(cluster.log_file(1), &bytes).unwrap();
    let third = cluster.start(3, setup()).await;
    eventually("the step down", || cluster.metadata(0).leader == Some(BrokerId(2))).await;
    eventually("all in sync", || cluster.metadata(0).isr.len() == 3).await;
    assert!(cluster.have_same_log(&[1, 2, 3]));
    cluster.stop_all([first, second, third]).await;
}

/// Damages one of a number of batches of one size.
fn damage(path: &Path, index: usize, count: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let start = bytes.len() / count * index;
    bytes[start + MAGIC_POSITION] = 77;
    std::fs::write(path, &bytes).unwrap();
}

/// Where a batch's format stands.
const MAGIC_POSITION: usize = 16;
