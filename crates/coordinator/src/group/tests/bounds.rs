//! What a flood of requests may not do.

use std::time::Duration;

use model::{ErrorCode, Offset, Timestamp, TopicId, UnixMillis};

use super::commands::{config, join_request, now};
use crate::group::classic_group::MAX_PENDING_COUNT;
use crate::group::ids::{MemberId, TopicIdentity, TopicName};
use crate::group::record::{GroupRecord, OffsetRecord};
use crate::group::request::{
    CommitOffsets, FirstJoin, JoinGroup, JoinProtocol, MemberRef, OffsetToCommit, Request,
    RequestId,
};
use crate::group::response::Response;
use crate::group::turn::MAX_PENDING_BYTES;
use crate::group::{Action, Event, GroupConfig, Shard};
use crate::record_format;

/// Sends a first JoinGroup (`known`: none), or the one with the id that was given.
fn join(shard: &mut Shard, at: Timestamp, known: Option<&MemberId>, drawn: &str) -> ErrorCode {
    let request = JoinGroup {
        member_id: known.cloned().unwrap_or_else(|| "".into()),
        drawn_member_id: drawn.into(),
        first_join: FirstJoin::WithMemberId,
        ..join_request()
    };
    shard.step(now(at), Event::Request(RequestId(1), Request::Join(request)));
    let answer = shard.poll_action();
    match answer {
        Some(Action::Reply(_, Response::Join(answer), _)) => answer.error,
        None => ErrorCode::None,
        other => panic!("{other:?} answers no JoinGroup"),
    }
}

#[test]
fn a_flood_of_first_joins_does_not_grow_a_group_without_bound() {
    let mut shard = Shard::new(config());
    shard.loaded(now(Timestamp::ZERO));
    let mut at = Timestamp::ZERO;
    for number in 0..=MAX_PENDING_COUNT {
        at = at + Duration::from_millis(1);
        let error = join(&mut shard, at, None, &format!("m{number}"));
        assert_eq!(error, ErrorCode::MemberIdRequired);
    }
    assert_eq!(join(&mut shard, at, Some(&"m0".into()), ""), ErrorCode::UnknownMemberId);
    assert_eq!(join(&mut shard, at, Some(&"m1".into()), ""), ErrorCode::None, "it is parked");
    let newest = format!("m{MAX_PENDING_COUNT}");
    assert_eq!(join(&mut shard, at, Some(&(*newest).into()), ""), ErrorCode::None);
}

/// Steps every timeout up to a time; returns what each step wished for.
fn time_out(shard: &mut Shard, until: Timestamp) -> Vec<Vec<Action>> {
    let mut steps = Vec::new();
    while let Some(at) = shard.poll_timeout().filter(|at| *at <= until) {
        shard.step(now(at), Event::TimeoutReached);
        steps.push(std::iter::from_fn(|| shard.poll_action()).collect());
    }
    steps
}

#[test]
fn what_expires_at_once_is_removed_in_parts() {
    const GROUP_COUNT: usize = 2_500;
    let retention = Duration::from_secs(60);
    let mut shard = Shard::new(GroupConfig { offsets_retention: retention, ..config() });
    for number in 0..GROUP_COUNT {
        let value = Some(OffsetRecord {
            offset: Offset(1),
            leader_epoch: None,
            metadata: String::new(),
            topic_id: None,
            commit_time: UnixMillis(0),
            expire_time: None,
        });
        let group_id = (*format!("g{number}")).into();
        shard.replay(GroupRecord::Offset { group_id, topic: "t".into(), partition: 0, value });
    }
    shard.loaded(now(Timestamp::ZERO));
    let steps = time_out(&mut shard, Timestamp::ZERO + config().offsets_retention_check_interval);
    let written = steps.iter().flatten().map(|action| match action {
        Action::Append(_, records) => records.len(),
        Action::Reply(..) | Action::AppendOfTransaction(..) => panic!("nobody asked"),
    });
    let written: Vec<usize> = written.collect();
    assert_eq!(written.iter().sum::<usize>(), GROUP_COUNT);
    assert!(written.iter().all(|count| *count <= 1_000), "{written:?}");
    assert_eq!(shard.counts().groups.len(), 0, "nothing is left");
    assert_eq!(shard.live_bytes(), 0);
}

