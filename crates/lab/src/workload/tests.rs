//! Whole workloads against librdkafka's mock cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaRespErr as Error;

use super::*;
use crate::history::{Acks, Action, Clock, Event, HistoryReader, Kind, Role};

const TOPIC: &str = "orders";
const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(20);

/// A mock cluster and where the history of a run goes.
struct Bench {
    cluster: MockCluster<'static, DefaultProducerContext>,
    directory: tempfile::TempDir,
    recorder: Recorder,
}

impl Bench {
    fn new() -> Self {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic(TOPIC, PARTITIONS, 3).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(&directory.path().join("history"), Clock::start()).unwrap();
        Self { cluster, directory, recorder }
    }

    fn start(&self, producers: Vec<ProducerPlan>, consumers: Vec<ConsumerPlan>) -> Workload {
        let options = WorkloadOptions {
            bootstrap: self.cluster.bootstrap_servers(),
            topics: vec![topic()],
            producers,
            consumers,
            transactions: Vec::new(),
            seed: 7,
        };
        Workload::start(options, self.recorder.clone()).unwrap()
    }

    fn history(&self) -> Vec<Event> {
        self.recorder.finish().unwrap();
        let reader = HistoryReader::open(&self.directory.path().join("history")).unwrap();
        reader.collect::<Result<_, _>>().unwrap()
    }
}

fn topic() -> TopicPlan {
    TopicPlan {
        name: TOPIC.to_owned(),
        partitions: PARTITIONS,
        replication_factor: 3,
        assignment: Vec::new(),
        configs: Vec::new(),
    }
}

fn consumer(name: &str, mode: ConsumerMode) -> ConsumerPlan {
    ConsumerPlan {
        name: name.to_owned(),
        topic: TOPIC.to_owned(),
        mode,
        isolation: Isolation::ReadUncommitted,
        commit_interval: Duration::from_millis(200),
    }
}

