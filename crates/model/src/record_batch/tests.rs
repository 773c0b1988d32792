//! Headers, records and the builder against Kafka's own bytes, against each other, and against damage.

use proptest::prelude::*;

use super::*;
use crate::epoch::{LeaderEpoch, ProducerEpoch};
use crate::ids::ProducerId;
use crate::offset::Offset;
use crate::timestamp::UnixMillis;

const LIMIT: usize = 1 << 20;

/// Returns the batch of a name from the file that Apache Kafka's classes wrote.
fn fixture(name: &str) -> Vec<u8> {
    let file = include_str!("fixtures/java_batches.txt");
    let hex = file
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("no fixture {name}"));
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn only_batch(bytes: &[u8]) -> Batch<'_> {
    let mut batches = Batches::whole(bytes);
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none());
    batch
}

/// The options that the Java program used for its three records.
fn java_options(codec: Codec) -> BatchOptions {
    BatchOptions {
        base_offset: Offset(100),
        leader_epoch: Some(LeaderEpoch(5)),
        codec,
        producer: Some(BatchProducer {
            id: ProducerId(4242),
            epoch: ProducerEpoch(3),
            base_sequence: Some(17),
        }),
        ..BatchOptions::default()
    }
}

fn java_records() -> [NewRecord<'static>; 3] {
    const HEADERS: &[Header<'_>] =
        &[Header { key: b"h1", value: Some(b"x") }, Header { key: b"h2", value: None }];
    [
        NewRecord {
            timestamp: UnixMillis(1000),
            key: Some(b"k0"),
            value: Some(b"v0"),
            headers: &[],
        },
        NewRecord {
            timestamp: UnixMillis(1005),
            key: None,
            value: Some(b"value one value one value one"),
            headers: &[],
        },
        NewRecord { timestamp: UnixMillis(999), key: Some(b"k2"), value: None, headers: HEADERS },
    ]
}

fn build(options: BatchOptions, records: &[NewRecord<'_>]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for record in records {
        let bound = builder.size_bytes() + BatchBuilder::upper_bound_of(record);
        builder.append(record).unwrap();
        assert!(builder.size_bytes() <= bound);
    }
    builder.build().unwrap()
}

#[test]
fn an_uncompressed_batch_is_built_byte_for_byte_as_kafka_builds_it() {
    assert_eq!(build(java_options(Codec::None), &java_records()), fixture("none-create"));
}

#[test]
fn kafkas_batches_are_read_with_every_codec() {
    for codec in Codec::ALL {
        let bytes = fixture(&format!("{}-create", codec.name()));
        verify_crc(&bytes).unwrap();
        let batch = only_batch(&bytes);
        assert_eq!(batch.header.codec(), codec);
        assert_eq!(batch.header.producer, java_options(codec).producer);
        assert_eq!(batch.header.leader_epoch, Some(LeaderEpoch(5)));
        assert_eq!(batch.header.next_offset(), Offset(103));
        assert_eq!(batch.header.last_sequence(), Some(19));
        assert_eq!(batch.header.max_timestamp, UnixMillis(1005));
        let records = Records::of(batch, LIMIT).unwrap();
        let read: Vec<_> = records.iter().collect::<Result<_, _>>().unwrap();
        for ((index, record), expected) in (0..).zip(&read).zip(java_records()) {
            assert_eq!(record.offset, Offset(100 + index));
            assert_eq!(record.timestamp, expected.timestamp);
            assert_eq!(record.key, expected.key);
            assert_eq!(record.value, expected.value);
            assert_eq!(record.headers.collect::<Vec<_>>(), expected.headers);
        }
        assert_eq!(read.len(), 3);
    }
}

#[test]
fn under_log_append_time_every_record_has_the_batchs_time() {
    for codec in Codec::ALL {
        let bytes = fixture(&format!("{}-append", codec.name()));
        let records = Records::of(only_batch(&bytes), LIMIT).unwrap();
        for record in records.iter() {
            assert_eq!(record.unwrap().timestamp, UnixMillis(7777));
        }
    }
}

#[test]
fn kafkas_large_records_are_read_across_the_codecs_blocks() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bytes = fixture(&format!("large-{}", codec.name()));
        let records = Records::of(only_batch(&bytes), LIMIT).unwrap();
        let sizes: Vec<_> =
            records.iter().map(|record| record.unwrap().value.map(<[u8]>::len)).collect();
        assert_eq!(sizes, [Some(90_000), Some(90_000)]);
        assert!(Records::of(only_batch(&bytes), 180_000).is_err());
    }
}

