//! Topics and their partitions: creation, enlargement, deletion.
//!
//! Owns the checks of names, counts and assignments, and a partition's first state: replicas that are fenced at creation are assigned and outside the first ISR.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;
use model::topic::{collision_key, validate_topic_name};
use model::{BrokerId, ErrorCode, LeaderEpoch, PartitionEpoch, TopicId, TopicIdPartition};

use super::config_checks;
use super::election;
use super::placement::Placement;
use super::transition::Transition;
use crate::metadata::changes::RecordKey;
use crate::metadata::command::{
    Assignment, CreatePartitions, CreateTopics, DeleteTopics, LiveSet, NewPartitions, NewTopic,
    TopicSelector,
};
use crate::metadata::image::Image;
use crate::metadata::image::partition::{Durability, FlushPolicy, PartitionState, Replica};
use crate::metadata::image::topic::Topic;
use crate::metadata::outcome::{Outcome, Refusal, TopicCreated, TopicResult};

/// Most partitions that one command creates (Kafka's limit of one record batch).
pub(super) const MAX_PARTITIONS_PER_COMMAND: usize = 10_000;

/// Creates topics; each succeeds or fails by itself.
pub(super) fn create(transition: &mut Transition<'_>, command: &CreateTopics) -> Outcome {
    let mut budget = MAX_PARTITIONS_PER_COMMAND;
    let results = command.topics.iter().map(|topic| {
        let result = create_one(transition, topic, &command.live, &mut budget);
        TopicResult {
            name: Some(topic.name.clone()),
            topic_id: result.is_ok().then_some(topic.topic_id),
            result,
        }
    });
    Outcome::TopicsCreated(results.collect())
}

fn create_one(
    transition: &mut Transition<'_>,
    new: &NewTopic,
    live: &LiveSet,
    budget: &mut usize,
) -> Result<TopicCreated, Refusal> {
    check_name(transition.image, new)?;
    let mut configs = OrdMap::new();
    for (name, value) in &new.configs {
        config_checks::check_topic(name, value)?;
        configs.insert(name.clone(), value.clone());
    }
    let assignments = match &new.assignment {
        Assignment::Manual(assignments) => {
            spend(budget, assignments.len())?;
            check_assignments(transition.image, assignments, None)?;
            assignments.clone()
        }
        Assignment::Placed { partition_count, replication_factor, start } => {
            let count = usize::try_from(*partition_count).ok().filter(|count| *count > 0);
            let Some(count) = count else {
                return Err(Refusal::new(
                    ErrorCode::InvalidPartitions,
                    format!("a topic has at least one partition, not {partition_count}"),
                ));
            };
            let factor = check_factor(transition.image, *replication_factor)?;
            spend(budget, count)?;
            place(transition.image, usize::try_from(*start).unwrap_or(0), count, factor)?
        }
    };
    let created = TopicCreated {
        partition_count: i32::try_from(assignments.len()).unwrap_or(i32::MAX),
        replication_factor: assignments
            .first()
            .and_then(|replicas| i16::try_from(replicas.len()).ok())
            .unwrap_or(i16::MAX),
    };
    for name in configs.keys() {
        transition.changes.records.insert(RecordKey::TopicConfig(new.topic_id, name.clone()));
    }
    transition.set_topic(Topic {
        topic_id: new.topic_id,
        name: Arc::from(new.name.as_str()),
        partition_count: created.partition_count,
        configs,
    });
    add_partitions(transition, new.topic_id, 0, assignments, live);
    Ok(created)
}

fn check_name(image: &Image, new: &NewTopic) -> Result<(), Refusal> {
    validate_topic_name(&new.name)
        .map_err(|invalid| Refusal::new(ErrorCode::InvalidTopicException, invalid.to_string()))?;
    if image.topic_id(&new.name).is_some() {
        return Err(Refusal::new(
            ErrorCode::TopicAlreadyExists,
            format!("topic {} exists", new.name),
        ));
    }
    let collision = image.collision_keys.get(&collision_key(&new.name));
    if let Some(other) = collision.and_then(|topic_id| image.topic(*topic_id)) {
        return Err(Refusal::new(
            ErrorCode::InvalidTopicException,
            format!("topic {} differs from {} in '.' and '_' alone", new.name, other.name),
        ));
    }
    if new.topic_id.is_zero() || image.topic(new.topic_id).is_some() {
        return Err(Refusal::new(
            ErrorCode::InvalidRequest,
            format!("topic id {} is not free", new.topic_id),
        ));
    }
    Ok(())
}

