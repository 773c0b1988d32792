//! What a scrape shows.

use std::sync::Arc;

use coordinator::runtime::GroupGauges;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::memory_log::MemoryLog;
use super::support::{Broker, join, joined};

#[tokio::test(start_paused = true)]
async fn a_scrape_shows_groups_commits_and_refusals() {
    let log = MemoryLog::new();
    let broker = Broker::start(&log);
    let mut registry = Registry::default();
    broker.metrics.register(&mut registry);
    let gauges = GroupGauges::new(Arc::clone(&broker.coordinator));
    registry.register_collector(Box::new(gauges));
    broker.commit("readers", 5).await.unwrap_err();
    broker.lead(&log, 0).await;
    broker.commit("readers", 5).await.unwrap();
    broker.commit("readers", 6).await.unwrap();
    broker.form_group("members").await;
    let waiting = joined(broker.handle(join("waiting", "")).await.unwrap());
    assert!(waiting.generation_id.is_some());

    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for line in [
        "steadfast_group_commits_total 2",
        "steadfast_group_commit_seconds_count 2",
        "steadfast_group_rebalances_completed_total 1",
        "steadfast_group_refused_requests_total{reason=\"not_coordinator\"} 1",
        "steadfast_group_refused_requests_total{reason=\"not_available\"} 0",
        "steadfast_group_load_seconds_count 1",
        "steadfast_group_log_rewrites_total 0",
        "steadfast_groups{state=\"Empty\"} 1",
        "steadfast_groups{state=\"CompletingRebalance\"} 1",
        "steadfast_groups{state=\"Stable\"} 1",
        "steadfast_groups{state=\"PreparingRebalance\"} 0",
        "steadfast_group_members 2",
        "steadfast_group_committed_offsets 1",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\nis not in\n{text}");
    }
}
