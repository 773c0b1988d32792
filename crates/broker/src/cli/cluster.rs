//! `steadfast cluster`: brokers, the controller, who leads what; elections.

use std::collections::BTreeMap;

use client::Topics;
use client::admin::{Elected, Election};
use model::{BrokerId, TopicPartition};
use serde_json::{Value, json};

use super::options::Connect;
use super::failure::Failure;
use super::output::Output;

/// Arguments of `steadfast cluster`; without an action it describes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    describe: Common,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show brokers and how much each leads.
    Describe(Common),
    /// Elect leaders: the preferred replicas, unless told otherwise.
    Elect {
        /// Elect for this topic only, or for one partition of it with --partition.
        #[arg(long)]
        topic: Option<String>,
        /// Elect for this partition only.
        #[arg(long, requires = "topic")]
        partition: Option<i32>,
        /// Elect any live replica where none in sync is left: records that it does not have are lost.
        #[arg(long, requires = "topic")]
        unclean: bool,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// Runs `steadfast cluster`.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut output = Output::new();
    match arguments.action.unwrap_or(Action::Describe(arguments.describe)) {
        Action::Describe(common) => describe(&mut output, &common).await?,
        Action::Elect { topic, partition, unclean, common } => {
            let election = if unclean { Election::Unclean } else { Election::Preferred };
            elect(&mut output, election, topic.map(|topic| (topic, partition)), &common).await?;
        }
    }
    output.flush()
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    leaders: usize,
    replicas: usize,
    not_in_sync: usize,
}

async fn describe(output: &mut Output, common: &Common) -> Result<(), Failure> {
    let client = common.connect.client()?;
    let what = "cannot describe the cluster";
    let cluster = client.describe_cluster().await.map_err(Failure::cluster(what))?;
    let metadata = client
        .retry(|| client.refresh_metadata(Topics::All))
        .await
        .map_err(Failure::cluster(what))?;
    let mut loads = BTreeMap::<BrokerId, Load>::new();
    for partition in metadata.topics.values().flat_map(|topic| topic.partitions.values()) {
        if let Some(leader) = partition.leader {
            loads.entry(leader).or_default().leaders += 1;
        }
        for replica in &partition.replicas {
            let load = loads.entry(*replica).or_default();
            load.replicas += 1;
            load.not_in_sync += usize::from(!partition.isr.contains(replica));
        }
    }
    let load = |id: BrokerId| loads.get(&id).copied().unwrap_or_default();
    if common.json {
        let brokers: Value = cluster
            .brokers
            .iter()
            .map(|broker| {
                let Load { leaders, replicas, not_in_sync } = load(broker.id);
                json!({
                    "id": broker.id.0, "address": broker.address, "rack": broker.rack,
                    "fenced": broker.is_fenced, "leaders": leaders, "replicas": replicas,
                    "not_in_sync": not_in_sync,
                })
            })
            .collect();
        return output.json(&json!({
            "cluster_id": cluster.cluster_id,
            "controller": cluster.controller.map(|controller| controller.0),
            "brokers": brokers,
        }));
    }
    let controller = cluster.controller.map_or_else(|| "none".to_owned(), |id| id.to_string());
    output.line(&format!("cluster {}  controller {controller}", cluster.cluster_id))?;
    let rows: Vec<_> = cluster
        .brokers
        .iter()
        .map(|broker| {
            let Load { leaders, replicas, not_in_sync } = load(broker.id);
            vec![
                format!("  {}", broker.id),
                broker.address.clone(),
                if broker.is_fenced { "fenced" } else { "live" }.to_owned(),
                leaders.to_string(),
                replicas.to_string(),
                not_in_sync.to_string(),
                broker.rack.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let head = ["  BROKER", "ADDRESS", "STATE", "LEADS", "REPLICAS", "NOT IN SYNC", "RACK"];
    output.table(&head, &rows)
}

async fn elect(
    output: &mut Output,
    election: Election,
    of: Option<(String, Option<i32>)>,
    common: &Common,
) -> Result<(), Failure> {
    let client = common.connect.client()?;
    let what = "cannot elect leaders";
    let partitions = match of {
        None => None,
        Some((topic, Some(partition))) => Some(vec![TopicPartition { topic, partition }]),
        Some((topic, None)) => {
            let names = [topic.clone()];
            let metadata = client.topics(&names).await.map_err(Failure::cluster(what))?;
            let numbers = metadata.topics.get(&topic).map(|topic| topic.partitions.keys());
            let partition =
                |partition: &i32| TopicPartition { topic: topic.clone(), partition: *partition };
            Some(numbers.into_iter().flatten().map(partition).collect())
        }
    };
    let results = client
        .elect_leaders(election, partitions.as_deref())
        .await
        .map_err(Failure::cluster(what))?;
    let mut failed = 0;
    let mut values = Vec::new();
    for (partition, result) in &results {
        failed += usize::from(result.is_err());
        let outcome = match result {
            Ok(Elected::Now) => "elected",
            Ok(Elected::NotNeeded) => "not needed",
            Err(error) => error.code().map_or("failed", |code| code.name()),
        };
        if common.json {
            values.push(json!({
                "topic": partition.topic, "partition": partition.partition, "result": outcome,
            }));
        } else {
            output.line(&format!("{partition}: {outcome}"))?;
        }
    }
    if common.json {
        output.json(&Value::from(values))?;
    }
    output.flush()?;
    if failed > 0 {
        return Err(Failure::Failed(format!("{failed} of {} elections failed", results.len())));
    }
    Ok(())
}
