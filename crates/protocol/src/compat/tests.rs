//! Message sets that Kafka's and kafka-python's classes wrote, conversions both ways, damage.

use model::record_batch::compression::{Codec, compress};
use model::record_batch::{
    Batch, BatchBuilder, BatchKind, BatchOptions, BatchProducer, Batches, Header, NewRecord,
    Records, TimestampType, set_log_append_time, verify_crc,
};
use model::{Offset, ProducerEpoch, ProducerId, UnixMillis};
use proptest::prelude::*;

use super::message::Message;
use super::message_set::{MessageSet, visit_messages};
use super::*;
use crate::tests::fixture::bytes_of;

const LIMIT: usize = 1 << 20;
const OLD_CODECS: [Codec; 4] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4];
const FORMATS: [MessageFormat; 2] = [MessageFormat::V0, MessageFormat::V1];

/// Offset, timestamp, key, value.
type Plain = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

fn fixture(name: &str) -> Vec<u8> {
    let file = include_str!("fixtures/message_sets.txt");
    let hex = file
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("no fixture {name}"));
    bytes_of(hex).into()
}

fn java_name(format: MessageFormat, codec: Codec, timestamps: &str) -> String {
    format!("v{}-{}-{timestamps}", format.to_magic(), codec.name())
}

fn new_records() -> [NewRecord<'static>; 3] {
    let record = |timestamp, key, value| NewRecord {
        timestamp: UnixMillis(timestamp),
        key,
        value,
        headers: &[],
    };
    [
        record(1000, Some(&b"k0"[..]), Some(&b"v0"[..])),
        record(1005, None, Some(b"value one value one value one")),
        record(999, Some(b"k2"), None),
    ]
}

/// What the three records are in a format, from a base offset on.
fn expected(format: MessageFormat, base_offset: i64) -> Vec<Plain> {
    (base_offset..)
        .zip(new_records())
        .map(|(offset, record)| {
            let timestamp = if format == MessageFormat::V0 { -1 } else { record.timestamp.0 };
            (offset, timestamp, record.key.map(Vec::from), record.value.map(Vec::from))
        })
        .collect()
}

fn batch_of(codec: Codec, base_offset: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: Offset(base_offset),
        codec,
        ..BatchOptions::default()
    });
    for record in new_records() {
        builder.append(&record).unwrap();
    }
    builder.build().unwrap()
}

fn plain(set: &[u8]) -> Result<Vec<Plain>, ConversionError> {
    let mut messages = Vec::new();
    visit_messages(set, LIMIT, |message| {
        let (key, value) = (message.key.map(Vec::from), message.value.map(Vec::from));
        messages.push((message.offset, message.timestamp.0, key, value));
        Ok(())
    })?;
    Ok(messages)
}

fn only_batch(bytes: &[u8]) -> Batch<'_> {
    let mut batches = Batches::whole(bytes);
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none());
    batch
}

fn records_of(bytes: &[u8]) -> Vec<Plain> {
    let records = Records::of(only_batch(bytes), LIMIT).unwrap();
    records
        .iter()
        .map(|record| {
            let record = record.unwrap();
            let (key, value) = (record.key.map(Vec::from), record.value.map(Vec::from));
            (record.offset.0, record.timestamp.0, key, value)
        })
        .collect()
}

fn conversion(format: MessageFormat) -> DownConversion {
    DownConversion { format, from: Offset::ZERO, max_bytes: LIMIT, limit_bytes: LIMIT }
}

#[test]
fn kafkas_message_sets_are_read_with_their_absolute_offsets() {
    for format in FORMATS {
        for codec in OLD_CODECS {
            let set = fixture(&java_name(format, codec, "create"));
            assert_eq!(plain(&set).unwrap(), expected(format, 100), "{format:?} {codec:?}");
        }
    }
}

