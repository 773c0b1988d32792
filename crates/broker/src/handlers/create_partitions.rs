//! CreatePartitions: adds partitions to topics.

use controller::metadata::{Command, CreatePartitions, LiveSet, NewPartitions, Outcome, Refusal};
use model::{BrokerId, ErrorCode};
use protocol::VersionRange;
use protocol::messages::create_partitions::{CreatePartitionsTopic, CreatePartitionsTopicResult};
use protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::admin::{self, Mode};
use crate::auto_topics::placement_start;
use crate::context::{Call, Context};

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 3 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let topics = request.topics.iter().map(new_partitions).collect();
    let command = Command::CreatePartitions(CreatePartitions { topics, live: LiveSet::default() });
    let mode = Mode::from_wire(request.validate_only);
    let outcome = admin::within(request.timeout_ms, admin::propose(context, mode, command)).await;
    let results: Vec<Result<(), Refusal>> = match outcome {
        Ok(Outcome::PartitionsCreated(created)) => {
            created.into_iter().map(|created| created.result).collect()
        }
        Ok(_) => request.topics.iter().map(|_| Err(admin::unexpected())).collect(),
        Err(refusal) => request.topics.iter().map(|_| Err(refusal.clone())).collect(),
    };
    let results = request.topics.into_iter().zip(results).map(|(topic, result)| {
        let (error_code, message) = match result {
            Ok(()) => (ErrorCode::None, String::new()),
            Err(refusal) => (refusal.code, refusal.message),
        };
        context.count_error(call.api_key, error_code);
        CreatePartitionsTopicResult {
            name: topic.name,
            error_code,
            error_message: admin::text(&message),
        }
    });
    CreatePartitionsResponse { results: results.collect(), ..Default::default() }
}

fn new_partitions(topic: &CreatePartitionsTopic) -> NewPartitions {
    let brokers = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
    let assignments = topic
        .assignments
        .as_ref()
        .map(|list| list.iter().map(|one| brokers(&one.broker_ids)).collect());
    NewPartitions {
        name: String::from(&topic.name),
        total_count: topic.count,
        assignments,
        start: placement_start(),
    }
}