fn wait_until(what: &str, workload: &Workload, done: impl Fn(Counts) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done(workload.counts()) {
        assert!(Instant::now() < deadline, "{what}: {:?}", workload.counts());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What each process that polled got, by partition.
fn polled(history: &[Event]) -> BTreeMap<String, BTreeSet<(i32, u64)>> {
    let mut polled: BTreeMap<String, BTreeSet<_>> = BTreeMap::new();
    for event in history {
        if let Action::Poll { reads, .. } = &event.action {
            let of_process = polled.entry(event.process.to_string()).or_default();
            for read in reads {
                of_process
                    .extend(read.records.iter().map(|(_, value)| (read.partition.number, *value)));
            }
        }
    }
    polled
}

fn sends(history: &[Event], wanted: Kind) -> Vec<&Event> {
    let of_kind =
        |event: &&Event| event.kind == wanted && matches!(event.action, Action::Send { .. });
    history.iter().filter(of_kind).collect()
}

#[test]
fn every_send_completes_and_every_kind_of_reader_gets_every_record() {
    let bench = Bench::new();
    let mut plan = ProducerPlan::new("producer-1", TOPIC);
    plan.records_per_second = 1_000.0;
    plan.retries = Retries::Idempotent;
    plan.key_skew = 0.5;
    let group = "readers".to_owned();
    let consumers = vec![
        consumer("consumer-1", ConsumerMode::Assign),
        consumer("member-1", ConsumerMode::Group { group }),
    ];
    let mut workload = bench.start(vec![plan], consumers);
    wait_until("sends", &workload, |counts| counts.acknowledged >= 1_000);
    workload.stop_producing();
    let sent = workload.counts().sent;
    wait_until("polls", &workload, |counts| counts.polled == 2 * sent);
    workload.stop();
    final_read(&bench.cluster.bootstrap_servers(), &[topic()], &bench.recorder, PATIENCE).unwrap();

    let history = bench.history();
    let acknowledged = sends(&history, Kind::Ok);
    assert_eq!(u64::try_from(acknowledged.len()).unwrap(), sent);
    let values: BTreeSet<_> = acknowledged
        .iter()
        .map(|event| match &event.action {
            Action::Send { partition, value, offset: Some(_), .. } => (partition.number, *value),
            other => panic!("an ok with acks=all has an offset: {other:?}"),
        })
        .collect();
    let polled = polled(&history);
    for process in ["consumer-1", "member-1", "final-reader"] {
        assert_eq!(polled.get(process), Some(&values), "{process}");
    }
    let read_through =
        history.iter().filter(|event| matches!(event.action, Action::ReadThrough { .. }));
    assert_eq!(read_through.count(), 4);
}

#[test]
fn a_group_member_begins_where_the_history_says_and_ends_with_all_committed() {
    let bench = Bench::new();
    let plan = ProducerPlan::new("producer-1", TOPIC);
    let group = || ConsumerMode::Group { group: "readers".to_owned() };
    let mut workload = bench.start(vec![plan], vec![consumer("member-1", group())]);
    wait_until("sends", &workload, |counts| counts.acknowledged >= 200);
    workload.stop_producing();
    let sent = workload.counts().sent;
    wait_until("polls", &workload, |counts| counts.polled == sent);
    workload.stop();

    let history = bench.history();
    let mut given = 0;
    let mut committed = BTreeMap::new();
    let mut read = BTreeMap::new();
    for event in history.iter().filter(|event| &*event.process == "member-1") {
        match (&event.kind, &event.action) {
            (_, Action::Rebalance { assigned, .. }) => {
                given += assigned.len();
                assert!(assigned.iter().all(|(_, offset)| *offset == 0), "{assigned:?}");
            }
            (_, Action::Poll { reads, .. }) => read.extend(reads.iter().map(|read| {
                (read.partition.clone(), read.records.last().map_or(0, |(last, _)| last + 1))
            })),
            (Kind::Ok, Action::Commit { offsets, .. }) => committed.extend(offsets.clone()),
            _ => {}
        }
    }
    assert_eq!(given, 4, "one assignment of all four partitions");
    assert_eq!(committed, read);
}

#[test]
fn sends_are_due_by_the_rate_even_while_the_cluster_is_slow() {
    let bench = Bench::new();
    for broker in 1..=3 {
        bench.cluster.broker_round_trip_time(broker, Duration::from_millis(300)).unwrap();
    }
    let mut plan = ProducerPlan::new("producer-1", TOPIC);
    plan.records_per_second = 100.0;
    plan.acks = Acks::One;
    let mut workload = bench.start(vec![plan], Vec::new());
    wait_until("sends", &workload, |counts| counts.acknowledged >= 50);
    workload.stop_producing();
    workload.stop();

    let history = bench.history();
    let invoked = sends(&history, Kind::Invoke);
    let due: Vec<u64> = invoked
        .iter()
        .map(|event| match event.action {
            Action::Send { intended: Some(intended), .. } => {
                assert!(intended <= event.time, "no send is early");
                intended
            }
            _ => panic!("an invocation says when it was due"),
        })
        .collect();
    for pair in due.windows(2) {
        assert_eq!(pair[1] - pair[0], 10_000_000);
    }
}

/// Injects one error into an answer to a send that librdkafka does not repeat, and returns what the history says of it.
fn outcome_of(acks: Acks, error: Error) -> (Kind, String) {
    let bench = Bench::new();
    bench.cluster.request_errors(rdkafka::types::RDKafkaApiKey::Produce, &[error]);
    let mut plan = ProducerPlan::new("producer-1", TOPIC);
    plan.retries = Retries::Never;
    plan.acks = acks;
    plan.records_per_second = 20.0;
    let mut workload = bench.start(vec![plan], Vec::new());
    wait_until("an error", &workload, |counts| counts.failed + counts.unknown >= 1);
    workload.stop_producing();
    let counts = workload.counts();
    assert_eq!(counts.sent, counts.acknowledged + counts.failed + counts.unknown);
    workload.stop();
    let history = bench.history();
    let ended = sends(&history, Kind::Fail).into_iter().chain(sends(&history, Kind::Info));
    let mut ended = ended.map(|event| (event.kind, event.error.clone().unwrap_or_default()));
    ended.next().expect("one send did not end with ok")
}

#[test]
fn a_refused_send_fails_and_one_whose_fate_is_open_is_unknown() {
    let refused = outcome_of(Acks::One, Error::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
    assert_eq!(refused, (Kind::Fail, "NOT_ENOUGH_REPLICAS".to_owned()));
    let refused = outcome_of(Acks::All, Error::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    assert_eq!(refused, (Kind::Fail, "TOPIC_AUTHORIZATION_FAILED".to_owned()));
    let open = outcome_of(Acks::All, Error::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND);
    assert_eq!(open, (Kind::Info, "NOT_ENOUGH_REPLICAS_AFTER_APPEND".to_owned()));
    let open = outcome_of(Acks::One, Error::RD_KAFKA_RESP_ERR__TRANSPORT);
    assert_eq!(open.0, Kind::Info);
}

#[test]
fn a_producer_that_hits_a_fatal_error_goes_on_under_another_name() {
    let bench = Bench::new();
    let mut plan = ProducerPlan::new("producer-1", TOPIC);
    plan.retries = Retries::Idempotent;
    let mut workload = bench.start(vec![plan], Vec::new());
    wait_until("sends", &workload, |counts| counts.acknowledged >= 10);
    let fenced = [Error::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER; 1];
    bench.cluster.request_errors(rdkafka::types::RDKafkaApiKey::Produce, &fenced);
    wait_until("a failure", &workload, |counts| counts.failed + counts.unknown >= 1);
    let before = workload.counts().acknowledged;
    wait_until("sends after it", &workload, |counts| counts.acknowledged >= before + 50);
    workload.stop_producing();
    workload.stop();

    let history = bench.history();
    let of = |process: &str| -> Vec<&Event> {
        history.iter().filter(|event| &*event.process == process).collect()
    };
    let [first, second] = [of("producer-1"), of("producer-1.2")];
    assert_eq!(first.last().map(|event| &event.action), Some(&Action::Stop));
    let Some(Action::Start { settings }) = second.first().map(|event| &event.action) else {
        panic!("the second instance begins with its settings");
    };
    assert_eq!((settings.role, settings.idempotent), (Role::Producer, true));
    assert!(second.iter().any(|event| event.kind == Kind::Ok && event.error.is_none()));
}

#[test]
fn a_final_read_that_cannot_be_done_says_where_it_stands() {
    let bench = Bench::new();
    for broker in 1..=3 {
        bench.cluster.broker_down(broker).unwrap();
    }
    let patience = Duration::from_millis(500);
    let bootstrap = bench.cluster.bootstrap_servers();
    let error = final_read(&bootstrap, &[topic()], &bench.recorder, patience).unwrap_err();
    assert!(error.to_string().starts_with("the final read of orders/0 was not done"), "{error}");
    let history = bench.history();
    assert!(!history.iter().any(|event| matches!(event.action, Action::ReadThrough { .. })));
}

#[test]
fn a_view_of_the_cluster_follows_a_change_of_leader() {
    let bench = Bench::new();
    let view = ClusterView::new(&bench.cluster.bootstrap_servers()).unwrap();
    for leader in [2, 3] {
        bench.cluster.partition_leader(TOPIC, 1, Some(leader)).unwrap();
        assert_eq!(view.leader_of(TOPIC, 1), u32::try_from(leader).ok());
    }
    assert_eq!(view.leader_of(TOPIC, PARTITIONS), None);
    assert!(view.controller().is_some());
}
