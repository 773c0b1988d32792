//! A broker in memory for this crate's tests: one topic, one broker, Kafka's rules for sequences, and faults by the dice.

pub(crate) mod dice;
pub(crate) mod group;
pub(crate) mod log;

use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use model::ErrorCode;
use protocol::frame::take_frame;
use protocol::header::{decode_request, encode_response, unsupported_api_versions};
use protocol::messages::create_topics::{CreatableTopic, CreatableTopicResult};
use protocol::messages::describe_cluster::DescribeClusterBroker;
use protocol::messages::fetch::{FetchableTopicResponse, PartitionData};
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use protocol::messages::metadata::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use protocol::messages::produce::{PartitionProduceResponse, TopicProduceResponse};
use protocol::messages::{
    ApiVersionsResponse, CreateTopicsRequest, CreateTopicsResponse, DescribeClusterResponse,
    FetchRequest, FetchResponse, InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataResponse, ProduceRequest, ProduceResponse,
};
use protocol::{Request, RequestError, RequestHeader, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use self::dice::Dice;
use self::group::FakeGroup;
use self::log::Log;
pub(crate) use self::log::TOPIC;
use crate::{Client, ClientConfig, Tasks};

/// What goes wrong. A roll of zero of so many sides; `None` for never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The connection breaks before a request is handled.
    pub(crate) break_before: Option<u64>,
    /// The connection breaks after a request was handled, before its answer.
    pub(crate) break_after: Option<u64>,
    /// A produce request is refused with NOT_LEADER_OR_FOLLOWER.
    pub(crate) refuse: Option<u64>,
    /// Requests are never answered.
    pub(crate) is_mute: bool,
}

#[derive(Clone)]
pub(crate) struct FakeBroker {
    port: u16,
    tasks: Tasks,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    faults: Faults,
    dice: Dice,
    partitions: Vec<Log>,
    next_producer_id: i64,
    /// Whether another one is the controller, which whoever asks for metadata is told.
    has_controller_moved: bool,
    group: FakeGroup,
}

