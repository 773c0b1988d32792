//! The walk over what is live: within its limit, and whatever comes between its chunks, what a rewrite leaves of a log says what the log said.

use model::{LeaderEpoch, Offset, TopicId, UnixMillis};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::commands::config;
use crate::group::ids::{GenerationId, GroupId, TopicName};
use crate::group::record::{GroupMetadataRecord, GroupRecord, OffsetRecord};
use crate::group::{Shard, record_size};

fn topic_id(number: u128) -> TopicId {
    TopicId::from_bytes(number.to_be_bytes())
}

fn any_offset(random: &mut StdRng) -> OffsetRecord {
    OffsetRecord {
        offset: Offset(random.random_range(0..1_000)),
        leader_epoch: random.random_bool(0.5).then(|| LeaderEpoch(random.random_range(0..5))),
        metadata: if random.random_bool(0.2) { "words".to_owned() } else { String::new() },
        topic_id: random.random_bool(0.7).then(|| topic_id(random.random_range(1..3))),
        commit_time: UnixMillis(random.random_range(0..1_000)),
        expire_time: random.random_bool(0.1).then_some(UnixMillis(5)),
    }
}

fn any_record(random: &mut StdRng) -> GroupRecord {
    let group_id = GroupId::from(format!("g{}", random.random_range(0..4)).as_str());
    let is_tombstone = random.random_bool(0.3);
    if random.random_bool(0.2) {
        let value = (!is_tombstone).then(|| GroupMetadataRecord {
            protocol_type: "consumer".to_owned(),
            generation_id: GenerationId(random.random_range(0..9)),
            protocol_name: None,
            leader: None,
            state_since: None,
            members: Vec::new(),
        });
        return GroupRecord::Group { group_id, value };
    }
    GroupRecord::Offset {
        group_id,
        topic: TopicName::from(format!("t{}", random.random_range(0..3)).as_str()),
        partition: random.random_range(0..4),
        value: (!is_tombstone).then(|| any_offset(random)),
    }
}

/// All that is live in a shard, and what it counts of that.
fn live(shard: &Shard) -> (Vec<GroupRecord>, usize, usize) {
    let (records, _) = shard.live_records(None, usize::MAX);
    (records, shard.live_bytes(), shard.counts().offset_count)
}

#[test]
fn what_a_rewrite_leaves_of_a_log_replays_to_the_same_groups() {
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut state = Shard::new(config());
        let mut log = Vec::new();
        let change = |state: &mut Shard, log: &mut Vec<GroupRecord>, random: &mut StdRng| {
            for _ in 0..random.random_range(0..6) {
                let record = any_record(random);
                log.push(record.clone());
                state.replay(record);
            }
        };
        for _ in 0..20 {
            change(&mut state, &mut log, &mut random);
        }
        let first = log.len();
        let mut cursor = None;
        loop {
            let limit_bytes = random.random_range(1..400);
            let (chunk, next) = state.live_records(cursor.as_ref(), limit_bytes);
            for record in &chunk {
                // The record says what holds already: replaying it in place changes nothing.
                let before = live(&state);
                state.replay(record.clone());
                assert_eq!(live(&state), before, "seed {seed}");
            }
            log.extend(chunk);
            change(&mut state, &mut log, &mut random);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        let mut loaded = Shard::new(config());
        for record in &log[first..] {
            loaded.replay(record.clone());
        }
        assert_eq!(live(&loaded), live(&state), "seed {seed}");
    }
}

#[test]
fn a_chunk_stays_below_its_limit_unless_one_record_alone_is_larger() {
    let mut random = StdRng::seed_from_u64(2);
    let mut state = Shard::new(config());
    for _ in 0..200 {
        state.replay(any_record(&mut random));
    }
    let (everything, next) = state.live_records(None, usize::MAX);
    assert!(next.is_none() && everything.len() > 20);
    for limit_bytes in [0, 1, 100, 500] {
        let (mut cursor, mut walked) = (None, Vec::new());
        loop {
            let (chunk, next) = state.live_records(cursor.as_ref(), limit_bytes);
            let bytes: usize = chunk
                .iter()
                .map(|record| match record {
                    GroupRecord::Offset { group_id, topic, value: Some(value), .. } => {
                        let OffsetRecord { metadata, topic_id, expire_time, .. } = value;
                        record_size::of_offset(group_id, topic, metadata, *topic_id, *expire_time)
                    }
                    GroupRecord::Group { group_id, value: Some(value) } => {
                        record_size::of_group(group_id, value)
                    }
                    record => panic!("{record:?} is not live"),
                })
                .sum();
            assert!(bytes <= limit_bytes || chunk.len() == 1);
            walked.extend(chunk);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(walked, everything);
    }
}
