//! What the tests of the driver are written in: clusters and brokers, batches, and waits with a deadline.

mod cluster;
mod controller;

use std::future::Future;
use std::time::Duration;

use log_storage::{AppendOrigin, Minimum};
use model::record_batch::{BatchBuilder, BatchOptions, NewRecord};
use model::{Acks, Offset, TopicId, TopicIdPartition, UnixMillis};
use replication::{Isolation, ProduceOptions, ReadRequest};

pub(crate) use self::cluster::{Broker, Cluster, Setup};

/// How long a test waits for something that must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

const CLUSTER: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Names a partition: the last three digits are its index, the others count the topics that had the name one after the other.
pub(crate) fn partition_id(number: i32) -> TopicIdPartition {
    let topic = u8::try_from(number / 1_000).unwrap();
    TopicIdPartition { topic_id: TopicId::from_bytes([topic + 1; 16]), partition: number % 1_000 }
}

/// Waits until a condition holds, or fails the test.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let mut look = tokio::time::interval(Duration::from_millis(2));
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what} did not happen in time");
        look.tick().await;
    }
}

/// Waits for a future, or fails the test.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen in time"))
}

/// Builds a batch of one record that holds a number.
pub(crate) fn numbered(number: u64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let value = number.to_be_bytes();
    builder.append(&NewRecord { value: Some(&value), ..NewRecord::default() }).unwrap();
    builder.build().unwrap()
}

/// Builds a batch of records with values of a size.
pub(crate) fn batch(count: usize, value_bytes: usize) -> Vec<u8> {
    batch_at(count, value_bytes, 1_000)
}

pub(crate) fn batch_at(count: usize, value_bytes: usize, timestamp: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let value = vec![b'v'; value_bytes];
    for index in 0..count {
        let timestamp = UnixMillis(timestamp + i64::try_from(index).unwrap());
        builder
            .append(&NewRecord { timestamp, value: Some(&value), ..NewRecord::default() })
            .unwrap();
    }
    builder.build().unwrap()
}

pub(crate) fn options(acks: Acks) -> ProduceOptions {
    ProduceOptions {
        acks,
        timeout: DEADLINE,
        expected_leader_epoch: None,
        origin: AppendOrigin::Client,
        verification: None,
    }
}

pub(crate) fn read_from(offset: i64, max_bytes: usize) -> ReadRequest {
    ReadRequest {
        offset: Offset(offset),
        max_bytes,
        minimum: Minimum::OneBatch,
        isolation: Isolation::ReadUncommitted,
        current_leader_epoch: None,
        last_fetched_epoch: None,
    }
}
