//! A broker process of its own, and what a test says to it.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use model::ErrorCode;
use protocol::header::{decode_response, encode_request};
use protocol::messages::create_topics::{CreatableTopic, CreatableTopicResult};
use protocol::messages::describe_configs::DescribeConfigsResource;
use protocol::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    FindCoordinatorRequest, MetadataRequest,
};
use protocol::{ApiRequest, KafkaString};

/// The topic of committed offsets.
pub(crate) const OFFSETS: &str = "__consumer_offsets";

/// A line of configuration: the first member of a group waits for no others, which a test need not sit through.
pub(crate) const QUICK_REBALANCES: &str = "group.initial.rebalance.delay.ms=0";

/// A line of configuration: fewer partitions to create.
pub(crate) const FEW_OFFSETS_PARTITIONS: &str = "offsets.topic.num.partitions=4";

/// Kafka's number of the resource type "topic".
const TOPIC_RESOURCE: i8 = 2;

/// What a broker says once it serves.
const SERVES: &str = "listener PLAINTEXT serves";

/// A broker of its own on free ports; its process is killed when the value is dropped.
pub(crate) struct Broker {
    process: Child,
    kafka: SocketAddr,
    http: SocketAddr,
    dir: tempfile::TempDir,
}

impl Broker {
    /// Starts one.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further lines of its configuration.
    pub(crate) fn start_with(lines: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports = free_ports::<4>();
        let address = |index: usize| format!("127.0.0.1:{}", ports[index]);
        let mut text = format!(
            "node.id=1\nlog.dirs={}\nlisteners=PLAINTEXT://{}\nreplication.listener={}\ncontrol.listener={}\nhttp.listener={}\nsocket.request.max.bytes=1048576\n",
            dir.path().join("data").display(),
            address(0),
            address(1),
            address(2),
            address(3)
        );
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        let config = dir.path().join("server.properties");
        std::fs::write(&config, text).unwrap();
        let at = |index| address(index).parse().unwrap();
        let mut broker = Self { process: server(&config), kafka: at(0), http: at(3), dir };
        broker.wait_until_it_serves();
        broker
    }

    /// Starts one with further lines, a topic `t` of two partitions, and groups in a few partitions of the offsets topic.
    pub(crate) fn start_with_groups(lines: &[&str]) -> Self {
        let broker =
            Self::start_with(&[&[QUICK_REBALANCES, FEW_OFFSETS_PARTITIONS], lines].concat());
        assert_eq!(broker.create(topic("t", 2)).error_code, ErrorCode::None);
        broker.wait_for_groups();
        broker
    }

