//! What one request about groups may cost: answers are bounded, names are answered once, waits end. Against one broker process.

mod one_broker;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::ErrorCode;
use one_broker::Broker;
use protocol::KafkaString;
use protocol::messages::join_group::JoinGroupRequestProtocol;
use protocol::messages::leave_group::MemberIdentity;
use protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_fetch::OffsetFetchRequestGroup;
use protocol::messages::sync_group::SyncGroupRequestAssignment;
use protocol::messages::*;

/// Largest request, and about the largest answer, of the brokers of these tests.
const LIMIT_BYTES: usize = 1_048_576;

fn names(count: usize) -> Vec<KafkaString> {
    (0..count).map(|index| format!("group-{index}").into()).collect()
}

fn join(group: &KafkaString, metadata: Bytes) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.clone(),
        session_timeout_ms: 6_000,
        rebalance_timeout_ms: 600_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata }],
        ..JoinGroupRequest::default()
    }
}

fn commit(broker: &Broker, group: &KafkaString, words: &str) {
    let position = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 7,
        committed_metadata: Some(words.into()),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: "t".into(),
        partitions: vec![position(0), position(1)],
        ..OffsetCommitRequestTopic::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.clone(),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    let answer = broker.ask(5, &request);
    assert_eq!(answer.topics[0].partitions[0].error_code, ErrorCode::None);
}

/// Says that the first answers are whole, that no more of them are than fit, and that the others are refused.
fn assert_cut(codes: &[ErrorCode], each_bytes: usize) {
    let whole = codes.iter().take_while(|code| !code.is_error()).count();
    assert!(whole > 0 && whole < codes.len(), "{codes:?}");
    assert!(whole * each_bytes <= LIMIT_BYTES + each_bytes, "{whole}");
    assert!(codes[whole..].iter().all(|code| *code == ErrorCode::UnknownServerError));
}

#[test]
fn descriptions_are_no_larger_than_a_request_may_be() {
    let broker = Broker::start_with_groups(&[]);
    let (groups, metadata) = (names(8), Bytes::from(vec![b'x'; 300_000]));
    let mut connection = broker.connection();
    for group in &groups {
        let joined = connection.ask(3, &join(group, metadata.clone()));
        assert_eq!(joined.error_code, ErrorCode::None);
        let assignments = vec![SyncGroupRequestAssignment {
            member_id: joined.member_id.clone(),
            assignment: Bytes::from_static(b"mine"),
        }];
        let sync = SyncGroupRequest {
            group_id: group.clone(),
            generation_id: joined.generation_id,
            member_id: joined.member_id,
            assignments,
            ..SyncGroupRequest::default()
        };
        assert_eq!(connection.ask(3, &sync).error_code, ErrorCode::None);
    }
    let request = DescribeGroupsRequest { groups, ..DescribeGroupsRequest::default() };
    let described = connection.ask(0, &request).groups;
    assert_eq!(described.len(), 8);
    let codes: Vec<ErrorCode> = described.iter().map(|group| group.error_code).collect();
    assert_cut(&codes, 300_000);
}

#[test]
fn a_group_that_is_named_often_is_described_once() {
    let broker = Broker::start_with_groups(&[]);
    let mut groups = vec![KafkaString::from("g"); 100_000];
    groups.extend(["h".into(), "g".into()]);
    let request = DescribeGroupsRequest { groups, ..DescribeGroupsRequest::default() };
    let described = broker.ask(0, &request).groups;
    assert_eq!(described.len(), 2);
    let names: Vec<&str> = described.iter().map(|group| group.group_id.as_str()).collect();
    assert_eq!(names, ["g", "h"]);
}

#[test]
fn fetched_offsets_are_no_more_than_a_request_may_be() {
    let broker = Broker::start_with_groups(&["offset.metadata.max.bytes=32000"]);
    let groups = names(30);
    for group in &groups {
        commit(&broker, group, &"x".repeat(30_000));
    }
    let all = |group: &KafkaString| OffsetFetchRequestGroup {
        group_id: group.clone(),
        topics: None,
        ..OffsetFetchRequestGroup::default()
    };
    let request =
        OffsetFetchRequest { groups: groups.iter().map(all).collect(), ..Default::default() };
    let fetched = broker.ask(8, &request).groups;
    let codes: Vec<ErrorCode> = fetched.iter().map(|group| group.error_code).collect();
    assert_cut(&codes, 60_000);

    let twice = vec![all(&groups[0]), all(&groups[1]), all(&groups[0])];
    let request = OffsetFetchRequest { groups: twice, ..Default::default() };
    let fetched = broker.ask(8, &request).groups;
    let codes: Vec<ErrorCode> = fetched.iter().map(|group| group.error_code).collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::None, ErrorCode::InvalidRequest]);
}

