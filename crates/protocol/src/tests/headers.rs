//! Headers, whole frames, and what must not be written.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey as TheirKey, RequestHeader as TheirRequestHeader, ResponseHeader as TheirResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use model::{ErrorCode, TopicId};

use super::allocation::{count_of, peak_of};
use super::sample::Source;
use super::{Body, for_each_version};
use crate::api::{ApiKey, Response};
use crate::codec::{DecodeError, EncodeError, Problem, Reader, SPLICE_BYTES};
use crate::frame::{LENGTH_BYTES, frame_length, take_frame};
use crate::header::{
    RequestError, RequestHeader, decode_request, decode_response, encode_request, encode_response,
    read_response_header, unsupported_api_versions,
};
use crate::messages::fetch::{FetchPartition, FetchTopic, FetchableTopicResponse, PartitionData};
use crate::messages::metadata::MetadataRequestTopic;
use crate::messages::produce::{PartitionProduceData, TopicProduceData};
use crate::messages::{
    ApiVersionsRequest, ApiVersionsResponse, DeleteTopicsResponse, FetchRequest, FetchResponse,
    JoinGroupResponse, MetadataRequest, MetadataResponse, OffsetFetchRequest, ProduceRequest,
};
use crate::{Frame, Request};

/// Takes the length off a frame and checks it.
fn content(frame: Frame) -> Bytes {
    let mut bytes = frame.into_bytes();
    let prefix = *bytes.first_chunk::<LENGTH_BYTES>().unwrap();
    bytes.advance(LENGTH_BYTES);
    assert_eq!(frame_length(prefix, usize::MAX), Ok(bytes.len()));
    bytes
}

fn their_key(key: ApiKey) -> TheirKey {
    TheirKey::try_from(key.to_wire()).unwrap()
}

#[test]
fn another_codecs_request_headers_are_read_in_every_version() {
    for_each_version(|key, _, version| {
        if ApiKey::from_wire(key.to_wire()).is_none() {
            return;
        }
        let header = TheirRequestHeader::default()
            .with_request_api_key(key.to_wire())
            .with_request_api_version(version)
            .with_correlation_id(77)
            .with_client_id(Some(StrBytes::from_static_str("kcat")));
        let mut bytes = BytesMut::new();
        let header_version = their_key(key).request_header_version(version);
        header.encode(&mut bytes, header_version).unwrap();
        bytes.extend_from_slice(b"body");
        let mut reader = Reader::new(bytes.freeze());
        let read = RequestHeader::read(&mut reader).unwrap();
        assert_eq!((read.api_key, read.api_version), (key, version));
        assert_eq!((read.correlation_id, read.client_id.as_deref()), (77, Some("kcat")));
        assert_eq!(reader.remaining(), 4, "{key} {version}");
        assert_eq!((reader.version(), reader.layout()), (version, key.layout(version)));
    });
}

#[test]
fn our_response_headers_are_those_that_another_codec_reads() {
    for_each_version(|key, _, version| {
        if (key, version) == (ApiKey::WriteTxnMarkers, 0) {
            // The other codec has no longer heard of it.
            return;
        }
        let response = Response::sample(&mut Source::full(5), key, version);
        let mut bytes = content(encode_response(78, version, &response).unwrap());
        let mut ours = Reader::new(bytes.clone());
        assert_eq!(read_response_header(key, version, &mut ours), Ok(78));
        let header_version = their_key(key).response_header_version(version);
        let theirs = TheirResponseHeader::decode(&mut bytes, header_version).unwrap();
        assert_eq!(theirs.correlation_id, 78);
        assert_eq!(bytes.len(), ours.remaining(), "{key} {version}");
        assert_eq!(Response::read(key, version, &mut ours), Ok(response));
    });
}

#[test]
fn a_request_goes_from_client_to_broker_and_its_response_back() {
    let topic = MetadataRequestTopic { name: Some("orders".into()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
    for version in 0..=13 {
        let frame = encode_request(9, Some("client"), version, &request).unwrap();
        let (header, read) = decode_request(content(frame)).unwrap();
        assert_eq!(header.api_version, version);
        assert_eq!(header.correlation_id, 9);
        assert_eq!(header.client_id.as_deref(), Some("client"));
        assert_eq!(read, Request::Metadata(request.clone()));
        let response = Response::sample(&mut Source::full(1), ApiKey::Metadata, version);
        let frame = encode_response(9, version, &response).unwrap();
        let (id, read) = decode_response::<MetadataRequest>(version, content(frame)).unwrap();
        assert_eq!((id, Response::from(read)), (9, response));
    }
}

#[test]
fn a_client_without_a_name_is_understood() {
    let frame = encode_request(1, None, 0, &ApiVersionsRequest::default()).unwrap();
    let (header, _) = decode_request(content(frame)).unwrap();
    assert_eq!(header.client_id, None);
}

#[test]
fn api_versions_of_the_future_are_answered_in_version_0() {
    // Key 18, version 99, correlation id 7, and bytes that no present version would have.
    let frame = Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xfe, 1]);
    let error = decode_request(frame).unwrap_err();
    assert_eq!(error, RequestError::ApiVersionsVersion { correlation_id: 7, version: 99 });
    let answer = content(unsupported_api_versions(7));
    assert_eq!(answer, &[0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4][..]);
    for version in 0..=4 {
        let (id, read) = decode_response::<ApiVersionsRequest>(version, answer.clone()).unwrap();
        assert_eq!((id, read), (7, ApiVersionsResponse::unsupported_version()));
    }
}

