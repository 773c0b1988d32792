//! ElectLeaders: preferred elections. An unclean one is never held, and a client that asks for it is told so.

use std::collections::BTreeMap;

use controller::metadata::{Command, ElectLeaders, Election, Image, LiveSet, Outcome, Refusal};
use model::{ErrorCode, TopicIdPartition};
use protocol::VersionRange;
use protocol::messages::elect_leaders::{PartitionResult, ReplicaElectionResult, TopicPartitions};
use protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

use super::proposal::{self, Mode};
use crate::context::{Call, Context};

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

/// Kafka's number of the preferred election.
const PREFERRED: i8 = 0;

/// Results by topic and partition.
type Results = BTreeMap<String, BTreeMap<i32, Result<(), Refusal>>>;

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    let outcome = if request.election_type == PREFERRED {
        elect(context, &request).await
    } else {
        let text = "only preferred elections are held: an unclean one loses acknowledged records";
        Err(Refusal::new(ErrorCode::InvalidRequest, text))
    };
    match outcome {
        Ok(results) => ElectLeadersResponse {
            replica_election_results: results.into_iter().map(result).collect(),
            ..ElectLeadersResponse::default()
        },
        Err(refusal) => {
            context.count_error(call.api_key, refusal.code);
            // Version 0 has no error for the whole: each partition gets it.
            let results = request.topic_partitions.iter().flatten().map(|topic| {
                let all = topic.partitions.iter().map(|index| (*index, Err(refusal.clone())));
                result((String::from(&topic.topic), all.collect()))
            });
            let replica_election_results = results.collect();
            ElectLeadersResponse {
                error_code: refusal.code,
                replica_election_results,
                ..ElectLeadersResponse::default()
            }
        }
    }
}

async fn elect(context: &Context, request: &ElectLeadersRequest) -> Result<Results, Refusal> {
    let image = context.controller.image();
    let mut results = Results::new();
    let partitions = request
        .topic_partitions
        .as_ref()
        .map(|topics| known_partitions(&image, topics, &mut results));
    let election = Election::Preferred;
    let command = ElectLeaders { election, partitions, live: LiveSet::default() };
    let proposed = proposal::propose(context, Mode::Apply, Command::ElectLeaders(command));
    match proposal::within(request.timeout_ms, proposed).await? {
        Outcome::LeadersElected(elected) => {
            for one in elected {
                let Some(topic) = image.topic(one.partition.topic_id) else { continue };
                let partitions = results.entry((*topic.name).to_owned()).or_default();
                partitions.insert(one.partition.partition, one.result.map(|_| ()));
            }
            Ok(results)
        }
        _ => Err(proposal::unexpected()),
    }
}

fn known_partitions(
    image: &Image,
    topics: &[TopicPartitions],
    results: &mut Results,
) -> Vec<TopicIdPartition> {
    let mut known = Vec::new();
    for topic in topics {
        for partition in &topic.partitions {
            let id = image
                .topic_id(&topic.topic)
                .map(|topic_id| TopicIdPartition { topic_id, partition: *partition })
                .filter(|id| image.partition(*id).is_some());
            match id {
                Some(id) => known.push(id),
                None => {
                    let refusal =
                        Refusal::new(ErrorCode::UnknownTopicOrPartition, "no such partition");
                    let partitions = results.entry(String::from(&topic.topic)).or_default();
                    partitions.insert(*partition, Err(refusal));
                }
            }
        }
    }
    known
}

fn result(
    (topic, partitions): (String, BTreeMap<i32, Result<(), Refusal>>),
) -> ReplicaElectionResult {
    let partition_result = partitions.into_iter().map(|(partition_id, result)| {
        let (error_code, error_message) = proposal::told(result);
        PartitionResult { partition_id, error_code, error_message }
    });
    ReplicaElectionResult { topic: topic.into(), partition_result: partition_result.collect() }
}