fn spend(budget: &mut usize, count: usize) -> Result<(), Refusal> {
    match budget.checked_sub(count) {
        Some(left) => {
            *budget = left;
            Ok(())
        }
        None => Err(Refusal::new(
            ErrorCode::PolicyViolation,
            format!("one request creates at most {MAX_PARTITIONS_PER_COMMAND} partitions"),
        )),
    }
}

fn check_factor(image: &Image, replication_factor: i16) -> Result<usize, Refusal> {
    let registered = image.brokers().count();
    match usize::try_from(replication_factor) {
        Ok(factor) if (1..=registered).contains(&factor) => Ok(factor),
        Ok(_) | Err(_) => Err(Refusal::new(
            ErrorCode::InvalidReplicationFactor,
            format!("replication factor {replication_factor}, {registered} brokers are registered"),
        )),
    }
}

/// Places `count` partitions; needs a broker that can lead.
fn place(
    image: &Image,
    first_turn: usize,
    count: usize,
    replication_factor: usize,
) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    let placement = Placement::new(image);
    if !placement.has_leader() || placement.broker_count() < replication_factor {
        return Err(Refusal::new(
            ErrorCode::InvalidReplicationFactor,
            "all brokers are fenced or shutting down",
        ));
    }
    // A turn beyond the square of the brokers repeats the order; the bound keeps the sum far from overflow.
    let first_turn = first_turn % (placement.broker_count() * placement.broker_count());
    Ok((0..count).map(|index| placement.place(first_turn + index, replication_factor)).collect())
}

/// Checks what a caller assigned. All partitions have equally many replicas: as many as `replication_factor` if the topic has some already.
fn check_assignments(
    image: &Image,
    assignments: &[Vec<BrokerId>],
    replication_factor: Option<usize>,
) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    let Some(first) = assignments.first() else {
        return Err(Refusal::new(ErrorCode::InvalidPartitions, "no partition is assigned"));
    };
    let factor = replication_factor.unwrap_or(first.len());
    for replicas in assignments {
        if replicas.is_empty() || replicas.len() != factor {
            return invalid(format!("partitions have {factor} replicas, not {}", replicas.len()));
        }
        let distinct: BTreeSet<BrokerId> = replicas.iter().copied().collect();
        if distinct.len() != replicas.len() {
            return invalid("a partition is assigned twice to a broker".to_owned());
        }
        if let Some(stranger) = distinct.iter().find(|replica| image.broker(**replica).is_none()) {
            return invalid(format!("broker {stranger} is not registered"));
        }
        if !distinct.iter().any(|replica| image.is_active(*replica)) {
            return invalid("all brokers of a partition are fenced or shutting down".to_owned());
        }
    }
    Ok(())
}

/// Writes new partitions, numbered from `first`. The assignments have passed the checks.
fn add_partitions(
    transition: &mut Transition<'_>,
    topic_id: TopicId,
    first: i32,
    assignments: Vec<Vec<BrokerId>>,
    live: &LiveSet,
) {
    let durability = match transition.image.flush_policy(topic_id) {
        FlushPolicy::EveryMessage => Durability::Durable,
        FlushPolicy::PageCache => Durability::Lossy,
    };
    for (partition, replicas) in (first..).zip(assignments) {
        let state = first_state(transition.image, replicas, durability, live);
        transition.add_partition(TopicIdPartition { topic_id, partition }, state);
    }
}

fn first_state(
    image: &Image,
    replicas: Vec<BrokerId>,
    durability: Durability,
    live: &LiveSet,
) -> PartitionState {
    let mut isr: Vec<BrokerId> =
        replicas.iter().copied().filter(|replica| image.is_active(*replica)).collect();
    isr.sort_unstable();
    let mut state = PartitionState {
        replicas,
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
        isr,
        leader: None,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        durability,
        lost_members: Vec::new(),
        last_known_leader: None,
    };
    election::fill_vacancy(image, &mut state, live);
    state.last_known_leader = state
        .leader
        .and_then(|leader| image.broker(leader))
        .map(|broker| Replica { broker_id: broker.broker_id, directory_id: broker.directory_id });
    state
}

/// Adds partitions to topics; each succeeds or fails by itself.
pub(super) fn create_partitions(
    transition: &mut Transition<'_>,
    command: &CreatePartitions,
) -> Outcome {
    let mut budget = MAX_PARTITIONS_PER_COMMAND;
    let results = command.topics.iter().map(|topic| TopicResult {
        name: Some(topic.name.clone()),
        topic_id: transition.image.topic_id(&topic.name),
        result: enlarge(transition, topic, &command.live, &mut budget),
    });
    Outcome::PartitionsCreated(results.collect())
}