#[test]
fn kafkas_transaction_marker_is_a_control_batch_without_a_sequence() {
    let bytes = fixture("marker");
    verify_crc(&bytes).unwrap();
    let header = only_batch(&bytes).header;
    assert!(header.is_control() && header.is_transactional());
    assert_eq!(header.producer.unwrap().base_sequence, None);
    assert_eq!(header.last_sequence(), None);
    assert_eq!(header.base_offset, Offset(55));
    let header = only_batch(&fixture("transactional")).header;
    assert!(!header.is_control() && header.is_transactional());
}

#[test]
fn a_transaction_marker_is_written_and_read_as_kafka_does() {
    let kafkas = fixture("marker");
    let records = Records::of(only_batch(&kafkas), LIMIT).unwrap();
    let record = records.iter().next().unwrap().unwrap();
    let marker = EndTransactionMarker { result: TransactionResult::Commit, coordinator_epoch: 11 };
    assert_eq!(EndTransactionMarker::read(record.key, record.value), Ok(Some(marker)));
    let (id, epoch) = (ProducerId(4242), ProducerEpoch(3));
    let mut ours = marker.batch(id, epoch, Some(LeaderEpoch(9)), UnixMillis(123_456)).unwrap();
    set_base_offset(&mut ours, Offset(55));
    assert_eq!(ours, kafkas);
}

#[test]
fn control_records_that_are_no_marker_are_told_apart() {
    let read = EndTransactionMarker::read;
    let value = Some(&[0, 0, 0, 0, 0, 7][..]);
    let abort = EndTransactionMarker { result: TransactionResult::Abort, coordinator_epoch: 7 };
    assert_eq!(read(Some(&abort.key()), Some(&abort.value())), Ok(Some(abort)));
    // A younger version says more behind what is known; another type says something else.
    assert_eq!(read(Some(&[0, 1, 0, 0, 9]), Some(&[0, 3, 0, 0, 0, 7, 9])), Ok(Some(abort)));
    assert_eq!(read(Some(&[0, 0, 0, 2]), None), Ok(None));
    let negative = MarkerError::Version { part: "key", version: -1 };
    assert_eq!(read(Some(&[255, 255, 0, 0]), value), Err(negative));
    for available in 0..4 {
        let error = MarkerError::Incomplete { part: "key", needed: 4, available };
        assert_eq!(read(Some(&[0; 4][..available]), value), Err(error));
    }
    let error = MarkerError::Incomplete { part: "value", needed: 6, available: 0 };
    assert_eq!(read(Some(&[0; 4]), None), Err(error));
}

#[test]
fn the_setters_of_a_leader_leave_the_checksum_valid() {
    let mut bytes = fixture("none-create");
    set_base_offset(&mut bytes, Offset(9_000_000_000));
    set_leader_epoch(&mut bytes, LeaderEpoch(77));
    verify_crc(&bytes).unwrap();
    let header = only_batch(&bytes).header;
    assert_eq!(header.base_offset, Offset(9_000_000_000));
    assert_eq!(header.leader_epoch, Some(LeaderEpoch(77)));
    assert_eq!(header.timestamp_type(), TimestampType::CreateTime);

    set_log_append_time(&mut bytes, UnixMillis(123_456)).unwrap();
    verify_crc(&bytes).unwrap();
    let header = only_batch(&bytes).header;
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(header.max_timestamp, UnixMillis(123_456));
    bytes.truncate(bytes.len() - 1);
    assert!(matches!(
        set_log_append_time(&mut bytes, UnixMillis(1)),
        Err(BatchError::Incomplete { .. })
    ));
}

