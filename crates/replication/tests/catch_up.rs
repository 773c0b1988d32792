//! A follower that missed a million records fetches them in bounded memory. Alone in its binary, since it measures the process.
#![expect(clippy::unwrap_used, reason = "what fails here is a test")]

#[path = "driver/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the other tests use the rest")]
mod support;

use model::Acks;
use support::{Cluster, Setup, batch, eventually, in_time, options};

const BATCHES: i64 = 1_000;
const RECORDS_PER_BATCH: i64 = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_records_are_caught_up_with_in_bounded_memory() {
    let cluster = Cluster::new();
    let first = cluster.start(1, Setup::default()).await;
    let second = cluster.start(2, Setup::default()).await;
    cluster.create(0, &[&first, &second], 1).await;
    cluster.stop(second).await;
    cluster.change(0, |metadata| {
        metadata.isr.remove(&model::BrokerId(2));
    });
    let template = batch(usize::try_from(RECORDS_PER_BATCH).unwrap(), 100);
    for _ in 0..BATCHES {
        let waiter = first.partition(0).produce(&mut template.clone(), &options(Acks::None));
        in_time("an append", waiter).await.unwrap();
    }
    eventually("the leader's flush", || first.high_watermark(0) == BATCHES * RECORDS_PER_BATCH)
        .await;
    let log_bytes = first.partition(0).status().size_bytes;
    assert!(log_bytes > 100 << 20, "{log_bytes}");

    let before = resident_bytes();
    let second = cluster.start(2, Setup::default()).await;
    let mut peak = before;
    eventually("the follower's log end", || {
        peak = peak.max(resident_bytes());
        second.log_end(0) == BATCHES * RECORDS_PER_BATCH
    })
    .await;
    eventually("the follower joins", || cluster.metadata(0).isr.len() == 2).await;
    assert!(peak - before < 48 << 20, "{} MiB of {} MiB", (peak - before) >> 20, log_bytes >> 20);
    for broker in [first, second] {
        cluster.stop(broker).await;
    }
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
