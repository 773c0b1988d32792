//! The accumulator against a partition that loses answers, refuses and forgets, by the thousand seeds; and its rules one by one.

use std::collections::VecDeque;

use model::record_batch::{BatchHeader, Batches, Records};
use model::{Offset, UnixMillis};

use super::*;
use crate::RequestError;
use crate::fake_broker::dice::Dice;
use crate::fake_broker::log::Log;

fn at(millis: u64) -> Timestamp {
    Timestamp(millis * 1_000_000)
}

fn partition() -> TopicPartition {
    TopicPartition { topic: "t".to_owned(), partition: 0 }
}

fn accumulator(config: &ProducerConfig) -> Accumulator {
    let mut accumulator = Accumulator::new(config, Duration::from_millis(10));
    accumulator.set_producer_id(ProducerId(1), ProducerEpoch(0));
    accumulator
}

/// An accumulator whose partition has written one record under its producer id, so that five more batches may be under way.
fn known(config: &ProducerConfig) -> Accumulator {
    let mut accumulator = accumulator(config);
    append(&mut accumulator, at(0), 99);
    accumulator.begin_flush();
    let first = accumulator.take(at(0), &partition()).unwrap();
    accumulator.end_flush();
    accumulator.answered(at(0), &partition(), first.order, written(0));
    accumulator.take_freed_bytes();
    accumulator
}

fn append(accumulator: &mut Accumulator, now: Timestamp, number: u32) -> Delivery {
    let value = number.to_be_bytes();
    let record =
        NewRecord { timestamp: UnixMillis(0), value: Some(&value), ..NewRecord::default() };
    accumulator.append(now, partition(), &record, 40).unwrap().delivery
}

/// Batches of one record each.
fn config() -> ProducerConfig {
    ProducerConfig { batch_bytes: 1, ..ProducerConfig::default() }
}

fn header(batch: &ToSend) -> BatchHeader {
    BatchHeader::parse(&batch.bytes).unwrap()
}

fn sequence(batch: &ToSend) -> i32 {
    header(batch).producer.unwrap().base_sequence.unwrap()
}

fn take(accumulator: &mut Accumulator, now: Timestamp) -> Option<ToSend> {
    accumulator.take(now, &partition())
}

fn written(offset: i64) -> Answer {
    Answer::Written(Written { base_offset: Some(Offset(offset)), log_append_time: None })
}

fn lost() -> Answer {
    Answer::Unknown(RequestError::Closed { address: "b:1".to_owned(), reason: "reset".to_owned() })
}

#[test]
fn records_gather_while_five_batches_are_under_way() {
    let mut accumulator = known(&ProducerConfig::default());
    for number in 0..5 {
        append(&mut accumulator, at(0), number);
        assert!(take(&mut accumulator, at(0)).is_some());
    }
    for number in 5..9 {
        append(&mut accumulator, at(0), number);
        assert!(take(&mut accumulator, at(0)).is_none());
    }
    accumulator.answered(at(1), &partition(), 2, written(1));
    let batch = take(&mut accumulator, at(1)).unwrap();
    assert_eq!(header(&batch).record_count, 4);
    assert_eq!(sequence(&batch), 6);
}

#[test]
fn a_batch_lingers_until_it_is_full_or_its_time_is_over_or_a_flush_waits() {
    let linger = Duration::from_millis(5);
    let config = ProducerConfig { linger, batch_bytes: 120, ..ProducerConfig::default() };
    let mut accumulator = known(&config);
    append(&mut accumulator, at(0), 0);
    assert!(take(&mut accumulator, at(4)).is_none());
    assert_eq!(accumulator.poll_timeout(at(4)), Some(at(5)));
    assert_eq!(accumulator.ready(at(4)), []);
    accumulator.begin_flush();
    assert_eq!(accumulator.ready(at(4)), [partition()]);
    accumulator.end_flush();
    assert!(take(&mut accumulator, at(5)).is_some());
    for number in 1..4 {
        append(&mut accumulator, at(6), number);
    }
    assert!(take(&mut accumulator, at(6)).is_some());
    assert!(take(&mut accumulator, at(6)).is_none());
}

