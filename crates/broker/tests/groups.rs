//! Consumer groups on the wire, version by version, against one broker process: what each API answers, and what it says to requests that are wrong.

mod one_broker;

use bytes::Bytes;
use model::ErrorCode;
use one_broker::{Broker, Connection, FEW_OFFSETS_PARTITIONS, OFFSETS};
use protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use protocol::messages::join_group::JoinGroupRequestProtocol;
use protocol::messages::leave_group::MemberIdentity;
use protocol::messages::sync_group::SyncGroupRequestAssignment;
use protocol::messages::*;
use protocol::{ApiKey, KafkaString};

fn versions(api: ApiKey) -> std::ops::RangeInclusive<i16> {
    api.versions().min..=api.versions().max
}

fn join(group: &str, member: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: Bytes::from_static(b"subscription"),
        }],
        ..JoinGroupRequest::default()
    }
}

/// Joins an empty group as its only member and takes the part `mine`.
fn become_a_member(connection: &mut Connection, group: &str) -> JoinGroupResponse {
    let joined = connection.ask(3, &join(group, ""));
    assert_eq!(joined.error_code, ErrorCode::None);
    let synced = connection.ask(3, &sync(group, &joined));
    assert_eq!(synced.error_code, ErrorCode::None);
    joined
}

fn sync(group: &str, joined: &JoinGroupResponse) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: group.into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: joined.member_id.clone(),
            assignment: Bytes::from_static(b"mine"),
        }],
        ..SyncGroupRequest::default()
    }
}

fn beat(group: &str, joined: &JoinGroupResponse) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: group.into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        ..HeartbeatRequest::default()
    }
}

fn leave(group: &str, member: &KafkaString) -> LeaveGroupRequest {
    LeaveGroupRequest {
        group_id: group.into(),
        member_id: member.clone(),
        members: vec![MemberIdentity { member_id: member.clone(), ..Default::default() }],
    }
}

#[test]
fn the_first_question_for_a_coordinator_creates_the_offsets_topic() {
    let broker = Broker::start_with(&[FEW_OFFSETS_PARTITIONS]);
    let port = i32::from(broker.address().port());
    for version in versions(ApiKey::FindCoordinator) {
        let request = FindCoordinatorRequest {
            key: "g".into(),
            coordinator_keys: vec!["g".into(), "".into()],
            ..FindCoordinatorRequest::default()
        };
        let answer = broker.ask(version, &request);
        if version < 4 {
            assert_eq!(
                (answer.error_code, answer.node_id, answer.port),
                (ErrorCode::None, 1, port)
            );
            continue;
        }
        for (coordinator, key) in answer.coordinators.iter().zip(["g", ""]) {
            assert_eq!(coordinator.error_code, ErrorCode::None, "version {version}");
            assert_eq!((coordinator.node_id, coordinator.port), (1, port));
            assert_eq!(coordinator.key, key);
        }
        assert_eq!(answer.coordinators.len(), 2);
    }
    let topic = broker.described(OFFSETS);
    assert!(topic.is_internal);
    assert_eq!(topic.partitions.len(), 4);
    let value = |key: &str| broker.topic_config(OFFSETS, key);
    assert_eq!(value("cleanup.policy"), Some("compact".into()));
    assert_eq!(value("flush.messages"), Some("1".into()));
    assert_eq!(value("compression.type"), Some("producer".into()));
    assert_eq!(value("segment.bytes"), Some("104857600".into()));
}

#[test]
fn coordinators_that_are_not_served_are_refused_for_good() {
    let broker = Broker::start_with(&[FEW_OFFSETS_PARTITIONS]);
    for key_type in [1, 2, 77, -1] {
        for version in [1, 4, 6] {
            let request = FindCoordinatorRequest {
                key: "k".into(),
                key_type,
                coordinator_keys: vec!["k".into()],
            };
            let answer = broker.ask(version, &request);
            let only = answer.coordinators.first().map(|only| only.error_code);
            assert_eq!(only.unwrap_or(answer.error_code), ErrorCode::InvalidRequest);
        }
    }
    let none = FindCoordinatorRequest::default();
    assert!(broker.ask(4, &none).coordinators.is_empty());
}

