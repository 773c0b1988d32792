//! Requests that are as large as the wire allows, in the length of a name or in the number of names: each is answered, with its code, and soon.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod one_broker;

use model::ErrorCode;
use one_broker::{Broker, topic};
use protocol::KafkaString;
use protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::describe_configs::DescribeConfigsResource;
use protocol::messages::{
    AlterConfigsRequest, CreateTopicsRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    IncrementalAlterConfigsRequest, alter_configs, incremental_alter_configs,
};

/// Kafka's numbers of the types of resources.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// As long as a string of the wire can be.
fn longest() -> KafkaString {
    "x".repeat(32_767).into()
}

fn assert_told(what: &str, code: ErrorCode, message: Option<&KafkaString>, expected: ErrorCode) {
    assert_eq!(code, expected, "{what}");
    let message = message.unwrap();
    assert!(message.contains("xxx") && message.len() < 2_048, "{what}: {}", message.as_str());
}

#[test]
fn a_request_that_quotes_the_longest_name_gets_its_code_and_no_closed_connection() {
    let broker = Broker::start_with_groups(&[]);

    let configs = vec![incremental_alter_configs::AlterableConfig {
        name: longest(),
        config_operation: 0,
        value: Some("1".into()),
    }];
    let resource = |resource_type, resource_name: KafkaString| {
        let configs = configs.clone();
        incremental_alter_configs::AlterConfigsResource { resource_type, resource_name, configs }
    };
    let resources = vec![resource(TOPIC, "t".into()), resource(BROKER, longest())];
    let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
    let answers = broker.ask(1, &request).responses;
    let [key, name] = &answers[..] else { panic!("{answers:?}") };
    let (invalid_config, invalid) = (ErrorCode::InvalidConfig, ErrorCode::InvalidRequest);
    assert_told(
        "a key that is altered",
        key.error_code,
        key.error_message.as_ref(),
        invalid_config,
    );
    assert_told("a broker", name.error_code, name.error_message.as_ref(), invalid);

    let configs = vec![alter_configs::AlterableConfig { name: longest(), value: None }];
    let resources = vec![alter_configs::AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: "t".into(),
        configs,
    }];
    let request = AlterConfigsRequest { resources, validate_only: false };
    let answer = broker.ask(2, &request).responses.remove(0);
    let message = answer.error_message.as_ref();
    assert_told("a key without a value", answer.error_code, message, invalid_config);

    let configs = vec![CreatableTopicConfig { name: longest(), value: Some("1".into()) }];
    let answer = broker.create(CreatableTopic { configs, ..topic("new", 1) });
    let message = answer.error_message.as_ref();
    assert_told("a key of a new topic", answer.error_code, message, invalid_config);

    let resource = DescribeConfigsResource {
        resource_type: BROKER,
        resource_name: longest(),
        ..Default::default()
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let answer = broker.ask(4, &request).results.remove(0);
    let message = answer.error_message.as_ref();
    assert_told("a broker that is described", answer.error_code, message, invalid);

    let request = DescribeGroupsRequest { groups: vec![longest()], ..Default::default() };
    let answer = broker.ask(6, &request).groups.remove(0);
    let message = answer.error_message.as_ref();
    assert_told("a group", answer.error_code, message, ErrorCode::GroupIdNotFound);
}

#[test]
fn a_key_that_is_changed_twice_changes_nothing() {
    let broker = Broker::start();
    assert_eq!(broker.create(topic("t", 1)).error_code, ErrorCode::None);
    let change = |name: &str, value: &str| incremental_alter_configs::AlterableConfig {
        name: name.into(),
        config_operation: 0,
        value: Some(value.into()),
    };
    let resource = incremental_alter_configs::AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: "t".into(),
        configs: vec![
            change("unknown", "1"),
            change("retention.ms", "1000"),
            change("segment.bytes", "1048576"),
            change("retention.ms", "2000"),
        ],
    };
    let request =
        IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let answer = broker.ask(1, &request).responses.remove(0);
    assert_eq!(answer.error_code, ErrorCode::InvalidRequest);
    assert_eq!(answer.error_message.unwrap(), "retention.ms is changed twice");
    assert_eq!(broker.topic_config("t", "segment.bytes").unwrap(), "1073741824");
}

#[test]
fn a_full_request_of_names_is_answered_soon() {
    let broker = Broker::start();
    // Nothing is created: a topic has one partition at least.
    let mut topics: Vec<_> = (0..50_000).map(|index| topic(&format!("t{index}"), 0)).collect();
    topics.push(topic("t7", 0));
    let request = CreateTopicsRequest { topics, timeout_ms: 1_000, validate_only: true };
    // Within the deadline of a read.
    let answers = broker.ask(7, &request).topics;
    let twice: Vec<usize> = (0..answers.len())
        .filter(|index| answers[*index].error_code == ErrorCode::InvalidRequest)
        .collect();
    assert_eq!(twice, [7, 50_000]);
    let others = answers.iter().filter(|one| one.error_code == ErrorCode::InvalidPartitions);
    assert_eq!(others.count(), 49_999);
}
