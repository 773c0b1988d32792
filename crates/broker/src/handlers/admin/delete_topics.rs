//! DeleteTopics: by name, and from version 6 on by id.

use controller::metadata::{Command, DeleteTopics, Image, Outcome, Refusal, Topic, TopicSelector};
use model::{ErrorCode, TopicId};
use protocol::VersionRange;
use protocol::messages::delete_topics::{DeletableTopicResult, DeleteTopicState};
use protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};

use super::proposal::{self, Mode};
use crate::context::{Call, Context};
use crate::topics::internal::is_internal;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 6 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = |name| DeleteTopicState { name: Some(name), topic_id: TopicId::default() };
    let wanted: Vec<DeleteTopicState> =
        request.topics.into_iter().chain(request.topic_names.into_iter().map(by_name)).collect();
    let image = context.controller.image();
    // Every committed offset would go with the offsets topic.
    let is_kept = |topic: &DeleteTopicState| {
        topic.name.as_ref().is_some_and(|name| is_internal(name))
            || known(&image, topic).is_some_and(|known| is_internal(&known.name))
    };
    let selectors = wanted.iter().filter(|topic| !is_kept(topic)).map(selector);
    let selectors: Vec<TopicSelector> = selectors.collect();
    let count = selectors.len();
    let command = Command::DeleteTopics(DeleteTopics { topics: selectors });
    let enabled = image.cluster_config("delete.topic.enable") != Some("false");
    let outcome = if count == 0 {
        Ok(Outcome::TopicsDeleted(Vec::new()))
    } else if enabled {
        proposal::within(request.timeout_ms, proposal::propose(context, Mode::Apply, command)).await
    } else {
        Err(Refusal::new(ErrorCode::TopicDeletionDisabled, "delete.topic.enable is false"))
    };
    let results: Vec<Result<(), Refusal>> = match outcome {
        Ok(Outcome::TopicsDeleted(deleted)) => {
            deleted.into_iter().map(|deleted| deleted.result).collect()
        }
        Ok(_) => vec![Err(proposal::unexpected()); count],
        Err(refusal) => vec![Err(refusal); count],
    };
    let mut results = results.into_iter();
    let responses = wanted.into_iter().map(|topic| {
        let result = if is_kept(&topic) {
            let text = "internal topics are not deleted: every committed offset would go";
            Err(Refusal::new(ErrorCode::InvalidTopicException, text))
        } else {
            results.next().unwrap_or_else(|| Err(proposal::unexpected()))
        };
        let (error_code, error_message) = proposal::told(result);
        context.count_error(call.api_key, error_code);
        // The image before the deletion knows the name of what was named by id, and the id of what was named by name.
        let known = known(&image, &topic);
        let name = topic.name.or_else(|| known.map(|known| (&*known.name).into()));
        let topic_id = known.map_or(topic.topic_id, |known| known.topic_id);
        DeletableTopicResult { name, topic_id, error_code, error_message }
    });
    DeleteTopicsResponse { responses: responses.collect(), ..Default::default() }
}

fn selector(topic: &DeleteTopicState) -> TopicSelector {
    match &topic.name {
        Some(name) => TopicSelector::Name(String::from(name)),
        None => TopicSelector::Id(topic.topic_id),
    }
}

fn known<'a>(image: &'a Image, topic: &DeleteTopicState) -> Option<&'a Topic> {
    match &topic.name {
        Some(name) => image.topic_by_name(name),
        None => image.topic(topic.topic_id),
    }
}
