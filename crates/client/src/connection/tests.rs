//! A connection against brokers that misbehave.

use std::time::Duration;

use protocol::Response;
use protocol::messages::{MetadataRequest, MetadataResponse};
use tokio::net::TcpListener;

use super::*;
use crate::fake_broker::{FakeBroker, Faults};

/// Accepts one connection, answers ApiVersions, and then answers each request with what `answer` makes of its correlation id.
async fn broker_that(answer: fn(i32) -> Vec<u8>) -> (String, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tasks = Tasks::default();
    tasks.tracker.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = BytesMut::new();
        let mut is_first = true;
        loop {
            while let Some(frame) = take_frame(&mut received, 1 << 20).unwrap() {
                let (header, _) = protocol::header::decode_request(frame).unwrap();
                let bytes = if is_first {
                    let response =
                        Response::ApiVersions(protocol::messages::ApiVersionsResponse::of_table());
                    encoded(header.correlation_id, header.api_version, &response)
                } else {
                    answer(header.correlation_id)
                };
                is_first = false;
                stream.write_all(&bytes).await.unwrap();
            }
            if stream.read_buf(&mut received).await.unwrap() == 0 {
                return;
            }
        }
    });
    (address, tasks)
}

fn encoded(correlation_id: i32, version: i16, response: &Response) -> Vec<u8> {
    let frame = protocol::header::encode_response(correlation_id, version, response).unwrap();
    frame.into_bytes().to_vec()
}

fn metadata_answer(correlation_id: i32) -> Vec<u8> {
    let response = Response::Metadata(MetadataResponse::default());
    encoded(correlation_id, ApiKey::Metadata.versions().max, &response)
}

async fn ask(address: &str, tasks: &Tasks) -> Result<MetadataResponse, RequestError> {
    let config = ClientConfig {
        request_timeout: Duration::from_millis(200),
        max_response_bytes: 1 << 16,
        ..ClientConfig::new(address).unwrap()
    };
    let connection = Connection::open(address, &config, tasks).await?;
    let result = connection.request(&MetadataRequest::default()).await;
    assert_eq!(connection.is_closed(), result.is_err());
    result
}

#[tokio::test]
async fn a_request_gets_its_response() {
    let (address, tasks) = broker_that(metadata_answer).await;
    ask(&address, &tasks).await.unwrap();
}

#[tokio::test]
async fn a_response_to_another_request_ends_the_connection() {
    let (address, tasks) = broker_that(|id| metadata_answer(id + 1)).await;
    let error = ask(&address, &tasks).await.unwrap_err();
    assert!(error.to_string().contains("nobody waits for"), "{error}");
}

#[tokio::test]
async fn a_response_that_is_too_large_or_negative_ends_the_connection() {
    for length in [1_i32 << 17, i32::MAX, -1, i32::MIN] {
        // The length reaches the broker by no way but its own code, so each has a function of its own.
        let answer: fn(i32) -> Vec<u8> = match length {
            131_072 => |_| (1_i32 << 17).to_be_bytes().to_vec(),
            i32::MAX => |_| i32::MAX.to_be_bytes().to_vec(),
            -1 => |_| (-1_i32).to_be_bytes().to_vec(),
            _ => |_| i32::MIN.to_be_bytes().to_vec(),
        };
        let (address, tasks) = broker_that(answer).await;
        let error = ask(&address, &tasks).await.unwrap_err();
        assert!(matches!(error, RequestError::Closed { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_response_that_is_malformed_ends_the_connection() {
    let (address, tasks) = broker_that(|id| {
        let mut bytes = 8_i32.to_be_bytes().to_vec();
        bytes.extend(id.to_be_bytes());
        bytes.extend([0xff; 4]);
        bytes
    })
    .await;
    let error = ask(&address, &tasks).await.unwrap_err();
    assert!(matches!(error, RequestError::Decode { .. }), "{error}");
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_given_up_after_the_timeout() {
    let broker = FakeBroker::start(1, Faults { is_mute: true, ..Faults::default() }).await;
    let error = ask(&broker.address(), broker.tasks()).await.unwrap_err();
    assert!(matches!(error, RequestError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_told_by_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = ask(&address, &Tasks::default()).await.unwrap_err();
    assert!(matches!(error, RequestError::Connect { .. }), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn a_listener_that_is_no_kafka_broker_is_told_from_a_connection_that_broke() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tasks = Tasks::default();
    tasks.tracker.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        // Until the client closes.
        let _ = stream.read_buf(&mut BytesMut::new()).await;
        let _ = stream.read_buf(&mut BytesMut::new()).await;
    });
    let error = ask(&address, &tasks).await.unwrap_err();
    assert!(matches!(error, RequestError::Connect { .. }), "{error}");
    assert!(error.to_string().contains("as a Kafka broker does"), "{error}");
}

#[tokio::test]
async fn many_requests_under_way_get_their_responses_in_order() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let connection =
        Connection::open(&broker.address(), &broker.config(), broker.tasks()).await.unwrap();
    let mut pending = Vec::new();
    for _ in 0..100 {
        let request = MetadataRequest::default();
        pending.push(connection.submit(&request, Duration::ZERO).await.unwrap());
    }
    for pending in pending {
        assert_eq!(pending.response().await.unwrap().brokers.len(), 1);
    }
}

#[tokio::test]
async fn the_tasks_end_when_the_last_handle_is_dropped() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let tasks = Tasks::default();
    let connection = Connection::open(&broker.address(), &broker.config(), &tasks).await.unwrap();
    drop(connection);
    tasks.tracker.close();
    timeout(Duration::from_secs(10), tasks.tracker.wait()).await.unwrap();
}
