//! What is read off the shards at each scrape: groups by state, members, offsets, transactions, rebalances.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::group_coordinator::GroupCoordinator;
use crate::group::state::GroupState;

/// Gauges that are read off the shards at each scrape.
#[derive(Debug)]
pub struct GroupGauges {
    coordinator: Arc<GroupCoordinator>,
}

impl GroupGauges {
    /// Makes the gauges of a coordinator, to be registered as a collector.
    #[must_use]
    pub fn new(coordinator: Arc<GroupCoordinator>) -> Self {
        Self { coordinator }
    }
}

impl Collector for GroupGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.coordinator.counts();
        let gauge = ConstGauge::new(0_i64);
        let help = "Groups coordinated by this broker, by state";
        let mut family =
            encoder.encode_descriptor("steadfast_groups", help, None, gauge.metric_type())?;
        for state in SHOWN_STATES {
            let gauge = ConstGauge::new(number(counts.groups.get(&state).copied().unwrap_or(0)));
            gauge.encode(family.encode_family(&[("state", state.name())])?)?;
        }
        for (name, help, count) in [
            (
                "steadfast_group_members",
                "Members of the groups coordinated by this broker",
                counts.member_count,
            ),
            (
                "steadfast_group_committed_offsets",
                "Committed offsets kept by this broker's coordinators",
                counts.offset_count,
            ),
            (
                "steadfast_group_pending_offsets",
                "Offsets of open transactions that wait for the marker, at this broker's coordinators",
                counts.pending_offset_count,
            ),
            (
                "steadfast_group_open_transactions",
                "Open transactions that have committed offsets at this broker's coordinators, once for each partition of the offsets topic",
                counts.open_transaction_count,
            ),
        ] {
            let gauge = ConstGauge::new(number(count));
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        let counter = ConstCounter::new(counts.completed_rebalance_count);
        let name = "steadfast_group_rebalances_completed";
        let help = "Rebalances that ended in an assignment";
        counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The states that a group which exists can be in.
const SHOWN_STATES: [GroupState; 4] = [
    GroupState::Empty,
    GroupState::PreparingRebalance,
    GroupState::CompletingRebalance,
    GroupState::Stable,
];
