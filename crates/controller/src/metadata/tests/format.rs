//! How a script's output shows outcomes and records.

use std::collections::BTreeMap;

use model::{BrokerId, DirectoryId, TopicId, TopicIdPartition};

use crate::metadata::{
    BrokerRegistration, BrokerState, Changes, ConfigResource, DirectoryProof, Durability, Image,
    Outcome, PartitionResult, PartitionState, RecordKey, Refusal, Replica, TopicResult,
};

/// Names of topics, deleted ones included.
pub(super) type Names = BTreeMap<TopicId, String>;

pub(super) fn outcome(names: &Names, outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Refused(refusal) => vec![refused(refusal)],
        Outcome::ClusterFormed => vec!["formed".to_owned()],
        Outcome::BrokerRegistered(registered) => vec![format!(
            "registered epoch={} {}",
            registered.broker_epoch,
            proof(registered.directory_proof)
        )],
        Outcome::BrokerUnfenced => vec!["unfenced".to_owned()],
        Outcome::BrokerFenced => vec!["fenced".to_owned()],
        Outcome::ShuttingDown { leaderships_left } => {
            vec![format!("shutting down, leaderships left={leaderships_left}")]
        }
        Outcome::IsrProposed(results) => partitions(names, results, |altered| {
            format!(
                "accepted leader={} epoch={}/{} isr={}",
                optional(altered.leader),
                altered.leader_epoch,
                altered.partition_epoch,
                brokers(&altered.isr)
            )
        }),
        Outcome::ReplicasLost(results) => partitions(names, results, |()| "lost".to_owned()),
        Outcome::LeadersElected(results) | Outcome::LeadershipYielded(results) => {
            partitions(names, results, |leader| format!("elected {leader}"))
        }
        Outcome::TopicsCreated(results) => topics(results, |created| {
            format!(
                "created partitions={} rf={}",
                created.partition_count, created.replication_factor
            )
        }),
        Outcome::TopicsDeleted(results) => topics(results, |()| "deleted".to_owned()),
        Outcome::PartitionsCreated(results) => topics(results, |()| "enlarged".to_owned()),
        Outcome::ConfigsAltered(results) => results
            .iter()
            .map(|(whose, result)| match result {
                Ok(()) => format!("{}: altered", resource(whose)),
                Err(refusal) => format!("{}: {}", resource(whose), refused(refusal)),
            })
            .collect(),
        Outcome::ProducerIdsAllocated(block) => {
            vec![format!("producer ids from {}, {} of them", block.first, block.count)]
        }
        Outcome::VotersUpdated => vec!["voters updated".to_owned()],
    }
}

/// Shows every record that changed, then the partitions that only look different, then lossy elections.
pub(super) fn changes(names: &Names, image: &Image, changes: &Changes) -> Vec<String> {
    let mut lines: Vec<String> =
        changes.records.iter().map(|key| record(names, image, key)).collect();
    let written = |partition: &&TopicIdPartition| {
        !changes.records.contains(&RecordKey::Partition(**partition))
    };
    let views: Vec<String> =
        changes.partitions.iter().filter(written).map(|key| partition(names, *key)).collect();
    if !views.is_empty() {
        lines.push(format!("views: {}", views.join(" ")));
    }
    lines.extend(
        changes
            .lossy_elections
            .iter()
            .map(|key| format!("LOSSY ELECTION: {}", partition(names, *key))),
    );
    lines
}

fn record(names: &Names, image: &Image, key: &RecordKey) -> String {
    let value = |value: Option<&String>| value.map_or_else(|| "(default)".to_owned(), Clone::clone);
    match key {
        RecordKey::Cluster => {
            let voters: Vec<String> =
                image.voters().iter().map(|(id, raft_id)| format!("{id}:{raft_id}")).collect();
            format!(
                "cluster: id={} voters={} next producer id={}",
                image.cluster_id().expect("it is formed"),
                voters.join(","),
                image.next_producer_id()
            )
        }
        RecordKey::ClusterConfig(name) => {
            format!("config {name}={}", value(image.cluster_configs().get(name)))
        }
        RecordKey::Broker(broker_id) => {
            image.broker(*broker_id).map_or_else(|| format!("broker {broker_id}: gone"), broker)
        }
        RecordKey::BrokerConfig(broker_id, name) => {
            let configs = image.broker_configs(*broker_id);
            let value = configs.get(name.as_str()).copied().unwrap_or("(default)");
            format!("config of broker {broker_id} {name}={value}")
        }
        RecordKey::Topic(topic_id) => match image.topic(*topic_id) {
            Some(topic) => format!("topic {}: partitions={}", topic.name, topic.partition_count),
            None => format!("topic {}: gone", topic_name(names, *topic_id)),
        },
        RecordKey::TopicConfig(topic_id, name) => {
            let configs = image.topic(*topic_id).map(|topic| &topic.configs);
            let value = value(configs.and_then(|configs| configs.get(name)));
            format!("config of topic {} {name}={value}", topic_name(names, *topic_id))
        }
        RecordKey::Partition(key) => match image.partition(*key) {
            Some(found) => format!("{}: {}", partition(names, *key), state(found)),
            None => format!("{}: gone", partition(names, *key)),
        },
    }
}

