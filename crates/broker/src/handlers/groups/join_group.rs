//! JoinGroup: a member joins a group's next generation. The answer waits for the other members, perhaps for minutes.

use std::time::Duration;

use coordinator::group::request::{FirstJoin, JoinGroup, JoinProtocol, Request, SkipAssignment};
use coordinator::group::response::{JoinAnswer, JoinedMember, Response};
use model::ErrorCode;
use protocol::messages::join_group::JoinGroupResponseMember;
use protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use protocol::{KafkaString, VersionRange};

use super::{UNEXPECTED, ask, wire};
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 9 };

/// First version in which a dynamic member must come again with the id that it is given (KIP-394).
const MEMBER_ID_VERSION: i16 = 4;

/// First version that knows a missing protocol name.
const NO_PROTOCOL_VERSION: i16 = 7;

/// First version whose leaders may be told to keep the assignment (KIP-814).
const SKIP_ASSIGNMENT_VERSION: i16 = 9;

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    if request.group_id.is_empty() {
        return refused(context, call, ErrorCode::InvalidGroupId, request.member_id.as_str());
    }
    // Whole: what is left of the frame is let go in the coordinator, before the wait begins.
    let longest = context.coordinators.max_session_timeout();
    let wish = wish(call, request, longest);
    let (group_id, member_id) = (wish.group_id.clone(), wish.member_id.clone());
    match ask(context, group_id.as_str(), Request::Join(wish)).await {
        Ok(Response::Join(answer)) => {
            context.count_error(call.api_key, answer.error);
            response(call, answer)
        }
        Ok(_) => refused(context, call, UNEXPECTED, member_id.as_str()),
        Err(refusal) => refused(context, call, refusal.error_code(), member_id.as_str()),
    }
}

/// Makes the coordinator's request. A negative time is none, which is shorter than any session may be. A rebalance waits for a member no longer than `longest`, whatever the member
/// asks for: the others' answers, and their connections, wait with it.
fn wish(call: &Call, request: JoinGroupRequest, longest: Duration) -> JoinGroup {
    let millis = |millis: i32| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    let session_timeout = millis(request.session_timeout_ms);
    let rebalance_timeout =
        if call.version == 0 { session_timeout } else { millis(request.rebalance_timeout_ms) };
    let first_join = if call.version < MEMBER_ID_VERSION {
        FirstJoin::Directly
    } else {
        FirstJoin::WithMemberId
    };
    let skip_assignment = if call.version < SKIP_ASSIGNMENT_VERSION {
        SkipAssignment::Unknown
    } else {
        SkipAssignment::Understood
    };
    let protocols = request.protocols.iter().map(|protocol| JoinProtocol {
        name: String::from(&protocol.name),
        metadata: protocol.metadata.clone(),
    });
    JoinGroup {
        group_id: request.group_id.as_str().into(),
        member_id: request.member_id.as_str().into(),
        drawn_member_id: "".into(),
        group_instance_id: wire::instance(request.group_instance_id.as_ref()),
        first_join,
        skip_assignment,
        client_id: call.client_id.to_string(),
        // As Java prints an address without a name.
        client_host: format!("/{}", call.client_address.to_canonical()),
        session_timeout,
        rebalance_timeout: rebalance_timeout.min(longest),
        protocol_type: String::from(&request.protocol_type),
        protocols: protocols.collect(),
    }
}

fn refused(
    context: &Context,
    call: &Call,
    error_code: ErrorCode,
    member_id: &str,
) -> JoinGroupResponse {
    context.count_error(call.api_key, error_code);
    JoinGroupResponse {
        error_code,
        protocol_name: protocol_name(call.version, None),
        member_id: member_id.into(),
        ..JoinGroupResponse::default()
    }
}

fn response(call: &Call, answer: JoinAnswer) -> JoinGroupResponse {
    let member = |member: JoinedMember| JoinGroupResponseMember {
        member_id: wire::member_text(&member.member_id),
        group_instance_id: wire::instance_text(member.group_instance_id.as_ref()),
        metadata: member.metadata,
    };
    JoinGroupResponse {
        error_code: answer.error,
        generation_id: answer.generation_id.map_or(-1, |generation| generation.0),
        protocol_type: wire::text(answer.protocol_type),
        protocol_name: protocol_name(call.version, answer.protocol_name),
        leader: wire::member_text(&answer.leader),
        skip_assignment: answer.skip_assignment,
        member_id: wire::member_text(&answer.member_id),
        members: answer.members.into_iter().map(member).collect(),
        ..JoinGroupResponse::default()
    }
}

/// A protocol that is none is an empty text to older clients and null to newer ones.
fn protocol_name(version: i16, name: Option<String>) -> Option<KafkaString> {
    let name = name.filter(|name| !name.is_empty());
    if version < NO_PROTOCOL_VERSION {
        return Some(name.unwrap_or_default().into());
    }
    wire::text(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_protocol_is_empty_for_old_clients_and_null_for_new_ones() {
        assert_eq!(protocol_name(6, None), Some(KafkaString::default()));
        assert_eq!(protocol_name(7, None), None);
        assert_eq!(protocol_name(7, Some(String::new())), None);
        assert_eq!(protocol_name(9, Some("range".to_owned())), Some("range".into()));
    }
}
