//! CreatePartitions: adds partitions to topics.

use controller::metadata::{Command, CreatePartitions, LiveSet, NewPartitions, Outcome, Refusal};
use model::{BrokerId, ErrorCode};
use protocol::VersionRange;
use protocol::messages::create_partitions::{CreatePartitionsTopic, CreatePartitionsTopicResult};
use protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::proposal::{self, Mode};
use crate::context::{Call, Context};
use crate::topics::internal::is_internal;
use crate::topics::placement_start;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 3 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    // The partition of a group follows from their number: another number would lose every committed offset.
    let is_fixed = |topic: &CreatePartitionsTopic| is_internal(&topic.name);
    let wanted = request.topics.iter().filter(|topic| !is_fixed(topic));
    let topics: Vec<NewPartitions> = wanted.map(new_partitions).collect();
    let count = topics.len();
    let command = Command::CreatePartitions(CreatePartitions { topics, live: LiveSet::default() });
    let mode = Mode::from_wire(request.validate_only);
    let outcome = if count == 0 {
        Ok(Vec::new())
    } else {
        match proposal::within(request.timeout_ms, proposal::propose(context, mode, command)).await
        {
            Ok(Outcome::PartitionsCreated(created)) => Ok(created),
            Ok(_) => Err(proposal::unexpected()),
            Err(refusal) => Err(refusal),
        }
    };
    let results: Vec<Result<(), Refusal>> = match outcome {
        Ok(created) => created.into_iter().map(|created| created.result).collect(),
        Err(refusal) => vec![Err(refusal); count],
    };
    let mut results = results.into_iter();
    let mut next = |topic: &CreatePartitionsTopic| {
        if is_fixed(topic) {
            let text = "the number of partitions of an internal topic is fixed: it says where groups are kept";
            return Err(Refusal::new(ErrorCode::InvalidPartitions, text));
        }
        results.next().unwrap_or_else(|| Err(proposal::unexpected()))
    };
    let results: Vec<Result<(), Refusal>> = request.topics.iter().map(&mut next).collect();
    let results = request.topics.into_iter().zip(results).map(|(topic, result)| {
        let (error_code, error_message) = proposal::told(result);
        context.count_error(call.api_key, error_code);
        CreatePartitionsTopicResult { name: topic.name, error_code, error_message }
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
