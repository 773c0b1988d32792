//! `steadfast cluster`: brokers, the controller, who leads what; elections.

use std::collections::BTreeMap;

use client::admin::{BrokerDescription, Elected, Election};
use client::{Error, Topics};
use model::{BrokerId, TopicPartition};
use serde_json::{Value, json};

use super::failure::Failure;
use super::options::Options;
use super::output::Output;
use super::partitions;

/// Arguments of `steadfast cluster`; without an action it describes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    describe: Options,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show brokers and how much each leads.
    Describe(Options),
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
        options: Options,
    },
}

/// Runs `steadfast cluster`.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.action.unwrap_or(Action::Describe(arguments.describe)) {
        Action::Describe(options) => describe(&options).await,
        Action::Elect { topic, partition, unclean, options } => {
            let election = if unclean { Election::Unclean } else { Election::Preferred };
            elect(election, topic.map(|topic| (topic, partition)), &options).await
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    leaders: usize,
    replicas: usize,
    not_in_sync: usize,
}

async fn describe(options: &Options) -> Result<(), Failure> {
    let client = options.client()?;
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
    let value = || {
        let brokers: Value =
            cluster.brokers.iter().map(|broker| broker_json(broker, load(broker.id))).collect();
        json!({
            "cluster_id": cluster.cluster_id,
            "controller": cluster.controller.map(|controller| controller.0),
            "brokers": brokers,
        })
    };
    let mut output = options.output();
    output.answer(value, |output| {
        let controller = cluster.controller.map_or_else(|| "none".to_owned(), |id| id.to_string());
        output.line(&format!("cluster {}  controller {controller}", cluster.cluster_id))?;
        let rows: Vec<_> =
            cluster.brokers.iter().map(|broker| broker_row(broker, load(broker.id))).collect();
        let head = ["  BROKER", "ADDRESS", "STATE", "LEADS", "REPLICAS", "NOT IN SYNC", "RACK"];
        output.table(&head, &rows)
    })?;
    output.flush()
}

fn broker_json(broker: &BrokerDescription, load: Load) -> Value {
    json!({
        "id": broker.id.0, "address": broker.address, "rack": broker.rack,
        "fenced": broker.is_fenced, "leaders": load.leaders, "replicas": load.replicas,
        "not_in_sync": load.not_in_sync,
    })
}

fn broker_row(broker: &BrokerDescription, load: Load) -> Vec<String> {
    vec![
        format!("  {}", broker.id),
        broker.address.clone(),
        if broker.is_fenced { "fenced" } else { "live" }.to_owned(),
        load.leaders.to_string(),
        load.replicas.to_string(),
        load.not_in_sync.to_string(),
        broker.rack.clone().unwrap_or_default(),
    ]
}

async fn elect(
    election: Election,
    of: Option<(String, Option<i32>)>,
    options: &Options,
) -> Result<(), Failure> {
    let (client, mut output) = (options.client()?, options.output());
    let what = "cannot elect leaders";
    let partitions = match of {
        None => None,
        Some((topic, Some(partition))) => Some(vec![TopicPartition { topic, partition }]),
        Some((topic, None)) => Some(partitions::of_topic(&client, &topic, what).await?),
    };
    let results = client
        .elect_leaders(election, partitions.as_deref())
        .await
        .map_err(Failure::cluster(what))?;
    let value = || -> Value {
        let results = results.iter().map(|(at, result)| {
            json!({ "topic": at.topic, "partition": at.partition, "result": in_a_word(result) })
        });
        results.collect()
    };
    output.answer(value, |output| show_elections(output, &results))?;
    output.flush()?;
    match results.values().filter(|result| result.is_err()).count() {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!("{failed} of {} elections failed", results.len()))),
    }
}

fn show_elections(output: &mut Output, results: &Elections) -> Result<(), Failure> {
    if results.is_empty() {
        return output.line("no election was needed");
    }
    for (partition, result) in results {
        match result {
            Ok(_) => output.line(&format!("{partition}: {}", in_a_word(result)))?,
            Err(error) => output.line(&error.to_string())?,
        }
    }
    Ok(())
}

fn in_a_word(result: &Result<Elected, Error>) -> &str {
    match result {
        Ok(Elected::Now) => "elected",
        Ok(Elected::NotNeeded) => "not needed",
        Err(error) => error.code().map_or("failed", |code| code.name()),
    }
}

type Elections = BTreeMap<TopicPartition, Result<Elected, Error>>;
