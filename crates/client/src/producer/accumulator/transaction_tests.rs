//! The accumulator within transactions: which numbers batches get, what fails a transaction, and what an abort leaves.

use model::record_batch::BatchHeader;
use model::{ErrorCode, Timestamp, UnixMillis};

use super::*;

fn at(millis: u64) -> Timestamp {
    Timestamp(millis * 1_000_000)
}

fn partition() -> TopicPartition {
    TopicPartition { topic: "t".to_owned(), partition: 0 }
}

/// An accumulator of batches of one record each, in an open transaction.
fn accumulator() -> Accumulator {
    let config = ProducerConfig { batch_bytes: 1, ..ProducerConfig::default() };
    let mut accumulator = Accumulator::new(&config, Duration::from_millis(10));
    accumulator.begin_transaction(ProducerId(1), ProducerEpoch(0), i16::MAX);
    accumulator
}

fn append(accumulator: &mut Accumulator, millis: u64) -> Result<Delivery, Error> {
    let record = NewRecord { timestamp: UnixMillis(0), value: Some(b"v"), ..NewRecord::default() };
    accumulator.append(at(millis), partition(), &record, 40).map(|appended| appended.delivery)
}

/// Takes the next batch; its order, producer id, epoch and sequence.
fn take(accumulator: &mut Accumulator, millis: u64) -> Option<(u64, i64, i16, i32)> {
    let batch = accumulator.take(at(millis), &partition())?;
    let header = BatchHeader::parse(&batch.bytes).unwrap();
    assert!(header.is_transactional());
    let producer = header.producer.unwrap();
    Some((batch.order, producer.id.0, producer.epoch.0, producer.base_sequence.unwrap()))
}

fn written() -> Answer {
    Answer::Written(Written { base_offset: Some(model::Offset(0)), log_append_time: None })
}

fn refused(code: ErrorCode) -> Answer {
    Answer::Refused(code, None)
}

#[test]
fn numbers_go_on_in_the_next_transaction_under_the_same_epoch_and_begin_anew_under_another() {
    let mut accumulator = accumulator();
    for (epoch, sequence, order) in [(0, 0, 1), (0, 1, 2), (1, 0, 3)] {
        accumulator.begin_transaction(ProducerId(1), ProducerEpoch(epoch), i16::MAX);
        append(&mut accumulator, 0).unwrap();
        assert_eq!(take(&mut accumulator, 0), Some((order, 1, epoch, sequence)));
        accumulator.answered(at(0), &partition(), order, written());
        assert!(accumulator.close_transaction().is_ok());
    }
}

#[test]
fn between_transactions_no_record_is_taken() {
    let mut accumulator = accumulator();
    accumulator.close_transaction().unwrap();
    assert_eq!(append(&mut accumulator, 0).unwrap_err().code(), Some(ErrorCode::InvalidTxnState));
    accumulator.begin_transaction(ProducerId(1), ProducerEpoch(0), i16::MAX);
    assert!(append(&mut accumulator, 0).is_ok());
}

#[test]
fn a_record_that_fails_fails_the_transaction_and_what_waits_behind_it() {
    let mut accumulator = accumulator();
    let first = append(&mut accumulator, 0).unwrap();
    let second = append(&mut accumulator, 0).unwrap();
    let (order, ..) = take(&mut accumulator, 0).unwrap();
    accumulator.answered(at(0), &partition(), order, refused(ErrorCode::InvalidTxnState));
    let code = |delivery: &Delivery| delivery.now().unwrap().unwrap_err().code();
    assert_eq!(code(&first), Some(ErrorCode::InvalidTxnState));
    assert_eq!(code(&second), Some(ErrorCode::TransactionAbortable));
    assert_eq!(append(&mut accumulator, 0).unwrap_err().code(), Some(ErrorCode::InvalidTxnState));
    let failure = accumulator.close_transaction().unwrap_err();
    assert_eq!(failure.code(), Some(ErrorCode::InvalidTxnState));
    accumulator.begin_transaction(ProducerId(1), ProducerEpoch(1), i16::MAX);
    append(&mut accumulator, 0).unwrap();
    assert_eq!(take(&mut accumulator, 0), Some((3, 1, 1, 0)));
}

#[test]
fn an_abort_drops_what_waits_and_what_would_be_sent_again_and_waits_for_what_is_under_way() {
    let mut accumulator = accumulator();
    let under_way = append(&mut accumulator, 0).unwrap();
    let waiting = append(&mut accumulator, 0).unwrap();
    let (order, ..) = take(&mut accumulator, 0).unwrap();
    accumulator.abort_transaction();
    assert!(waiting.now().unwrap().is_err());
    assert!(under_way.now().is_none());
    assert_eq!(accumulator.oldest_order(), Some(order));
    accumulator.answered(at(0), &partition(), order, refused(ErrorCode::NotLeaderOrFollower));
    assert!(under_way.now().unwrap().is_err());
    assert_eq!(accumulator.oldest_order(), None);
    assert_eq!(accumulator.take_freed_bytes(), 80);
}