#[test]
fn producer_fields_that_are_set_later_are_as_if_built_in() {
    let without = BatchOptions { producer: None, ..java_options(Codec::None) };
    let mut bytes = build(without, &java_records());
    set_producer(&mut bytes, java_options(Codec::None).producer.unwrap()).unwrap();
    assert_eq!(bytes, fixture("none-create"));
}

#[test]
fn the_last_sequence_wraps_behind_the_greatest_number() {
    let table = [(0, 0, 0), (i32::MAX, 0, i32::MAX), (i32::MAX, 1, 0), (i32::MAX - 1, 4, 2)];
    for (base_sequence, last_offset_delta, expected) in table {
        let mut header = only_batch(&fixture("none-create")).header;
        header.producer.as_mut().unwrap().base_sequence = Some(base_sequence);
        header.last_offset_delta = last_offset_delta;
        assert_eq!(header.last_sequence(), Some(expected), "{base_sequence} {last_offset_delta}");
    }
}

/// Overwrites bytes of the uncompressed fixture and parses it.
fn parse_with(at: usize, value: &[u8]) -> Result<BatchHeader, BatchError> {
    let mut bytes = fixture("none-create");
    bytes[at..at + value.len()].copy_from_slice(value);
    BatchHeader::parse(&bytes)
}

