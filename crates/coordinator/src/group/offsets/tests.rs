//! The store against a plain map, and what scripts cannot say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use model::{LeaderEpoch, Offset, TopicId, UnixMillis};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::stored::{GroupOffsets, StoredOffset};
use super::{GroupFacts, PendingOffsets, Stored, expired, subscribed_topics};
use crate::group::ids::{GenerationId, GroupId, TopicName};
use crate::group::record::OffsetRecord;
use crate::group::state::GroupState;
use crate::group::turn::LiveTotals;

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

#[test]
fn the_store_holds_what_a_plain_map_holds() {
    let mut random = StdRng::seed_from_u64(1);
    let group_id = GroupId::from("g");
    let (mut offsets, mut totals) = (GroupOffsets::default(), LiveTotals::default());
    let mut expected = BTreeMap::new();
    for _ in 0..5_000 {
        let topic = TopicName::from(format!("t{}", random.random_range(0..5)).as_str());
        let key = (topic, random.random_range(0..9));
        let value = random.random_bool(0.6).then(|| any_offset(&mut random));
        offsets.replay(&mut totals, &group_id, key.clone(), value.clone());
        match value {
            Some(value) => expected.insert(key.clone(), value),
            None => expected.remove(&key),
        };
        let stored = offsets.get(&key.0, key.1).map(StoredOffset::to_record);
        assert_eq!(stored, expected.get(&key).cloned());
        let held: BTreeMap<_, _> = offsets
            .iter()
            .map(|(topic, partition, stored)| ((topic.clone(), partition), stored.to_record()))
            .collect();
        assert_eq!(held, expected);
        assert_eq!((offsets.len(), offsets.is_empty()), (expected.len(), expected.is_empty()));
        let bytes =
            offsets.iter().map(|(topic, _, stored)| stored.record_bytes(&group_id, topic)).sum();
        assert_eq!(totals, LiveTotals { offset_count: expected.len(), bytes });
        let behind = offsets.iter_after(Some((&key.0, key.1))).count();
        assert_eq!(behind, expected.keys().filter(|other| **other > key).count());
    }
}

/// Says how many of three offsets, committed at 0, 100 and 200, have expired at a time with a retention of 100 ms.
fn expired_count(facts: &GroupFacts<'_>, wall: i64) -> usize {
    let group_id = GroupId::from("g");
    let (mut offsets, mut totals) = (GroupOffsets::default(), LiveTotals::default());
    for partition in 0..3_i32 {
        let value = OffsetRecord {
            offset: Offset(1),
            leader_epoch: None,
            metadata: String::new(),
            topic_id: None,
            commit_time: UnixMillis(i64::from(partition) * 100),
            expire_time: None,
        };
        offsets.replay(&mut totals, &group_id, (TopicName::from("t"), partition), Some(value));
    }
    let retention = Duration::from_millis(100);
    let stored = Stored { committed: &offsets, pending: &PendingOffsets::default() };
    let expired = expired(&group_id, facts, stored, UnixMillis(wall), retention);
    assert_eq!(expired.is_all, expired.records.len() == 3);
    expired.records.len()
}

#[test]
fn an_empty_group_whose_record_does_not_say_since_when_expires_by_its_commits() {
    let empty = GroupFacts {
        state: GroupState::Empty,
        generation_id: GenerationId(1),
        protocol_type: Some("consumer"),
        state_since: None,
        subscribed_topics: None,
    };
    let topics = BTreeSet::new();
    let empty = GroupFacts { subscribed_topics: Some(&topics), ..empty };
    assert_eq!([99, 100, 200, 300].map(|wall| expired_count(&empty, wall)), [0, 1, 2, 3]);
    let since = GroupFacts { state_since: Some(UnixMillis(250)), ..empty };
    assert_eq!([300, 349, 350].map(|wall| expired_count(&since, wall)), [0, 0, 3]);
}

#[test]
fn a_wall_clock_that_is_set_back_expires_nothing() {
    let simple = GroupFacts {
        state: GroupState::Empty,
        generation_id: GenerationId(0),
        protocol_type: None,
        state_since: None,
        subscribed_topics: None,
    };
    assert_eq!([i64::MIN, -5, i64::MAX].map(|wall| expired_count(&simple, wall)), [0, 0, 3]);
}

#[test]
fn subscriptions_are_read_whatever_their_version_and_never_trusted() {
    let of = |bytes: &'static [u8]| {
        let members = [Bytes::from_static(bytes)];
        subscribed_topics(Some("consumer"), Some("range"), members.iter())
    };
    let names = |topics: Option<BTreeSet<TopicName>>| {
        topics.map(|topics| topics.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    let two = Some("t,uv".to_owned());
    assert_eq!(names(of(b"\0\0\0\0\0\x02\0\x01t\0\x02uv\xff\xff\xff\xff")), two);
    assert_eq!(names(of(b"\0\x01\0\0\0\x02\0\x01t\0\x02uv\0\0\0\x01x\0\0\0\0")), two);
    assert_eq!(names(of(b"\x7f\xff\0\0\0\x02\0\x01t\0\x02uv\xff\xff\xff\xffwhatever comes")), two);
    assert_eq!(names(of(b"\0\0\0\0\0\0\xff\xff\xff\xff")), Some(String::new()));
    for damaged in [
        &b""[..],
        b"\0",
        b"\xff\xff\0\0\0\0\xff\xff\xff\xff",
        b"\0\0\0\0\0\x02\0\x01t",
        b"\0\0\x7f\xff\xff\xff\0\x01t",
        b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\0\0\0\x01\xff\xff\xff\xff\xff\xff",
        b"\0\0\0\0\0\x01\0\x01\xff\xff\xff\xff\xff",
        b"\0\0\0\0\0\x01\0\x01t\0\0\0\x05x",
    ] {
        assert_eq!(names(of(damaged)), None, "{damaged:?}");
    }
    assert_eq!(subscribed_topics(Some("connect"), Some("range"), [].iter()), None);
    assert_eq!(subscribed_topics(None, None, [].iter()), None);
    assert_eq!(subscribed_topics(Some("consumer"), None, [].iter()), Some(BTreeSet::new()));
    let members = [Bytes::from_static(b"\0\0\0\0\0\0\xff\xff\xff\xff")];
    assert_eq!(subscribed_topics(Some("consumer"), None, members.iter()), None);
}