#[test]
fn under_log_append_time_the_wrappers_time_is_every_records() {
    for codec in OLD_CODECS {
        let set = fixture(&java_name(MessageFormat::V1, codec, "append"));
        visit_messages(&set, LIMIT, |message| {
            assert_eq!(message.timestamp, UnixMillis(7777));
            assert_eq!(message.timestamp_type, TimestampType::LogAppendTime);
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn a_set_of_any_client_becomes_one_batch_with_its_codec() {
    let mut names = vec![];
    for format in FORMATS {
        for codec in OLD_CODECS {
            names.push((format, codec, java_name(format, codec, "create")));
            let magic = format.to_magic();
            names.push((format, codec, format!("python-v{magic}-{}", codec.name())));
        }
    }
    // kafka-python cannot write this one.
    names.retain(|(.., name)| name != "python-v0-lz4");
    for (format, codec, name) in names {
        let batch = up_convert(&fixture(&name), LIMIT).unwrap().unwrap();
        verify_crc(&batch).unwrap();
        let header = only_batch(&batch).header;
        assert_eq!(header.codec(), codec, "{name}");
        assert_eq!(header.check_produced(), Ok(()), "{name}");
        assert_eq!(records_of(&batch), expected(format, 0), "{name}");
    }
}

#[test]
fn a_producer_must_not_claim_log_append_time() {
    for codec in OLD_CODECS {
        let set = fixture(&java_name(MessageFormat::V1, codec, "append"));
        assert!(matches!(up_convert(&set, LIMIT), Err(ConversionError::LogAppendTime)));
    }
}

#[test]
fn uncompressed_batches_are_converted_down_byte_for_byte_as_kafka_writes_them() {
    let batch = batch_of(Codec::None, 100);
    for format in FORMATS {
        let set = down_convert(&batch, &conversion(format)).unwrap();
        assert_eq!(set, fixture(&java_name(format, Codec::None, "create")));
    }
    let mut appended = batch;
    set_log_append_time(&mut appended, UnixMillis(7777)).unwrap();
    let set = down_convert(&appended, &conversion(MessageFormat::V1)).unwrap();
    assert_eq!(set, fixture("v1-none-append"));
}

#[test]
fn compressed_batches_become_the_wrapper_that_kafka_writes() {
    for format in FORMATS {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4] {
            let mut batch = batch_of(codec, 100);
            for timestamps in ["create", "append"] {
                if timestamps == "append" {
                    // Format 0 has one kind of timestamps: none.
                    if format == MessageFormat::V0 {
                        continue;
                    }
                    set_log_append_time(&mut batch, UnixMillis(7777)).unwrap();
                }
                let name = java_name(format, codec, timestamps);
                let kafkas = fixture(&name);
                let set = down_convert(&batch, &conversion(format)).unwrap();
                let ours: Vec<_> = MessageSet::new(&set).map(Result::unwrap).collect();
                let theirs: Vec<_> = MessageSet::new(&kafkas).map(Result::unwrap).collect();
                assert_eq!(ours.len(), 1, "{name}");
                // Codecs differ in their output, not in what is inside.
                assert_eq!(
                    Message { value: None, ..ours[0] },
                    Message { value: None, ..theirs[0] }
                );
                assert_eq!(plain(&set).unwrap(), plain(&kafkas).unwrap(), "{name}");
            }
        }
    }
}

#[test]
fn uncompressed_records_before_the_fetch_offset_are_left_out_and_compressed_ones_are_not() {
    for format in FORMATS {
        for codec in OLD_CODECS {
            let conversion = DownConversion { from: Offset(102), ..conversion(format) };
            let set = down_convert(&batch_of(codec, 100), &conversion).unwrap();
            let skipped = if codec == Codec::None { 2 } else { 0 };
            assert_eq!(plain(&set).unwrap(), expected(format, 100)[skipped..], "{codec:?}");
        }
    }
}

#[test]
fn headers_and_control_batches_are_left_out() {
    let producer =
        BatchProducer { id: ProducerId(1), epoch: ProducerEpoch(0), base_sequence: None };
    let header = [Header { key: b"h", value: Some(b"x") }];
    let record = NewRecord { value: Some(b"v"), headers: &header, ..NewRecord::default() };
    let mut bytes = Vec::new();
    for (base_offset, kind) in
        [(0, BatchKind::Transactional), (1, BatchKind::TransactionMarker), (2, BatchKind::Plain)]
    {
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset: Offset(base_offset),
            producer: Some(producer),
            kind,
            ..BatchOptions::default()
        });
        builder.append(&record).unwrap();
        bytes.extend(builder.build().unwrap());
    }
    for format in FORMATS {
        let messages = plain(&down_convert(&bytes, &conversion(format)).unwrap()).unwrap();
        let offsets: Vec<_> = messages.iter().map(|message| message.0).collect();
        assert_eq!(offsets, [0, 2]);
    }
}

#[test]
fn gaps_that_compaction_left_keep_their_offsets() {
    for codec in OLD_CODECS {
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset: Offset(10),
            codec,
            ..BatchOptions::default()
        });
        for offset in [12, 15, 19] {
            builder.append_at(Offset(offset), &NewRecord::default()).unwrap();
        }
        builder.end_at(Offset(30)).unwrap();
        let batch = builder.build().unwrap();
        for format in FORMATS {
            let messages = plain(&down_convert(&batch, &conversion(format)).unwrap()).unwrap();
            let offsets: Vec<_> = messages.iter().map(|message| message.0).collect();
            assert_eq!(offsets, [12, 15, 19], "{codec:?} {format:?}");
        }
    }
    for codec in OLD_CODECS {
        let emptied = BatchBuilder::new(BatchOptions { codec, ..BatchOptions::default() });
        let set = down_convert(&emptied.build().unwrap(), &conversion(MessageFormat::V1)).unwrap();
        assert!(set.is_empty());
    }
}

