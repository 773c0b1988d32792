//! Replay of records that a sound shard would not have written: some state that holds the invariants, never a panic.

use std::time::Duration;

use model::{Timestamp, UnixMillis};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::commands::config;
use super::live_walk::any_value;
use crate::transaction::record::TransactionRecord;
use crate::transaction::request::{
    AddPartitions, EndTransaction, InitProducerId, Request, TwoPhaseCommit,
};
use crate::transaction::state::TransactionResult;
use crate::transaction::{Action, Event, MarkersToWrite, Now, RequestId, Shard, WrittenMarkers};

fn at(seconds: u64) -> Now {
    let monotonic = Timestamp::ZERO + Duration::from_secs(seconds);
    Now { monotonic, wall: UnixMillis(i64::try_from(seconds).unwrap() * 1_000) }
}

fn markers(shard: &mut Shard) -> Vec<MarkersToWrite> {
    let mut asked = Vec::new();
    while let Some(action) = shard.poll_action() {
        if let Action::WriteMarkers(markers, _) = action {
            asked.push(markers);
        }
    }
    asked
}

#[test]
fn whatever_a_record_says_the_producer_can_be_served() {
    for seed in 0..2_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut value = any_value(&mut random);
        value.started_at = value.started_at.filter(|_| random.random_bool(0.5));
        if random.random_bool(0.2) {
            value.partitions.insert(model::TopicPartition { topic: "t".to_owned(), partition: 1 });
        }
        if random.random_bool(0.2) {
            value.producer_epoch = model::ProducerEpoch(i16::MAX - random.random_range(0..2));
        }
        let mut shard = Shard::new(config());
        let transactional_id = "t".into();
        shard.replay(TransactionRecord { transactional_id, value: Some(value.clone()) });
        shard.loaded(at(0));
        for seconds in [10, 500, 1_000] {
            for asked in markers(&mut shard) {
                shard.step(
                    at(seconds),
                    Event::MarkersWritten(WrittenMarkers {
                        transactional_id: asked.transactional_id,
                        decision: asked.decision,
                        partitions: asked.partitions.into_iter().collect(),
                    }),
                );
            }
            shard.step(at(seconds), Event::TimeoutReached);
            shard.step(at(seconds), Event::ProducerIdDrawn(model::ProducerId(77)));
            let producer = crate::transaction::ids::ProducerIdAndEpoch {
                id: value.producer_id,
                epoch: value.producer_epoch,
            };
            let transactional_id = crate::transaction::ids::TransactionalId::from("t");
            let requests = [
                Request::AddPartitions(AddPartitions {
                    transactional_id: transactional_id.clone(),
                    producer,
                    partitions: value.partitions.clone(),
                    client_version: value.client_version,
                }),
                Request::End(EndTransaction {
                    transactional_id: transactional_id.clone(),
                    producer,
                    result: TransactionResult::Commit,
                    client_version: value.client_version,
                    spare_producer_id: Some(model::ProducerId(78)),
                }),
                Request::InitProducerId(InitProducerId {
                    transactional_id,
                    transaction_timeout: Duration::from_secs(1),
                    two_phase_commit: TwoPhaseCommit::Disabled,
                    expected: None,
                    spare_producer_id: Some(model::ProducerId(79)),
                }),
            ];
            for request in requests {
                shard.step(at(seconds), Event::Request(RequestId(1), request));
            }
        }
    }
}
