//! What the scrape reads off the replicas of this moment.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use crate::local_broker::LocalBroker;
use crate::partition::ReplicaRole;

/// Gauges that are read off the replicas at each scrape.
#[derive(Debug)]
pub(super) struct ReplicaGauges {
    local: Arc<LocalBroker>,
}

impl ReplicaGauges {
    pub(super) fn new(local: Arc<LocalBroker>) -> Self {
        Self { local }
    }
}

#[derive(Default)]
struct Sums {
    partitions: i64,
    leaders: i64,
    offline: i64,
    under_replicated: i64,
    under_min_isr: i64,
    size_bytes: u64,
}

impl ReplicaGauges {
    fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for partition in self.local.partitions().values() {
            let status = partition.status();
            sums.partitions += 1;
            sums.size_bytes += status.size_bytes;
            match status.role {
                ReplicaRole::Leader(_) => {
                    sums.leaders += 1;
                    sums.under_replicated += i64::from(status.isr_count < status.replica_count);
                    sums.under_min_isr += i64::from(status.isr_count < status.effective_min_isr);
                }
                ReplicaRole::Follower(..) => {}
                ReplicaRole::Offline(_) => sums.offline += 1,
            }
        }
        sums
    }
}

impl Collector for ReplicaGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let sums = self.sums();
        let size_bytes = i64::try_from(sums.size_bytes).unwrap_or(i64::MAX);
        for (name, help, value) in [
            ("steadfast_partitions", "Replicas on this broker", sums.partitions),
            ("steadfast_leader_partitions", "Partitions led by this broker", sums.leaders),
            (
                "steadfast_offline_replicas",
                "Replicas on this broker that neither lead nor follow",
                sums.offline,
            ),
            (
                "steadfast_under_replicated_partitions",
                "Partitions led here whose ISR lacks a replica",
                sums.under_replicated,
            ),
            (
                "steadfast_under_min_isr_partitions",
                "Partitions led here whose ISR is below min.insync.replicas",
                sums.under_min_isr,
            ),
            ("steadfast_log_size_bytes", "Size of all logs on this broker", size_bytes),
        ] {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}
