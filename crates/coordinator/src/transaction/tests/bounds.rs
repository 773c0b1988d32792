//! What bounds a step: many timeouts and expired ids are handled in parts, so that no step takes long.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{ErrorCode, ProducerEpoch, ProducerId, Timestamp, TopicPartition, UnixMillis};

use super::commands::config;
use crate::transaction::ids::{ProducerIdAndEpoch, TransactionVersion, TransactionalId};
use crate::transaction::request::{AddPartitions, InitProducerId, Request, TwoPhaseCommit};
use crate::transaction::response::Response;
use crate::transaction::{Action, Event, Now, RequestId, Shard};

fn at(time: Duration) -> Now {
    let millis = i64::try_from(time.as_millis()).unwrap();
    Now { monotonic: Timestamp::ZERO + time, wall: UnixMillis(millis) }
}

fn init(id: &str, spare: i64) -> Request {
    Request::InitProducerId(InitProducerId {
        transactional_id: id.into(),
        transaction_timeout: Duration::from_secs(60),
        two_phase_commit: TwoPhaseCommit::Disabled,
        expected: None,
        spare_producer_id: Some(ProducerId(spare)),
    })
}

/// Steps a request at the beginning of time; returns its answer.
fn ask(shard: &mut Shard, request: Request) -> Response {
    shard.step(at(Duration::ZERO), Event::Request(RequestId(1), request));
    let answer = std::iter::from_fn(|| shard.poll_action()).find_map(|action| match action {
        Action::Reply(_, response, _) => Some(response),
        _ => None,
    });
    answer.expect("a request is answered in its own step")
}

/// A shard with so many ids, each with an open transaction or without.
fn shard(ids: i64, is_open: bool) -> Shard {
    let mut shard = Shard::new(config());
    shard.loaded(at(Duration::ZERO));
    for number in 0..ids {
        let id = format!("id-{number}");
        ask(&mut shard, init(&id, number));
        if is_open {
            let add = AddPartitions {
                transactional_id: TransactionalId::from(id.as_str()),
                producer: ProducerIdAndEpoch { id: ProducerId(number), epoch: ProducerEpoch(0) },
                partitions: BTreeSet::from([TopicPartition {
                    topic: "t".to_owned(),
                    partition: 0,
                }]),
                client_version: TransactionVersion::V2,
            };
            let answer = ask(&mut shard, Request::AddPartitions(add));
            assert_eq!(answer, Response::AddPartitions(ErrorCode::None));
        }
    }
    shard
}

/// Steps timeouts until none is due; returns how many records each step wrote.
fn time_out(shard: &mut Shard, now: Now) -> Vec<usize> {
    let mut written = Vec::new();
    while shard.poll_timeout().is_some_and(|due| due <= now.monotonic) {
        shard.step(now, Event::TimeoutReached);
        let actions = std::iter::from_fn(|| shard.poll_action());
        written.push(
            actions
                .map(|action| match action {
                    Action::Append(_, records) => records.len(),
                    _ => 0,
                })
                .sum(),
        );
    }
    written
}

#[test]
fn many_timeouts_are_handled_in_parts() {
    let mut shard = shard(2_500, true);
    assert_eq!(time_out(&mut shard, at(Duration::from_secs(60))), [1_000, 1_000, 500]);
}

#[test]
fn many_expired_ids_are_removed_in_parts() {
    let mut shard = shard(2_500, false);
    let week = Duration::from_secs(7 * 24 * 3_600);
    assert_eq!(time_out(&mut shard, at(week)), [1_000, 1_000, 500]);
    assert_eq!((shard.live_bytes(), shard.poll_timeout()), (0, None));
}

#[test]
fn a_shard_without_open_transactions_wakes_for_expiry_alone() {
    let shard = shard(3, false);
    assert_eq!(shard.poll_timeout(), Some(Timestamp::ZERO + Duration::from_secs(3_600)));
}

#[test]
fn a_transactional_id_that_no_record_holds_is_refused() {
    let mut shard = Shard::new(config());
    shard.loaded(at(Duration::ZERO));
    let refused = Response::InitProducerId(Err(ErrorCode::InvalidRequest));
    assert_eq!(ask(&mut shard, init(&"x".repeat(32_768), 1)), refused);
    assert_ne!(ask(&mut shard, init(&"x".repeat(32_767), 1)), refused);
}