#[test]
fn a_member_lives_through_every_version() {
    let broker = Broker::start_with_groups(&[]);
    let mut connection = broker.connection();
    for version in versions(ApiKey::JoinGroup) {
        let group = format!("life-{version}");
        let (sync_version, beat_version) = (version.min(5), version.min(4));
        let leave_version = version.min(5);
        let mut joined = connection.ask(version, &join(&group, ""));
        if version >= 4 {
            assert_eq!(joined.error_code, ErrorCode::MemberIdRequired);
            assert_eq!(joined.protocol_name.is_none(), version >= 7);
            assert_eq!(joined.generation_id, -1);
            let with_id = join(&group, joined.member_id.as_str());
            joined = connection.ask(version, &with_id);
        }
        assert_eq!(joined.error_code, ErrorCode::None, "version {version}");
        assert_eq!(joined.generation_id, 1);
        assert_eq!(joined.leader, joined.member_id);
        assert!(joined.member_id.starts_with("test-"));
        assert_eq!(joined.protocol_name, Some("range".into()));
        assert_eq!(joined.protocol_type.is_some(), version >= 7);
        assert_eq!(joined.members.len(), 1);
        assert_eq!(&joined.members[0].metadata[..], b"subscription");
        let synced = connection.ask(sync_version, &sync(&group, &joined));
        assert_eq!(synced.error_code, ErrorCode::None, "version {version}");
        assert_eq!(&synced.assignment[..], b"mine");
        assert_eq!(synced.protocol_name.is_some(), sync_version >= 5);
        let alive = connection.ask(beat_version, &beat(&group, &joined));
        assert_eq!(alive.error_code, ErrorCode::None);
        let left = connection.ask(leave_version, &leave(&group, &joined.member_id));
        assert_eq!(left.error_code, ErrorCode::None);
        assert_eq!(left.members.len(), usize::from(leave_version >= 3));
        assert!(left.members.iter().all(|member| member.error_code == ErrorCode::None));
        let gone = connection.ask(beat_version, &beat(&group, &joined));
        assert_eq!(gone.error_code, ErrorCode::UnknownMemberId);
    }
}

#[test]
fn requests_of_members_that_are_wrong_get_kafkas_codes() {
    let broker = Broker::start_with_groups(&[]);
    let mut connection = broker.connection();
    let code = |request: &JoinGroupRequest| broker.ask(5, request).error_code;
    assert_eq!(code(&join("", "")), ErrorCode::InvalidGroupId);
    assert_eq!(code(&join("g", "nobody")), ErrorCode::UnknownMemberId);
    let short = JoinGroupRequest { session_timeout_ms: 5_999, ..join("g", "") };
    assert_eq!(code(&short), ErrorCode::InvalidSessionTimeout);
    let negative = JoinGroupRequest { session_timeout_ms: -1, ..join("g", "") };
    assert_eq!(code(&negative), ErrorCode::InvalidSessionTimeout);
    let without_protocols = JoinGroupRequest { protocols: Vec::new(), ..join("g", "") };
    assert_eq!(code(&without_protocols), ErrorCode::InconsistentGroupProtocol);

    let joined = become_a_member(&mut connection, "g");
    let other_type = JoinGroupRequest { protocol_type: "connect".into(), ..join("g", "") };
    assert_eq!(code(&other_type), ErrorCode::InconsistentGroupProtocol);
    let older = JoinGroupResponse { generation_id: 0, ..joined.clone() };
    assert_eq!(connection.ask(3, &beat("g", &older)).error_code, ErrorCode::IllegalGeneration);
    assert_eq!(connection.ask(3, &beat("", &joined)).error_code, ErrorCode::InvalidGroupId);
    assert_eq!(connection.ask(3, &sync("g", &older)).error_code, ErrorCode::IllegalGeneration);
    assert_eq!(connection.ask(3, &sync("", &joined)).error_code, ErrorCode::InvalidGroupId);
    let untold = SyncGroupRequest { protocol_name: None, ..sync("g", &joined) };
    let refused = connection.ask(5, &untold);
    assert_eq!(refused.error_code, ErrorCode::InconsistentGroupProtocol);
    assert_eq!(
        connection.ask(2, &leave("", &joined.member_id)).error_code,
        ErrorCode::InvalidGroupId
    );
    let mut stranger = leave("g", &"nobody".into());
    assert_eq!(connection.ask(2, &stranger).error_code, ErrorCode::UnknownMemberId);
    stranger.members.push(MemberIdentity {
        group_instance_id: Some("no-instance".into()),
        ..Default::default()
    });
    let left = connection.ask(3, &stranger);
    assert_eq!(left.error_code, ErrorCode::None);
    let codes: Vec<ErrorCode> = left.members.iter().map(|member| member.error_code).collect();
    assert_eq!(codes, [ErrorCode::UnknownMemberId; 2]);
    assert_eq!(connection.ask(3, &beat("g", &joined)).error_code, ErrorCode::None);
}

