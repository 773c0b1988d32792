//! The walk over what is live: within its limit, and whatever comes between its chunks, what a rewrite leaves of a log says what the log said.

use model::record_batch::TransactionResult;
use model::{LeaderEpoch, Offset, ProducerId, TopicId, UnixMillis};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::commands::config;
use super::transaction_commands::Entry;
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

/// Something that stands in a log: of three producers some are in a transaction.
fn any_entry(random: &mut StdRng) -> Entry {
    let producer_id = ProducerId(random.random_range(0..3));
    match random.random_range(0..10) {
        0..3 => loop {
            // Nothing deletes in a transaction.
            let record = any_record(random);
            if matches!(record, GroupRecord::Offset { value: Some(_), .. }) {
                break Entry::OfTransaction(producer_id, record);
            }
        },
        3 => {
            let result = TransactionResult::from_committed(random.random_bool(0.6));
            Entry::Marker(producer_id, result)
        }
        _ => Entry::Plain(any_record(random)),
    }
}

/// All that is live in a shard, and what it counts of that.
fn live(shard: &Shard) -> (Vec<GroupRecord>, usize, usize, usize) {
    let (records, _) = shard.committed_records(None, usize::MAX);
    let counts = shard.counts();
    (records, shard.live_bytes(), counts.offset_count, counts.pending_offset_count)
}

/// A log and the shard that has replayed it.
struct Replayed {
    log: Vec<Entry>,
    shard: Shard,
}

impl Replayed {
    fn append(&mut self, entry: Entry) {
        let offset = Offset(i64::try_from(self.log.len()).expect("logs are short"));
        entry.replay_into(offset, &mut self.shard);
        self.log.push(entry);
    }

    fn change(&mut self, random: &mut StdRng) {
        for _ in 0..random.random_range(0..6) {
            self.append(any_entry(random));
        }
    }

    /// Loads what of the log is behind an offset.
    fn load(&self, start: usize) -> Shard {
        let mut shard = Shard::new(config());
        for (offset, entry) in self.log.iter().enumerate().skip(start) {
            entry.replay_into(Offset(i64::try_from(offset).expect("logs are short")), &mut shard);
        }
        shard
    }

    fn needed_from(&self) -> usize {
        let needed = self.shard.needed_from();
        needed.map_or(self.log.len(), |offset| usize::try_from(offset.0).expect("it is small"))
    }
}

fn rewrite(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut state = Replayed { log: Vec::new(), shard: Shard::new(config()) };
    for _ in 0..20 {
        state.change(&mut random);
    }
    let start = state.needed_from();
    let mut cursor = None;
    for chunk_count in 0.. {
        assert!(chunk_count < 10_000, "a rewrite ends");
        let limit_bytes = random.random_range(1..400);
        let (chunk, next) = state.shard.live_records(cursor.as_ref(), limit_bytes);
        // The shard does not replay them: they say what holds already.
        state.log.extend(chunk.into_iter().map(Entry::Plain));
        state.change(&mut random);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    let mut loaded = state.load(start);
    assert_eq!(live(&loaded), live(&state.shard));
    // Nor does it matter how the transactions end that are open.
    for producer in 0..3 {
        let result = TransactionResult::from_committed(random.random_bool(0.6));
        for shard in [&mut loaded, &mut state.shard] {
            shard.replay_marker(ProducerId(producer), result);
        }
        assert_eq!(live(&loaded), live(&state.shard));
    }
}

#[test]
fn what_a_rewrite_leaves_of_a_log_replays_to_the_same_groups() {
    for seed in 0..300 {
        let done = std::panic::catch_unwind(|| rewrite(seed));
        done.unwrap_or_else(|_| panic!("seed {seed} fails"));
    }
}

#[cfg(feature = "mutations")]
#[test]
fn a_rewrite_above_what_is_pending_is_seen() {
    use crate::group::mutation::{Mutation, activate};

    activate(Some(Mutation::RewriteAbovePending));
    let seen = (0..300).any(|seed| std::panic::catch_unwind(|| rewrite(seed)).is_err());
    activate(None);
    assert!(seen, "no seed sees it");
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
