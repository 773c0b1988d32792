//! ListGroups: the groups that this broker coordinates.

use coordinator::group::request;
use coordinator::group::response;
use coordinator::group::state::GroupState;
use protocol::messages::list_groups::ListedGroup;
use protocol::messages::{ListGroupsRequest, ListGroupsResponse};
use protocol::{KafkaString, VersionRange};

use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 5 };

/// The one type of groups that is served: members assign among themselves.
const CLASSIC: &str = "classic";

/// The states that a group can be asked for by.
const STATES: [GroupState; 5] = [
    GroupState::Empty,
    GroupState::PreparingRebalance,
    GroupState::CompletingRebalance,
    GroupState::Stable,
    GroupState::Dead,
];

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    let Some(states) = states(&request.states_filter) else {
        return ListGroupsResponse::default();
    };
    if !is_classic_wanted(&request.types_filter) {
        return ListGroupsResponse::default();
    }
    match context.coordinators.groups().list(request::ListGroups { states }).await {
        Ok(groups) => ListGroupsResponse {
            groups: groups.into_iter().map(listed).collect(),
            ..ListGroupsResponse::default()
        },
        Err(refusal) => {
            let error_code = refusal.error_code();
            context.count_error(call.api_key, error_code);
            ListGroupsResponse { error_code, ..ListGroupsResponse::default() }
        }
    }
}

/// Reads a filter by state, in any case of letters; empty for all. Names that nobody knows match nothing: `None` when there are only such.
fn states(filter: &[KafkaString]) -> Option<Vec<GroupState>> {
    let named = |name: &KafkaString| {
        STATES.into_iter().find(|state| state.name().eq_ignore_ascii_case(name))
    };
    let states: Vec<GroupState> = filter.iter().filter_map(named).collect();
    (filter.is_empty() || !states.is_empty()).then_some(states)
}

fn is_classic_wanted(filter: &[KafkaString]) -> bool {
    filter.is_empty() || filter.iter().any(|name| name.eq_ignore_ascii_case(CLASSIC))
}

fn listed(group: response::ListedGroup) -> ListedGroup {
    ListedGroup {
        group_id: group.group_id.as_str().into(),
        protocol_type: group.protocol_type.into(),
        group_state: group.state.name().into(),
        group_type: CLASSIC.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_know_kafkas_names_in_any_case_and_nothing_else() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<_>>();
        assert_eq!(states(&[]), Some(Vec::new()));
        assert_eq!(states(&names(&["stable", "no"])), Some(vec![GroupState::Stable]));
        assert_eq!(states(&names(&["Assigning"])), None);
        assert!(is_classic_wanted(&[]));
        assert!(is_classic_wanted(&names(&["consumer", "Classic"])));
        assert!(!is_classic_wanted(&names(&["consumer", "share"])));
    }
}
