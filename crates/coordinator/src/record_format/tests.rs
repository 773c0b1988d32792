//! Bytes that Kafka 4.3.1 wrote, bytes of ours, and bytes of nobody's.

use std::time::Duration;

use bytes::Bytes;
use model::record_batch::{
    BatchBuilder, BatchKind, BatchOptions, BatchProducer, Batches, Codec, EndTransactionMarker,
    HEADER_BYTES, NewRecord, Records, TransactionResult, set_base_offset, set_producer,
};
use model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicId, UnixMillis};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{DecodeError, EncodeError, LogEntry, batches, decode, encode, transaction_batch};
use crate::config::CoordinatorConfig;
use crate::group::Shard;
use crate::group::ids::{GenerationId, GroupId, TopicName};
use crate::group::record::{
    GroupMetadataRecord, GroupRecord, MemberRecord, OffsetRecord, TransactionBatch,
};
use crate::group::request::CompleteTransaction;

/// A classic group with one static member: joins, commits twice, has an offset deleted, leaves, and commits without membership for a minute.
const CLASSIC_GROUP_LOG: &[u8] = include_bytes!("fixtures/classic-group.log");

/// A group of KIP-848, whose member commits four partitions and leaves; then an operator commits one of them.
const CONSUMER_GROUP_LOG: &[u8] = include_bytes!("fixtures/consumer-group.log");

fn all(bytes: &Bytes) -> Vec<GroupRecord> {
    decode(bytes).map(|entry| plain(entry.expect("the batches are whole"))).collect()
}

fn plain(entry: LogEntry) -> GroupRecord {
    match entry {
        LogEntry::Record(record) => record,
        other => panic!("{other:?} is of a transaction"),
    }
}

fn offset(topic: &str, partition: i32, value: Option<OffsetRecord>) -> GroupRecord {
    GroupRecord::Offset { group_id: "golden".into(), topic: topic.into(), partition, value }
}

fn committed(offset: i64, commit_time: i64) -> OffsetRecord {
    OffsetRecord {
        offset: Offset(offset),
        leader_epoch: None,
        metadata: String::new(),
        topic_id: None,
        commit_time: UnixMillis(commit_time),
        expire_time: None,
    }
}

fn group(generation: i32, state_since: i64) -> GroupMetadataRecord {
    GroupMetadataRecord {
        protocol_type: "consumer".to_owned(),
        generation_id: GenerationId(generation),
        protocol_name: None,
        leader: None,
        state_since: Some(UnixMillis(state_since)),
        members: Vec::new(),
    }
}

fn member() -> MemberRecord {
    MemberRecord {
        member_id: "inst-1-453f3e4c-f6fa-4a22-9780-d1b866cdb342".into(),
        group_instance_id: Some("inst-1".into()),
        client_id: "raw".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout: Duration::from_secs(10),
        session_timeout: Duration::from_secs(10),
        subscription: Bytes::from_static(b"\0\x01\0\0\0\x01\0\x06orders\xff\xff\xff\xff\0\0\0\0"),
        assignment: Bytes::from_static(b"assigned"),
    }
}

