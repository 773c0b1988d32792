//! Records of `__consumer_offsets` and `__transaction_state`, and the consumers' protocol: against Kafka's own bytes, and with bad input.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use bytes::Bytes;

use super::allocation::peak_of;
use super::bad_input::HOSTILE;
use super::fixture::bytes_of;
use super::sample::{Sample, Source};
use crate::codec::{DecodeError, EncodeError, Problem};
use crate::consumer_protocol::{
    AssignedPartitions, ConsumerProtocolAssignment, ConsumerProtocolSubscription, OwnedPartitions,
};
use crate::group_log::{
    GroupLogKey, GroupMetadataKey, GroupMetadataValue, MemberMetadata, OffsetCommitKey,
    OffsetCommitValue, partition_of_group,
};
use crate::transaction_log::{TransactionLogKey, TransactionLogValue, TransactionStatus};

macro_rules! records {
    ($($name:ident),*) => {
        /// Any of the structures that stand behind their version.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Kind {
            $($name,)*
        }

        #[derive(Debug, PartialEq)]
        enum Record {
            $($name($name),)*
        }

        impl Kind {
            const ALL: &[Self] = &[$(Self::$name),*];

            fn newest(self) -> i16 {
                match self {
                    $(Self::$name => $name::FORMAT.newest,)*
                }
            }

            fn sample(self, source: &mut Source, version: i16) -> Record {
                match self {
                    $(Self::$name => Record::$name($name::sample(source, version)),)*
                }
            }

            fn decode(self, bytes: Bytes) -> Result<Record, DecodeError> {
                match self {
                    $(Self::$name => $name::decode(bytes).map(Record::$name),)*
                }
            }
        }

        impl Record {
            fn encode(&self, version: i16) -> Result<Bytes, EncodeError> {
                match self {
                    $(Self::$name(record) => $name::FORMAT.encode(record, version),)*
                }
            }
        }
    };
}
records!(
    OffsetCommitValue,
    GroupMetadataValue,
    ConsumerProtocolSubscription,
    ConsumerProtocolAssignment,
    TransactionLogValue
);

/// Calls `check` for each structure in each version.
fn for_each_version(mut check: impl FnMut(Kind, i16)) {
    for kind in Kind::ALL {
        for version in 0..=kind.newest() {
            check(*kind, version);
        }
    }
}

/// Reads a record and checks that memory stays within the bound that the reader promises.
fn bounded<T>(bytes: &[u8], read: impl FnOnce(Bytes) -> T) -> T {
    let bytes = Bytes::copy_from_slice(bytes);
    let allowed = 16 * bytes.len() + 65 * 1024;
    let (result, peak) = peak_of(|| read(bytes));
    assert!(peak <= allowed, "held {peak} bytes of {allowed}");
    result
}

fn words<const N: usize>(line: &str) -> [&str; N] {
    line.split(' ').collect::<Vec<_>>().try_into().unwrap()
}

/// One record of a broker's log.
struct Logged {
    partition: i32,
    key: Bytes,
    value: Option<Bytes>,
}

fn logged() -> Vec<Logged> {
    let lines = include_str!("fixtures/consumer_offsets_4_3_1.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let [partition, key, value] = words(line);
            Logged {
                partition: partition.parse().unwrap(),
                key: bytes_of(key),
                value: (value != "null").then(|| bytes_of(value)),
            }
        })
        .collect()
}

/// The values of a group's own record, in the order of the log.
fn group_values(group: &str) -> Vec<Option<GroupMetadataValue>> {
    let key = GroupMetadataKey { group: group.into() }.encode().unwrap();
    let records = logged().into_iter().filter(|record| record.key == key);
    records
        .map(|record| record.value.map(|value| GroupMetadataValue::decode(value).unwrap()))
        .collect()
}

/// The values of a committed offset, in the order of the log.
fn committed(group: &str, partition: i32) -> Vec<Option<OffsetCommitValue>> {
    let key = OffsetCommitKey { group: group.into(), topic: "golden".into(), partition };
    let key = key.encode().unwrap();
    let records = logged().into_iter().filter(|record| record.key == key);
    records
        .map(|record| record.value.map(|value| OffsetCommitValue::decode(value).unwrap()))
        .collect()
}