#[test]
fn sessions_that_end_at_once_are_handled_in_parts() {
    const GROUP_COUNT: usize = 1_500;
    let mut shard = Shard::new(config());
    shard.loaded(now(Timestamp::ZERO));
    for number in 0..GROUP_COUNT {
        let request = JoinGroup {
            group_id: (*format!("g{number}")).into(),
            drawn_member_id: "m".into(),
            first_join: FirstJoin::WithMemberId,
            ..join_request()
        };
        let id = RequestId(u64::try_from(number).expect("few"));
        shard.step(now(Timestamp::ZERO), Event::Request(id, Request::Join(request)));
        while shard.poll_action().is_some() {}
    }
    let end = Timestamp::ZERO + join_request().session_timeout;
    shard.step(now(end), Event::TimeoutReached);
    assert_eq!(shard.counts().groups.values().sum::<usize>(), 500, "the others have gone");
    assert_eq!(shard.poll_timeout(), Some(end), "the rest is due at once");
    time_out(&mut shard, end);
    assert_eq!(shard.counts().groups.len(), 0);
}

fn shard(config: GroupConfig) -> Shard {
    let mut shard = Shard::new(config);
    shard.loaded(now(Timestamp::ZERO));
    shard
}

/// Asks a shard for a join that is answered at once.
fn answer(shard: &mut Shard, request: JoinGroup) -> ErrorCode {
    shard.step(now(Timestamp::ZERO), Event::Request(RequestId(1), Request::Join(request)));
    let Some(Action::Reply(_, Response::Join(answer), None)) = shard.poll_action() else {
        panic!("it is answered, and nothing is written")
    };
    answer.error
}

#[test]
fn a_flood_of_first_joins_to_ever_new_groups_is_bounded() {
    const COUNT: usize = 400;
    let mut shard = shard(config());
    for number in 0..COUNT {
        let group_id = format!("{number}{}", "g".repeat(32_000));
        let request = JoinGroup {
            group_id: (*group_id).into(),
            drawn_member_id: "m".into(),
            first_join: FirstJoin::WithMemberId,
            // The later ones would be forgotten later.
            session_timeout: Duration::from_millis(10_000 + u64::try_from(number).expect("few")),
            ..join_request()
        };
        assert_eq!(answer(&mut shard, request), ErrorCode::MemberIdRequired);
        assert!(shard.timers.pending.bytes() <= MAX_PENDING_BYTES);
    }
    let left: usize = shard.counts().groups.values().sum();
    assert!((100..300).contains(&left), "{left} groups are left");
    let last = format!("{}{}", COUNT - 1, "g".repeat(32_000));
    assert!(shard.groups.contains_key(&*last), "the last one is still expected");
    time_out(&mut shard, Timestamp::ZERO + Duration::from_secs(20));
    assert_eq!((shard.counts().groups.len(), shard.timers.pending.bytes()), (0, 0));
}

#[test]
fn ids_that_joined_or_left_are_not_pending() {
    let mut shard = shard(config());
    for member in ["m1", "m2"] {
        let error = join(&mut shard, Timestamp::ZERO, None, member);
        assert_eq!(error, ErrorCode::MemberIdRequired);
    }
    assert_ne!(shard.timers.pending.bytes(), 0);
    assert_eq!(join(&mut shard, Timestamp::ZERO, Some(&"m1".into()), ""), ErrorCode::None);
    assert_ne!(shard.timers.pending.bytes(), 0, "one is still to come");
    assert_eq!(join(&mut shard, Timestamp::ZERO, Some(&"m2".into()), ""), ErrorCode::None);
    assert_eq!(shard.timers.pending.bytes(), 0);
}

#[test]
fn many_strategies_of_one_name_do_not_take_long() {
    let protocols = |count: usize, name: &dyn Fn(usize) -> String| {
        let protocol = |number| JoinProtocol { name: name(number), metadata: bytes::Bytes::new() };
        (0..count).map(protocol).collect()
    };
    let distinct = protocols(200_000, &|number| number.to_string());
    let request = JoinGroup { drawn_member_id: "m".into(), protocols: distinct, ..join_request() };
    assert_eq!(answer(&mut shard(config()), request), ErrorCode::InvalidRequest);
}

