//! The reader of `bench consume`: fetches whole batches and counts them.

use std::time::Duration;

use client::OffsetAt;
use client::consumer::{Consumer, ConsumerConfig, FetchedBatches, Start};
use model::TopicPartition;
use model::record_batch::Batches;
use serde_json::json;
use tokio::time::Instant;

use super::processes::Processes;
use super::report::{Latencies, Report};
use super::{Consume, Failure, wait_for_leaders};
use crate::cli::progress::Progress;

/// Runs `bench consume`: from the beginning of the topic, until the time, the number of records or the topic is over.
pub(super) async fn run(arguments: Consume, processes: Processes) -> Result<Report, Failure> {
    let common = &arguments.common;
    let client = common.options.client()?;
    let partitions = wait_for_leaders(&client, &common.topic).await?;
    let what = format!("cannot read topic {}", common.topic);
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    for partition in &partitions {
        consumer
            .assign(partition.clone(), Start::At(OffsetAt::Earliest))
            .await
            .map_err(Failure::cluster(what.clone()))?;
    }
    let first = processes.read();
    let mut counts = Counts::default();
    let mut latencies = Latencies::new();
    let mut progress = Progress::new();
    let started = Instant::now();
    let mut last_answer = started;
    while last_answer - started < common.duration || common.records.is_some() {
        let asked = Instant::now();
        let fetched = consumer.poll_batches().await.map_err(Failure::cluster(what.clone()))?;
        if fetched.is_empty() && is_at_end(&consumer, &partitions) {
            break;
        }
        last_answer = Instant::now();
        latencies.record(last_answer - asked);
        for batches in &fetched {
            counts.add(batches, arguments.decode).map_err(Failure::cluster(what.clone()))?;
        }
        if common.records.is_some_and(|wanted| counts.records >= wanted) {
            break;
        }
        let records = counts.records;
        progress.show(|| format!("{records} records"));
    }
    let (brokers, own_cpu_seconds) = processes.read().since(&first);
    Ok(Report {
        workload: format!(
            "consume {}: {} partitions, from the beginning",
            common.topic,
            partitions.len()
        ),
        parameters: json!({
            "topic": common.topic,
            "partitions": partitions.len(),
            "decode": arguments.decode,
        }),
        records: counts.records,
        bytes: counts.bytes,
        requests: counts.answers.max(1),
        elapsed: (last_answer - started).max(Duration::from_micros(1)),
        latencies,
        latency_of: "wait for the next batches",
        brokers,
        own_cpu_seconds,
    })
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    records: u64,
    bytes: u64,
    answers: u64,
}

impl Counts {
    fn add(&mut self, fetched: &FetchedBatches, decode: bool) -> Result<(), client::Error> {
        self.answers += 1;
        self.bytes += u64::try_from(fetched.bytes.len()).unwrap_or_default();
        if decode {
            let mut records = Vec::new();
            fetched.decode_into(MAX_DECOMPRESSED_BYTES, &mut records)?;
            self.records += u64::try_from(records.len()).unwrap_or_default();
            return Ok(());
        }
        for batch in Batches::whole(&fetched.bytes).flatten() {
            self.records += u64::from(batch.header.record_count.unsigned_abs());
        }
        Ok(())
    }
}

fn is_at_end(consumer: &Consumer, partitions: &[TopicPartition]) -> bool {
    partitions.iter().all(|partition| {
        let end = consumer.high_watermark(partition);
        end.is_some() && consumer.position(partition) >= end
    })
}

const MAX_DECOMPRESSED_BYTES: usize = 128 << 20;
