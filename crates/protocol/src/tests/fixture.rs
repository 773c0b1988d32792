//! Messages as Kafka 4.3.1 itself writes them.

use bytes::Bytes;
use model::ErrorCode;

use super::{Body, Direction};
use crate::api::{APIS, ApiKey, Request, Response};

/// One line of the fixture.
struct Line {
    key: ApiKey,
    direction: Direction,
    version: i16,
    bytes: Bytes,
}

fn lines() -> Vec<Line> {
    include_str!("fixtures/kafka_4_3_1.txt").lines().skip(1).map(line).collect()
}

fn line(text: &str) -> Line {
    let [name, direction, version, hex] = text.split(' ').collect::<Vec<_>>()[..] else {
        panic!("a line has four words: {text}")
    };
    Line {
        key: APIS.iter().find(|api| api.name == name).unwrap().key,
        direction: match direction {
            "Request" => Direction::Request,
            "Response" => Direction::Response,
            other => panic!("{other} is no direction"),
        },
        version: version.parse().unwrap(),
        bytes: (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect(),
    }
}

#[test]
fn kafkas_bytes_are_read_and_written_unchanged_in_the_newest_version_of_each_api() {
    let lines = lines();
    assert_eq!(lines.len(), 2 * APIS.len());
    for Line { key, direction, version, bytes } in lines {
        assert_eq!(version, key.versions().max, "{key}");
        let (body, left) = Body::read(bytes.clone(), key, direction, version).unwrap();
        assert_eq!(left, 0, "{key} {direction:?}");
        assert_eq!(body.write(version), Ok(bytes), "{key} {direction:?}");
    }
}

#[test]
fn kafkas_list_offsets_11_holds_what_kafka_put_into_it() {
    let mut lines = lines().into_iter().filter(|line| line.key == ApiKey::ListOffsets);
    let mut read = || {
        let line = lines.next().unwrap();
        Body::read(line.bytes, line.key, line.direction, line.version).unwrap().0
    };
    let Body::Request(Request::ListOffsets(request)) = read() else {
        panic!("a request comes first")
    };
    assert_eq!(request.replica_id, 452_456_995);
    assert_eq!(request.isolation_level, -44);
    assert_eq!(request.timeout_ms, -415_022_798);
    assert_eq!(request.topics[1].name, "jsdbuqbqkj");
    let partition = &request.topics[1].partitions[1];
    assert_eq!(partition.partition_index, 1_759_199_079);
    assert_eq!(partition.current_leader_epoch, 803_020_232);
    assert_eq!(partition.timestamp, 2_325_681_254_314_532_835);

    let Body::Response(Response::ListOffsets(response)) = read() else { panic!("then a response") };
    assert_eq!(response.throttle_time_ms, 452_456_995);
    assert_eq!(response.topics[1].name, "qsunht");
    let partition = &response.topics[1].partitions[0];
    assert_eq!(partition.partition_index, 1_759_199_079);
    assert_eq!(partition.error_code, ErrorCode::TopicAuthorizationFailed);
    assert_eq!(partition.timestamp, -4_249_805_998_932_448_279);
    assert_eq!(partition.offset, 8_501_189_004_823_128_013);
    assert_eq!(partition.leader_epoch, 1_555_897_183);
}
