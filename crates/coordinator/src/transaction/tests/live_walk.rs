//! The walk over what is live: within its limit, and whatever comes between its chunks, what a rewrite leaves of a log says what the log said.

use std::time::Duration;

use model::{ProducerEpoch, ProducerId, TopicPartition, UnixMillis};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::commands::config;
use crate::record_format::transactions::batches;
use crate::transaction::ids::{TransactionVersion, TransactionalId};
use crate::transaction::record::{TransactionMetadataRecord, TransactionRecord};
use crate::transaction::state::TransactionState;
use crate::transaction::{Shard, record_size};

pub(super) fn any_value(random: &mut StdRng) -> TransactionMetadataRecord {
    let state = TransactionState::ALL[random.random_range(0..6)];
    let is_open = state == TransactionState::Ongoing || state.prepared().is_some();
    let count = if is_open { random.random_range(0..5) } else { 0 };
    let partition = |random: &mut StdRng| TopicPartition {
        topic: format!("topic-{}", random.random_range(0..3)),
        partition: random.random_range(0..9),
    };
    TransactionMetadataRecord {
        producer_id: ProducerId(random.random_range(0..5)),
        previous_producer_id: random.random_bool(0.8).then_some(ProducerId(3)),
        next_producer_id: (state.prepared().is_some() && random.random_bool(0.3))
            .then_some(ProducerId(9)),
        producer_epoch: ProducerEpoch(random.random_range(0..i16::MAX)),
        transaction_timeout: Duration::from_secs(random.random_range(0..100)),
        state,
        partitions: (0..count).map(|_| partition(random)).collect(),
        updated_at: UnixMillis(random.random_range(0..1_000)),
        started_at: (is_open || random.random_bool(0.5)).then_some(UnixMillis(7)),
        client_version: TransactionVersion::from_level(random.random_range(0..3)).unwrap(),
    }
}

fn any_record(random: &mut StdRng, ids: u32) -> TransactionRecord {
    let id = format!("id-{}", random.random_range(0..ids));
    TransactionRecord {
        transactional_id: TransactionalId::from(id.as_str()),
        value: random.random_bool(0.8).then(|| any_value(random)),
    }
}

/// All that is live in a shard, and what it counts of that.
fn live(shard: &Shard) -> (Vec<TransactionRecord>, usize) {
    (shard.live_records(None, usize::MAX).0, shard.live_bytes())
}

#[test]
fn what_a_rewrite_leaves_of_a_log_replays_to_the_same_producers() {
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut state = Shard::new(config());
        let mut log = Vec::new();
        let change = |state: &mut Shard, log: &mut Vec<TransactionRecord>, random: &mut StdRng| {
            for _ in 0..random.random_range(0..6) {
                let record = any_record(random, 12);
                log.push(record.clone());
                state.replay(record);
            }
        };
        for _ in 0..10 {
            change(&mut state, &mut log, &mut random);
        }
        let first = log.len();
        let mut cursor = None;
        loop {
            let limit_bytes = random.random_range(1..600);
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
        state.replay(any_record(&mut random, 100));
    }
    let (everything, next) = state.live_records(None, usize::MAX);
    assert!(next.is_none() && everything.len() > 20);
    for limit_bytes in [0, 1, 200, 900] {
        let (mut cursor, mut walked) = (None, Vec::new());
        loop {
            let (chunk, next) = state.live_records(cursor.as_ref(), limit_bytes);
            let bytes: usize = chunk
                .iter()
                .map(|record| {
                    let value = record.value.as_ref().expect("what is live is no tombstone");
                    record_size::of(&record.transactional_id, value)
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

#[test]
fn what_is_live_is_estimated_well_enough_to_compare_with_a_logs_size() {
    let mut random = StdRng::seed_from_u64(4);
    let mut shard = Shard::new(config());
    for _ in 0..2_000 {
        shard.replay(any_record(&mut random, 1_000_000));
    }
    let (records, _) = shard.live_records(None, usize::MAX);
    let written: usize =
        batches(&records, UnixMillis(1), 1 << 20).map(|batch| batch.unwrap().len()).sum();
    let estimated = shard.live_bytes();
    // A rewrite is due at three times the estimate: far too low would have it begin again as soon as it ends.
    assert!(estimated.abs_diff(written) < written / 20, "{estimated} for {written}");
}
