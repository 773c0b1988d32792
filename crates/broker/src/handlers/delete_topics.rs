//! DeleteTopics: by name, and from version 6 on by id.

use controller::metadata::{Command, DeleteTopics, Outcome, Refusal, TopicSelector};
use model::{ErrorCode, TopicId};
use protocol::VersionRange;
use protocol::messages::delete_topics::{DeletableTopicResult, DeleteTopicState};
use protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};

use super::admin::{self, Mode};
use crate::context::{Call, Context};

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 6 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = |name| DeleteTopicState { name: Some(name), topic_id: TopicId::default() };
    let wanted: Vec<DeleteTopicState> =
        request.topics.into_iter().chain(request.topic_names.into_iter().map(by_name)).collect();
    let selectors = wanted.iter().map(|topic| match &topic.name {
        Some(name) => TopicSelector::Name(String::from(name)),
        None => TopicSelector::Id(topic.topic_id),
    });
    let command = Command::DeleteTopics(DeleteTopics { topics: selectors.collect() });
    let image = context.controller.image();
    let enabled = image.cluster_config("delete.topic.enable") != Some("false");
    let outcome = if enabled {
        admin::within(request.timeout_ms, admin::propose(context, Mode::Apply, command)).await
    } else {
        Err(Refusal::new(ErrorCode::TopicDeletionDisabled, "delete.topic.enable is false"))
    };
    let results: Vec<Result<(), Refusal>> = match outcome {
        Ok(Outcome::TopicsDeleted(deleted)) => {
            deleted.into_iter().map(|deleted| deleted.result).collect()
        }
        Ok(_) => wanted.iter().map(|_| Err(admin::unexpected())).collect(),
        Err(refusal) => wanted.iter().map(|_| Err(refusal.clone())).collect(),
    };
    let responses = wanted.into_iter().zip(results).map(|(topic, result)| {
        let (error_code, message) = match result {
            Ok(()) => (ErrorCode::None, String::new()),
            Err(refusal) => (refusal.code, refusal.message),
        };
        context.count_error(call.api_key, error_code);
        // The image before the deletion knows the name of what was named by id, and the id of what was named by name.
        let known = match &topic.name {
            Some(name) => image.topic_by_name(name),
            None => image.topic(topic.topic_id),
        };
        let name = topic.name.or_else(|| known.map(|known| (&*known.name).into()));
        let topic_id = known.map_or(topic.topic_id, |known| known.topic_id);
        DeletableTopicResult { name, topic_id, error_code, error_message: admin::text(&message) }
    });
    DeleteTopicsResponse { responses: responses.collect(), ..Default::default() }
}