#[test]
fn requests_that_are_not_served_are_named() {
    let decode = |bytes: &'static [u8]| decode_request(Bytes::from_static(bytes)).unwrap_err();
    assert_eq!(decode(&[0, 4, 0, 1, 0, 0, 0, 7]), RequestError::UnknownApi { key: 4, version: 1 });
    assert_eq!(
        decode(&[0, 0, 0, 99, 0, 0, 0, 7]),
        RequestError::UnsupportedVersion { api_key: ApiKey::Produce, version: 99 }
    );
    assert_eq!(
        decode(&[0, 0, 0xff, 0xff, 0, 0, 0, 7]),
        RequestError::UnsupportedVersion { api_key: ApiKey::Produce, version: -1 }
    );
    let RequestError::Header(error) = decode(&[0, 0, 0, 9, 0, 0, 0, 7, 0, 2, b'a']) else {
        panic!("the client's name is cut off")
    };
    assert_eq!(error.place(), Some(("RequestHeader", "client_id")));
    let RequestError::Body { api_key, version, problem } =
        decode(&[0, 0, 0, 0, 0, 0, 0, 7, 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5])
    else {
        panic!("the body is cut off")
    };
    assert_eq!((api_key, version), (ApiKey::Produce, 0));
    assert_eq!(
        problem.to_string(),
        "ProduceRequest.topic_data: 5 elements cannot fit into the 0 bytes that are left at byte 16"
    );
}

#[test]
fn a_null_that_a_version_does_not_know_is_neither_written_nor_read() {
    let request = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(
        encode_request(1, None, 0, &request).map(drop),
        Err(EncodeError::Null { structure: "MetadataRequest", field: "topics", version: 0 })
    );
    assert!(encode_request(1, None, 1, &request).is_ok());
    let mut reader = Reader::new(Bytes::from_static(&[0xff; 4]));
    let error: DecodeError = Request::read(ApiKey::Metadata, 0, &mut reader).unwrap_err();
    assert_eq!(error.problem(), &Problem::Null);
    assert_eq!(error.place(), Some(("MetadataRequest", "topics")));
}

/// Returns the versions in which a message can be written.
fn written_in(key: ApiKey, body: &Body) -> Vec<i16> {
    let versions = key.versions();
    (versions.min..=versions.max).filter(|version| body.write(*version).is_ok()).collect()
}

#[test]
fn nulls_begin_in_the_versions_in_which_kafka_has_them() {
    let from = |first: i16, last: i16| (first..=last).collect::<Vec<_>>();
    let all_topics = MetadataRequest { topics: None, ..Default::default() };
    let body = Body::Request(all_topics.into());
    assert_eq!(written_in(ApiKey::Metadata, &body), from(1, 13));

    let by_id = MetadataRequest { topics: Some(vec![Default::default()]), ..Default::default() };
    let body = Body::Request(by_id.into());
    assert_eq!(written_in(ApiKey::Metadata, &body), from(10, 13));

    let unknown_id = MetadataResponse { topics: vec![Default::default()], ..Default::default() };
    let body = Body::Response(unknown_id.into());
    assert_eq!(written_in(ApiKey::Metadata, &body), from(12, 13));

    let unknown_id =
        DeleteTopicsResponse { responses: vec![Default::default()], ..Default::default() };
    let body = Body::Response(unknown_id.into());
    assert_eq!(written_in(ApiKey::DeleteTopics, &body), from(6, 6));

    let all_offsets = OffsetFetchRequest { topics: None, ..Default::default() };
    let body = Body::Request(all_offsets.into());
    assert_eq!(written_in(ApiKey::OffsetFetch, &body), from(2, 10));

    let no_protocol = JoinGroupResponse { protocol_name: None, ..Default::default() };
    let body = Body::Response(no_protocol.into());
    assert_eq!(written_in(ApiKey::JoinGroup, &body), from(7, 9));
}

#[test]
fn versions_that_do_not_exist_are_not_written() {
    assert_eq!(
        encode_request(1, None, 14, &ProduceRequest::default()).map(drop),
        Err(EncodeError::UnsupportedVersion { api: "Produce", version: 14 })
    );
    let response = FetchResponse::default().into();
    assert!(encode_response(1, -1, &response).is_err());
}