#[test]
fn zstd_is_an_error_at_the_start_and_the_end_of_the_set_later() {
    let zstd = batch_of(Codec::Zstd, 3);
    assert!(matches!(
        down_convert(&zstd, &conversion(MessageFormat::V1)),
        Err(ConversionError::UnsupportedCodec { codec: "zstd" })
    ));
    let both = [batch_of(Codec::Gzip, 0), zstd, batch_of(Codec::None, 6)].concat();
    let set = down_convert(&both, &conversion(MessageFormat::V1)).unwrap();
    assert_eq!(plain(&set).unwrap(), expected(MessageFormat::V1, 0));
}

#[test]
fn conversion_down_stops_behind_the_batch_that_fills_the_set() {
    let batches: Vec<u8> = (0..5).flat_map(|index| batch_of(Codec::None, index * 3)).collect();
    for (max_bytes, count) in [(0, 3), (1, 3), (200, 6), (LIMIT, 15)] {
        let conversion = DownConversion { max_bytes, ..conversion(MessageFormat::V1) };
        let set = down_convert(&batches, &conversion).unwrap();
        assert_eq!(plain(&set).unwrap().len(), count, "{max_bytes}");
    }
    let too_small = DownConversion { limit_bytes: 60, ..conversion(MessageFormat::V1) };
    assert!(down_convert(&batches, &too_small).is_err());
}

#[test]
fn a_message_that_is_cut_off_at_the_end_is_left_out() {
    let whole = fixture("v1-none-create");
    let first = 12 + 26;
    for end in first..first + 10 {
        assert_eq!(plain(&whole[..end]).unwrap().len(), 1);
        let batch = up_convert(&whole[..end], LIMIT).unwrap().unwrap();
        assert_eq!(records_of(&batch).len(), 1);
    }
    for end in 0..first {
        assert!(up_convert(&whole[..end], LIMIT).unwrap().is_none());
    }
}

#[test]
fn every_flipped_bit_of_a_message_is_noticed() {
    let intact = fixture("v1-none-create");
    // Behind offset and size of the first message, up to its end.
    for at in 12..38 {
        for bit in 0..8 {
            let mut bytes = intact.clone();
            bytes[at] ^= 1 << bit;
            assert!(up_convert(&bytes, LIMIT).is_err(), "byte {at} bit {bit}");
        }
    }
}

fn wrapper(format: MessageFormat, codec: Codec, value: Option<&[u8]>) -> Vec<u8> {
    let mut set = Vec::new();
    Message {
        offset: 0,
        format,
        codec,
        timestamp_type: TimestampType::CreateTime,
        timestamp: UnixMillis(5),
        key: None,
        value,
    }
    .append_to(&mut set, LIMIT)
    .unwrap();
    set
}

