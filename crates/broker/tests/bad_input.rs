//! A broker process and everything on its Kafka port that is no request: Kafka's error or a closed connection, and the broker lives.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod one_broker;

use one_broker::{Broker, frame};

/// Header of version 1: key, version, correlation id 7, client id "c".
fn request(key: i16, version: i16, body: &[&[u8]]) -> Vec<u8> {
    let mut request = Vec::new();
    request.extend_from_slice(&key.to_be_bytes());
    request.extend_from_slice(&version.to_be_bytes());
    request.extend_from_slice(&7_i32.to_be_bytes());
    request.extend_from_slice(&[0, 1, b'c']);
    body.iter().for_each(|part| request.extend_from_slice(part));
    frame(&request)
}

fn metadata_of_nothing() -> Vec<u8> {
    request(3, 1, &[&0_i32.to_be_bytes()])
}

/// A Produce request of version 3 with one partition of topic "t".
fn produce(acks: i16, records: &[u8]) -> Vec<u8> {
    let length = i32::try_from(records.len()).unwrap().to_be_bytes();
    let one = 1_i32.to_be_bytes();
    request(
        0,
        3,
        &[
            &(-1_i16).to_be_bytes(),
            &acks.to_be_bytes(),
            &1_000_i32.to_be_bytes(),
            &one,
            &[0, 1, b't'],
            &one,
            &0_i32.to_be_bytes(),
            &length,
            records,
        ],
    )
}

#[test]
fn whatever_is_sent_the_broker_lives_and_its_memory_stays() {
    const HUGE: [u8; 4] = i32::MAX.to_be_bytes();
    const NEGATIVE: [u8; 4] = i32::MIN.to_be_bytes();
    const GROUP: &[u8] = &[0, 1, b'g'];
    let broker = Broker::start();
    let produce_head: [&[u8]; 3] = [&[0xff, 0xff], &[0, 1], &[0, 0, 3, 0xe8]];
    let refused: Vec<(&str, Vec<u8>)> = vec![
        ("a frame of 2 GiB", [&HUGE[..], &[1; 64]].concat()),
        ("a negative frame", vec![0xff, 0xff, 0xff, 0xfe]),
        ("a frame above the limit", [&1_048_577_u32.to_be_bytes()[..], &[0; 64]].concat()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec()),
        ("an unknown API", request(9_999, 0, &[])),
        ("an unknown version", request(3, 99, &[])),
        ("half a header", frame(&[0, 3])),
        ("nothing", frame(&[])),
        ("a huge array in Metadata", request(3, 1, &[&HUGE])),
        ("a negative array in Metadata", request(3, 1, &[&NEGATIVE])),
        ("an endless varint", request(3, 9, &[&[0], &[0xff; 16]])),
        ("a huge array in Produce", request(0, 3, &[&produce_head.concat(), &HUGE])),
        ("half a Produce", request(0, 3, &[&produce_head.concat(), &1_i32.to_be_bytes(), &[0, 9]])),
        ("a huge array in Fetch", request(1, 4, &[&[0xff; 4], &[0; 13], &HUGE])),
        ("a huge array in CreateTopics", request(19, 2, &[&HUGE])),
        ("a huge array in ListOffsets", request(2, 1, &[&[0xff; 4], &HUGE])),
        ("a huge array in JoinGroup", request(11, 0, &[GROUP, &[0; 4], &[0, 0], &[0, 0], &HUGE])),
        ("a huge array in SyncGroup", request(14, 0, &[GROUP, &[0; 4], &[0, 0], &HUGE])),
        ("a huge array in LeaveGroup", request(13, 3, &[GROUP, &HUGE])),
        ("a huge array in OffsetCommit", request(8, 0, &[GROUP, &HUGE])),
        ("a huge array in OffsetFetch", request(9, 0, &[GROUP, &HUGE])),
        ("a negative array in OffsetFetch", request(9, 0, &[GROUP, &NEGATIVE])),
        ("a huge array in FindCoordinator", request(10, 4, &[&[0], &[0], &[0xff; 5]])),
        ("a huge array in DescribeGroups", request(15, 0, &[&HUGE])),
        ("a huge array in DeleteGroups", request(42, 0, &[&HUGE])),
        ("a huge array in DeleteRecords", request(21, 0, &[&HUGE])),
        ("a huge array in OffsetDelete", request(47, 0, &[GROUP, &HUGE])),
        ("a huge array in ListGroups", request(16, 4, &[&[0], &[0xff; 5]])),
    ];
    let mut settled = 0;
    for round in 0..60 {
        for (what, bytes) in &refused {
            assert!(broker.send(bytes).is_empty(), "{what} was answered");
        }
        if round == 9 {
            settled = broker.memory_kib();
        }
    }
    let grown = broker.memory_kib().saturating_sub(settled);
    assert!(grown < 8_192, "memory grew by {grown} KiB");
    assert!(!broker.send(&metadata_of_nothing()).is_empty(), "the broker lives");
}

#[test]
fn random_bytes_in_frames_never_end_the_broker() {
    let broker = Broker::start();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    };
    for _ in 0..1_000 {
        let mut body: Vec<u8> = (0..16).flat_map(|_| next()).collect();
        // A served API and a low version, so that decoding goes deeper than the header.
        body[0] = 0;
        body[1] %= 64;
        body[2] = 0;
        body[3] %= 8;
        broker.send(&frame(&body));
    }
    assert!(!broker.send(&metadata_of_nothing()).is_empty(), "the broker lives");
}

#[test]
fn produce_requests_that_break_a_rule_get_kafkas_codes() {
    let broker = Broker::start();
    // Asking for a topic creates it.
    let ask = request(3, 4, &[&1_i32.to_be_bytes(), &[0, 1, b't'], &[1]]);
    assert!(!broker.send(&ask).is_empty());
    let mut wrong_crc = vec![0_u8; 61 + 7];
    wrong_crc[8..12].copy_from_slice(&(49_i32 + 7).to_be_bytes());
    wrong_crc[16] = 2;
    // No producer, no sequence, one record.
    wrong_crc[43..57].fill(0xff);
    wrong_crc[60] = 1;
    for (what, bytes, code) in [
        ("acks=2", produce(2, &wrong_crc), 21_i16),
        ("messages of the oldest format", produce(1, &[0; 100]), 87),
        ("a wrong checksum", produce(1, &wrong_crc), 2),
        ("no batch", produce(1, &[]), 87),
    ] {
        let answer = broker.send(&bytes);
        // Length, correlation id, one topic, its name, one partition, its index, then the code.
        let place = 4 + 4 + 4 + 3 + 4 + 4;
        let found =
            answer.get(place..place + 2).map(|bytes| i16::from_be_bytes([bytes[0], bytes[1]]));
        assert_eq!(found, Some(code), "{what}: {answer:?}");
    }
    assert!(broker.send(&produce(0, &wrong_crc)).is_empty(), "with acks=0 there is no answer");
}

#[test]
fn an_api_versions_request_of_an_unknown_version_is_answered_in_version_0() {
    let broker = Broker::start();
    let answer = broker.send(&request(18, 99, &[]));
    assert_eq!(answer, [0, 0, 0, 16, 0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]);
}
