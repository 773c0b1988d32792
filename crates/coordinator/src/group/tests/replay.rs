//! Replay of records that a sound shard would not have written: some state that holds the invariants, never a panic.

use std::time::Duration;

use bytes::Bytes;
use model::{Offset, Timestamp, UnixMillis};

use super::commands::{config, member, now};
use crate::group::ids::GenerationId;
use crate::group::record::{GroupMetadataRecord, GroupRecord, MemberRecord, OffsetRecord};
use crate::group::request::{Request, RequestId};
use crate::group::response::{GroupDescription, Response};
use crate::group::state::GroupState;
use crate::group::{Action, Event, Shard};

fn member_record(id: &str, instance: Option<&str>) -> MemberRecord {
    MemberRecord {
        member_id: member(id),
        group_instance_id: instance.map(Into::into),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout: Duration::from_secs(60),
        session_timeout: Duration::from_secs(10),
        subscription: Bytes::from_static(b"x"),
        assignment: Bytes::from_static(b"a"),
    }
}

fn group_record(members: Vec<MemberRecord>) -> GroupMetadataRecord {
    GroupMetadataRecord {
        protocol_type: "consumer".to_owned(),
        generation_id: GenerationId(7),
        protocol_name: Some("range".to_owned()),
        leader: Some(member("m1")),
        state_since: Some(UnixMillis(0)),
        members,
    }
}

fn group(value: Option<GroupMetadataRecord>) -> GroupRecord {
    GroupRecord::Group { group_id: "g".into(), value }
}

fn offset(value: Option<i64>) -> GroupRecord {
    let value = value.map(|offset| OffsetRecord {
        offset: Offset(offset),
        leader_epoch: None,
        metadata: String::new(),
        topic_id: None,
        commit_time: UnixMillis(0),
        expire_time: None,
    });
    GroupRecord::Offset { group_id: "g".into(), topic: "t".into(), partition: 0, value }
}

/// Loads a shard of these records, lets an hour pass, and describes the group at the load and after it.
fn load(records: Vec<GroupRecord>) -> (Option<GroupDescription>, Option<GroupDescription>) {
    let mut shard = Shard::new(config());
    for record in records {
        shard.replay(record);
    }
    shard.loaded(now(Timestamp::ZERO));
    let at_load = describe(&mut shard, 1);
    let end = Timestamp::ZERO + Duration::from_secs(500);
    while let Some(at) = shard.poll_timeout().filter(|at| *at <= end) {
        shard.step(now(at), Event::TimeoutReached);
    }
    (at_load, describe(&mut shard, 2))
}

fn describe(shard: &mut Shard, id: u64) -> Option<GroupDescription> {
    shard.step(now(Timestamp::ZERO), Event::Request(RequestId(id), Request::Describe("g".into())));
    let mut described = None;
    while let Some(action) = shard.poll_action() {
        if let Action::Reply(_, Response::Describe(group), _) = action {
            described = group;
        }
    }
    described
}

fn ids(group: Option<&GroupDescription>) -> Vec<&str> {
    group
        .into_iter()
        .flat_map(|group| &group.members)
        .map(|member| member.member_id.as_str())
        .collect()
}

#[test]
fn the_last_record_of_a_group_counts() {
    let (at_load, later) = load(vec![
        group(Some(group_record(vec![member_record("m0", None)]))),
        group(Some(group_record(vec![member_record("m1", None), member_record("m2", None)]))),
    ]);
    assert_eq!(ids(at_load.as_ref()), ["m1", "m2"]);
    assert_eq!(at_load.map(|group| group.state), Some(GroupState::Stable));
    assert_eq!(later.map(|group| group.state), Some(GroupState::Empty), "their sessions ended");
}

#[test]
fn a_group_exists_as_long_as_its_record_or_an_offset_does() {
    let stable = || group(Some(group_record(vec![member_record("m1", None)])));
    assert_eq!(load(vec![stable(), group(None)]).0, None);
    assert_eq!(load(vec![offset(Some(5)), offset(None)]).0, None);
    assert_eq!(load(vec![offset(None), group(None)]).0, None);
    for records in [
        vec![stable(), offset(Some(5)), group(None)],
        vec![offset(Some(5)), stable(), group(None)],
        vec![offset(Some(5))],
    ] {
        let left = load(records).0.expect("an offset is left");
        assert_eq!((left.state, left.protocol_type.as_str()), (GroupState::Empty, ""));
    }
    let (with_members, _) = load(vec![offset(Some(5)), stable(), offset(None)]);
    assert_eq!(with_members.map(|group| group.state), Some(GroupState::Stable));
}

#[test]
fn members_of_one_name_are_one_member() {
    let twins = vec![
        member_record("m1", Some("one")),
        member_record("m2", Some("one")),
        member_record("m2", Some("two")),
    ];
    let (at_load, _) = load(vec![group(Some(group_record(twins)))]);
    assert_eq!(ids(at_load.as_ref()), ["m2"]);
}

#[test]
fn a_record_without_strategy_type_or_known_leader_is_taken() {
    let bare = GroupMetadataRecord {
        protocol_type: String::new(),
        generation_id: GenerationId(i32::MAX),
        protocol_name: None,
        leader: Some(member("stranger")),
        state_since: None,
        members: vec![MemberRecord {
            rebalance_timeout: Duration::ZERO,
            session_timeout: Duration::ZERO,
            ..member_record("m1", None)
        }],
    };
    let (at_load, later) = load(vec![group(Some(bare))]);
    assert_eq!(ids(at_load.as_ref()), ["m1"]);
    assert_eq!(later.map(|group| group.state), Some(GroupState::Empty));
}