#[test]
fn kafkas_bytes_are_read_and_written_unchanged_in_every_version() {
    let mut seen = Vec::new();
    for line in include_str!("fixtures/records_4_3_1.txt").lines().skip(1) {
        let [name, version, hex] = words(line);
        let kind = *Kind::ALL.iter().find(|kind| format!("{kind:?}") == name).unwrap();
        let version: i16 = version.parse().unwrap();
        let record = kind.decode(bytes_of(hex)).unwrap();
        assert_eq!(record.encode(version), Ok(bytes_of(hex)), "{name} {version}");
        seen.push((kind, version));
    }
    let mut expected = Vec::new();
    for_each_version(|kind, version| expected.push((kind, version)));
    assert_eq!(seen, expected);
}

#[test]
fn a_brokers_log_is_read_and_written_unchanged() {
    let mut unknown = BTreeSet::new();
    for Logged { partition, key, value } in logged() {
        let group = match GroupLogKey::decode(key.clone()).unwrap() {
            GroupLogKey::OffsetCommit(offset_key) => {
                assert_eq!(offset_key.encode(), Ok(key));
                if let Some(value) = value {
                    let committed = OffsetCommitValue::decode(value.clone()).unwrap();
                    assert_eq!(committed.encode(), Ok(value));
                }
                offset_key.group
            }
            GroupLogKey::GroupMetadata(group_key) => {
                assert_eq!(group_key.encode(), Ok(key));
                if let Some(value) = value {
                    let group = GroupMetadataValue::decode(value.clone()).unwrap();
                    assert_eq!(group.encode(), Ok(value));
                }
                group_key.group
            }
            GroupLogKey::Unknown(kind) => {
                unknown.insert(kind);
                continue;
            }
        };
        assert_eq!(partition_of_group(&group, NonZeroU32::new(50).unwrap()), partition, "{group}");
    }
    // Of the group with the protocol of KIP-848.
    assert_eq!(unknown, BTreeSet::from([3, 5, 6, 7, 8]));
}

#[test]
fn a_group_in_a_brokers_log_says_what_happened_to_it() {
    let [Some(created), Some(stable), Some(left)] = &group_values("golden-group")[..] else {
        panic!("the group was created, stable and empty")
    };
    let member_id = "instance-1-11fb09dc-9d47-4625-b23e-be48f2224b13";
    assert_eq!(
        created,
        &GroupMetadataValue {
            current_state_timestamp: created.current_state_timestamp,
            ..GroupMetadataValue::default()
        }
    );
    assert!(created.current_state_timestamp > 0);
    let [member] = &stable.members[..] else { panic!("one member") };
    assert_eq!(
        stable,
        &GroupMetadataValue {
            protocol_type: "consumer".into(),
            generation: 1,
            protocol: Some("range".into()),
            leader: Some(member_id.into()),
            current_state_timestamp: stable.current_state_timestamp,
            members: vec![MemberMetadata {
                member_id: member_id.into(),
                group_instance_id: Some("instance-1".into()),
                client_id: "golden-client".into(),
                client_host: "/127.0.0.1".into(),
                rebalance_timeout: 300_000,
                session_timeout: 45_000,
                subscription: member.subscription.clone(),
                assignment: member.assignment.clone(),
            }],
        }
    );
    assert_eq!(
        left,
        &GroupMetadataValue {
            protocol_type: "consumer".into(),
            generation: 2,
            current_state_timestamp: left.current_state_timestamp,
            ..GroupMetadataValue::default()
        }
    );
    assert_eq!(group_values("simple-group"), [None]);
}

#[test]
fn what_a_java_consumer_says_and_is_given_is_read_and_written_unchanged() {
    let groups = group_values("golden-group");
    let member = &groups[1].as_ref().unwrap().members[0];
    let subscription = ConsumerProtocolSubscription::decode(member.subscription.clone()).unwrap();
    assert_eq!(
        subscription,
        ConsumerProtocolSubscription { topics: vec!["golden".into()], ..Default::default() }
    );
    assert_eq!((subscription.generation_id, &subscription.rack_id), (-1, &None));
    assert_eq!(subscription.encode().as_ref(), Ok(&member.subscription));
    let assignment = ConsumerProtocolAssignment::decode(member.assignment.clone()).unwrap();
    let partitions = AssignedPartitions { topic: "golden".into(), partitions: vec![0, 1] };
    assert_eq!(assignment.assigned_partitions, [partitions]);
    assert_eq!(assignment.encode().as_ref(), Ok(&member.assignment));
}

