//! What groups are: state, strategy, members.

use std::collections::BTreeMap;

use model::ErrorCode;
use protocol::codec::KafkaString;
use protocol::messages::DescribeGroupsRequest;
use protocol::messages::describe_groups::{DescribedGroup, DescribedGroupMember};

use super::consumer_protocol::PROTOCOL_TYPE;
use super::coordinators::ByGroup;
use super::{Coordinator, GroupDescription, GroupMember, GroupState, consumer_protocol, subject};
use crate::client::Client;
use crate::error::Error;

impl Client {
    /// Describes groups: a result for each. A group that does not exist is in state [`GroupState::Dead`], or `GROUP_ID_NOT_FOUND` from a
    /// newer broker; one of another type than the classic one is [`Error::GroupType`].
    ///
    /// # Errors
    /// None of the whole; the results have their own.
    pub async fn describe_groups(
        &self,
        groups: &[String],
    ) -> BTreeMap<String, Result<GroupDescription, Error>> {
        let answers = self.ask_coordinators(groups, |connection, coordinator, groups| async move {
            let request = DescribeGroupsRequest {
                groups: groups.iter().map(KafkaString::from).collect(),
                ..DescribeGroupsRequest::default()
            };
            let response = connection.request(&request).await?;
            let described = response.groups.iter();
            Ok(described.map(|group| description(group, &coordinator)).collect::<ByGroup<_>>())
        });
        self.tell_other_types(answers.await).await
    }

    /// A group of another type is not there for who asks about classic ones, as if it did not exist; the list of groups knows better.
    async fn tell_other_types(
        &self,
        mut answers: ByGroup<GroupDescription>,
    ) -> ByGroup<GroupDescription> {
        if !answers.values().any(is_missing) {
            return answers;
        }
        // Without the list, what the coordinators said stands.
        let listed = self.list_groups_once(&[]).await.unwrap_or_default();
        for (group, answer) in answers.iter_mut().filter(|(_, answer)| is_missing(answer)) {
            let group_type = listed.get(group).and_then(|listing| listing.other_type());
            if let Some(group_type) = group_type.map(str::to_owned) {
                *answer = Err(Error::GroupType { group: group.clone(), group_type });
            }
        }
        answers
    }
}

fn is_missing(answer: &Result<GroupDescription, Error>) -> bool {
    match answer {
        Ok(group) => group.state == GroupState::Dead,
        Err(failure) => failure.code() == Some(ErrorCode::GroupIdNotFound),
    }
}

fn description(
    group: &DescribedGroup,
    coordinator: &Coordinator,
) -> (String, Result<GroupDescription, Error>) {
    let group_id = String::from(&group.group_id);
    let message = group.error_message.as_deref();
    if let Err(failure) = Error::check(subject(&group_id), group.error_code, message) {
        return (group_id, Err(failure));
    }
    let protocol_type = String::from(&group.protocol_type);
    let is_of_consumers = protocol_type == PROTOCOL_TYPE;
    let mut members: Vec<_> =
        group.members.iter().map(|described| member(described, is_of_consumers)).collect();
    members.sort_by(|one, other| {
        (&one.client_id, &one.member_id).cmp(&(&other.client_id, &other.member_id))
    });
    let description = GroupDescription {
        group_id: group_id.clone(),
        coordinator: coordinator.clone(),
        state: GroupState::from_name(group.group_state.as_str()),
        protocol_type,
        protocol: String::from(&group.protocol_data),
        members,
    };
    (group_id, Ok(description))
}

fn member(member: &DescribedGroupMember, is_of_consumers: bool) -> GroupMember {
    let assignment = if is_of_consumers {
        consumer_protocol::read_assignment(&member.member_assignment)
    } else {
        None
    };
    let subscription = if is_of_consumers {
        consumer_protocol::read_subscription(&member.member_metadata)
    } else {
        None
    };
    GroupMember {
        member_id: String::from(&member.member_id),
        group_instance_id: member.group_instance_id.as_ref().map(String::from),
        client_id: String::from(&member.client_id),
        // Kafka writes Java's form of an address, with a slash in front.
        client_host: member.client_host.as_str().trim_start_matches('/').to_owned(),
        subscription,
        assignment: assignment.unwrap_or_default(),
    }
}