#[test]
fn a_retry_keeps_its_sequence_and_goes_before_what_is_newer() {
    let mut accumulator = known(&config());
    for number in 0..4 {
        append(&mut accumulator, at(0), number);
    }
    let first = take(&mut accumulator, at(0)).unwrap();
    let second = take(&mut accumulator, at(0)).unwrap();
    assert!(accumulator.answered(at(1), &partition(), first.order, lost()));
    assert!(take(&mut accumulator, at(5)).is_none(), "the backoff runs");
    assert!(take(&mut accumulator, at(50)).is_none(), "the second is under way");
    let refused = Answer::Refused(ErrorCode::OutOfOrderSequenceNumber, None);
    assert!(!accumulator.answered(at(50), &partition(), second.order, refused));
    let again = take(&mut accumulator, at(100)).unwrap();
    assert_eq!((again.order, sequence(&again)), (first.order, 1));
    assert!(take(&mut accumulator, at(100)).is_none());
    accumulator.answered(at(101), &partition(), first.order, written(0));
    let again = take(&mut accumulator, at(101)).unwrap();
    assert_eq!((again.order, sequence(&again)), (second.order, 2));
}

#[test]
fn a_refused_batch_leaves_no_gap_in_the_numbers_of_those_behind_it() {
    let mut accumulator = known(&config());
    let deliveries: Vec<_> = (0..3).map(|n| append(&mut accumulator, at(0), n)).collect();
    let first = take(&mut accumulator, at(0)).unwrap();
    let second = take(&mut accumulator, at(0)).unwrap();
    let too_large = Answer::Refused(ErrorCode::MessageTooLarge, None);
    accumulator.answered(at(1), &partition(), first.order, too_large);
    assert_eq!(deliveries[0].now().unwrap().unwrap_err().code(), Some(ErrorCode::MessageTooLarge));
    assert!(take(&mut accumulator, at(1)).is_none());
    let refused = Answer::Refused(ErrorCode::OutOfOrderSequenceNumber, None);
    accumulator.answered(at(2), &partition(), second.order, refused);
    assert!(accumulator.needs_producer_id());
    accumulator.set_producer_id(ProducerId(2), ProducerEpoch(0));
    let again = take(&mut accumulator, at(50)).unwrap();
    assert_eq!(header(&again).producer.unwrap().id, ProducerId(2));
    assert_eq!((again.order, sequence(&again)), (second.order, 0));
}