#[test]
fn impossible_headers_are_refused_by_the_name_of_the_field() {
    let field = |result: Result<BatchHeader, BatchError>| match result {
        Err(BatchError::Field { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(parse_with(0, &(-1_i64).to_be_bytes())), "baseOffset");
    assert_eq!(field(parse_with(0, &i64::MAX.to_be_bytes())), "baseOffset");
    assert_eq!(field(parse_with(21, &5_i16.to_be_bytes())), "attributes");
    assert_eq!(field(parse_with(23, &(-1_i32).to_be_bytes())), "lastOffsetDelta");
    assert_eq!(field(parse_with(51, &(-1_i16).to_be_bytes())), "producerEpoch");
    assert_eq!(field(parse_with(57, &(-1_i32).to_be_bytes())), "recordCount");
    assert_eq!(field(parse_with(57, &4_i32.to_be_bytes())), "recordCount");
    let mut transactional = fixture("none-create");
    transactional[21..23].copy_from_slice(&0x10_i16.to_be_bytes());
    transactional[43..51].copy_from_slice(&(-1_i64).to_be_bytes());
    assert_eq!(field(BatchHeader::parse(&transactional)), "producerId");
    // Billions of records of seven bytes at least do not fit these few bytes.
    let mut many = fixture("none-create");
    many[23..27].copy_from_slice(&(i32::MAX - 1).to_be_bytes());
    many[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    assert_eq!(field(BatchHeader::parse(&many)), "recordCount");

    for length in [i32::MIN, -1, 0, 48] {
        assert_eq!(parse_with(8, &length.to_be_bytes()), Err(BatchError::Length(length)));
    }
    for magic in [0_i8, 1, 3, -1] {
        assert_eq!(parse_with(16, &magic.to_be_bytes()), Err(BatchError::Magic(magic)));
    }
}

#[test]
fn clients_must_not_send_what_is_the_brokers_to_set() {
    let valid =
        BatchHeader { base_offset: Offset::ZERO, ..only_batch(&fixture("none-create")).header };
    assert_eq!(valid.check_produced(), Ok(()));
    let broken = [
        BatchHeader { base_offset: Offset(1), ..valid },
        BatchHeader { record_count: 0, ..valid },
        BatchHeader { record_count: 2, ..valid },
        BatchHeader { attributes: 0x20, ..valid },
        BatchHeader { attributes: 0x40, ..valid },
        BatchHeader {
            producer: valid
                .producer
                .map(|producer| BatchProducer { base_sequence: None, ..producer }),
            ..valid
        },
    ];
    for header in broken {
        assert!(header.check_produced().is_err(), "{header:?}");
    }
}

#[test]
fn every_flipped_bit_behind_the_checksum_is_noticed() {
    let intact = fixture("none-create");
    for at in 21..intact.len() {
        for bit in 0..8 {
            let mut bytes = intact.clone();
            bytes[at] ^= 1 << bit;
            assert!(verify_crc(&bytes).is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn a_partial_batch_at_the_end_is_an_error_or_the_end() {
    let one = fixture("none-create");
    let mut bytes = [one.clone(), fixture("gzip-create")].concat();
    assert_eq!(Batches::whole(&bytes).map(Result::unwrap).count(), 2);
    while bytes.len() > one.len() + 1 {
        bytes.pop();
        let mut batches = Batches::with_partial_tail(&bytes);
        assert!(batches.next().unwrap().is_ok());
        assert!(batches.next().is_none());
        assert_eq!(batches.position(), one.len());

        let mut batches = Batches::whole(&bytes);
        assert!(batches.next().unwrap().is_ok());
        assert!(matches!(batches.next(), Some(Err(BatchError::Incomplete { .. }))));
        assert!(batches.next().is_none());
        assert_eq!(batches.position(), one.len());
    }
    assert!(Batches::whole(&[]).next().is_none());
}

#[test]
fn another_format_is_an_error_even_where_a_partial_batch_is_not() {
    let mut bytes = fixture("none-create");
    bytes[16] = 1;
    let mut batches = Batches::with_partial_tail(&bytes);
    assert!(matches!(batches.next(), Some(Err(BatchError::Magic(1)))));
    assert!(batches.next().is_none());
}

/// Changes the count and the last offset delta of a batch, and makes its checksum right again.
fn with_count(mut bytes: Vec<u8>, record_count: i32, last_offset_delta: i32) -> Vec<u8> {
    bytes[23..27].copy_from_slice(&last_offset_delta.to_be_bytes());
    bytes[57..61].copy_from_slice(&record_count.to_be_bytes());
    let crc = crc_fast::crc32_iscsi(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn validate(bytes: &[u8], keys: KeyRule) -> Result<(), RecordsError> {
    validate_records(only_batch(bytes), keys, LIMIT)
}

#[test]
fn a_record_count_that_lies_is_an_error() {
    for codec in Codec::ALL {
        let bytes = fixture(&format!("{}-create", codec.name()));
        for (count, found) in [(2, 3), (4, 3), (0, 1)] {
            let lying = with_count(bytes.clone(), count, 9);
            verify_crc(&lying).unwrap();
            match validate(&lying, KeyRule::Optional) {
                Err(RecordsError::Count { expected, found: seen }) => {
                    assert_eq!((expected, seen), (count, found), "{codec:?}");
                }
                other => panic!("{codec:?} {count} {other:?}"),
            }
        }
    }
}

#[test]
fn an_offset_delta_beyond_the_headers_last_is_an_error() {
    let lying = with_count(fixture("none-create"), 2, 1);
    let records = Records::of(only_batch(&lying), LIMIT).unwrap();
    assert!(records.iter().last().unwrap().is_err());
}

#[test]
fn a_batch_with_gaps_is_read_but_not_accepted_from_a_client() {
    let mut builder =
        BatchBuilder::new(BatchOptions { base_offset: Offset(10), ..BatchOptions::default() });
    builder.append_at(Offset(12), &NewRecord::default()).unwrap();
    assert!(matches!(
        builder.append_at(Offset(12), &NewRecord::default()),
        Err(BuildError::OutOfOrder(Offset(12)))
    ));
    builder.append_at(Offset(15), &NewRecord::default()).unwrap();
    assert!(builder.end_at(Offset(14)).is_err());
    builder.end_at(Offset(20)).unwrap();
    let bytes = builder.build().unwrap();
    let batch = only_batch(&bytes);
    assert_eq!(batch.header.next_offset(), Offset(21));
    let records = Records::of(batch, LIMIT).unwrap();
    let offsets: Vec<_> = records.iter().map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, [Offset(12), Offset(15)]);
    assert!(matches!(
        validate(&bytes, KeyRule::Optional),
        Err(RecordsError::OffsetDelta { index: 0, delta: 2 })
    ));
}

#[test]
fn a_compacted_topic_demands_keys() {
    let bytes = fixture("zstd-create");
    validate(&bytes, KeyRule::Optional).unwrap();
    let refused = validate(&bytes, KeyRule::Required);
    assert!(matches!(refused, Err(RecordsError::NoKey { index: 1 })), "{refused:?}");
}

#[test]
fn a_batch_without_records_is_legal_on_disk() {
    let bytes = build(java_options(Codec::None), &[]);
    let batch = only_batch(&bytes);
    assert_eq!(batch.header.next_offset(), Offset(101));
    assert_eq!(Records::of(batch, LIMIT).unwrap().iter().count(), 0);
    assert!(batch.header.check_produced().is_err());
}

#[test]
fn the_kinds_of_batches_have_their_attribute_bits() {
    let table = [
        (BatchKind::Plain, false, false),
        (BatchKind::Transactional, true, false),
        (BatchKind::TransactionMarker, true, true),
        (BatchKind::Control, false, true),
    ];
    for (kind, is_transactional, is_control) in table {
        let bytes = build(BatchOptions { kind, ..java_options(Codec::Lz4) }, &java_records());
        let header = only_batch(&bytes).header;
        assert_eq!(header.is_transactional(), is_transactional, "{kind:?}");
        assert_eq!(header.is_control(), is_control, "{kind:?}");
    }
}

type OwnedRecord = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn any_record() -> impl Strategy<Value = OwnedRecord> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
    let headers = proptest::collection::vec((bytes(), proptest::option::of(bytes())), 0..4);
    (any::<i64>(), proptest::option::of(bytes()), proptest::option::of(bytes()), headers)
}

proptest! {
    #[test]
    fn what_was_built_is_read_back(records in proptest::collection::vec(any_record(), 1..40), codec in 0_usize..5) {
        let mut builder = BatchBuilder::new(java_options(Codec::ALL[codec]));
        for (timestamp, key, value, headers) in &records {
            let headers: Vec<_> = headers
                .iter()
                .map(|(key, value)| Header { key, value: value.as_deref() })
                .collect();
            let record = NewRecord {
                timestamp: UnixMillis(*timestamp),
                key: key.as_deref(),
                value: value.as_deref(),
                headers: &headers,
            };
            let bound = builder.size_bytes() + BatchBuilder::upper_bound_of(&record);
            builder.append(&record).unwrap();
            prop_assert!(builder.size_bytes() <= bound);
        }
        let bytes = builder.build().unwrap();
        verify_crc(&bytes).unwrap();
        let batch = only_batch(&bytes);
        validate(&bytes, KeyRule::Optional).unwrap();
        let read = Records::of(batch, LIMIT).unwrap();
        let mut count = 0;
        for (record, (timestamp, key, value, headers)) in read.iter().zip(&records) {
            let record = record.unwrap();
            prop_assert_eq!(record.timestamp, UnixMillis(*timestamp));
            prop_assert_eq!(record.key, key.as_deref());
            prop_assert_eq!(record.value, value.as_deref());
            let read_headers: Vec<_> =
                record.headers.map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(&read_headers, headers);
            count += 1;
        }
        prop_assert_eq!(count, records.len());
    }

    #[test]
    fn damage_never_panics_and_never_yields_more_than_the_count(at in 0_usize..400, value: u8, codec in 0_usize..5) {
        let mut bytes = fixture(&format!("{}-create", Codec::ALL[codec].name()));
        let at = at % bytes.len();
        bytes[at] = value;
        for batch in Batches::with_partial_tail(&bytes).flatten() {
            if let Ok(records) = Records::of(batch, LIMIT) {
                let count = records.iter().filter(Result::is_ok).count();
                prop_assert!(count <= usize::try_from(batch.header.record_count).unwrap());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = verify_crc(&bytes);
        let header = only_batch(&fixture("none-create")).header;
        let _ = RecordIter::new(header, &bytes).count();
    }
}
