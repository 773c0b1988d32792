//! DeleteGroups: forgets groups that have no members, and their offsets.

use std::collections::BTreeSet;

use coordinator::group::request::Request;
use coordinator::group::response::Response;
use protocol::messages::delete_groups::DeletableGroupResult;
use protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use protocol::{KafkaString, VersionRange};

use super::{UNEXPECTED, answers, ask};
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut named = BTreeSet::new();
    let mut groups = request.groups_names;
    // One named twice is deleted and answered once, as Kafka does.
    groups.retain(|group| named.insert(group.clone()));
    let results = answers::ask_each(groups, |group| delete(context, group)).await;
    for result in &results {
        context.count_error(call.api_key, result.error_code);
    }
    DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() }
}

async fn delete(context: &Context, group_id: KafkaString) -> DeletableGroupResult {
    let deletion = Request::Delete(group_id.as_str().into());
    let error_code = match ask(context, &group_id, deletion).await {
        Ok(Response::Delete(error_code)) => error_code,
        Ok(_) => UNEXPECTED,
        Err(refusal) => refusal.error_code(),
    };
    DeletableGroupResult { group_id, error_code }
}
