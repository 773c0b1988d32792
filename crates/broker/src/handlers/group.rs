//! What the handlers of consumer groups share: the road to a group's coordinator, and copies of what the client sent.
//!
//! The texts of a request keep its whole frame in memory; what reaches the coordinator is a copy.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use coordinator::group::ids::{GenerationId, GroupInstanceId, MemberId};
use coordinator::group::request::{MemberRef, Request};
use coordinator::group::response::Response;
use coordinator::runtime::Refusal;
use futures_util::stream::{self, StreamExt as _};
use model::ErrorCode;
use protocol::KafkaString;
use tokio::task::coop::consume_budget;

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

/// Groups of one request that are asked at once: some wait for the replicas.
const TOGETHER: usize = 64;

/// What the answer to a group that an answer has no more room for says.
pub(super) const TOO_LARGE: ErrorCode = ErrorCode::UnknownServerError;

/// The bytes that one answer may still take. A small request can name many large groups; what counts is what the answers hold in memory, about.
#[derive(Debug)]
pub(super) struct Room(AtomicUsize);

impl Room {
    /// Makes the room of a request: an answer is no larger than a request may be.
    pub(super) fn of(context: &Context) -> Self {
        Self(AtomicUsize::new(context.config.max_request_bytes))
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    pub(super) fn take(&self, bytes: usize) {
        // One task works on a request.
        let left = self.0.load(Ordering::Relaxed).saturating_sub(bytes);
        self.0.store(left, Ordering::Relaxed);
    }
}

/// Asks about each of many groups, some at once, and keeps the order. Lets other tasks run in between: an answer that is there at once never waits.
pub(super) async fn ask_each<W, A, F>(wanted: Vec<W>, ask: impl Fn(W) -> F) -> Vec<A>
where
    F: Future<Output = A>,
{
    let ask = &ask;
    let asked = wanted.into_iter().map(|wanted| async move {
        consume_budget().await;
        ask(wanted).await
    });
    stream::iter(asked).buffered(TOGETHER).collect().await
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