#[test]
fn strings_that_kafka_cannot_read_are_not_written() {
    let request = FetchRequest { rack_id: "x".repeat(0x8000).into(), ..Default::default() };
    for version in [11, 12] {
        assert_eq!(
            encode_request(1, None, version, &request).map(drop),
            Err(EncodeError::StringTooLong(0x8000))
        );
    }
}

#[test]
fn tagged_fields_that_hold_their_default_are_not_written() {
    let partition = PartitionData { records: Some(Bytes::new()), ..Default::default() };
    let topic = FetchableTopicResponse { partitions: vec![partition], ..Default::default() };
    let response = FetchResponse { responses: vec![topic], ..Default::default() };
    let bytes = content(encode_response(1, 18, &response.into()).unwrap());
    // Behind the records: no tagged fields of the partition, of the topic, of the response.
    assert_eq!(bytes[bytes.len() - 4..], [1, 0, 0, 0]);
}

#[test]
fn large_records_are_referred_to_and_never_copied() {
    let records = Bytes::from(vec![b'r'; SPLICE_BYTES]);
    let partition = |records| PartitionData { records: Some(records), ..Default::default() };
    let partitions = vec![
        partition(records.clone()),
        partition(Bytes::from_static(b"few")),
        partition(records.clone()),
    ];
    let topic = FetchableTopicResponse {
        topic: "orders".into(),
        topic_id: TopicId::from_bytes([1; 16]),
        partitions,
    };
    let response = FetchResponse { responses: vec![topic], ..Default::default() };
    for version in 0..=18 {
        let frame = encode_response(1, version, &response.clone().into()).unwrap();
        let spliced: Vec<_> =
            frame.pieces().iter().filter(|piece| piece.as_ptr() == records.as_ptr()).collect();
        assert_eq!(spliced, [&records, &records], "version {version}");
        let (_, read) = decode_response::<FetchRequest>(version, content(frame)).unwrap();
        let partitions = &read.responses[0].partitions;
        assert_eq!(partitions[1].records.as_deref(), Some(&b"few"[..]));
        assert_eq!(partitions[2].records, Some(records.clone()));
        assert_eq!(partitions[2].error_code, ErrorCode::None);
    }
}

#[test]
fn records_of_a_request_are_slices_of_its_frame() {
    let mut source = Source::full(2);
    for version in 0..=13 {
        let request = Request::sample(&mut source, ApiKey::Produce, version);
        let Request::Produce(request) = request else { panic!("a Produce request was asked for") };
        let frame = content(encode_request(1, None, version, &request).unwrap());
        let (_, read) = decode_request(frame.clone()).unwrap();
        let Request::Produce(read) = read else { panic!("a Produce request was sent") };
        let records = read.topic_data[0].partition_data[0].records.as_ref().unwrap();
        assert!(frame.as_ptr_range().contains(&records.as_ptr()));
    }
}

/// Puts a request into a receive buffer and takes its frame out, as a connection does.
fn received(request: Frame) -> Bytes {
    let mut buffer = BytesMut::from(&request.into_bytes()[..]);
    buffer.extend_from_slice(b"the next request");
    take_frame(&mut buffer, usize::MAX).unwrap().unwrap()
}

#[test]
fn requests_for_records_allocate_for_their_lists_alone_and_copy_no_records() {
    let data = PartitionProduceData { index: 0, records: Some(vec![b'r'; 1 << 20].into()) };
    let topic = TopicProduceData { partition_data: vec![data], ..Default::default() };
    let produce = ProduceRequest { topic_data: vec![topic], ..Default::default() };
    let topic = FetchTopic { partitions: vec![FetchPartition::default()], ..Default::default() };
    let fetch = FetchRequest { topics: vec![topic], ..Default::default() };
    let frames = [
        encode_request(1, Some("client"), 13, &produce).unwrap(),
        encode_request(1, Some("client"), 18, &fetch).unwrap(),
    ];
    for frame in frames.map(received) {
        let (((_, request), count), peak) = peak_of(|| count_of(|| decode_request(frame).unwrap()));
        assert_eq!(count, 2, "the topics and the partitions of {}", request.api_key());
        assert!(peak < 1024, "{} held {peak} bytes", request.api_key());
    }
}

#[test]
fn a_response_with_records_allocates_four_times_and_copies_no_records() {
    let data = PartitionData { records: Some(vec![b'r'; 1 << 20].into()), ..Default::default() };
    // So that the records are shared already, as those are that come from a log.
    let _log = data.clone();
    let topic = FetchableTopicResponse { partitions: vec![data], ..Default::default() };
    let response = FetchResponse { responses: vec![topic], ..Default::default() }.into();
    let ((frame, count), peak) = peak_of(|| count_of(|| encode_response(1, 18, &response)));
    assert!(frame.unwrap().remaining() > 1 << 20);
    assert_eq!(count, 4, "the buffer and its owner, the list of splices, the list of pieces");
    assert!(peak < 1024, "held {peak} bytes");
}