#[test]
fn offsets_in_a_brokers_log_are_those_that_were_committed() {
    let [Some(read)] = &committed("golden-group", 0)[..] else { panic!("committed once") };
    assert_eq!((read.offset, read.leader_epoch, &*read.metadata), (3, 0, ""));
    assert_eq!(read.expire_timestamp, -1);
    assert!(!read.topic_id.is_zero());

    let [Some(kept)] = &committed("raw-group", 1)[..] else { panic!("committed once") };
    assert_eq!((kept.offset, kept.leader_epoch, &*kept.metadata), (43, 5, "meta"));
    assert_eq!(kept.topic_id, read.topic_id);

    let [Some(retained)] = &committed("raw-group", 0)[..] else { panic!("committed once") };
    assert_eq!((retained.offset, retained.leader_epoch, &*retained.metadata), (42, -1, "größe"));
    assert_eq!(retained.expire_timestamp - retained.commit_timestamp, 3_600_000);
    assert!(retained.topic_id.is_zero());

    assert!(matches!(committed("simple-group", 0)[..], [Some(_), None]));
}

#[test]
fn every_record_survives_a_round_trip_in_every_version() {
    for_each_version(|kind, version| {
        for mut source in Source::all(u64::from(version.unsigned_abs()) + 2000) {
            let record = kind.sample(&mut source, version);
            let bytes = record.encode(version).unwrap();
            assert_eq!(bytes.first_chunk(), Some(&version.to_be_bytes()));
            assert_eq!(kind.decode(bytes), Ok(record), "{kind:?} {version}");
        }
    });
}

#[test]
fn committed_offsets_from_before_kafka_0_9_have_the_same_key_behind_another_number() {
    let key = OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 7 };
    let mut bytes = key.encode().unwrap().to_vec();
    assert_eq!(bytes[..2], [0, 1]);
    bytes[1] = 0;
    assert_eq!(GroupLogKey::decode(bytes.into()), Ok(GroupLogKey::OffsetCommit(key)));
}

#[test]
fn a_transactional_ids_key_stands_behind_a_kind_of_zero_and_others_are_skipped() {
    let key = TransactionLogKey { transactional_id: "copier".into() };
    let bytes = key.encode().unwrap();
    assert_eq!(bytes, Bytes::from_static(b"\0\0\0\x06copier"));
    assert_eq!(TransactionLogKey::decode(bytes.clone()), Ok(Some(key)));
    assert!(TransactionLogKey::decode(bytes.slice(..bytes.len() - 1)).is_err());
    for kind in [-1_i16, 1, i16::MAX] {
        let bytes = [&kind.to_be_bytes()[..], &[0xff; 40]].concat();
        assert_eq!(TransactionLogKey::decode(bytes.into()), Ok(None));
    }
}

#[test]
fn states_of_transactions_have_kafkas_numbers_and_names() {
    let names = TransactionStatus::ALL.map(TransactionStatus::name);
    assert_eq!(
        names,
        [
            "Empty",
            "Ongoing",
            "PrepareCommit",
            "PrepareAbort",
            "CompleteCommit",
            "CompleteAbort",
            "Dead",
            "PrepareEpochFence"
        ]
    );
    for (number, status) in (0..).zip(TransactionStatus::ALL) {
        assert_eq!(status.to_wire(), number);
        assert_eq!(TransactionStatus::from_wire(number), Some(status));
        assert_eq!(TransactionStatus::from_name(status.name()), Some(status));
    }
    assert_eq!(TransactionStatus::from_wire(8), None);
    assert_eq!(TransactionStatus::from_name("ongoing"), None);
}

#[test]
fn keys_of_other_kinds_are_unknown_whatever_stands_in_them() {
    for kind in [-1, 3, 16, i16::MAX] {
        for tail in [&[][..], &[0xff; 40]] {
            let bytes = [&kind.to_be_bytes()[..], tail].concat();
            assert_eq!(GroupLogKey::decode(bytes.into()), Ok(GroupLogKey::Unknown(kind)));
        }
    }
}

#[test]
fn versions_of_values_that_are_not_known_are_refused() {
    for kind in [Kind::OffsetCommitValue, Kind::GroupMetadataValue] {
        for version in [-1, 5, i16::MAX] {
            let bytes = [&version.to_be_bytes()[..], &[0; 64]].concat();
            let error = kind.decode(bytes.into()).unwrap_err();
            assert_eq!(error.problem(), &Problem::UnsupportedVersion(version));
        }
    }
    let format = ConsumerProtocolSubscription::FORMAT;
    let error = format.encode(&ConsumerProtocolSubscription::default(), 4).unwrap_err();
    let api = "ConsumerProtocolSubscription";
    assert_eq!(error, EncodeError::UnsupportedVersion { api, version: 4 });
}

