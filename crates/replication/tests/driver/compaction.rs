//! The cleaner at work beside producers and followers: each replica compacts its own log, and a follower whose log ends where its leader has cleaned goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use log_storage::{CleanupPolicy, LogConfig};
use model::record_batch::{BatchBuilder, BatchOptions, Batches, NewRecord, Records};
use model::{Acks, BrokerId, Offset};
use replication::{CleanerConfig, ReplicationConfig};

use crate::support::{Broker, Cluster, Setup, eventually, read_from};

fn compacted() -> LogConfig {
    LogConfig {
        segment_bytes: 2_000,
        cleanup: CleanupPolicy::Compact,
        min_cleanable_millionths: 0,
        ..LogConfig::default()
    }
}

fn setup() -> Setup {
    let config = ReplicationConfig {
        replica_lag_time_max: Duration::from_millis(500),
        flush_checkpoint_interval: Duration::from_millis(10),
        cleaner: CleanerConfig {
            threads: 2,
            backoff: Duration::from_millis(10),
            ..CleanerConfig::default()
        },
        ..ReplicationConfig::default()
    };
    Setup { config, ..Setup::default() }
}

/// One record, of one of five keys.
fn keyed(number: u32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let (key, value) = ([u8::try_from(number % 5).unwrap()], number.to_be_bytes());
    let record = NewRecord { key: Some(&key), value: Some(&value), ..NewRecord::default() };
    builder.append(&record).unwrap();
    builder.build().unwrap()
}

async fn write(leader: &Broker, numbers: std::ops::Range<u32>) {
    for number in numbers {
        leader.acknowledged(0, keyed(number), Acks::All).await;
    }
}

/// Reads the last value of each key, and counts the records.
async fn last_values(broker: &Broker) -> (BTreeMap<u8, u32>, usize) {
    let partition = broker.partition(0);
    let end = partition.status().high_watermark;
    let (mut last, mut count, mut next) = (BTreeMap::new(), 0, Offset::ZERO);
    while next < end {
        let fetched = partition.records(partition.read(&read_from(next.0, 1 << 20)).unwrap()).await;
        let bytes = fetched.unwrap();
        for batch in Batches::whole(&bytes).map(Result::unwrap) {
            for record in Records::of(batch, 1 << 20).unwrap().iter().map(Result::unwrap) {
                let value = record.value.unwrap().try_into().map(u32::from_be_bytes).unwrap();
                last.insert(record.key.unwrap()[0], value);
                count += 1;
            }
            next = batch.header.next_offset();
        }
    }
    (last, count)
}

fn expected(end: u32) -> BTreeMap<u8, u32> {
    (end - 5..end).map(|number| (u8::try_from(number % 5).unwrap(), number)).collect()
}

async fn is_compacted(brokers: &[&Broker]) {
    for broker in brokers {
        let partition = broker.partition(0);
        eventually("a compaction", || partition.status().size_bytes < 4_000).await;
    }
}

#[tokio::test]
async fn every_replica_is_compacted_and_whoever_leads_has_the_last_values() {
    let cluster = Cluster::new();
    cluster.set_config(compacted());
    let [first, second, third] = cluster.start_three(setup).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    write(&first, 0..300).await;
    is_compacted(&[&first, &second, &third]).await;
    let (last, count) = last_values(&first).await;
    assert_eq!(last, expected(300));
    assert!(count < 100, "{count} records are left");
    cluster.elect(0, 2, &[1, 2, 3]);
    write(&second, 300..400).await;
    let (last, _) = last_values(&second).await;
    assert_eq!(last, expected(400));
    cluster.stop_all([first, second, third]).await;
}

#[tokio::test]
async fn a_follower_that_ends_inside_what_its_leader_has_cleaned_goes_on_there() {
    let cluster = Cluster::new();
    cluster.set_config(compacted());
    let [first, second, third] = cluster.start_three(setup).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    write(&first, 0..13).await;
    cluster.stop(third).await;
    write(&first, 13..300).await;
    assert_eq!(cluster.metadata(0).isr, [BrokerId(1), BrokerId(2)].into());
    is_compacted(&[&first, &second]).await;
    // The batches around the third one's end are gone: an empty one reaches across.
    let across = first.partition(0);
    let bytes = across.records(across.read(&read_from(13, 100)).unwrap()).await.unwrap();
    let header = Batches::whole(&bytes).next().unwrap().unwrap().header;
    assert!(header.is_vacant() && header.base_offset < Offset(13), "{header:?}");

    let third = cluster.start(3, setup()).await;
    eventually("the third joins", || cluster.metadata(0).isr.len() == 3).await;
    assert_eq!(third.log_end(0), 300);
    write(&first, 300..310).await;
    cluster.elect(0, 3, &[1, 2, 3]);
    write(&third, 310..320).await;
    let (last, _) = last_values(&third).await;
    assert_eq!(last, expected(320));
    cluster.stop_all([first, second, third]).await;
}
