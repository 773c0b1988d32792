//! What a flood of requests may not do.

use std::time::Duration;

use model::{ErrorCode, Offset, Timestamp, UnixMillis};

use super::commands::{config, join_request, now};
use crate::group::classic_group::MAX_PENDING_COUNT;
use crate::group::ids::MemberId;
use crate::group::record::{GroupRecord, OffsetRecord};
use crate::group::request::{FirstJoin, JoinGroup, Request, RequestId};
use crate::group::response::Response;
use crate::group::{Action, Event, GroupConfig, Shard};

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
        Action::Reply(..) => panic!("nobody asked"),
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