pub(super) fn broker(broker: &BrokerRegistration) -> String {
    let state = match broker.state {
        BrokerState::Fenced => "fenced",
        BrokerState::Unfenced => "unfenced",
        BrokerState::ShuttingDown => "shutting down",
    };
    let known: Vec<String> = broker
        .known_directories
        .iter()
        .map(|(known, epoch)| format!("{}@{epoch}", directory(*known)))
        .collect();
    let mut line = format!(
        "broker {}: epoch={} {state} fences={} dir={} {}",
        broker.broker_id,
        broker.broker_epoch,
        broker.fence_count,
        directory(broker.directory_id),
        proof(broker.directory_proof)
    );
    if !known.is_empty() {
        line += &format!(" known={}", known.join(","));
    }
    line
}

pub(super) fn state(state: &PartitionState) -> String {
    let durability = match state.durability {
        Durability::Durable => "durable",
        Durability::Lossy => "lossy",
    };
    let mut line = format!(
        "leader={} epoch={}/{} isr={} replicas={} {durability}",
        optional(state.leader),
        state.leader_epoch,
        state.partition_epoch,
        brokers(&state.isr),
        brokers(&state.replicas)
    );
    let replica =
        |replica: &Replica| format!("{}@{}", replica.broker_id, directory(replica.directory_id));
    if !state.lost_members.is_empty() {
        let lost: Vec<String> = state.lost_members.iter().map(replica).collect();
        line += &format!(" lost={}", lost.join(","));
    }
    if let Some(last) = state.last_known_leader.filter(|last| state.leader != Some(last.broker_id))
    {
        line += &format!(" last={}", replica(&last));
    }
    line
}

/// Directories in scripts are named by up to sixteen letters, which are the id's bytes.
pub(super) fn directory(directory_id: DirectoryId) -> String {
    String::from_utf8_lossy(&directory_id.to_bytes()).trim_end_matches('\0').to_owned()
}

pub(super) fn partition(names: &Names, partition: TopicIdPartition) -> String {
    format!("{}-{}", topic_name(names, partition.topic_id), partition.partition)
}

fn topic_name(names: &Names, topic_id: TopicId) -> String {
    names.get(&topic_id).cloned().unwrap_or_else(|| "?".to_owned())
}

fn partitions<T>(
    names: &Names,
    results: &[PartitionResult<T>],
    success: impl Fn(&T) -> String,
) -> Vec<String> {
    let line = |result: &PartitionResult<T>| {
        let text = result.result.as_ref().map_or_else(refused, &success);
        format!("{}: {text}", partition(names, result.partition))
    };
    results.iter().map(line).collect()
}

fn topics<T>(results: &[TopicResult<T>], success: impl Fn(&T) -> String) -> Vec<String> {
    let line = |result: &TopicResult<T>| {
        let text = result.result.as_ref().map_or_else(refused, &success);
        format!("{}: {text}", result.name.as_deref().unwrap_or("?"))
    };
    results.iter().map(line).collect()
}

fn resource(resource: &ConfigResource) -> String {
    match resource {
        ConfigResource::Topic(name) => format!("topic {name}"),
        ConfigResource::Broker(broker_id) => format!("broker {broker_id}"),
        ConfigResource::Cluster => "cluster".to_owned(),
    }
}

fn refused(refusal: &Refusal) -> String {
    format!("refused {refusal}")
}

fn proof(proof: DirectoryProof) -> &'static str {
    match proof {
        DirectoryProof::Intact => "intact",
        DirectoryProof::Returned => "returned",
        DirectoryProof::Wiped => "wiped",
    }
}

fn optional(broker_id: Option<BrokerId>) -> String {
    broker_id.map_or_else(|| "none".to_owned(), |broker_id| broker_id.to_string())
}

fn brokers(broker_ids: &[BrokerId]) -> String {
    if broker_ids.is_empty() {
        return "none".to_owned();
    }
    let numbers: Vec<String> = broker_ids.iter().map(ToString::to_string).collect();
    numbers.join(",")
}