#[test]
fn a_log_of_kafkas_is_read() {
    let log = Bytes::from_static(CLASSIC_GROUP_LOG);
    let orders: Option<TopicId> = Some("Kwm6aYajSaqi6R-PB-Zy5A".parse().unwrap());
    let other: Option<TopicId> = Some("gVpqcNvnQBuvnEBgkARACw".parse().unwrap());
    let of_group =
        |value| GroupRecord::Group { group_id: GroupId::from("golden"), value: Some(value) };
    let expected = [
        of_group(GroupMetadataRecord {
            protocol_type: String::new(),
            ..group(0, 1_795_514_748_853)
        }),
        of_group(GroupMetadataRecord {
            protocol_name: Some("range".to_owned()),
            leader: Some(member().member_id),
            members: vec![member()],
            ..group(1, 1_795_514_748_861)
        }),
        offset(
            "orders",
            0,
            Some(OffsetRecord {
                leader_epoch: Some(LeaderEpoch(3)),
                topic_id: orders,
                ..committed(41, 1_795_514_748_874)
            }),
        ),
        offset(
            "other",
            1,
            Some(OffsetRecord {
                metadata: "w\u{f6}rds".to_owned(),
                topic_id: other,
                ..committed(7, 1_795_514_748_874)
            }),
        ),
        offset(
            "orders",
            0,
            Some(OffsetRecord {
                leader_epoch: Some(LeaderEpoch(3)),
                topic_id: orders,
                ..committed(42, 1_795_514_748_875)
            }),
        ),
        offset("other", 1, None),
        of_group(group(2, 1_795_514_748_878)),
        offset(
            "other",
            2,
            Some(OffsetRecord {
                expire_time: Some(UnixMillis(1_795_514_808_879)),
                ..committed(8, 1_795_514_748_879)
            }),
        ),
    ];
    assert_eq!(all(&log), expected);
}

#[test]
fn keys_of_the_newer_group_protocols_are_skipped() {
    let log = Bytes::from_static(CONSUMER_GROUP_LOG);
    let records = all(&log);
    let written: usize = Batches::whole(&log)
        .map(|batch| usize::try_from(batch.unwrap().header.record_count).unwrap())
        .sum();
    assert!(records.len() < written);
    let last = records.last().expect("the operator's commit is the last");
    let GroupRecord::Offset { topic, partition: 0, value: Some(value), .. } = last else {
        panic!("{last:?} is no commit of partition 0");
    };
    assert_eq!(
        (topic.as_str(), value.offset, value.metadata.as_str()),
        ("orders", Offset(9), "admin")
    );
    assert!(records.iter().all(|record| matches!(record, GroupRecord::Offset { .. })));
}

/// Puts a key and a value, both in hexadecimal digits, into a batch and reads it.
fn read_hex(key: &str, value: &str) -> GroupRecord {
    let bytes = |hex: &str| -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    };
    let batch = batch_of(BatchOptions::default(), &[(&bytes(key), Some(&bytes(value)))]);
    all(&batch).pop().expect("the batch holds a record")
}

fn batch_of(options: BatchOptions, records: &[(&[u8], Option<&[u8]>)]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (key, value) in records {
        let record = NewRecord { key: Some(key), value: *value, ..NewRecord::default() };
        builder.append(&record).unwrap();
    }
    Bytes::from(builder.build().unwrap())
}

/// Key of `billing`, topic `orders`, partition 7, as both of Kafka's versions write it.
const OFFSET_KEYS: [&str; 2] = [
    "0000000762696c6c696e6700066f726465727300000007",
    "0001000762696c6c696e6700066f726465727300000007",
];

#[test]
fn offsets_of_all_versions_that_kafka_ever_wrote_are_read() {
    let values = [
        "00000000011f71fb04cb000461c3a9620000018bcfe56800",
        "00010000011f71fb04cb000461c3a9620000018bcfe568000000018bcfee8fc0",
        "00020000011f71fb04cb000461c3a9620000018bcfe56800",
        "00030000011f71fb04cb00000005000461c3a9620000018bcfe56800",
        "00040000011f71fb04cb000000050561c3a9620000018bcfe5680000",
    ];
    for (version, value) in values.into_iter().enumerate() {
        let expected = GroupRecord::Offset {
            group_id: "billing".into(),
            topic: "orders".into(),
            partition: 7,
            value: Some(OffsetRecord {
                leader_epoch: (version >= 3).then_some(LeaderEpoch(5)),
                metadata: "a\u{e9}b".to_owned(),
                expire_time: (version == 1).then_some(UnixMillis(1_700_000_600_000)),
                ..committed(1_234_567_890_123, 1_700_000_000_000)
            }),
        };
        for key in OFFSET_KEYS {
            assert_eq!(read_hex(key, value), expected, "version {version}");
        }
    }
}

