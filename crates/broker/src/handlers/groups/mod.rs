//! Consumer groups and their offsets: one file for each API, and the road to a group's coordinator.
//!
//! A handler turns the request's version into the coordinator's one form, and the coordinator's answer back; it knows no rule of groups.

pub(crate) mod delete_groups;
pub(crate) mod describe_groups;
pub(crate) mod find_coordinator;
pub(crate) mod heartbeat;
pub(crate) mod join_group;
pub(crate) mod leave_group;
pub(crate) mod list_groups;
pub(crate) mod offset_commit;
pub(crate) mod offset_delete;
pub(crate) mod offset_fetch;
pub(crate) mod sync_group;
pub(crate) mod txn_offset_commit;

pub(super) mod answers;
mod wire;

use coordinator::group::request::Request;
use coordinator::group::response::Response;
use coordinator::runtime::Refusal;
use model::ErrorCode;

use crate::context::Context;
use crate::coordinators;
use crate::topics::internal::OFFSETS_TOPIC;

/// Lets the coordinator of a group answer, if that is this broker.
///
/// # Errors
/// The coordinator's refusal.
async fn ask(context: &Context, group_id: &str, request: Request) -> Result<Response, Refusal> {
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
    create_topic(context, OFFSETS_TOPIC).await;
}

/// Creates a coordinator's topic when there is none.
async fn create_topic(context: &Context, topic: &str) {
    if context.controller.image().topic_id(topic).is_some() {
        return;
    }
    if let Err(code) = context.auto_topics.create(topic).await {
        tracing::debug!("{topic} is not created yet: {code}");
    }
}

/// Says that the coordinator gave an answer of another kind, which only a defect can make.
const UNEXPECTED: ErrorCode = ErrorCode::UnknownServerError;
