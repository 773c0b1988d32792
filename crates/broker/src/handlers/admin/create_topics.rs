//! CreateTopics: one command for all topics of a request, one outcome for each.

use std::collections::BTreeMap;

use controller::metadata::{
    Assignment, Command, CreateTopics, Image, LiveSet, NewTopic, Outcome, Refusal,
};
use model::{BrokerId, ErrorCode};
use protocol::VersionRange;
use protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult,
};
use protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};

use super::proposal::{self, Mode};
use super::twice::named_twice;
use super::{configs, describe_configs};
use crate::context::{Call, Context};
use crate::topics::internal::METADATA_LOG;
use crate::topics::{fresh_topic_id, placement_start};

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 7 };

/// First version in which -1 asks for the cluster's default (KIP-464).
const DEFAULTS_VERSION: i16 = 4;

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let image = context.controller.image();
    let mut results: Vec<CreatableTopicResult> = Vec::with_capacity(request.topics.len());
    let mut wanted = Vec::new();
    let twice = named_twice(request.topics.iter().map(|topic| topic.name.as_str()));
    for (position, topic) in request.topics.iter().enumerate() {
        results.push(CreatableTopicResult { name: topic.name.clone(), ..Default::default() });
        let checked = if twice.contains(topic.name.as_str()) {
            Err(Refusal::new(ErrorCode::InvalidRequest, "the topic is named twice"))
        } else if topic.name == METADATA_LOG {
            Err(Refusal::new(ErrorCode::InvalidRequest, "the name of the metadata log is taken"))
        } else {
            new_topic(context, call, &image, topic)
        };
        match checked {
            Ok(new) => wanted.push((position, new)),
            Err(refusal) => refuse(&mut results[position], &refusal),
        }
    }
    let mode = Mode::from_wire(request.validate_only);
    if !wanted.is_empty() {
        create(context, mode, request.timeout_ms, wanted, &mut results).await;
    }
    for result in &results {
        context.count_error(call.api_key, result.error_code);
        if mode == Mode::Apply && !result.error_code.is_error() {
            context.auto_topics.until_led(&result.name).await;
        }
    }
    CreateTopicsResponse { topics: results, ..CreateTopicsResponse::default() }
}

async fn create(
    context: &Context,
    mode: Mode,
    timeout_ms: i32,
    wanted: Vec<(usize, NewTopic)>,
    results: &mut [CreatableTopicResult],
) {
    let (positions, topics): (Vec<usize>, Vec<NewTopic>) = wanted.into_iter().unzip();
    let command =
        Command::CreateTopics(CreateTopics { topics: topics.clone(), live: LiveSet::default() });
    let outcome = proposal::within(timeout_ms, proposal::propose(context, mode, command)).await;
    let created = match outcome {
        Ok(Outcome::TopicsCreated(created)) => Ok(created),
        Ok(_) => Err(proposal::unexpected()),
        Err(refusal) => Err(refusal),
    };
    match created {
        Ok(created) => {
            let image = context.controller.image();
            for ((position, topic), created) in positions.into_iter().zip(topics).zip(created) {
                let result = &mut results[position];
                match created.result {
                    Ok(made) => {
                        result.topic_id = topic.topic_id;
                        result.num_partitions = made.partition_count;
                        result.replication_factor = made.replication_factor;
                        result.configs = Some(described(&image, &topic.configs));
                    }
                    Err(refusal) => refuse(result, &refusal),
                }
            }
        }
        Err(refusal) => {
            for position in positions {
                refuse(&mut results[position], &refusal);
            }
        }
    }
}

fn refuse(result: &mut CreatableTopicResult, refusal: &Refusal) {
    result.error_code = refusal.code;
    result.error_message = proposal::text(&refusal.message);
}

fn new_topic(
    context: &Context,
    call: &Call,
    image: &Image,
    topic: &CreatableTopic,
) -> Result<NewTopic, Refusal> {
    let entries = topic.configs.iter().map(|config| (&config.name, config.value.as_ref()));
    Ok(NewTopic {
        name: String::from(&topic.name),
        topic_id: fresh_topic_id(),
        assignment: assignment(context, call, image, topic)?,
        configs: configs::topic_configs(&topic.name, entries)?,
    })
}

fn assignment(
    context: &Context,
    call: &Call,
    image: &Image,
    topic: &CreatableTopic,
) -> Result<Assignment, Refusal> {
    if !topic.assignments.is_empty() {
        return manual(topic);
    }
    let with_defaults = call.version >= DEFAULTS_VERSION;
    let defaults = context.auto_topics.defaults(image, &topic.name);
    let partition_count = match topic.num_partitions {
        -1 if with_defaults => defaults.partition_count,
        count if count < 1 => {
            let text = "Number of partitions must be larger than 0.";
            return Err(Refusal::new(ErrorCode::InvalidPartitions, text));
        }
        count => count,
    };
    let replication_factor = match topic.replication_factor {
        -1 if with_defaults => defaults.replication_factor,
        factor if factor < 1 => {
            let text = "Replication factor must be larger than 0.";
            return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, text));
        }
        factor => factor,
    };
    Ok(Assignment::Placed { partition_count, replication_factor, start: placement_start() })
}

fn manual(topic: &CreatableTopic) -> Result<Assignment, Refusal> {
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let text = "with assignments, number of partitions and replication factor must be -1";
        return Err(Refusal::new(ErrorCode::InvalidRequest, text));
    }
    let mut by_index: BTreeMap<i32, Vec<BrokerId>> = BTreeMap::new();
    for one in &topic.assignments {
        let brokers = one.broker_ids.iter().copied().map(BrokerId).collect();
        by_index.insert(one.partition_index, brokers);
    }
    let consecutive = by_index.keys().copied().eq(0..i32::try_from(by_index.len()).unwrap_or(0));
    if !consecutive || by_index.len() != topic.assignments.len() {
        let text = "partitions must be numbered from 0, each once";
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, text));
    }
    Ok(Assignment::Manual(by_index.into_values().collect()))
}

fn described(image: &Image, own: &BTreeMap<String, String>) -> Vec<CreatableTopicConfigs> {
    let own = |key: &str| own.get(key).map(String::as_str);
    describe_configs::topic_values(image, own)
        .map(|value| CreatableTopicConfigs {
            name: value.key.name.into(),
            value: value.effective().map(Into::into),
            read_only: false,
            config_source: value.source(),
            is_sensitive: false,
        })
        .collect()
}
