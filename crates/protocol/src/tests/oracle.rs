//! Differential tests against the crates kafka-protocol 0.18 (Kafka 4.1) and 0.15.1 (Kafka 3.9): every message in every
//! version that either of them has, both ways, names and defaults of fields included.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use model::{ErrorCode, TopicId};

use super::sample::Source;
use super::{Body, Direction, for_each_version};
use crate::api::ApiKey;

/// What another codec made of our bytes.
struct Read {
    /// Its own bytes for what it read.
    bytes: Bytes,
    /// Bytes that it left.
    left: usize,
    /// How it prints what it read.
    printed: String,
}

macro_rules! oracle {
    ($module:ident, $oracle:ident) => {
        mod $module {
            use super::*;
            use $oracle::protocol::{Decodable, Encodable, Message};

            fn read<M: Decodable + Encodable + Message + Debug>(
                mut bytes: Bytes,
                version: i16,
            ) -> Option<Read> {
                if version < M::VERSIONS.min || version > M::VERSIONS.max {
                    return None;
                }
                let message = M::decode(&mut bytes, version).unwrap();
                let mut again = BytesMut::new();
                message.encode(&mut again, version).unwrap();
                Some(Read {
                    bytes: again.freeze(),
                    left: bytes.len(),
                    printed: format!("{message:?}"),
                })
            }

            oracle!(@apis $oracle:
                Produce ProduceRequest ProduceResponse,
                Fetch FetchRequest FetchResponse,
                ListOffsets ListOffsetsRequest ListOffsetsResponse,
                Metadata MetadataRequest MetadataResponse,
                OffsetCommit OffsetCommitRequest OffsetCommitResponse,
                OffsetFetch OffsetFetchRequest OffsetFetchResponse,
                FindCoordinator FindCoordinatorRequest FindCoordinatorResponse,
                JoinGroup JoinGroupRequest JoinGroupResponse,
                Heartbeat HeartbeatRequest HeartbeatResponse,
                LeaveGroup LeaveGroupRequest LeaveGroupResponse,
                SyncGroup SyncGroupRequest SyncGroupResponse,
                DescribeGroups DescribeGroupsRequest DescribeGroupsResponse,
                ListGroups ListGroupsRequest ListGroupsResponse,
                ApiVersions ApiVersionsRequest ApiVersionsResponse,
                CreateTopics CreateTopicsRequest CreateTopicsResponse,
                DeleteTopics DeleteTopicsRequest DeleteTopicsResponse,
                DeleteRecords DeleteRecordsRequest DeleteRecordsResponse,
                InitProducerId InitProducerIdRequest InitProducerIdResponse,
                OffsetForLeaderEpoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse,
                AddPartitionsToTxn AddPartitionsToTxnRequest AddPartitionsToTxnResponse,
                AddOffsetsToTxn AddOffsetsToTxnRequest AddOffsetsToTxnResponse,
                EndTxn EndTxnRequest EndTxnResponse,
                WriteTxnMarkers WriteTxnMarkersRequest WriteTxnMarkersResponse,
                TxnOffsetCommit TxnOffsetCommitRequest TxnOffsetCommitResponse,
                DescribeConfigs DescribeConfigsRequest DescribeConfigsResponse,
                AlterConfigs AlterConfigsRequest AlterConfigsResponse,
                CreatePartitions CreatePartitionsRequest CreatePartitionsResponse,
                DeleteGroups DeleteGroupsRequest DeleteGroupsResponse,
                ElectLeaders ElectLeadersRequest ElectLeadersResponse,
                IncrementalAlterConfigs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse,
                OffsetDelete OffsetDeleteRequest OffsetDeleteResponse,
                DescribeCluster DescribeClusterRequest DescribeClusterResponse,
                DescribeProducers DescribeProducersRequest DescribeProducersResponse,
                DescribeTransactions DescribeTransactionsRequest DescribeTransactionsResponse,
                ListTransactions ListTransactionsRequest ListTransactionsResponse,
                DescribeTopicPartitions DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse
            );
        }
    };
    (@apis $oracle:ident: $($key:ident $request:ident $response:ident),*) => {
        pub(super) fn exchange(
            key: ApiKey,
            direction: Direction,
            version: i16,
            bytes: Bytes,
        ) -> Option<Read> {
            match (key, direction) {
                $(
                    (ApiKey::$key, Direction::Request) => {
                        read::<$oracle::messages::$request>(bytes, version)
                    }
                    (ApiKey::$key, Direction::Response) => {
                        read::<$oracle::messages::$response>(bytes, version)
                    }
                )*
            }
        }
    };
}
oracle!(modern, kafka_protocol);
oracle!(legacy, kafka_protocol_legacy);