#[test]
fn groups_of_all_versions_that_kafka_ever_wrote_are_read() {
    let values = [
        "00000008636f6e73756d657200000003000572616e676500036d2d310000000100036d2d31000163000a2f3132372e302e302e310000afc800000003010203000000020405",
        "00010008636f6e73756d657200000003000572616e676500036d2d310000000100036d2d31000163000a2f3132372e302e302e31000493e00000afc800000003010203000000020405",
        "00020008636f6e73756d657200000003000572616e676500036d2d310000018bcfe568010000000100036d2d31000163000a2f3132372e302e302e31000493e00000afc800000003010203000000020405",
        "00030008636f6e73756d657200000003000572616e676500036d2d310000018bcfe568010000000100036d2d310003692d31000163000a2f3132372e302e302e31000493e00000afc800000003010203000000020405",
        "000409636f6e73756d6572000000030672616e6765046d2d310000018bcfe5680102046d2d3104692d3102630b2f3132372e302e302e31000493e00000afc8040102030304050000",
    ];
    for (version, value) in values.into_iter().enumerate() {
        let rebalance_timeout = if version == 0 { 45 } else { 300 };
        let expected = GroupMetadataRecord {
            protocol_name: Some("range".to_owned()),
            leader: Some("m-1".into()),
            state_since: (version >= 2).then_some(UnixMillis(1_700_000_000_001)),
            members: vec![MemberRecord {
                member_id: "m-1".into(),
                group_instance_id: (version >= 3).then(|| "i-1".into()),
                client_id: "c".to_owned(),
                client_host: "/127.0.0.1".to_owned(),
                rebalance_timeout: Duration::from_secs(rebalance_timeout),
                session_timeout: Duration::from_secs(45),
                subscription: Bytes::from_static(&[1, 2, 3]),
                assignment: Bytes::from_static(&[4, 5]),
            }],
            ..group(3, 0)
        };
        let record = read_hex("0002000762696c6c696e67", value);
        let group_id = "billing".into();
        assert_eq!(record, GroupRecord::Group { group_id, value: Some(expected) }, "{version}");
    }
}

#[test]
fn what_is_written_is_what_kafka_writes() {
    let records = [
        offset("orders", 0, Some(committed(8, 1_700_000_000_000))),
        offset(
            "orders",
            1,
            Some(OffsetRecord {
                expire_time: Some(UnixMillis(1_700_000_600_000)),
                // The version with a time has no room for it.
                topic_id: Some(TopicId::from_bytes([0xab; 16])),
                ..committed(9, 1_700_000_000_000)
            }),
        ),
        offset(
            "orders",
            2,
            Some(OffsetRecord {
                topic_id: Some(TopicId::from_bytes([0xab; 16])),
                ..committed(8, 1_700_000_000_000)
            }),
        ),
        GroupRecord::Group { group_id: "billing".into(), value: Some(group(4, 1_700_000_000_002)) },
        GroupRecord::Group { group_id: "billing".into(), value: None },
    ];
    let batches = encode(&records, UnixMillis(17), 1 << 20).unwrap();
    let [batch] = batches.as_slice() else { panic!("{} batches", batches.len()) };
    let values = [
        Some("00040000000000000008ffffffff010000018bcfe5680000"),
        Some("0001000000000000000900000000018bcfe568000000018bcfee8fc0"),
        Some(
            "00040000000000000008ffffffff010000018bcfe56800010010abababababababababababababababab",
        ),
        Some("00030008636f6e73756d657200000004ffffffff0000018bcfe5680200000000"),
        None,
    ];
    let read = Batches::whole(batch).next().unwrap().unwrap();
    assert_eq!((read.header.codec(), read.header.max_timestamp), (Codec::None, UnixMillis(17)));
    let read = Records::of(read, 1 << 20).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let written: Vec<_> = read.iter().map(|record| record.unwrap().value.map(hex)).collect();
    assert_eq!(written, values.map(|value| value.map(str::to_owned)));
}