#[test]
fn younger_consumers_are_understood_as_far_as_version_3_goes() {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["orders".into()],
        user_data: Some(Bytes::from_static(b"u")),
        owned_partitions: vec![OwnedPartitions { topic: "orders".into(), partitions: vec![1] }],
        generation_id: 9,
        rack_id: Some("r".into()),
    };
    let mut bytes = subscription.encode().unwrap().to_vec();
    assert_eq!(bytes[..2], [0, 3]);
    bytes[1] = 4;
    bytes.extend([1, 2, 3]);
    assert_eq!(ConsumerProtocolSubscription::decode(bytes.clone().into()), Ok(subscription));
    bytes[..2].copy_from_slice(&[0xff, 0xff]);
    let error = ConsumerProtocolSubscription::decode(bytes.into()).unwrap_err();
    assert_eq!(error.problem(), &Problem::UnsupportedVersion(-1));
}

#[test]
fn a_record_that_is_cut_anywhere_is_refused() {
    for_each_version(|kind, version| {
        for mut source in [Source::least(), Source::full(7)] {
            let bytes = kind.sample(&mut source, version).encode(version).unwrap();
            for length in 0..bytes.len() {
                let result = bounded(&bytes[..length], |bytes| kind.decode(bytes));
                assert!(result.is_err(), "{kind:?} {version} cut at {length}");
            }
        }
    });
    for Logged { key, .. } in logged() {
        let cut = key.slice(..key.len() - 1);
        match GroupLogKey::decode(key).unwrap() {
            GroupLogKey::Unknown(_) => assert!(GroupLogKey::decode(cut).is_ok()),
            _ => assert!(GroupLogKey::decode(cut).is_err()),
        }
    }
}

#[test]
fn hostile_lengths_anywhere_in_a_record_neither_panic_nor_take_memory() {
    let spoil = |bytes: &[u8], read: &dyn Fn(Bytes)| {
        for position in 0..bytes.len() {
            for length in HOSTILE {
                let mut bytes = bytes.to_vec();
                let end = bytes.len().min(position + length.len());
                bytes.splice(position..end, length.iter().copied());
                bounded(&bytes, read);
            }
        }
    };
    for_each_version(|kind, version| {
        let bytes = kind.sample(&mut Source::full(11), version).encode(version).unwrap();
        spoil(&bytes, &|bytes| drop(kind.decode(bytes)));
    });
    for Logged { key, .. } in logged() {
        spoil(&key, &|bytes| drop(GroupLogKey::decode(bytes)));
    }
}

#[test]
fn random_bytes_are_no_record_and_neither_panic_nor_take_memory() {
    let mut source = Source::full(5);
    for_each_version(|kind, version| {
        for _ in 0..200 {
            let length = usize::try_from(source.below(300)).unwrap();
            // Small bytes make plausible lengths and lead deeper into the record.
            let bound = [256, 4, 2][usize::try_from(source.below(3)).unwrap()];
            let tail = (0..length).map(|_| u8::try_from(source.below(bound)).unwrap());
            let bytes: Vec<u8> = version.to_be_bytes().into_iter().chain(tail).collect();
            bounded(&bytes, |bytes| drop(kind.decode(bytes)));
            bounded(&bytes, |bytes| drop(GroupLogKey::decode(bytes)));
        }
    });
}

#[test]
fn members_that_a_record_announces_and_does_not_have_take_no_memory() {
    // Version 3 of a group without texts, and a count of members that 40 bytes cannot hold.
    let mut bytes = vec![0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
    bytes.extend([0; 8]);
    bytes.extend([0x00, 0x10, 0x00, 0x00]);
    bytes.extend([0; 40]);
    let (result, peak) = peak_of(|| GroupMetadataValue::decode(bytes.into()));
    let error = result.unwrap_err();
    assert_eq!(error.place(), Some(("GroupMetadataValue", "members")));
    assert_eq!(error.problem(), &Problem::ImpossibleCount { count: 0x0010_0000, left: 40 });
    assert!(peak < 1000, "{peak}");
}