#[test]
fn texts_that_no_record_holds_are_refused() {
    let long = "x".repeat(32_768);
    let usual = || JoinGroup { drawn_member_id: "m".into(), ..join_request() };
    let longest_type = JoinGroup { protocol_type: "x".repeat(32_767), ..usual() };
    shard(config())
        .step(now(Timestamp::ZERO), Event::Request(RequestId(1), Request::Join(longest_type)));
    let requests = [
        JoinGroup { group_id: (*long).into(), ..usual() },
        JoinGroup { member_id: (*long).into(), ..usual() },
        JoinGroup { drawn_member_id: (*long).into(), ..usual() },
        JoinGroup { group_instance_id: Some((*long).into()), ..usual() },
        JoinGroup { client_id: long.clone(), ..usual() },
        JoinGroup { client_host: long.clone(), ..usual() },
        JoinGroup { protocol_type: long.clone(), ..usual() },
        JoinGroup {
            protocols: vec![JoinProtocol { name: long.clone(), metadata: bytes::Bytes::new() }],
            ..usual()
        },
    ];
    for request in requests {
        assert_eq!(answer(&mut shard(config()), request), ErrorCode::InvalidRequest);
    }
    assert_eq!(commit(&mut shard(config()), &long, 1, ""), Err(ErrorCode::InvalidGroupId));
}

#[test]
fn the_members_of_a_group_together_are_bounded() {
    let mut shard = shard(GroupConfig { max_record_bytes: 1_000, ..config() });
    let mut step = |number: usize| {
        let metadata = bytes::Bytes::from(vec![0; 900]);
        let request = JoinGroup {
            drawn_member_id: (*format!("m{number}")).into(),
            protocols: vec![JoinProtocol { name: "range".to_owned(), metadata }],
            ..join_request()
        };
        shard.step(now(Timestamp::ZERO), Event::Request(RequestId(1), Request::Join(request)));
        shard.poll_action()
    };
    for number in 0..8 {
        assert_eq!(step(number), None, "it waits for the others");
    }
    let refused = step(8);
    let Some(Action::Reply(_, Response::Join(answer), None)) = refused else {
        panic!("{refused:?} is no answer")
    };
    assert_eq!(answer.error, ErrorCode::UnknownServerError);
}

/// Commits an offset for so many partitions; returns the records that are to be written.
fn commit(
    shard: &mut Shard,
    group: &str,
    count: i32,
    metadata: &str,
) -> Result<Vec<GroupRecord>, ErrorCode> {
    let offsets = (0..count).map(|partition| OffsetToCommit {
        topic: "t".into(),
        topic_id: Some(TopicId::from_bytes([7; 16])),
        partition,
        offset: Offset(i64::MAX),
        leader_epoch: Some(model::LeaderEpoch(i32::MAX)),
        metadata: metadata.to_owned(),
    });
    let member = MemberRef {
        group_id: group.into(),
        member_id: "".into(),
        group_instance_id: None,
        generation_id: None,
    };
    let request = CommitOffsets { member, offsets: offsets.collect(), retention: None };
    let request = Request::CommitOffsets(request);
    shard.step(now(Timestamp::ZERO), Event::Request(RequestId(1), request));
    let mut written = Vec::new();
    while let Some(action) = shard.poll_action() {
        match action {
            Action::Append(_, records) => written = records,
            Action::Reply(_, Response::CommitOffsets(codes), _) => {
                let refused = codes.iter().find(|code| **code != ErrorCode::None);
                if let Some(code) = refused {
                    assert!(codes.iter().all(|other| other == code), "refused as a whole");
                    return Err(*code);
                }
            }
            Action::Reply(..) | Action::AppendOfTransaction(..) => panic!("a commit's answer"),
        }
    }
    Ok(written)
}

#[test]
fn a_commit_that_is_taken_fits_one_batch() {
    const BATCH_BYTES: usize = 1_048_588;
    for (group, metadata) in [("g", ""), ("g", "words"), (&*"g".repeat(32_767), "")] {
        let mut shard = shard(config());
        let (mut taken, mut refused) = (0, 20_000);
        while refused - taken > 1 {
            let count = i32::midpoint(taken, refused);
            match commit(&mut shard, group, count, metadata) {
                Ok(_) => taken = count,
                Err(ErrorCode::UnknownServerError) => refused = count,
                Err(other) => panic!("{other}"),
            }
        }
        let records = commit(&mut shard, group, taken, metadata).expect("it was taken before");
        assert_eq!(records.len(), usize::try_from(taken).expect("positive"));
        let batches = record_format::encode(&records, UnixMillis(0), BATCH_BYTES);
        let batches = batches.expect("they can be written");
        let sizes: Vec<_> = batches.iter().map(Vec::len).collect();
        assert_eq!(sizes.len(), 1, "{taken} records in {sizes:?} bytes");
        assert!(sizes[0] > 800_000, "{taken} records in {sizes:?} bytes: refused too early");
    }
}