fn any_record(random: &mut StdRng) -> GroupRecord {
    let group_id = GroupId::from(format!("group-{}", random.random_range(0..3)).as_str());
    let is_tombstone = random.random_bool(0.2);
    if random.random_bool(0.3) {
        let members = (0..random.random_range(0..3)).map(|_| member()).collect();
        let value = (!is_tombstone).then(|| GroupMetadataRecord { members, ..group(2, 5) });
        return GroupRecord::Group { group_id, value };
    }
    let value = OffsetRecord {
        metadata: "x".repeat(random.random_range(0..40)),
        leader_epoch: random.random_bool(0.5).then_some(LeaderEpoch(1)),
        topic_id: random.random_bool(0.5).then_some(TopicId::from_bytes([7; 16])),
        ..committed(random.random_range(-1..i64::MAX), random.random_range(0..i64::MAX))
    };
    GroupRecord::Offset {
        group_id,
        topic: TopicName::from(format!("t{}", random.random_range(0..3)).as_str()),
        partition: random.random(),
        value: (!is_tombstone).then_some(value),
    }
}

#[test]
fn records_come_back_as_they_went_in_batches_within_the_limit() {
    for seed in 0..50 {
        let mut random = StdRng::seed_from_u64(seed);
        let records: Vec<_> = (0..100).map(|_| any_record(&mut random)).collect();
        let limit_bytes = random.random_range(1_000..20_000);
        let batches = encode(&records, UnixMillis(1), limit_bytes).unwrap();
        assert!(batches.iter().all(|batch| batch.len() <= limit_bytes));
        assert!(batches.len() > 1 || limit_bytes > 8_000, "seed {seed}");
        assert_eq!(all(&batches.concat().into()), records, "seed {seed}");
    }
    assert!(encode(&[], UnixMillis(1), 100).unwrap().is_empty());
}

#[test]
fn a_record_that_no_batch_may_hold_is_refused() {
    let record = offset("orders", 0, Some(committed(1, 1)));
    let error = encode(&[record], UnixMillis(1), 100).unwrap_err();
    assert!(matches!(error, EncodeError::TooLarge { limit_bytes: 100, .. }), "{error}");
    let name = "t".repeat(40_000);
    let error = encode(&[offset(&name, 0, None)], UnixMillis(1), 1 << 20).unwrap_err();
    assert!(matches!(error, EncodeError::Inexpressible(_)), "{error}");
}

#[test]
fn compressed_batches_are_read_and_control_records_of_other_kinds_skipped() {
    let record = offset("orders", 3, None);
    let batch = encode(std::slice::from_ref(&record), UnixMillis(1), 1_000).unwrap().concat();
    let inner = Batches::whole(&batch).next().unwrap().unwrap();
    let inner = Records::of(inner, 1 << 20).unwrap();
    let key = inner.iter().next().unwrap().unwrap().key.unwrap();
    let of = |options| batch_of(options, &[(key, None)]).to_vec();
    let plain = BatchOptions::default();
    let control = BatchOptions { kind: BatchKind::Control, ..plain };
    let log = [
        batch_of(control, &[(b"\0\0\0\x02", Some(b"a new leader"))]).to_vec(),
        of(BatchOptions { codec: Codec::Lz4, ..plain }),
        of(BatchOptions { codec: Codec::Zstd, ..plain }),
        of(plain),
    ];
    assert_eq!(all(&log.concat().into()), [record.clone(), record.clone(), record]);
}

