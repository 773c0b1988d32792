//! What the handlers of consumer groups share: the road to a group's coordinator, and copies of what the client sent.
//!
//! The texts of a request keep its whole frame in memory; what reaches the coordinator is a copy.

use bytes::Bytes;
use coordinator::group::ids::{GenerationId, GroupInstanceId, MemberId};
use coordinator::group::request::{MemberRef, Request};
use coordinator::group::response::Response;
use coordinator::runtime::Refusal;
use model::ErrorCode;
use protocol::KafkaString;

use crate::context::Context;
use crate::coordinators;
use crate::internal_topics::OFFSETS_TOPIC;

/// Lets the coordinator of a group answer, if that is this broker.
///
/// # Errors
/// The coordinator's refusal.
pub(super) async fn ask(
    context: &Context,
    group_id: &str,
    request: Request,
) -> Result<Response, Refusal> {
    if matches!(request, Request::Join(_) | Request::CommitOffsets(_)) {
        create_offsets_topic(context).await;
    }
    // The image is let go before the wait.
    let partition = coordinators::partition_of(&context.controller.image(), group_id);
    let partition = partition.ok_or(Refusal::NotCoordinator)?.partition;
    context.coordinators.groups().handle(partition, request).await
}

/// Creates the offsets topic when there is none. What goes wrong shows in that there is none afterwards; the client tries again.
pub(super) async fn create_offsets_topic(context: &Context) {
    if context.controller.image().topic_id(OFFSETS_TOPIC).is_some() {
        return;
    }
    match context.auto_topics.create(&context.controller, OFFSETS_TOPIC).await {
        Ok(()) => context.until_led(OFFSETS_TOPIC).await,
        Err(code) => tracing::debug!("{OFFSETS_TOPIC} is not created yet: {code}"),
    }
}

/// Says that the coordinator gave an answer of another kind, which only a defect can make.
pub(super) const UNEXPECTED: ErrorCode = ErrorCode::UnknownServerError;

/// Answers for a group that an answer has no more room for: nothing but repetition makes one so large.
pub(super) fn too_large<T>(
    group_id: KafkaString,
    answer: impl FnOnce(ErrorCode, KafkaString) -> T,
) -> T {
    answer(ErrorCode::UnknownServerError, group_id)
}

/// Reads who asks, within a group.
pub(super) fn member(
    group_id: &KafkaString,
    member_id: &KafkaString,
    group_instance_id: Option<&KafkaString>,
    generation_id: i32,
) -> MemberRef {
    MemberRef {
        group_id: group_id.as_str().into(),
        member_id: member_id.as_str().into(),
        group_instance_id: instance(group_instance_id),
        generation_id: (generation_id >= 0).then_some(GenerationId(generation_id)),
    }
}

/// Copies a static name.
pub(super) fn instance(id: Option<&KafkaString>) -> Option<GroupInstanceId> {
    id.map(|id| id.as_str().into())
}

/// Copies opaque bytes out of the frame.
pub(super) fn copied(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// Turns a text that may be missing into the wire's.
pub(super) fn text(text: Option<String>) -> Option<KafkaString> {
    text.map(Into::into)
}

/// Turns a static name into the wire's.
pub(super) fn instance_text(id: Option<&GroupInstanceId>) -> Option<KafkaString> {
    id.map(|id| id.as_str().into())
}

/// Turns a member's id into the wire's.
pub(super) fn member_text(id: &MemberId) -> KafkaString {
    id.as_str().into()
}