fn enlarge(
    transition: &mut Transition<'_>,
    new: &NewPartitions,
    live: &LiveSet,
    budget: &mut usize,
) -> Result<(), Refusal> {
    let Some(topic) = transition.image.topic_by_name(&new.name).cloned() else {
        return Err(unknown_topic(&TopicSelector::Name(new.name.clone())));
    };
    let added = i64::from(new.total_count) - i64::from(topic.partition_count);
    let Some(added) = usize::try_from(added).ok().filter(|added| *added > 0) else {
        return Err(Refusal::new(
            ErrorCode::InvalidPartitions,
            format!(
                "topic {} has {} partitions, and {} would not be more",
                new.name, topic.partition_count, new.total_count
            ),
        ));
    };
    if transition.image.partitions_of(topic.topic_id).any(|(_, state)| state.is_reassigning()) {
        return Err(Refusal::new(
            ErrorCode::ReassignmentInProgress,
            format!("partitions of topic {} are being reassigned", new.name),
        ));
    }
    spend(budget, added)?;
    let first = TopicIdPartition { topic_id: topic.topic_id, partition: 0 };
    let factor = transition.partition(first)?.replicas.len();
    let assignments = match &new.assignments {
        Some(assignments) if assignments.len() != added => {
            return Err(Refusal::new(
                ErrorCode::InvalidReplicaAssignment,
                format!("{added} partitions are new, {} are assigned", assignments.len()),
            ));
        }
        Some(assignments) => {
            check_assignments(transition.image, assignments, Some(factor))?;
            assignments.clone()
        }
        None => {
            let factor = i16::try_from(factor).unwrap_or(i16::MAX);
            let factor = check_factor(transition.image, factor)?;
            place(transition.image, usize::try_from(new.start).unwrap_or(0), added, factor)?
        }
    };
    add_partitions(transition, topic.topic_id, topic.partition_count, assignments, live);
    transition.set_topic(Topic { partition_count: new.total_count, ..topic });
    Ok(())
}

/// Deletes topics; each succeeds or fails by itself.
pub(super) fn delete(transition: &mut Transition<'_>, command: &DeleteTopics) -> Outcome {
    let results = command.topics.iter().map(|selector| {
        let topic = match selector {
            TopicSelector::Name(name) => transition.image.topic_by_name(name),
            TopicSelector::Id(topic_id) => transition.image.topic(*topic_id),
        };
        let (name, topic_id) = match (topic, selector) {
            (Some(topic), _) => (Some(topic.name.to_string()), Some(topic.topic_id)),
            (None, TopicSelector::Name(name)) => (Some(name.clone()), None),
            (None, TopicSelector::Id(topic_id)) => (None, Some(*topic_id)),
        };
        let topic = topic.cloned();
        TopicResult { name, topic_id, result: delete_one(transition, selector, topic) }
    });
    Outcome::TopicsDeleted(results.collect())
}

fn delete_one(
    transition: &mut Transition<'_>,
    selector: &TopicSelector,
    topic: Option<Topic>,
) -> Result<(), Refusal> {
    let Some(topic) = topic else {
        return Err(unknown_topic(selector));
    };
    let allowed = transition.image.cluster_config("delete.topic.enable");
    if allowed.is_some_and(|value| value.trim().eq_ignore_ascii_case("false")) {
        return Err(Refusal::new(ErrorCode::TopicDeletionDisabled, "delete.topic.enable is false"));
    }
    let partitions: Vec<TopicIdPartition> =
        transition.image.partitions_of(topic.topic_id).map(|(partition, _)| partition).collect();
    for partition in partitions {
        transition.image.partitions.remove(&partition);
        transition.changes.partitions.insert(partition);
        transition.changes.records.insert(RecordKey::Partition(partition));
    }
    for name in topic.configs.keys() {
        transition.changes.records.insert(RecordKey::TopicConfig(topic.topic_id, name.clone()));
    }
    transition.image.topics.remove(&topic.topic_id);
    transition.image.topic_names.remove(&topic.name);
    transition.image.collision_keys.remove(&collision_key(&topic.name));
    transition.touch_topic(topic.topic_id);
    transition.changes.records.insert(RecordKey::Topic(topic.topic_id));
    Ok(())
}

fn unknown_topic(selector: &TopicSelector) -> Refusal {
    match selector {
        TopicSelector::Name(name) => {
            Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name}"))
        }
        TopicSelector::Id(topic_id) => {
            Refusal::new(ErrorCode::UnknownTopicId, format!("there is no topic with id {topic_id}"))
        }
    }
}