#[test]
fn wrappers_that_break_their_rules_are_refused() {
    let message = wrapper(MessageFormat::V1, Codec::None, Some(b"x"));
    let gzip = |inner: &[u8]| compress(Codec::Gzip, None, inner).unwrap();
    let nested = wrapper(MessageFormat::V1, Codec::Gzip, Some(&gzip(&message)));
    let cut_off = gzip(&[&message[..], &message[..20]].concat());
    let table = [
        ("no value", wrapper(MessageFormat::V1, Codec::Gzip, None)),
        ("empty", wrapper(MessageFormat::V1, Codec::Gzip, Some(&gzip(b"")))),
        ("inside a compressed", wrapper(MessageFormat::V1, Codec::Gzip, Some(&gzip(&nested)))),
        ("another format", wrapper(MessageFormat::V0, Codec::Gzip, Some(&gzip(&message)))),
        ("cut off", wrapper(MessageFormat::V1, Codec::Gzip, Some(&cut_off))),
        ("codec", wrapper(MessageFormat::V1, Codec::Zstd, Some(b"x"))),
    ];
    for (reason, set) in table {
        match up_convert(&set, LIMIT) {
            Err(ConversionError::Message { what, .. }) => assert!(what.contains(reason), "{what}"),
            other => panic!("{reason}: {other:?}"),
        }
    }
    assert!(up_convert(&batch_of(Codec::None, 0), LIMIT).is_err());
}

#[test]
fn what_all_wrappers_of_a_set_inflate_to_is_bounded_together() {
    let message = wrapper(MessageFormat::V1, Codec::None, Some(&[0; 1_000]));
    let value = compress(Codec::Gzip, None, &message).unwrap();
    let bomb = wrapper(MessageFormat::V1, Codec::Gzip, Some(&value)).repeat(10);
    let size = message.len() * 10;
    assert_eq!(records_of(&up_convert(&bomb, size).unwrap().unwrap()).len(), 10);
    assert!(matches!(up_convert(&bomb, size - 1), Err(ConversionError::Compression(_))));
}

proptest! {
    #[test]
    fn records_survive_the_way_down_and_up(
        values in proptest::collection::vec((any::<i64>(), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..50))), 1..30),
        codec in 0_usize..4,
        base_offset in 0_i64..1 << 40,
    ) {
        let codec = OLD_CODECS[codec];
        let mut builder = BatchBuilder::new(BatchOptions { base_offset: Offset(base_offset), codec, ..BatchOptions::default() });
        for (timestamp, value) in &values {
            let record = NewRecord { timestamp: UnixMillis(*timestamp), value: value.as_deref(), ..NewRecord::default() };
            builder.append(&record).unwrap();
        }
        let batch = builder.build().unwrap();
        for format in FORMATS {
            let set = down_convert(&batch, &conversion(format)).unwrap();
            for (index, (offset, timestamp, _, value)) in plain(&set).unwrap().into_iter().enumerate() {
                prop_assert_eq!(offset, base_offset + i64::try_from(index).unwrap());
                prop_assert_eq!(&value, &values[index].1);
                prop_assert_eq!(timestamp, if format == MessageFormat::V0 { -1 } else { values[index].0 });
            }
            let up = up_convert(&set, LIMIT).unwrap().unwrap();
            prop_assert_eq!(records_of(&up).len(), values.len());
        }
    }

    #[test]
    fn damaged_sets_never_panic(at in 0_usize..400, value: u8, format in 0_usize..2, codec in 0_usize..4) {
        let mut set = fixture(&java_name(FORMATS[format], OLD_CODECS[codec], "create"));
        let at = at % set.len();
        set[at] = value;
        let _ = up_convert(&set, LIMIT);
    }

    #[test]
    fn arbitrary_bytes_inside_a_wrapper_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), size in 0_i32..100) {
        let _ = plain(&bytes);
        let inner = [&0_i64.to_be_bytes()[..], &size.to_be_bytes(), &bytes].concat();
        let value = compress(Codec::Gzip, None, &inner).unwrap();
        let _ = up_convert(&wrapper(MessageFormat::V1, Codec::Gzip, Some(&value)), LIMIT);
    }
}