#[test]
fn groups_are_listed_described_and_deleted_in_every_version() {
    let broker = Broker::start_with_groups(&[]);
    let mut connection = broker.connection();
    let joined = become_a_member(&mut connection, "g");
    for version in versions(ApiKey::ListGroups) {
        let listed = connection.ask(version, &ListGroupsRequest::default());
        assert_eq!(listed.error_code, ErrorCode::None);
        let [group] = &listed.groups[..] else { panic!("{:?}", listed.groups) };
        assert_eq!((group.group_id.as_str(), group.protocol_type.as_str()), ("g", "consumer"));
        assert_eq!(group.group_state.as_str(), if version >= 4 { "Stable" } else { "" });
        assert_eq!(group.group_type.as_str(), if version >= 5 { "classic" } else { "" });
    }
    let listed = |states: &[&str], types: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
        let request =
            ListGroupsRequest { states_filter: names(states), types_filter: names(types) };
        broker.ask(5, &request).groups.len()
    };
    assert_eq!(listed(&["stable"], &["Classic"]), 1);
    assert_eq!(listed(&["Empty", "no such state"], &[]), 0);
    assert_eq!(listed(&["no such state"], &[]), 0);
    assert_eq!(listed(&[], &["consumer"]), 0);

    for version in versions(ApiKey::DescribeGroups) {
        let request = DescribeGroupsRequest {
            groups: vec!["g".into(), "unknown".into()],
            include_authorized_operations: version >= 3,
        };
        let described = connection.ask(version, &request).groups;
        assert_eq!(described[0].error_code, ErrorCode::None);
        assert_eq!(described[0].group_state, "Stable");
        assert_eq!(described[0].protocol_data, "range");
        let member = &described[0].members[0];
        assert_eq!(member.member_id, joined.member_id);
        assert_eq!(
            (member.client_id.as_str(), member.client_host.as_str()),
            ("test", "/127.0.0.1")
        );
        assert_eq!(&member.member_metadata[..], b"subscription");
        assert_eq!(&member.member_assignment[..], b"mine");
        let operations = if version >= 3 { 3_400 } else { i32::MIN };
        assert_eq!(described[0].authorized_operations, operations);
        assert_eq!(described[1].group_state, "Dead");
        let unknown = if version >= 6 { ErrorCode::GroupIdNotFound } else { ErrorCode::None };
        assert_eq!(described[1].error_code, unknown);
    }
    let deletion =
        DeleteGroupsRequest { groups_names: vec!["g".into(), "unknown".into(), "unknown".into()] };
    for version in versions(ApiKey::DeleteGroups) {
        let results = connection.ask(version, &deletion).results;
        let codes: Vec<ErrorCode> = results.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [ErrorCode::NonEmptyGroup, ErrorCode::GroupIdNotFound]);
    }
    connection.ask(3, &leave("g", &joined.member_id));
    let results = connection.ask(2, &deletion).results;
    assert_eq!(results[0].error_code, ErrorCode::None);
    assert!(connection.ask(0, &ListGroupsRequest::default()).groups.is_empty());
}

#[test]
fn a_stop_answers_members_that_wait_for_others() {
    let lines = ["group.initial.rebalance.delay.ms=600000", "offsets.topic.num.partitions=1"];
    let mut broker = Broker::start_with(&lines);
    broker.wait_for_groups();
    let mut waiting = broker.connection();
    let slow = JoinGroupRequest { rebalance_timeout_ms: 600_000, ..join("g", "") };
    waiting.send(3, &slow);
    // The member waits once it is there to be listed.
    let mut other = broker.connection();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while other.ask(4, &ListGroupsRequest::default()).groups.is_empty() {
        assert!(std::time::Instant::now() < deadline, "the member does not come");
    }
    broker.terminate();
    let answer = waiting.answer::<JoinGroupRequest>(3);
    assert_eq!(answer.error_code, ErrorCode::NotCoordinator);
    assert!(broker.has_ended_well());
}

#[test]
fn records_are_deleted_but_not_those_of_internal_topics() {
    let broker = Broker::start_with_groups(&[]);
    for version in versions(ApiKey::DeleteRecords) {
        let partition =
            |partition_index, offset| DeleteRecordsPartition { partition_index, offset };
        let topic = |name: &str, partitions| DeleteRecordsTopic { name: name.into(), partitions };
        let request = DeleteRecordsRequest {
            topics: vec![
                topic(
                    "t",
                    vec![partition(0, -1), partition(1, 1), partition(9, 0), partition(0, -2)],
                ),
                topic(OFFSETS, vec![partition(0, 0)]),
                topic("unknown", vec![partition(0, 0)]),
            ],
            timeout_ms: 5_000,
        };
        let topics = broker.ask(version, &request).topics;
        let codes = topics.iter().flat_map(|topic| &topic.partitions);
        let codes: Vec<ErrorCode> = codes.map(|partition| partition.error_code).collect();
        assert_eq!(
            codes,
            [
                ErrorCode::None,
                ErrorCode::OffsetOutOfRange,
                ErrorCode::UnknownTopicOrPartition,
                ErrorCode::OffsetOutOfRange,
                ErrorCode::InvalidTopicException,
                ErrorCode::UnknownTopicOrPartition,
            ]
        );
        assert_eq!(topics[0].partitions[0].low_watermark, 0);
    }
}
