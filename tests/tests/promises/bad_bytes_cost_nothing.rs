//! What no client should send, again and again: Kafka's error or a closed connection, memory flat, the broker lives.

use std::time::Duration;

use bytes::Bytes;
use cluster_tests::cluster::Cluster;
use cluster_tests::deadline::wait_until;
use cluster_tests::wire::{RawConnection, Reply};
use model::record_batch::{BatchBuilder, BatchOptions, NewRecord};
use model::{ErrorCode, TopicId, UnixMillis};
use protocol::messages::metadata::MetadataRequestTopic;
use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::messages::{MetadataRequest, ProduceRequest};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// How often each bad thing is sent: enough that a leak of a kilobyte each would show.
const ROUNDS: usize = 200;

/// Growth of the broker's memory that is still called flat: caches and thread stacks, no frame of a hundred megabytes.
const FLAT_KIB: u64 = 48 * 1024;

fn assert_closed(connection: &mut RawConnection, what: &str) {
    match connection.reply() {
        Reply::Closed => {}
        Reply::Frame(frame) => panic!("{what} was answered with {} bytes", frame.len()),
    }
}

/// A request header of version 1: API key, version, correlation id, client id.
fn header(api_key: i16, version: i16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(api_key.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(7_i32.to_be_bytes());
    bytes.extend((-1_i16).to_be_bytes());
    bytes
}

fn batch(values: &[&[u8]]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for value in values {
        builder
            .append(&NewRecord {
                timestamp: UnixMillis(1),
                key: None,
                value: Some(value),
                headers: &[],
            })
            .expect("the record fits");
    }
    builder.build().expect("the batch can be built")
}

fn produce(acks: i16, topic: &str, records: Vec<u8>) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 5_000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned().into(),
            partition_data: vec![PartitionProduceData { index: 0, records: Some(records.into()) }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn produce_error(connection: &mut RawConnection, request: &ProduceRequest) -> ErrorCode {
    connection.ask(request, 7).responses[0].partition_responses[0].error_code
}

/// Asks for a topic until it has a leader; automatic creation makes it.
fn create_topic(address: &str, topic: &str) {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(topic.to_owned().into()),
            ..Default::default()
        }]),
        allow_auto_topic_creation: true,
        ..Default::default()
    };
    let mut connection = RawConnection::open(address);
    wait_until("the topic's leader", Duration::from_secs(10), || {
        let response = connection.ask(&request, 4);
        response.topics[0].partitions.first().is_some_and(|partition| partition.leader_id >= 0)
    });
}