#[test]
fn what_a_transaction_commits_is_told_apart_and_its_marker_read() {
    let (producer_id, producer_epoch) = (ProducerId(5), ProducerEpoch(2));
    let records = vec![offset("orders", 3, Some(committed(7, 1))), offset("other", 0, None)];
    let batch = TransactionBatch::Offsets {
        producer_id,
        producer_epoch,
        guard: None,
        records: records.clone(),
    };
    let mut log = transaction_batch(&batch, UnixMillis(1), 1_000).unwrap();
    let header = Batches::whole(&log).next().unwrap().unwrap().header;
    assert!(header.is_transactional() && !header.is_control());
    let expected = BatchProducer { id: producer_id, epoch: producer_epoch, base_sequence: None };
    assert_eq!(header.producer, Some(expected));
    assert!(matches!(
        transaction_batch(&batch, UnixMillis(1), 100),
        Err(EncodeError::TooLarge { limit_bytes: 100, .. })
    ));
    set_base_offset(&mut log, Offset(40));
    let marker = EndTransactionMarker { result: TransactionResult::Abort, coordinator_epoch: 9 };
    let batch = TransactionBatch::Marker(CompleteTransaction {
        producer_id,
        producer_epoch,
        marker,
        transaction_version: 2,
    });
    let mut control = transaction_batch(&batch, UnixMillis(1), 1_000).unwrap();
    set_base_offset(&mut control, Offset(42));
    log.extend_from_slice(&control);
    let log = Bytes::from(log);
    let found: Vec<_> = decode(&log).collect::<Result<_, _>>().unwrap();
    let pending = |offset, record: &GroupRecord| LogEntry::OfTransaction {
        producer_id,
        offset: Offset(offset),
        record: record.clone(),
    };
    let expected = [
        pending(40, &records[0]),
        pending(41, &records[1]),
        LogEntry::Marker { producer_id, marker },
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_damaged_marker_ends_the_reading() {
    let producer =
        Some(BatchProducer { id: ProducerId(5), epoch: ProducerEpoch(0), base_sequence: None });
    let options =
        BatchOptions { kind: BatchKind::TransactionMarker, producer, ..BatchOptions::default() };
    let batch = batch_of(options, &[(b"\0\0\0\x01", None)]);
    let error = decode(&batch).next().unwrap().unwrap_err();
    assert!(matches!(error, DecodeError::Marker { offset: Offset(0), .. }), "{error}");
    assert!(!error.is_skippable());
}

#[test]
fn what_cannot_be_read_is_named() {
    let at = |mut batch: Vec<u8>, offset| {
        set_base_offset(&mut batch, Offset(offset));
        batch
    };
    let key: &[u8] = b"\0\x01\0\x01g\0\x01t\0\0\0\0";
    let good = batch_of(BatchOptions::default(), &[(key, None)]);
    let log = |bad: Bytes| Bytes::from([at(good.to_vec(), 7), at(bad.to_vec(), 8)].concat());
    let failure = |bad: Bytes| {
        let log = log(bad);
        let mut records = decode(&log);
        assert!(records.next().unwrap().is_ok());
        let error = records.next().unwrap().unwrap_err();
        assert!(records.next().is_none(), "it ends at the first error");
        error
    };
    let of = |key: &[u8], value: &[u8]| batch_of(BatchOptions::default(), &[(key, Some(value))]);
    for (key, value, part) in [
        (&key[..4], &b""[..], "key"),
        (key, b"\0\x04\0\0", "value"),
        (key, b"\0\x05\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "value"),
        (
            b"\0\x02\0\x01g",
            b"\0\x03\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0\x7f\xff\xff\xff",
            "value",
        ),
    ] {
        let error = failure(of(key, value));
        let DecodeError::Record { offset, part: named, .. } = error else { panic!("{error}") };
        assert_eq!((offset, named), (Offset(8), part));
    }
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(&NewRecord::default()).unwrap();
    let error = failure(builder.build().unwrap().into());
    assert!(matches!(error, DecodeError::NoKey { offset: Offset(8) }), "{error}");
    let mut flipped = good.to_vec();
    flipped[HEADER_BYTES + 5] ^= 1;
    let error = failure(flipped.into());
    assert!(matches!(error, DecodeError::Batch { after: Offset(8), .. }), "{error}");
    let error = failure(good.slice(..good.len() - 1));
    assert!(matches!(error, DecodeError::Batch { .. }), "{error}");
}

#[test]
fn damaged_bytes_never_panic() {
    let mut random = StdRng::seed_from_u64(3);
    for log in [CLASSIC_GROUP_LOG, CONSUMER_GROUP_LOG] {
        for _ in 0..2_000 {
            let mut bytes = log.to_vec();
            for _ in 0..random.random_range(1..4) {
                let index = random.random_range(0..bytes.len());
                bytes[index] = random.random();
            }
            repair_checksums(&mut bytes);
            let bytes = Bytes::from(bytes);
            assert!(decode(&bytes).count() <= 1 + bytes.len());
        }
    }
}

/// Makes the checksums of the batches right again, up to the first whose header is damaged, so that the damage behind them is reached.
fn repair_checksums(log: &mut [u8]) {
    let mut position = 0;
    while let Some(Ok(batch)) = Batches::with_partial_tail(&log[position..]).next() {
        let (header, end) = (batch.header, position + batch.header.size_bytes);
        let producer = header.producer.unwrap_or(BatchProducer {
            id: ProducerId(-1),
            epoch: ProducerEpoch(-1),
            base_sequence: None,
        });
        // Writing the producer's fields as they are computes the checksum anew.
        set_producer(&mut log[position..end], producer).expect("the batch is whole");
        position = end;
    }
}

#[test]
fn what_is_live_is_estimated_well_enough_to_compare_with_a_logs_size() {
    let mut random = StdRng::seed_from_u64(4);
    let mut shard = Shard::new(CoordinatorConfig::default().group);
    for index in 0..2_000 {
        let mut record = any_record(&mut random);
        if let GroupRecord::Group { group_id, .. } = &mut record {
            *group_id = GroupId::from(format!("group-{index}").as_str());
        }
        shard.replay(record);
    }
    let (records, next) = shard.live_records(None, usize::MAX);
    assert!(next.is_none() && records.len() > 500);
    let written: usize =
        encode(&records, UnixMillis(1), 1 << 20).unwrap().iter().map(Vec::len).sum();
    let estimated = shard.live_bytes();
    // A rewrite is due at three times the estimate: far too low would have it begin again as soon as it ends.
    assert!(estimated.abs_diff(written) < written / 20, "{estimated} for {written}");
}

#[test]
fn batches_come_one_by_one_and_an_error_names_its_record() {
    let group = |name: &str, metadata: usize| GroupRecord::Offset {
        group_id: name.into(),
        topic: "t".into(),
        partition: 0,
        value: Some(OffsetRecord { metadata: "m".repeat(metadata), ..committed(1, 1) }),
    };
    let records =
        [group("small", 100), group("next", 100), group("large", 1_000), group("last", 1)];
    let mut made = batches(&records, UnixMillis(1), 250);
    let first = Bytes::from(made.next().unwrap().unwrap());
    assert_eq!(all(&first), records[..1], "before what cannot be written is even looked at");
    let error = made.next().unwrap().unwrap_err();
    assert!(matches!(error, EncodeError::TooLarge { .. }), "{error}");
    assert_eq!(made.last_record().unwrap().group_id().as_str(), "large");
    assert!(made.next().is_none());
}

#[test]
fn reading_goes_on_behind_records_that_no_coordinator_writes() {
    let key: &[u8] = b"\0\x01\0\x01g\0\x01t\0\0\0\0";
    for codec in [Codec::None, Codec::Lz4] {
        let mut builder = BatchBuilder::new(BatchOptions { codec, ..BatchOptions::default() });
        for (key, value) in
            [(Some(key), None), (None, None), (Some(key), Some(&b"\0\x63"[..])), (Some(key), None)]
        {
            builder.append(&NewRecord { key, value, ..NewRecord::default() }).unwrap();
        }
        let batch = Bytes::from(builder.build().unwrap());
        let found: Vec<_> = decode(&batch).collect();
        assert_eq!(found.len(), 4);
        assert!(found[0].is_ok() && found[3].is_ok());
        for (offset, found) in (1..=2).zip(&found[1..3]) {
            let error = found.as_ref().unwrap_err();
            assert!(
                error.is_skippable() && error.to_string().contains(&offset.to_string()),
                "{error}"
            );
        }
    }
}
