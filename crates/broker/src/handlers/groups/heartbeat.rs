//! Heartbeat: a member lives, and hears whether it must join again.

use coordinator::group::request::{Heartbeat, Request};
use coordinator::group::response::Response;
use coordinator::runtime::Refusal;
use model::ErrorCode;
use protocol::VersionRange;
use protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::{UNEXPECTED, ask, wire};
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 4 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: HeartbeatRequest,
) -> HeartbeatResponse {
    let error_code = beat(context, &request).await;
    context.count_error(call.api_key, error_code);
    HeartbeatResponse { error_code, ..HeartbeatResponse::default() }
}

async fn beat(context: &Context, request: &HeartbeatRequest) -> ErrorCode {
    if request.group_id.is_empty() {
        return ErrorCode::InvalidGroupId;
    }
    let member = wire::member(
        &request.group_id,
        &request.member_id,
        request.group_instance_id.as_ref(),
        request.generation_id,
    );
    let beat = Request::Heartbeat(Heartbeat { member });
    match ask(context, &request.group_id, beat).await {
        Ok(Response::Heartbeat(error_code)) => error_code,
        Ok(_) => UNEXPECTED,
        // A coordinator that loads counts everybody as alive (as Kafka): the sessions begin anew when it is done.
        Err(Refusal::LoadInProgress) => ErrorCode::None,
        Err(refusal) => refusal.error_code(),
    }
}
