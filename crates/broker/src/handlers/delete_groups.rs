//! DeleteGroups: forgets groups that have no members, and their offsets.

use std::collections::BTreeSet;

use coordinator::group::request::Request;
use coordinator::group::response::Response;
use futures_util::future::join_all;
use protocol::messages::delete_groups::DeletableGroupResult;
use protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use protocol::{KafkaString, VersionRange};

use super::group;
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

/// Deletions of one request that wait at once.
const DELETIONS: usize = 64;

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut named = BTreeSet::new();
    let mut groups = request.groups_names;
    // One named twice is deleted and answered once, as Kafka does.
    groups.retain(|group| named.insert(group.clone()));
    let mut results = Vec::with_capacity(groups.len());
    // Each deletion waits for the replicas: some wait together.
    for together in groups.chunks(DELETIONS) {
        results.extend(join_all(together.iter().map(|group| delete(context, group))).await);
    }
    for result in &results {
        context.count_error(call.api_key, result.error_code);
    }
    DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() }
}

async fn delete(context: &Context, group_id: &KafkaString) -> DeletableGroupResult {
    let deletion = Request::Delete(group_id.as_str().into());
    let error_code = match group::ask(context, group_id, deletion).await {
        Ok(Response::Delete(error_code)) => error_code,
        Ok(_) => group::UNEXPECTED,
        Err(refusal) => refusal.error_code(),
    };
    DeletableGroupResult { group_id: group_id.clone(), error_code }
}