    /// Connects; reads end after ten seconds.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.kafka).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Waits until the process says that it serves: a port alone might be another program's.
    fn wait_until_it_serves(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            // Looked at before the log, so that the last words of a process that ended are read.
            let ended = self.process.try_wait().unwrap();
            if self.log().contains(SERVES) {
                return;
            }
            assert_eq!(ended, None, "the broker ended:\n{}", self.log());
            assert!(Instant::now() < deadline, "the broker does not serve");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Sends bytes and returns what comes back before the broker closes; `None` when it answers and stays.
    pub(crate) fn send(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        // The broker may close before all was sent.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    /// Returns the process's own memory.
    pub(crate) fn memory_kib(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// What typed requests need.
impl Broker {
    /// Returns the address on which clients are served.
    pub(crate) fn address(&self) -> SocketAddr {
        self.kafka
    }

    /// Sends one request on a connection of its own.
    pub(crate) fn ask<R: ApiRequest>(&self, version: i16, request: &R) -> R::Response {
        self.connection().ask(version, request)
    }

    /// Creates a topic.
    pub(crate) fn create(&self, topic: CreatableTopic) -> CreatableTopicResult {
        let topics = vec![topic];
        let request = CreateTopicsRequest { topics, timeout_ms: 10_000, ..Default::default() };
        self.ask(7, &request).topics.remove(0)
    }

    /// Returns what Metadata say of a topic that exists.
    pub(crate) fn described(&self, name: &str) -> MetadataResponseTopic {
        let topics = vec![MetadataRequestTopic { name: Some(name.into()), ..Default::default() }];
        let request = MetadataRequest { topics: Some(topics), ..MetadataRequest::default() };
        self.ask(12, &request).topics.remove(0)
    }

    /// Deletes a topic by its name.
    pub(crate) fn delete(&self, name: &str) -> ErrorCode {
        let topic_names = vec![name.into()];
        let request = DeleteTopicsRequest { topic_names, timeout_ms: 10_000, ..Default::default() };
        self.ask(1, &request).responses[0].error_code
    }

    /// Returns a value of a topic's configuration.
    pub(crate) fn topic_config(&self, topic: &str, key: &str) -> Option<KafkaString> {
        let resource = DescribeConfigsResource {
            resource_type: TOPIC_RESOURCE,
            resource_name: topic.into(),
            ..Default::default()
        };
        let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
        let configs = self.ask(1, &request).results.remove(0).configs;
        configs.into_iter().find(|one| one.name == key).and_then(|one| one.value)
    }

    /// Waits until this broker coordinates groups in every partition of the offsets topic: the first group creates it.
    pub(crate) fn wait_for_groups(&self) {
        let find = FindCoordinatorRequest { key: "g".into(), ..FindCoordinatorRequest::default() };
        // So many that each of a few partitions has some.
        let groups = (0..64).map(|index| format!("group-{index}").into()).collect();
        let describe = DescribeGroupsRequest { groups, ..DescribeGroupsRequest::default() };
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let found = self.ask(0, &find).error_code;
            let described = self.ask(0, &describe).groups;
            let is_ready = |code: ErrorCode| code == ErrorCode::None;
            if is_ready(found) && described.iter().all(|group| is_ready(group.error_code)) {
                return;
            }
            assert!(Instant::now() < deadline, "groups are not coordinated");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Opens a connection for requests one after the other.
    pub(crate) fn connection(&self) -> Connection {
        Connection { stream: self.connect() }
    }

    /// Returns the page of metrics.
    pub(crate) fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n";
        stream.write_all(request).unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    /// Tells the process to stop in order.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Ends the process as a crash does, and starts another one on its directory.
    pub(crate) fn killed_and_started_again(mut self) -> Self {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let log = self.dir.path().join("log");
        std::fs::remove_file(log).unwrap();
        self.process = server(&self.dir.path().join("server.properties"));
        self.wait_until_it_serves();
        self
    }

    /// Waits for the end of the process and says whether it was an orderly one.
    pub(crate) fn has_ended_well(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.success();
            }
            assert!(Instant::now() < deadline, "the broker does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A connection on which requests are answered one after the other.
pub(crate) struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Sends a request and waits for its answer.
    pub(crate) fn ask<R: ApiRequest>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request);
        self.answer::<R>(version)
    }

    /// Sends a request whose answer is read later.
    pub(crate) fn send<R: ApiRequest>(&mut self, version: i16, request: &R) {
        self.send_as("test", version, request);
    }

    /// Sends a request of a client that calls itself something.
    pub(crate) fn send_as<R: ApiRequest>(&mut self, client_id: &str, version: i16, request: &R) {
        let frame = encode_request(7, Some(client_id), version, request).unwrap();
        self.stream.write_all(&frame.into_bytes()).unwrap();
    }

    /// Waits for the answer to a request.
    pub(crate) fn answer<R: ApiRequest>(&mut self, version: i16) -> R::Response {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
        self.stream.read_exact(&mut frame).unwrap();
        decode_response::<R>(version, frame.into()).unwrap().1
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the broker's log:\n{}", self.log());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn server(config: &Path) -> Child {
    let log = config.with_file_name("log");
    let log = std::fs::File::options().append(true).create(true).open(log).unwrap();
    Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(["server", "--exit-with-parent", "--config"])
        .arg(config)
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Finds ports below the range from which the kernel takes those of outgoing connections, so that none is taken before the broker listens.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    [(); COUNT].map(|()| {
        loop {
            // Tests of several processes run at once: each begins elsewhere.
            let place = std::process::id()
                .wrapping_mul(64)
                .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let port = 10_000 + u16::try_from(place % 8_000).unwrap();
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return port;
            }
        }
    })
}

/// Makes a frame of its body.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

/// A topic to be created on the one broker.
pub(crate) fn topic(name: &str, num_partitions: i32) -> CreatableTopic {
    CreatableTopic {
        name: name.into(),
        num_partitions,
        replication_factor: 1,
        ..CreatableTopic::default()
    }
}
