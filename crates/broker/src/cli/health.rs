//! `steadfast health`: does the cluster serve, and is everything replicated.

use client::{Client, Topics};
use serde_json::json;

use super::failure::Failure;
use super::options::Options;

/// Arguments of `steadfast health`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Fail when fewer brokers are live.
    #[arg(long, value_name = "COUNT")]
    brokers: Option<usize>,
    /// Fail only when a partition has no leader, not when a replica is behind.
    #[arg(long)]
    serving: bool,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Debug, Default)]
struct Health {
    brokers: Vec<i32>,
    fenced: Vec<i32>,
    partitions: usize,
    without_leader: Vec<String>,
    under_replicated: Vec<String>,
}

/// Runs `steadfast health`.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let health = examine(&arguments.options.client()?).await?;
    let live = health.brokers.len();
    let missing = arguments.brokers.filter(|wanted| live < *wanted);
    let is_serving = health.without_leader.is_empty() && missing.is_none();
    let is_healthy = is_serving
        && (arguments.serving || health.under_replicated.is_empty() && health.fenced.is_empty());
    let mut output = arguments.options.output();
    let value = || {
        json!({
            "healthy": is_healthy,
            "serving": is_serving,
            "brokers": health.brokers,
            "fenced": health.fenced,
            "partitions": health.partitions,
            "without_leader": health.without_leader,
            "under_replicated": health.under_replicated,
        })
    };
    output.answer(value, |output| {
        let state = if is_healthy { "healthy" } else { "not healthy" };
        output.line(&format!(
            "{state}: {live} brokers live, {} fenced; {} partitions, {} without a leader, {} under-replicated",
            health.fenced.len(),
            health.partitions,
            health.without_leader.len(),
            health.under_replicated.len(),
        ))?;
        for (what, partitions) in
            [("no leader", &health.without_leader), ("under-replicated", &health.under_replicated)]
        {
            for partition in partitions.iter().take(MOST_NAMED) {
                output.line(&format!("  {what}: {partition}"))?;
            }
            if let Some(more) = partitions.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
                output.line(&format!("  {what}: {more} more"))?;
            }
        }
        Ok(())
    })?;
    output.flush()?;
    if is_healthy {
        return Ok(());
    }
    let at = arguments.options.bootstrap_servers();
    let why = missing.map(|wanted| format!(": {live} brokers live, {wanted} wanted"));
    Err(Failure::Failed(format!(
        "the cluster at {at} is not healthy{}; `steadfast cluster` and `steadfast topic describe` show more",
        why.unwrap_or_default()
    )))
}

async fn examine(client: &Client) -> Result<Health, Failure> {
    let what = "cannot examine the cluster";
    let cluster = client.describe_cluster().await.map_err(Failure::cluster(what))?;
    let metadata = client
        .retry(|| client.refresh_metadata(Topics::All))
        .await
        .map_err(Failure::cluster(what))?;
    let mut health = Health {
        brokers: metadata.brokers.keys().map(|id| id.0).collect(),
        fenced: cluster
            .brokers
            .iter()
            .filter(|broker| broker.is_fenced)
            .map(|broker| broker.id.0)
            .collect(),
        ..Health::default()
    };
    for (name, topic) in &metadata.topics {
        for (index, partition) in &topic.partitions {
            health.partitions += 1;
            if partition.leader.is_none() {
                health.without_leader.push(format!("{name}-{index}"));
            }
            if partition.isr.len() < partition.replicas.len() {
                health.under_replicated.push(format!("{name}-{index}"));
            }
        }
    }
    Ok(health)
}

/// Partitions that are named one by one; the rest are counted.
const MOST_NAMED: usize = 10;
