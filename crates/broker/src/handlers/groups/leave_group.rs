//! LeaveGroup: members leave: one up to version 2, several from version 3 on.

use coordinator::group::request::{LeaveGroup, LeavingMember, Request};
use coordinator::group::response::Response;
use model::ErrorCode;
use protocol::messages::leave_group::{MemberIdentity, MemberResponse};
use protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use protocol::{KafkaString, VersionRange};

use super::{UNEXPECTED, ask, wire};
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 5 };

/// First version with many members (KIP-345).
const MANY_MEMBERS_VERSION: i16 = 3;

/// Most members that leave by one request: each is a step of the group. Tools that empty a group name all of its members.
const MAX_MEMBERS: usize = 10_000;

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let LeaveGroupRequest { group_id, member_id, members } = request;
    let members = if call.version < MANY_MEMBERS_VERSION {
        vec![MemberIdentity { member_id, ..MemberIdentity::default() }]
    } else {
        members
    };
    let codes = match leave(context, &group_id, &members).await {
        Ok(codes) => codes,
        Err(error_code) => {
            context.count_error(call.api_key, error_code);
            return LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
        }
    };
    for code in &codes {
        context.count_error(call.api_key, *code);
    }
    if call.version < MANY_MEMBERS_VERSION {
        let error_code = codes.first().copied().unwrap_or(UNEXPECTED);
        return LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
    }
    let members = members.into_iter().zip(codes).map(|(member, error_code)| MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code,
    });
    LeaveGroupResponse { members: members.collect(), ..LeaveGroupResponse::default() }
}

/// Returns one code for each member, or that of the whole request.
async fn leave(
    context: &Context,
    group_id: &KafkaString,
    members: &[MemberIdentity],
) -> Result<Vec<ErrorCode>, ErrorCode> {
    if group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    if members.len() > MAX_MEMBERS {
        return Err(ErrorCode::InvalidRequest);
    }
    let leaving = members.iter().map(|member| LeavingMember {
        member_id: member.member_id.as_str().into(),
        group_instance_id: wire::instance(member.group_instance_id.as_ref()),
    });
    let leave = LeaveGroup { group_id: group_id.as_str().into(), members: leaving.collect() };
    match ask(context, group_id, Request::Leave(leave)).await {
        Ok(Response::Leave(answer)) if answer.error.is_error() => Err(answer.error),
        Ok(Response::Leave(answer)) => Ok(answer.members),
        Ok(_) => Err(UNEXPECTED),
        Err(refusal) => Err(refusal.error_code()),
    }
}
