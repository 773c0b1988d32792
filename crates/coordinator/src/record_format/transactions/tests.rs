//! Bytes that Kafka 4.3.1 wrote, bytes of ours, and bytes of nobody's.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use model::record_batch::{BatchBuilder, BatchOptions, Codec, NewRecord};
use model::{ProducerEpoch, ProducerId, TopicPartition, UnixMillis};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{DecodeError, EncodeError, batches, decode};
use crate::record_format::LogRecord;
use crate::transaction::ids::TransactionVersion;
use crate::transaction::record::{TransactionMetadataRecord, TransactionRecord};
use crate::transaction::state::TransactionState;

/// The time of Kafka's records.
const NOW: i64 = 1_700_000_000_000;

fn bytes(hex: &str) -> Bytes {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

fn partitions(numbers: &[i32]) -> BTreeSet<TopicPartition> {
    let partition = |number: &i32| TopicPartition { topic: "a".to_owned(), partition: *number };
    numbers.iter().map(partition).collect()
}

fn record(value: Option<TransactionMetadataRecord>) -> TransactionRecord {
    TransactionRecord { transactional_id: "orders-größe".into(), value }
}

fn empty() -> TransactionMetadataRecord {
    TransactionMetadataRecord {
        producer_id: ProducerId(1_000),
        previous_producer_id: Some(ProducerId(1_000)),
        next_producer_id: None,
        producer_epoch: ProducerEpoch(0),
        transaction_timeout: Duration::from_secs(60),
        state: TransactionState::Empty,
        partitions: BTreeSet::new(),
        updated_at: UnixMillis(NOW),
        started_at: None,
        client_version: TransactionVersion::V0,
    }
}

fn prepared() -> TransactionMetadataRecord {
    TransactionMetadataRecord {
        next_producer_id: Some(ProducerId(1_001)),
        producer_epoch: ProducerEpoch(i16::MAX),
        state: TransactionState::PrepareCommit,
        partitions: partitions(&[0, 7]),
        updated_at: UnixMillis(NOW + 5),
        started_at: Some(UnixMillis(NOW)),
        client_version: TransactionVersion::V2,
        ..empty()
    }
}

fn complete() -> TransactionMetadataRecord {
    TransactionMetadataRecord {
        producer_id: ProducerId(1_001),
        state: TransactionState::CompleteCommit,
        updated_at: UnixMillis(NOW + 9),
        started_at: Some(UnixMillis(NOW)),
        client_version: TransactionVersion::V2,
        ..empty()
    }
}

/// What Kafka 4.3.1's own `TransactionLog` makes of the records above.
const KEY: &str = "0000000e6f72646572732d6772c3b6c39f65";
const EMPTY: &str =
    "000100000000000003e800000000ea6000000000018bcfe56800ffffffffffffffff01000800000000000003e8";
const EMPTY_OF_VERSION_0: &str =
    "000000000000000003e800000000ea6000ffffffff0000018bcfe56800ffffffffffffffff";
const PREPARED: &str = "000100000000000003e87fff0000ea6002020261030000000000000007000000018bcfe568050000018bcfe5680003000800000000000003e8010800000000000003e902020002";
const COMPLETE: &str = "000100000000000003e900000000ea6004010000018bcfe568090000018bcfe5680002000800000000000003e802020002";

fn batch(records: &[(Option<&[u8]>, Option<&[u8]>)], codec: Codec) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions { codec, ..BatchOptions::default() });
    for (key, value) in records {
        builder.append(&NewRecord { key: *key, value: *value, ..NewRecord::default() }).unwrap();
    }
    builder.build().unwrap().into()
}

fn all(log: &Bytes) -> Vec<TransactionRecord> {
    decode(log).collect::<Result<_, _>>().expect("the batches are whole")
}

#[test]
fn bytes_are_kafkas() {
    for (value, golden) in [(empty(), EMPTY), (prepared(), PREPARED), (complete(), COMPLETE)] {
        let (key, value) = record(Some(value)).key_and_value().unwrap();
        assert_eq!((key, value), (bytes(KEY), Some(bytes(golden))));
    }
    assert_eq!(record(None).key_and_value().unwrap(), (bytes(KEY), None));
}