fn frames_that_no_client_sends(random: &mut StdRng) -> Vec<(&'static str, Vec<u8>)> {
    let with = |api_key, version, body: &[u8]| [header(api_key, version), body.to_vec()].concat();
    let noise: Vec<u8> = (0..300).map(|_| random.random()).collect();
    vec![
        ("a count of 2^31-1 topics", with(3, 1, &i32::MAX.to_be_bytes())),
        ("a count of -2 topics", with(3, 1, &(-2_i32).to_be_bytes())),
        ("a topic name of 32767 bytes that are not there", with(3, 1, &[0, 0, 0, 1, 0x7f, 0xff])),
        ("a topic name of -1 bytes where none may be null", with(3, 1, &[0, 0, 0, 1, 0xff, 0xff])),
        ("a varint that does not end", with(3, 9, &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
        (
            "records of 2^31-1 bytes",
            with(
                0,
                0,
                &[
                    0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0, 0x7f, 0xff,
                    0xff, 0xff,
                ],
            ),
        ),
        (
            "records of -2 bytes",
            with(
                0,
                0,
                &[
                    0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff,
                    0xff, 0xfe,
                ],
            ),
        ),
        ("an API that does not exist", with(9_999, 0, &[])),
        ("a version that does not exist", with(3, 99, &[])),
        ("a truncated header", vec![0, 3]),
        ("noise behind a valid header", with(1, 4, &noise)),
        ("noise", noise.clone()),
    ]
}

#[test]
fn bad_bytes_close_the_connection_and_cost_no_memory() {
    let cluster = Cluster::start(1);
    let (address, pid) = (cluster.address(1), cluster.pid(1));
    create_topic(&address, "t");
    let mut random = StdRng::seed_from_u64(7);
    let mut send_all = |rounds| {
        for _ in 0..rounds {
            for (what, frame) in frames_that_no_client_sends(&mut random) {
                let mut connection = RawConnection::open(&address);
                connection.send_frame(&frame);
                assert_closed(&mut connection, what);
            }
            for (what, bytes) in [
                ("a frame of 2 GiB", i32::MAX.to_be_bytes().to_vec()),
                ("a frame of negative length", (-5_i32).to_be_bytes().to_vec()),
                ("an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
            ] {
                let mut connection = RawConnection::open(&address);
                connection.send(&bytes);
                assert_closed(&mut connection, what);
            }
        }
    };
    send_all(3);
    let before = cluster.resident_kib(1);
    send_all(ROUNDS);
    let after = cluster.resident_kib(1);
    assert!(after < before + FLAT_KIB, "resident memory went from {before} to {after} KiB");
    assert_eq!(cluster.pid(1), pid);
    assert!(
        cluster.http(1, "/health/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")),
        "the broker lives"
    );
}

#[test]
fn a_half_sent_frame_is_dropped_when_its_sender_leaves() {
    let cluster = Cluster::start(1);
    let address = cluster.address(1);
    create_topic(&address, "t");
    let whole = [header(3, 1), 0_i32.to_be_bytes().to_vec()].concat();
    let before = cluster.resident_kib(1);
    for _ in 0..ROUNDS {
        let mut connection = RawConnection::open(&address);
        // Announces 50 MiB, sends a few bytes of them and goes away.
        connection.send(&(50 * 1024 * 1024_i32).to_be_bytes());
        connection.send(&whole);
    }
    let after = cluster.resident_kib(1);
    assert!(after < before + FLAT_KIB, "resident memory went from {before} to {after} KiB");
    create_topic(&address, "still-here");
}

#[test]
fn bad_produce_requests_get_kafkas_errors() {
    let cluster = Cluster::start(1);
    let address = cluster.address(1);
    create_topic(&address, "t");
    let mut connection = RawConnection::open(&address);
    let good = batch(&[b"one", b"two"]);

    let mut wrong_crc = good.clone();
    *wrong_crc.last_mut().unwrap() ^= 1;
    let mut lying_count = good.clone();
    lying_count[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    let truncated = good[..good.len() - 1].to_vec();
    let two = [good.clone(), good.clone()].concat();
    let huge = batch(&[&vec![b'x'; 2_000_000]]);

    let mut endless = good.clone();
    endless[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    for _ in 0..ROUNDS {
        for (what, request, expected) in [
            ("a wrong CRC", produce(1, "t", wrong_crc.clone()), ErrorCode::CorruptMessage),
            (
                "a record count that lies",
                produce(1, "t", lying_count.clone()),
                ErrorCode::InvalidRecord,
            ),
            ("a truncated batch", produce(1, "t", truncated.clone()), ErrorCode::InvalidRecord),
            ("a batch of 2^31-1 bytes", produce(1, "t", endless.clone()), ErrorCode::InvalidRecord),
            ("two batches", produce(1, "t", two.clone()), ErrorCode::InvalidRecord),
            ("no records", produce(1, "t", Vec::new()), ErrorCode::InvalidRecord),
            ("acks=2", produce(2, "t", good.clone()), ErrorCode::InvalidRequiredAcks),
        ] {
            assert_eq!(produce_error(&mut connection, &request), expected, "{what}");
        }
    }
    // Once: the broker waits a while for news of such a topic.
    let unknown = produce(1, "nowhere", good.clone());
    assert_eq!(produce_error(&mut connection, &unknown), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(produce_error(&mut connection, &produce(1, "t", huge)), ErrorCode::MessageTooLarge);

    let unknown_id = ProduceRequest {
        acks: 1,
        timeout_ms: 5_000,
        topic_data: vec![TopicProduceData {
            topic_id: TopicId::from_bytes([9; 16]),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(Bytes::from(good.clone())),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = connection.ask(&unknown_id, 13);
    assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::UnknownTopicId);

    assert_eq!(
        produce_error(&mut connection, &produce(-1, "t", good)),
        ErrorCode::None,
        "after all that a good batch is taken"
    );
}