#[test]
fn other_codecs_read_and_write_the_same_bytes() {
    let mut unknown = Vec::new();
    for_each_version(|key, direction, version| {
        let mut compared = 0;
        for mut source in Source::all(u64::from(version.unsigned_abs()) + 1000) {
            let body = Body::sample(&mut source, key, direction, version);
            let bytes = body.write(version).unwrap();
            let ours = match &body {
                Body::Request(request) => format!("{request:?}"),
                Body::Response(response) => format!("{response:?}"),
            };
            for exchange in [modern::exchange, legacy::exchange] {
                let Some(theirs) = exchange(key, direction, version, bytes.clone()) else {
                    continue;
                };
                compared += 1;
                let place = format!("{key} {direction:?} {version}: {body:?}");
                assert_eq!(theirs.left, 0, "{place}");
                assert_eq!(theirs.bytes, bytes, "{place}");
                let read = Body::read(theirs.bytes, key, direction, version);
                assert_eq!(read, Ok((body.clone(), 0)), "{place}");
                let printed = their_form(&theirs.printed);
                assert_eq!(our_form(&ours, key, &printed), printed, "{place}");
            }
        }
        if compared == 0 {
            unknown.push((key, version));
        }
    });
    unknown.dedup();
    // Read from Kafka's own bytes instead: see `fixtures`.
    let expected = [
        (ApiKey::ListOffsets, 11),
        (ApiKey::OffsetCommit, 10),
        (ApiKey::OffsetFetch, 10),
        (ApiKey::WriteTxnMarkers, 2),
    ];
    assert_eq!(unknown, expected);
}

/// Brings what the other codec printed into a common form.
fn their_form(printed: &str) -> String {
    let mut form = printed
        .replace(", unknown_tagged_fields: {}", "")
        .replace(" unknown_tagged_fields: {} ", " ");
    for wrapper in ["BrokerId(", "TopicName(", "TransactionalId(", "ProducerId("] {
        while let Some(start) = form.find(wrapper) {
            let end = start + form[start..].find(')').unwrap();
            form.replace_range(end..=end, "");
            form.replace_range(start..start + wrapper.len(), "");
        }
    }
    // Version 6 of InitProducerId, which is not served.
    for field in [
        "enable_2_pc: ",
        "keep_prepared_txn: ",
        "ongoing_txn_producer_id: ",
        "ongoing_txn_producer_epoch: ",
    ] {
        form = without_field(&form, field);
    }
    for field in ["topic_id: ", "replica_directory_id: "] {
        form = each_value(&form, field, |value| {
            uuid::Uuid::parse_str(value)
                .map_or_else(|_| value.to_owned(), |id| TopicId(id).to_string())
        });
    }
    without_empty(&form)
}

/// Fields that one of the oracles does not know, because Kafka dropped them or had not added them.
const NOT_IN_BOTH: [&str; 15] = [
    "topic_id",
    "high_watermark",
    "timeout_ms",
    "include_fenced_brokers",
    "is_fenced",
    "max_num_offsets",
    "old_style_offsets",
    "is_default",
    "commit_timestamp",
    "retention_time_ms",
    "error_message",
    "producer_id",
    "producer_epoch",
    "transaction_version",
    "transactional_id_pattern",
];

/// Brings what we print into a common form, without those fields that the other codec does not know.
fn our_form(printed: &str, key: ApiKey, theirs: &str) -> String {
    let inner = printed.strip_prefix(&format!("{key}(")).and_then(|rest| rest.strip_suffix(')'));
    let form = each_value(inner.unwrap(), "error_code: ", |value| {
        let code = (-1..200).map(ErrorCode::from_wire).find(|code| format!("{code:?}") == value);
        code.unwrap().to_wire().to_string()
    });
    let mut form = without_empty(&form);
    // The error of the whole Metadata response is younger than one of the codecs; those of its topics are not.
    if key == ApiKey::Metadata
        && form.ends_with(", error_code: 0 }")
        && !theirs.ends_with(", error_code: 0 }")
    {
        form.truncate(form.len() - ", error_code: 0 }".len());
        form.push_str(" }");
    }
    NOT_IN_BOTH.iter().map(|field| format!("{field}: ")).fold(form, |form, field| {
        if theirs.contains(&field) { form } else { without_field(&form, &field) }
    })
}

fn without_field(form: &str, field: &str) -> String {
    each_value(form, field, |_| String::new())
        .replace(&format!("{field}, "), "")
        .replace(&format!(", {field} "), " ")
}

/// Null and empty are told apart by the bytes; defaults of fields that a version lacks differ in that alone.
fn without_empty(form: &str) -> String {
    ["Some(\"\")", "Some([])", "Some(b\"\")"]
        .iter()
        .fold(form.to_owned(), |form, empty| form.replace(empty, "None"))
        // The one coordinator of a response that has many: no broker is −1 for us, as Kafka says in versions that have it.
        .replace(
            "node_id: -1, host: \"\", port: -1, coord",
            "node_id: 0, host: \"\", port: 0, coord",
        )
        .replace("{ }", "{}")
        .replace(" {}", "")
}

/// Replaces each value that follows `field`.
fn each_value(form: &str, field: &str, replace: impl Fn(&str) -> String) -> String {
    let mut parts = form.split(field);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([',', ' ', '}']).unwrap_or(part.len());
        result.push_str(field);
        result.push_str(&replace(&part[..end]));
        result.push_str(&part[end..]);
    }
    result
}