#[test]
fn a_partition_that_is_named_often_is_written_once() {
    let mut shard = shard(config());
    let offset = |value| OffsetToCommit {
        topic: "t".into(),
        topic_id: None,
        partition: 0,
        offset: Offset(value),
        leader_epoch: None,
        metadata: String::new(),
    };
    let member = MemberRef {
        group_id: (*"g".repeat(32_767)).into(),
        member_id: "".into(),
        group_instance_id: None,
        generation_id: None,
    };
    let offsets = (0..70_000).map(offset).collect();
    let request = Request::CommitOffsets(CommitOffsets { member, offsets, retention: None });
    shard.step(now(Timestamp::ZERO), Event::Request(RequestId(1), request));
    let Some(Action::Append(_, records)) = shard.poll_action() else { panic!("it is taken") };
    let [GroupRecord::Offset { value: Some(value), .. }] = &*records else {
        panic!("{} records for one partition", records.len())
    };
    assert_eq!(value.offset, Offset(69_999), "the last one counts");
}

#[test]
fn offsets_of_deleted_topics_go_in_parts() {
    const PARTITION_COUNT: i32 = 2_300;
    let (old, new) = (TopicId::from_bytes([1; 16]), TopicId::from_bytes([2; 16]));
    let name = TopicName::from("t");
    let offset = |group: &str, topic: &TopicName, partition, topic_id| GroupRecord::Offset {
        group_id: group.into(),
        topic: topic.clone(),
        partition,
        value: Some(OffsetRecord {
            offset: Offset(1),
            leader_epoch: None,
            metadata: String::new(),
            topic_id,
            commit_time: UnixMillis(0),
            expire_time: None,
        }),
    };
    let mut shard = Shard::new(config());
    for group in ["g1", "g2", "g3"] {
        for partition in 0..PARTITION_COUNT {
            shard.replay(offset(group, &name, partition, Some(old)));
        }
        shard.replay(offset(group, &name, PARTITION_COUNT, Some(new)));
        shard.replay(offset(group, &"u".into(), 0, None));
    }
    shard.loaded(now(Timestamp::ZERO));
    let gone = TopicIdentity { name: name.clone(), id: Some(old) };
    let all = shard.committed_topics();
    assert!(all.contains(&gone) && all.len() == 3, "{all:?}");

    shard.step(now(Timestamp::ZERO), Event::TopicsDeleted(vec![gone]));
    let mut steps = vec![std::iter::from_fn(|| shard.poll_action()).collect::<Vec<_>>()];
    let other = TopicIdentity { name: "u".into(), id: Some(old) };
    shard.step(now(Timestamp::ZERO), Event::TopicsDeleted(vec![other]));
    steps.push(std::iter::from_fn(|| shard.poll_action()).collect());
    assert_eq!(shard.poll_timeout(), Some(Timestamp::ZERO), "the rest is due at once");
    steps.extend(time_out(&mut shard, Timestamp::ZERO));
    let written = steps.iter().flatten().map(|action| match action {
        Action::Append(_, records) => records.len(),
        Action::Reply(..) | Action::AppendOfTransaction(..) => panic!("nobody asked"),
    });
    let written: Vec<usize> = written.collect();
    let expected = 3 * (usize::try_from(PARTITION_COUNT).expect("positive") + 1);
    assert_eq!(written.iter().sum::<usize>(), expected, "{written:?}");
    assert!(written.iter().all(|count| *count <= 1_000), "{written:?}");
    let left = TopicIdentity { name, id: Some(new) };
    assert_eq!(shard.committed_topics().into_iter().collect::<Vec<_>>(), [left]);
    assert_ne!(shard.poll_timeout(), Some(Timestamp::ZERO), "nothing is left to do");
}
