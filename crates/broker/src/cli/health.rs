//! `steadfast health`: does the cluster serve, and is everything replicated.

use client::{Client, Topics};
use serde_json::json;

use super::failure::Failure;
use super::options::Connect;
use super::output::Output;

/// Arguments of `steadfast health`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Fail when fewer brokers are live.
    #[arg(long, value_name = "COUNT")]
    brokers: Option<usize>,
    /// Fail only when a partition has no leader, not when a replica is behind.
    #[arg(long)]
    serving: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
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
    let client = arguments.connect.client()?;
    let health = examine(&client).await?;
    let is_short = arguments.brokers.is_some_and(|wanted| health.brokers.len() < wanted);
    let is_serving = health.without_leader.is_empty() && !is_short;
    let is_healthy = is_serving
        && (arguments.serving || health.under_replicated.is_empty() && health.fenced.is_empty());
    let mut output = Output::new();
    if arguments.json {
        output.json(&json!({
            "healthy": is_healthy,
            "serving": is_serving,
            "brokers": health.brokers,
            "fenced": health.fenced,
            "partitions": health.partitions,
            "without_leader": health.without_leader,
            "under_replicated": health.under_replicated,
        }))?;
    } else {
        let state = if is_healthy { "healthy" } else { "not healthy" };
        output.line(&format!(
            "{state}: {} brokers live, {} fenced; {} partitions, {} without a leader, {} under-replicated",
            health.brokers.len(),
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
        }
    }
    output.flush()?;
    if is_healthy {
        return Ok(());
    }
    let at = arguments.connect.bootstrap_servers();
    Err(Failure::Failed(format!(
        "the cluster at {at} is not healthy; `steadfast cluster` and `steadfast topic describe` show more"
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

/// Partitions that are named one by one; the rest is counted.
const MOST_NAMED: usize = 10;
