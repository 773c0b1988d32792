//! What is read off the transaction shards at each scrape: ids by state, the oldest open transaction, markers on their way, and how transactions ended.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::transaction_coordinator::TransactionCoordinator;
use crate::transaction::ShardCounts;
use crate::transaction::state::TransactionState;

/// Gauges that are read off the shards at each scrape.
#[derive(Debug)]
pub struct TransactionGauges {
    coordinator: Arc<TransactionCoordinator>,
}

impl TransactionGauges {
    /// Makes the gauges of a coordinator, to be registered as a collector.
    #[must_use]
    pub fn new(coordinator: Arc<TransactionCoordinator>) -> Self {
        Self { coordinator }
    }
}

impl Collector for TransactionGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.coordinator.counts();
        encode_gauges(&mut encoder, &counts)?;
        for (name, help, count) in [
            ("commits", "Transactions that were decided to be committed", counts.commit_count),
            ("aborts", "Transactions that were decided to be aborted", counts.abort_count),
            ("timeouts", "Transactions that were aborted by their timeout", counts.timeout_count),
            ("fenced", "Requests of former incarnations of producers", counts.fenced_count),
        ] {
            let name = format!("steadfast_transaction_{name}");
            let counter = ConstCounter::new(count);
            let metric = encoder.encode_descriptor(&name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}

fn encode_gauges(
    encoder: &mut DescriptorEncoder<'_>,
    counts: &ShardCounts,
) -> Result<(), fmt::Error> {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let gauge = ConstGauge::new(0_i64);
    let help = "Transactional ids coordinated by this broker, by state";
    let name = "steadfast_transactional_ids";
    let mut family = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    for state in TransactionState::ALL {
        let count = counts.transactional_ids.get(&state).copied().unwrap_or(0);
        let gauge = ConstGauge::new(number(count));
        gauge.encode(family.encode_family(&[("state", state.name())])?)?;
    }
    let gauge = ConstGauge::new(number(counts.pending_marker_count));
    let help = "Partitions whose markers are asked for and not written yet";
    let name = "steadfast_transaction_pending_markers";
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
    let age = counts.oldest_open_for.unwrap_or_default().as_secs_f64();
    let gauge = ConstGauge::new(age);
    let help = "Age of the oldest transaction that is not complete";
    let name = "steadfast_transaction_oldest_open_seconds";
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}
