//! DescribeGroups: state and members of groups, for tools.

use std::collections::BTreeSet;

use coordinator::group::request::Request;
use coordinator::group::response::{GroupDescription, MemberDescription, Response};
use coordinator::group::state::GroupState;
use model::ErrorCode;
use protocol::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};
use protocol::{KafkaString, VersionRange};

use super::{UNEXPECTED, answers, ask, wire};
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;
use crate::handlers::answer_text::answer_text;
use crate::handlers::authorized_operations;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 6 };

/// First version in which a group that does not exist is an error (KIP-1043).
const NOT_FOUND_VERSION: i16 = 6;

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let mut named = BTreeSet::new();
    let mut wanted = request.groups;
    // One named twice is described once: each description is the members' own words again.
    wanted.retain(|group| named.insert(group.clone()));
    let room = &answers::Room::of(context);
    let mut groups = answers::ask_each(wanted, |group_id| async move {
        if room.is_full() {
            return failed(answers::TOO_LARGE, group_id);
        }
        let described = describe(context, call, group_id).await;
        room.take(size_bytes(&described));
        described
    })
    .await;
    for described in &mut groups {
        context.count_error(call.api_key, described.error_code);
        let is_known = !described.error_code.is_error();
        if is_known && request.include_authorized_operations {
            described.authorized_operations = authorized_operations::GROUP;
        }
    }
    DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() }
}

async fn describe(context: &Context, call: &Call, group_id: KafkaString) -> DescribedGroup {
    let asked = Request::Describe(group_id.as_str().into());
    match ask(context, &group_id, asked).await {
        Ok(Response::Describe(Some(description))) => known(group_id, description),
        Ok(Response::Describe(None)) => unknown(call.version, group_id),
        Ok(_) => failed(UNEXPECTED, group_id),
        Err(refusal) => failed(refusal.error_code(), group_id),
    }
}

fn failed(error_code: ErrorCode, group_id: KafkaString) -> DescribedGroup {
    DescribedGroup { error_code, group_id, ..DescribedGroup::default() }
}

fn known(group_id: KafkaString, description: GroupDescription) -> DescribedGroup {
    let member = |member: MemberDescription| DescribedGroupMember {
        member_id: wire::member_text(&member.member_id),
        group_instance_id: wire::instance_text(member.group_instance_id.as_ref()),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    };
    DescribedGroup {
        group_id,
        group_state: description.state.name().into(),
        protocol_type: description.protocol_type.into(),
        protocol_data: description.protocol_name.into(),
        members: description.members.into_iter().map(member).collect(),
        ..DescribedGroup::default()
    }
}

/// About how many bytes of an answer a group takes.
fn size_bytes(group: &DescribedGroup) -> usize {
    let of_member = |member: &DescribedGroupMember| {
        let texts = [&member.member_id, &member.client_id, &member.client_host];
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        64 + texts + member.member_metadata.len() + member.member_assignment.len()
    };
    64 + group.group_id.len() + group.members.iter().map(of_member).sum::<usize>()
}

/// A group that does not exist is dead; newer clients are told so by a code.
fn unknown(version: i16, group_id: KafkaString) -> DescribedGroup {
    let group_state = GroupState::Dead.name().into();
    if version < NOT_FOUND_VERSION {
        return DescribedGroup { group_id, group_state, ..DescribedGroup::default() };
    }
    DescribedGroup {
        error_code: ErrorCode::GroupIdNotFound,
        error_message: Some(answer_text(&format!("Group {} not found.", group_id.as_str()))),
        group_id,
        group_state,
        ..DescribedGroup::default()
    }
}