#[test]
fn coordinators_of_very_many_keys_are_cut() {
    let broker = Broker::start_with_groups(&[]);
    let request = |coordinator_keys| FindCoordinatorRequest {
        coordinator_keys,
        ..FindCoordinatorRequest::default()
    };
    let found = broker.ask(4, &request(names(40_000))).coordinators;
    assert_eq!(found.len(), 40_000);
    let codes: Vec<ErrorCode> = found.iter().map(|one| one.error_code).collect();
    assert_cut(&codes, 64);
    let mut keys = vec![KafkaString::from("g"); 50_000];
    keys.push("h".into());
    let found = broker.ask(4, &request(keys)).coordinators;
    assert_eq!(found.len(), 2);
    let keys: Vec<&str> = found.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["g", "h"]);
}

#[test]
fn many_groups_are_deleted_at_once_and_answered_in_order() {
    let broker = Broker::start_with_groups(&[]);
    let mut groups = names(150);
    for group in groups.iter().step_by(2) {
        commit(&broker, group, "words");
    }
    groups.reverse();
    let request = DeleteGroupsRequest { groups_names: groups.clone() };
    let results = broker.ask(2, &request).results;
    let answered: Vec<&KafkaString> = results.iter().map(|result| &result.group_id).collect();
    assert_eq!(answered, groups.iter().collect::<Vec<_>>());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for result in &results {
        *counts.entry(result.error_code.name()).or_default() += 1;
    }
    assert_eq!(counts.get(ErrorCode::None.name()), Some(&75), "{counts:?}");
    assert_eq!(counts.get(ErrorCode::GroupIdNotFound.name()), Some(&75), "{counts:?}");
}

#[test]
fn members_that_leave_by_one_request_are_bounded() {
    let broker = Broker::start_with_groups(&[]);
    let mut connection = broker.connection();
    let joined = connection.ask(3, &join(&"g".into(), Bytes::from_static(b"s")));
    assert_eq!(joined.error_code, ErrorCode::None);
    let member = |member_id| MemberIdentity { member_id, ..MemberIdentity::default() };
    let mut members: Vec<MemberIdentity> = names(9_999).into_iter().map(member).collect();
    members.push(member(joined.member_id));
    let mut request = LeaveGroupRequest { group_id: "g".into(), members, ..Default::default() };
    request.members.push(member("one more".into()));
    let refused = connection.ask(3, &request);
    assert_eq!(refused.error_code, ErrorCode::InvalidRequest);
    assert!(refused.members.is_empty());
    request.members.pop();
    let left = connection.ask(3, &request).members;
    assert_eq!(left.len(), 10_000);
    assert_eq!(left.first().map(|one| one.error_code), Some(ErrorCode::UnknownMemberId));
    assert_eq!(left.last().map(|one| one.error_code), Some(ErrorCode::None));
}

#[test]
fn a_rebalance_waits_no_longer_than_the_longest_session() {
    let broker = Broker::start_with_groups(&[
        "group.min.session.timeout.ms=500",
        "group.max.session.timeout.ms=2000",
    ]);
    let (mut first, mut second) = (broker.connection(), broker.connection());
    let wish = JoinGroupRequest {
        session_timeout_ms: 2_000,
        ..join(&"g".into(), Bytes::from_static(b"s"))
    };
    let joined = first.ask(3, &wish);
    let sync = SyncGroupRequest {
        group_id: "g".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        ..SyncGroupRequest::default()
    };
    assert_eq!(first.ask(3, &sync).error_code, ErrorCode::None);
    second.send(3, &wish);
    // The first one lives and does not come again: both asked for ten minutes of patience.
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        ..HeartbeatRequest::default()
    };
    let deadline = Instant::now() + Duration::from_secs(8);
    while first.ask(3, &beat).error_code != ErrorCode::UnknownMemberId {
        assert!(Instant::now() < deadline, "the rebalance waits for ever");
    }
    let joined = second.answer::<JoinGroupRequest>(3);
    assert_eq!((joined.error_code, joined.members.len()), (ErrorCode::None, 1));
}
