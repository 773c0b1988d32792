//! Messages as Kafka 4.3.1 itself writes them.

use bytes::Bytes;
use model::ErrorCode;

use super::{Body, Direction};
use crate::api::{ApiKey, DECLARED, Request, Response};
use crate::messages::delete_records::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use crate::messages::describe_groups::DescribedGroup;
use crate::messages::find_coordinator::Coordinator;
use crate::messages::offset_fetch::{OffsetFetchResponsePartition, OffsetFetchResponseTopic};
use crate::messages::{
    DeleteRecordsResponse, DescribeGroupsResponse, FindCoordinatorResponse, JoinGroupResponse,
    OffsetFetchResponse,
};

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
        key: DECLARED.iter().find(|api| api.name == name).unwrap().key,
        direction: match direction {
            "Request" => Direction::Request,
            "Response" => Direction::Response,
            other => panic!("{other} is no direction"),
        },
        version: version.parse().unwrap(),
        bytes: bytes_of(hex),
    }
}

/// Reads hexadecimal digits.
pub(crate) fn bytes_of(hex: &str) -> Bytes {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn kafkas_bytes_are_read_and_written_unchanged_in_the_newest_version_of_each_api() {
    let lines = lines();
    assert_eq!(lines.len(), 2 * DECLARED.len());
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

/// Writes a response and compares it with what a broker of Kafka 4.3.1 answered.
fn assert_answer(response: impl Into<Response>, version: i16, kafkas: &str) {
    let body = Body::Response(response.into());
    assert_eq!(body.write(version), Ok(bytes_of(kafkas)), "{body:?}");
}

#[test]
fn answers_that_say_no_more_than_an_error_are_those_of_a_broker() {
    // To a JoinGroup with an empty group id: null for the protocol begins in version 7.
    let refused = JoinGroupResponse { error_code: ErrorCode::InvalidGroupId, ..Default::default() };
    assert_answer(refused.clone(), 5, "000000000018ffffffff00000000000000000000");
    let refused = JoinGroupResponse { protocol_name: None, ..refused };
    assert_answer(refused, 9, "000000000018ffffffff00000100010100");

    // To an OffsetFetch of a group that does not exist.
    let partitions = vec![OffsetFetchResponsePartition::default()];
    let topics = vec![OffsetFetchResponseTopic { name: "golden".into(), partitions }];
    let none = OffsetFetchResponse { topics, ..Default::default() };
    assert_answer(none, 1, "000000010006676f6c64656e0000000100000000ffffffffffffffff00000000");

    // To a DeleteRecords of a topic that does not exist.
    let partitions = vec![DeleteRecordsPartitionResult {
        error_code: ErrorCode::UnknownTopicOrPartition,
        ..Default::default()
    }];
    let topics = vec![DeleteRecordsTopicResult { name: "nope".into(), partitions }];
    let unknown = DeleteRecordsResponse { topics, ..Default::default() };
    assert_answer(unknown, 0, "000000000000000100046e6f70650000000100000000ffffffffffffffff0003");

    // To a DescribeGroups with a group that does not exist.
    let groups = vec![DescribedGroup {
        error_code: ErrorCode::GroupIdNotFound,
        error_message: Some("Group nogroup not found.".into()),
        group_id: "nogroup".into(),
        group_state: "Dead".into(),
        ..Default::default()
    }];
    let unknown = DescribeGroupsResponse { groups, ..Default::default() };
    assert_answer(
        unknown,
        6,
        "000000000200451947726f7570206e6f67726f7570206e6f7420666f756e642e086e6f67726f757005446561640101\
         01800000000000",
    );

    // To a FindCoordinator of version 4, whose coordinators have no text.
    let coordinators = vec![Coordinator {
        key: "g".into(),
        node_id: 1,
        host: "127.0.0.1".into(),
        port: 18_900,
        ..Default::default()
    }];
    let found = FindCoordinatorResponse { coordinators, ..Default::default() };
    assert_answer(found, 4, "00000000020267000000010a3132372e302e302e31000049d40000010000");
}