impl FakeBroker {
    pub(crate) async fn start(partitions: usize, faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let broker = Self {
            port: listener.local_addr().unwrap().port(),
            tasks: Tasks::default(),
            state: Arc::new(Mutex::new(State {
                faults,
                dice: Dice(7),
                partitions: vec![Log::default(); partitions],
                next_producer_id: 1,
                has_controller_moved: false,
                group: FakeGroup::default(),
            })),
        };
        let accepting = broker.clone();
        broker.tasks.tracker.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = accepting.clone();
                accepting.tasks.tracker.spawn(async move { serving.serve(stream).await });
            }
        });
        broker
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.config(), self.tasks.clone())
    }

    pub(crate) fn config(&self) -> ClientConfig {
        ClientConfig {
            retry_backoff: std::time::Duration::from_millis(1),
            ..ClientConfig::new(&self.address()).unwrap()
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Looks at the group, or changes it.
    pub(crate) fn group<T>(&self, look: impl FnOnce(&mut FakeGroup) -> T) -> T {
        look(&mut self.state.lock().unwrap().group)
    }

    /// Damages the last batch of a partition.
    pub(crate) fn damage(&self, partition: usize) {
        self.state.lock().unwrap().partitions[partition].damage();
    }

    /// Makes another one the controller; a client knows it when it asks.
    pub(crate) fn move_controller(&self) {
        self.state.lock().unwrap().has_controller_moved = true;
    }

    /// Adds an empty partition to the topic.
    pub(crate) fn add_partition(&self) {
        self.state.lock().unwrap().partitions.push(Log::default());
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut received = BytesMut::new();
        loop {
            while let Some(frame) = take_frame(&mut received, 1 << 24).unwrap() {
                let Some(answer) = self.handle(frame) else { return };
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
            if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
                return;
            }
        }
    }

    /// Returns the answer, empty for none; `None` breaks the connection.
    fn handle(&self, frame: Bytes) -> Option<Bytes> {
        let (header, request) = match decode_request(frame) {
            Ok(request) => request,
            Err(RequestError::ApiVersionsVersion { correlation_id, .. }) => {
                return Some(unsupported_api_versions(correlation_id).into_bytes());
            }
            Err(error) => panic!("{error}"),
        };
        let mut state = self.state.lock().unwrap();
        let faults = state.faults;
        if faults.is_mute && !matches!(request, Request::ApiVersions(_)) {
            return Some(Bytes::new());
        }
        if state.roll(faults.break_before) {
            return None;
        }
        let is_answered = !matches!(&request, Request::Produce(produce) if produce.acks == 0);
        let response = state.respond(&header, request, self.port);
        if state.roll(faults.break_after) {
            return None;
        }
        let answer = encode_response(header.correlation_id, header.api_version, &response).unwrap();
        Some(if is_answered { answer.into_bytes() } else { Bytes::new() })
    }
}

impl State {
    fn roll(&mut self, sides: Option<u64>) -> bool {
        let rolled = self.dice.roll(sides.unwrap_or(1));
        sides.is_some() && rolled == 0
    }

    fn respond(&mut self, header: &RequestHeader, request: Request, port: u16) -> Response {
        match request {
            Request::ApiVersions(_) => ApiVersionsResponse::of_table().into(),
            Request::Metadata(_) => {
                self.has_controller_moved = false;
                self.metadata(port).into()
            }
            Request::CreateTopics(request) => self.create_topics(&request).into(),
            Request::DescribeCluster(_) => {
                let broker = DescribeClusterBroker {
                    broker_id: 1,
                    host: "::1".into(),
                    port: 9092,
                    ..Default::default()
                };
                DescribeClusterResponse { brokers: vec![broker], ..Default::default() }.into()
            }
            Request::InitProducerId(_) => {
                self.next_producer_id += 1;
                let producer_id = self.next_producer_id;
                InitProducerIdResponse { producer_id, ..Default::default() }.into()
            }
            Request::Produce(request) => self.produce(&request).into(),
            Request::Fetch(request) => self.fetch(&request).into(),
            Request::ListOffsets(request) => self.list_offsets(&request).into(),
            request => match self.group.respond(&request, port) {
                Some(response) => response,
                None => panic!("{} is not needed here", header.api_key),
            },
        }
    }

    fn metadata(&self, port: u16) -> MetadataResponse {
        let partition = |partition_index| MetadataResponsePartition {
            partition_index,
            leader_id: 1,
            leader_epoch: 0,
            replica_nodes: vec![1],
            isr_nodes: vec![1],
            ..Default::default()
        };
        MetadataResponse {
            brokers: vec![MetadataResponseBroker {
                node_id: 1,
                host: "127.0.0.1".into(),
                port: i32::from(port),
                rack: None,
            }],
            controller_id: 1,
            topics: vec![MetadataResponseTopic {
                name: Some(TOPIC.into()),
                partitions: (0..).take(self.partitions.len()).map(partition).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn create_topics(&self, request: &CreateTopicsRequest) -> CreateTopicsResponse {
        let moved = self.has_controller_moved;
        let result = |topic: &CreatableTopic| CreatableTopicResult {
            name: topic.name.clone(),
            error_code: if moved { ErrorCode::NotController } else { ErrorCode::None },
            ..Default::default()
        };
        let topics = request.topics.iter().map(result).collect();
        CreateTopicsResponse { topics, ..Default::default() }
    }

    fn produce(&mut self, request: &ProduceRequest) -> ProduceResponse {
        let mut response = ProduceResponse::default();
        for topic in &request.topic_data {
            let mut answers = Vec::new();
            for data in &topic.partition_data {
                let sides = self.faults.refuse;
                let (base_offset, error_code) = if self.roll(sides) {
                    (-1, ErrorCode::NotLeaderOrFollower)
                } else {
                    let log = &mut self.partitions[usize::try_from(data.index).unwrap()];
                    log.append(data.records.as_ref().unwrap())
                };
                answers.push(PartitionProduceResponse {
                    index: data.index,
                    error_code,
                    base_offset,
                    ..Default::default()
                });
            }
            response.responses.push(TopicProduceResponse {
                name: topic.name.clone(),
                partition_responses: answers,
                ..Default::default()
            });
        }
        response
    }

    fn fetch(&self, request: &FetchRequest) -> FetchResponse {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let log = &self.partitions[usize::try_from(asked.partition).unwrap()];
                let records = log.read(asked.fetch_offset);
                let is_out = asked.fetch_offset > log.end;
                PartitionData {
                    partition_index: asked.partition,
                    error_code: if is_out { ErrorCode::OffsetOutOfRange } else { ErrorCode::None },
                    high_watermark: log.end,
                    records: Some(records),
                    ..Default::default()
                }
            });
            FetchableTopicResponse {
                topic: topic.topic.clone(),
                partitions: partitions.collect(),
                ..Default::default()
            }
        });
        FetchResponse { responses: topics.collect(), ..Default::default() }
    }

    fn list_offsets(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let answer = |asked: &ListOffsetsPartition| {
            let end = self.partitions[usize::try_from(asked.partition_index).unwrap()].end;
            let offset = match asked.timestamp {
                -1 => end,
                -2 => 0,
                _ => -1,
            };
            let partition_index = asked.partition_index;
            ListOffsetsPartitionResponse { partition_index, offset, ..Default::default() }
        };
        let topics = request.topics.iter().map(|topic| ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: topic.partitions.iter().map(answer).collect(),
        });
        ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
    }
}
