//! SyncGroup: the leader hands in the assignment, and each member takes its part; the answer waits for the leader's.

use coordinator::group::request::{Request, SyncGroup};
use coordinator::group::response::Response;
use model::ErrorCode;
use protocol::VersionRange;
use protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::{UNEXPECTED, ask, wire};
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 5 };

/// First version in which a member must say what it believes to be chosen (KIP-559).
const PROTOCOL_VERSION: i16 = 5;

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    if request.group_id.is_empty() {
        return refused(context, call, ErrorCode::InvalidGroupId);
    }
    let is_told = request.protocol_type.is_some() && request.protocol_name.is_some();
    if call.version >= PROTOCOL_VERSION && !is_told {
        return refused(context, call, ErrorCode::InconsistentGroupProtocol);
    }
    // Whole: what is left of the frame is let go in the coordinator, before the wait begins.
    let wish = wish(request);
    let group_id = wish.member.group_id.clone();
    match ask(context, group_id.as_str(), Request::Sync(wish)).await {
        Ok(Response::Sync(answer)) => {
            context.count_error(call.api_key, answer.error);
            SyncGroupResponse {
                error_code: answer.error,
                protocol_type: wire::text(answer.protocol_type),
                protocol_name: wire::text(answer.protocol_name),
                assignment: answer.assignment,
                ..SyncGroupResponse::default()
            }
        }
        Ok(_) => refused(context, call, UNEXPECTED),
        Err(refusal) => refused(context, call, refusal.error_code()),
    }
}

fn wish(request: SyncGroupRequest) -> SyncGroup {
    let member = wire::member(
        &request.group_id,
        &request.member_id,
        request.group_instance_id.as_ref(),
        request.generation_id,
    );
    let assignments = request
        .assignments
        .iter()
        .map(|assignment| (assignment.member_id.as_str().into(), assignment.assignment.clone()));
    SyncGroup {
        member,
        protocol_type: request.protocol_type.as_ref().map(String::from),
        protocol_name: request.protocol_name.as_ref().map(String::from),
        assignments: assignments.collect(),
    }
}

fn refused(context: &Context, call: &Call, error_code: ErrorCode) -> SyncGroupResponse {
    context.count_error(call.api_key, error_code);
    SyncGroupResponse { error_code, ..SyncGroupResponse::default() }
}