#[test]
fn bytes_of_kafkas_are_read() {
    let key = bytes(KEY);
    let values = [EMPTY, PREPARED, COMPLETE, EMPTY_OF_VERSION_0].map(bytes);
    let mut records: Vec<_> =
        values.iter().map(|value| (Some(key.as_ref()), Some(value.as_ref()))).collect();
    records.push((Some(&key), None));
    let without_ids = TransactionMetadataRecord { previous_producer_id: None, ..empty() };
    let expected = [
        record(Some(empty())),
        record(Some(prepared())),
        record(Some(complete())),
        record(Some(without_ids)),
        record(None),
    ];
    for codec in [Codec::None, Codec::Lz4] {
        assert_eq!(all(&batch(&records, codec)), expected);
    }
}

#[test]
fn what_is_written_is_read_back() {
    let records: Vec<_> = (0..500)
        .map(|number| TransactionRecord {
            transactional_id: format!("id-{number}").as_str().into(),
            value: (number % 7 != 0).then(|| TransactionMetadataRecord {
                state: TransactionState::ALL[number % 5 + 1],
                partitions: [(number % 3, "a"), (number % 4, "b")]
                    .into_iter()
                    .flat_map(|(count, topic)| (0..count).map(move |index| (topic, index)))
                    .map(|(topic, index)| TopicPartition {
                        topic: topic.to_owned(),
                        partition: i32::try_from(index).unwrap(),
                    })
                    .collect(),
                ..prepared()
            }),
        })
        .collect();
    let made: Vec<_> = batches(&records, UnixMillis(NOW), 4_000).collect::<Result<_, _>>().unwrap();
    assert!(made.len() > 5 && made.iter().all(|batch| batch.len() <= 4_000));
    assert_eq!(all(&Bytes::from(made.concat())), records);
    let error = batches(&records, UnixMillis(NOW), 100).find_map(Result::err);
    assert!(matches!(error, Some(EncodeError::TooLarge { .. })), "{error:?}");
}

#[test]
fn reading_goes_on_behind_records_that_no_coordinator_writes() {
    let (key, value) = (bytes(KEY), bytes(EMPTY));
    let foreign_kind: &[u8] = b"\0\x09\0\x01x";
    let log = batch(
        &[
            (Some(&key), Some(&value)),
            (None, None),
            (Some(&key), Some(b"\0\x63")),
            (Some(foreign_kind), None),
            (Some(&key), None),
        ],
        Codec::None,
    );
    let found: Vec<_> = decode(&log).collect();
    assert_eq!(found.len(), 4);
    assert!(found[0].is_ok() && found[3].is_ok());
    for (offset, found) in (1..=2).zip(&found[1..3]) {
        let error = found.as_ref().unwrap_err();
        assert!(error.is_skippable() && error.to_string().contains(&offset.to_string()), "{error}");
    }
}

#[test]
fn what_cannot_be_read_ends_the_reading() {
    let (key, value) = (bytes(KEY), bytes(EMPTY));
    // A state, a version of a client, and an epoch that there are not: by their places in the value.
    for (place, byte, field) in [(16, 9, "state"), (10, 0xff, "epoch")] {
        let mut strange = value.to_vec();
        strange[place] = byte;
        let log = batch(&[(Some(&key), Some(&strange)), (Some(&key), None)], Codec::None);
        let found: Vec<_> = decode(&log).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        let error = found.into_iter().find_map(Result::err).unwrap();
        assert!(
            matches!(error, DecodeError::Meaningless { field: found, .. } if found == field),
            "{error}"
        );
    }
    let log = batch(&[(Some(&key), Some(&value[..20])), (Some(&key), None)], Codec::None);
    let found: Vec<_> = decode(&log).collect();
    assert!(matches!(found[..], [Err(DecodeError::Record { part: "value", .. })]), "{found:?}");
    let mut flipped = batch(&[(Some(&key), Some(&value))], Codec::None).to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let flipped = Bytes::from(flipped);
    let found: Vec<_> = decode(&flipped).collect();
    assert!(matches!(found[..], [Err(DecodeError::Batch { .. })]), "{found:?}");
}

#[test]
fn damaged_values_never_panic() {
    let mut random = StdRng::seed_from_u64(3);
    let key = bytes(KEY);
    for _ in 0..3_000 {
        let mut value = bytes(PREPARED).to_vec();
        for _ in 0..random.random_range(1..4) {
            let index = random.random_range(0..value.len());
            value[index] = random.random();
        }
        let log = batch(&[(Some(&key), Some(&value))], Codec::None);
        assert!(decode(&log).count() <= 1);
    }
}