#[test]
fn what_may_be_in_the_log_is_never_sent_under_another_producer_id() {
    let mut accumulator = known(&config());
    let deliveries: Vec<_> = (0..2).map(|n| append(&mut accumulator, at(0), n)).collect();
    let first = take(&mut accumulator, at(0)).unwrap();
    let second = take(&mut accumulator, at(0)).unwrap();
    accumulator.answered(at(1), &partition(), second.order, lost());
    let too_large = Answer::Refused(ErrorCode::MessageTooLarge, None);
    accumulator.answered(at(2), &partition(), first.order, too_large);
    let code = deliveries[1].now().unwrap().unwrap_err().code();
    assert_eq!(code, Some(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(accumulator.record_count, 0);
}

#[test]
fn a_batch_that_takes_too_long_fails_with_its_last_failure() {
    let config = ProducerConfig { delivery_timeout: Duration::from_millis(100), ..config() };
    let mut accumulator = known(&config);
    let delivery = append(&mut accumulator, at(0), 0);
    let batch = take(&mut accumulator, at(0)).unwrap();
    let refused = Answer::Refused(ErrorCode::NotEnoughReplicas, None);
    accumulator.answered(at(1), &partition(), batch.order, refused);
    assert_eq!(accumulator.poll_timeout(at(50)), Some(at(100)));
    accumulator.expire(at(99));
    assert!(delivery.now().is_none());
    accumulator.expire(at(100));
    assert_eq!(delivery.now().unwrap().unwrap_err().code(), Some(ErrorCode::NotEnoughReplicas));
    assert_eq!(accumulator.take_freed_bytes(), 40);
}

#[test]
fn sequences_wrap_behind_the_greatest_number() {
    let mut accumulator = known(&config());
    for number in 0..3 {
        append(&mut accumulator, at(0), number);
    }
    take(&mut accumulator, at(0)).unwrap();
    let session = accumulator.queues.get_mut(&partition()).unwrap().session.as_mut().unwrap();
    session.next_sequence = i32::MAX;
    let batch = take(&mut accumulator, at(0)).unwrap();
    assert_eq!(sequence(&batch), i32::MAX);
    let batch = take(&mut accumulator, at(0)).unwrap();
    assert_eq!(sequence(&batch), 0);
}

#[test]
fn records_without_a_key_take_turns_over_the_partitions_batch_by_batch() {
    let mut accumulator = accumulator(&ProducerConfig::with_acks(Acks::Leader));
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..6 {
        let chosen = accumulator.sticky_partition("t", 3);
        assert_eq!(accumulator.sticky_partition("t", 3), chosen);
        let at_partition = TopicPartition { topic: "t".to_owned(), partition: chosen };
        let value = i32::to_be_bytes(number);
        let record = NewRecord { value: Some(&value), ..NewRecord::default() };
        accumulator.append(at(0), at_partition.clone(), &record, 40).unwrap();
        accumulator.take(at(0), &at_partition).unwrap();
        seen.insert(chosen);
    }
    assert_eq!(seen.len(), 3);
}

#[test]
fn the_first_batch_under_a_producer_id_is_under_way_alone() {
    let mut accumulator = accumulator(&config());
    for number in 0..3 {
        append(&mut accumulator, at(0), number);
    }
    let first = take(&mut accumulator, at(0)).unwrap();
    assert!(take(&mut accumulator, at(0)).is_none());
    accumulator.answered(at(0), &partition(), first.order, written(0));
    assert!(take(&mut accumulator, at(0)).is_some());
    assert!(take(&mut accumulator, at(0)).is_some());
}

/// What a broker with this log answers to a batch.
fn append_to(log: &mut Log, batch: &ToSend) -> Answer {
    match log.append(&batch.bytes) {
        (offset, ErrorCode::None) => written(offset),
        (_, code) => Answer::Refused(code, None),
    }
}

/// The numbers in a log, by their offsets.
fn values(log: &Log) -> Vec<u32> {
    let mut values = Vec::new();
    for bytes in &log.batches {
        let batch = Batches::whole(bytes).next().unwrap().unwrap();
        for record in Records::of(batch, 1 << 20).unwrap().iter() {
            let value = record.unwrap().value.unwrap();
            values.push(u32::from_be_bytes(value.try_into().unwrap()));
        }
    }
    values
}

/// Runs one seed: appends, sends, answers in order (as one connection does), loses and refuses at random; then calms down until all is decided.
fn run(seed: u64) -> (Vec<u32>, Vec<(u32, Delivery)>) {
    let mut dice = Dice(seed);
    let mut accumulator = accumulator(&ProducerConfig {
        batch_bytes: if seed.is_multiple_of(2) { 1 } else { 160 },
        ..ProducerConfig::default()
    });
    let mut log = Log::default();
    let mut deliveries = Vec::new();
    let mut wire: VecDeque<ToSend> = VecDeque::new();
    let mut next_id = 2;
    for step in 0..3_000 {
        let now = at(step);
        let is_calm = step > 600;
        if !is_calm && dice.roll(3) == 0 {
            let number = u32::try_from(deliveries.len()).unwrap();
            deliveries.push((number, append(&mut accumulator, now, number)));
        }
        if accumulator.needs_producer_id() {
            accumulator.set_producer_id(ProducerId(next_id), ProducerEpoch(0));
            next_id += 1;
        }
        wire.extend(take(&mut accumulator, now));
        if dice.roll(2) == 0 && !is_calm {
            continue;
        }
        let Some(batch) = wire.pop_front() else { continue };
        let answer = match if is_calm { 9 } else { dice.roll(10) } {
            // Lost on the way there.
            0 => lost(),
            // Written, the answer lost.
            1 => {
                let _ = append_to(&mut log, &batch);
                lost()
            }
            2 => Answer::Refused(ErrorCode::NotLeaderOrFollower, None),
            3 if seed.is_multiple_of(5) => Answer::Refused(ErrorCode::MessageTooLarge, None),
            _ => append_to(&mut log, &batch),
        };
        accumulator.answered(now, &partition(), batch.order, answer);
    }
    assert_eq!(accumulator.record_count, 0, "seed {seed}");
    (values(&log), deliveries)
}

#[test]
fn no_record_is_doubled_or_overtaken_and_each_outcome_is_true() {
    for seed in 0..1_000 {
        let (values, deliveries) = run(seed);
        assert!(values.is_sorted_by(|earlier, later| earlier < later), "seed {seed}: {values:?}");
        let mut failed = 0;
        for (number, delivery) in deliveries {
            match delivery.now().expect("all is decided") {
                Ok(delivered) => {
                    let offset = usize::try_from(delivered.offset.unwrap().0).unwrap();
                    assert_eq!(values[offset], number, "seed {seed}");
                }
                Err(_) => failed += 1,
            }
        }
        assert!(
            failed == 0 || seed.is_multiple_of(5),
            "seed {seed}: nothing fails but what is refused"
        );
    }
}
