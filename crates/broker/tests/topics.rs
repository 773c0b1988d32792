//! What clients may do to topics, against one broker process: to the cluster's own, to compacted ones, to ones that are not there.

mod one_broker;

use model::record_batch::{BatchBuilder, BatchKind, BatchOptions, Codec, NewRecord, TimestampType};
use model::{ErrorCode, Offset, TopicId, UnixMillis};
use one_broker::{Broker, FEW_OFFSETS_PARTITIONS, OFFSETS, topic};
use protocol::KafkaString;
use protocol::messages::create_partitions::CreatePartitionsTopic;
use protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::delete_topics::DeleteTopicState;
use protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, TopicProduceData,
};
use protocol::messages::*;

/// A topic with a configuration of its own.
fn configured(name: &str, configs: &[(&str, &str)]) -> CreatableTopic {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: (*name).into(),
        value: Some((*value).into()),
    };
    CreatableTopic {
        replication_factor: -1,
        configs: configs.iter().map(config).collect(),
        ..topic(name, -1)
    }
}

/// Returns a value of the offsets topic's configuration.
fn config(broker: &Broker, key: &str) -> Option<KafkaString> {
    broker.topic_config(OFFSETS, key)
}

/// The values that commits depend on.
fn is_pinned(broker: &Broker) -> bool {
    config(broker, "cleanup.policy") == Some("compact".into())
        && config(broker, "flush.messages") == Some("1".into())
        && config(broker, "max.message.bytes") == Some("1048588".into())
}

#[test]
fn the_number_of_partitions_is_fixed() {
    let broker = Broker::start_with_groups(&[]);
    let more =
        |name: &str| CreatePartitionsTopic { name: name.into(), count: 9, assignments: None };
    for version in 0..=3 {
        let request = CreatePartitionsRequest {
            topics: vec![more(OFFSETS), more("unknown"), more("__transaction_state")],
            timeout_ms: 5_000,
            validate_only: false,
        };
        let results = broker.ask(version, &request).results;
        let codes: Vec<ErrorCode> = results.iter().map(|result| result.error_code).collect();
        let fixed = ErrorCode::InvalidPartitions;
        assert_eq!(codes, [fixed, ErrorCode::UnknownTopicOrPartition, fixed]);
        assert!(results[0].error_message.is_some());
    }
    let request = CreatePartitionsRequest {
        topics: vec![more(OFFSETS), more("t")],
        timeout_ms: 5_000,
        validate_only: false,
    };
    let results = broker.ask(3, &request).results;
    assert_eq!(results[0].error_code, ErrorCode::InvalidPartitions);
    assert_eq!((results[1].name.as_str(), results[1].error_code), ("t", ErrorCode::None));
}

#[test]
fn single_keys_that_commits_depend_on_cannot_be_changed() {
    let broker = Broker::start_with_groups(&[]);
    let change = |key: &str, config_operation, value: Option<&str>| {
        let config = incremental_alter_configs::AlterableConfig {
            name: key.into(),
            config_operation,
            value: value.map(Into::into),
        };
        let resource = incremental_alter_configs::AlterConfigsResource {
            resource_type: 2,
            resource_name: OFFSETS.into(),
            configs: vec![config],
        };
        let request =
            IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        broker.ask(0, &request).responses.remove(0).error_code
    };
    let (set, delete, append) = (0, 1, 2);
    for (key, operation, value) in [
        ("cleanup.policy", set, Some("delete")),
        ("cleanup.policy", set, Some("compact,delete")),
        ("cleanup.policy", append, Some("delete")),
        ("cleanup.policy", delete, None),
        ("flush.messages", set, Some("1000")),
        ("flush.messages", delete, None),
        ("max.message.bytes", set, Some("1000000")),
        ("max.message.bytes", delete, None),
        ("segment.bytes", set, Some("1048576")),
        ("segment.bytes", delete, None),
    ] {
        assert_eq!(change(key, operation, value), ErrorCode::InvalidConfig, "{key} {value:?}");
    }
    assert_eq!(change("segment.bytes", set, Some("10485760")), ErrorCode::None);
    assert_eq!(change("min.insync.replicas", set, Some("1")), ErrorCode::None);
    assert_eq!(change("cleanup.policy", set, Some("compact")), ErrorCode::None);
    assert_eq!(change("max.message.bytes", set, Some("2000000")), ErrorCode::None);
}

#[test]
fn a_whole_configuration_keeps_what_commits_depend_on() {
    let broker = Broker::start_with_groups(&[]);
    let replace = |key: &str, value: &str| {
        let config = alter_configs::AlterableConfig { name: key.into(), value: Some(value.into()) };
        let resource = alter_configs::AlterConfigsResource {
            resource_type: 2,
            resource_name: OFFSETS.into(),
            configs: vec![config],
        };
        let request = AlterConfigsRequest { resources: vec![resource], validate_only: false };
        broker.ask(1, &request).responses.remove(0).error_code
    };
    assert_eq!(replace("segment.bytes", "20971520"), ErrorCode::None);
    assert!(is_pinned(&broker));
    assert_eq!(config(&broker, "segment.bytes"), Some("20971520".into()));
    assert_eq!(replace("min.insync.replicas", "1"), ErrorCode::None);
    assert!(is_pinned(&broker));
    assert_eq!(config(&broker, "segment.bytes"), Some("104857600".into()));
    assert_eq!(replace("cleanup.policy", "delete"), ErrorCode::InvalidConfig);
    assert_eq!(replace("flush.messages", "2"), ErrorCode::InvalidConfig);
}

#[test]
fn internal_topics_are_not_deleted() {
    let broker = Broker::start_with_groups(&[]);
    let topic_id = broker.described(OFFSETS).topic_id;
    assert_ne!(topic_id, TopicId::default());
    let named = |name: &str| DeleteTopicState { name: Some(name.into()), ..Default::default() };
    let by_id = DeleteTopicState { name: None, topic_id };
    let request = DeleteTopicsRequest {
        topics: vec![named(OFFSETS), named("t"), by_id, named("unknown")],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    let results = broker.ask(6, &request).responses;
    let codes: Vec<ErrorCode> = results.iter().map(|result| result.error_code).collect();
    let kept = ErrorCode::InvalidTopicException;
    assert_eq!(codes, [kept, ErrorCode::None, kept, ErrorCode::UnknownTopicOrPartition]);
    assert_eq!(results[2].name, Some(OFFSETS.into()));
    assert!(results[0].error_message.is_some());
    assert_eq!(broker.delete(OFFSETS), kept);
    // The same topic as before is there.
    assert_eq!(broker.described(OFFSETS).topic_id, topic_id);
}

#[test]
fn a_client_that_creates_the_offsets_topic_gets_it_in_its_own_shape() {
    let broker = Broker::start_with(&[FEW_OFFSETS_PARTITIONS]);
    for (key, value) in [
        ("cleanup.policy", "delete"),
        ("flush.messages", "10000"),
        ("max.message.bytes", "1000"),
        ("segment.bytes", "1048576"),
    ] {
        let refused = broker.create(configured(OFFSETS, &[(key, value)])).error_code;
        assert_eq!(refused, ErrorCode::InvalidConfig, "{key}");
    }
    let deleted = configured("__transaction_state", &[("cleanup.policy", "delete")]);
    assert_eq!(broker.create(deleted).error_code, ErrorCode::InvalidConfig);
    let created = broker.create(configured(OFFSETS, &[("min.insync.replicas", "1")]));
    assert_eq!(created.error_code, ErrorCode::None);
    assert_eq!((created.num_partitions, created.replication_factor), (4, 1));
    assert!(is_pinned(&broker));
    broker.wait_for_groups();
}

fn batch(codec: Codec, keys: &[Option<&[u8]>]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: Offset(0),
        leader_epoch: None,
        codec,
        level: None,
        timestamp_type: TimestampType::CreateTime,
        producer: None,
        kind: BatchKind::Plain,
    });
    for key in keys {
        let timestamp = UnixMillis(1_700_000_000_000);
        builder
            .append(&NewRecord { timestamp, key: *key, value: Some(b"value"), headers: &[] })
            .expect("the record fits");
    }
    builder.build().expect("the batch is whole")
}

fn produce(
    broker: &Broker,
    client_id: &str,
    topic: &str,
    records: Vec<u8>,
) -> PartitionProduceResponse {
    produce_to(broker, client_id, &[topic], &records).remove(0)
}

/// Produces the same batch to partition 0 of each topic, by one request.
fn produce_to(
    broker: &Broker,
    client_id: &str,
    topics: &[&str],
    records: &[u8],
) -> Vec<PartitionProduceResponse> {
    let topic_data = topics.iter().map(|name| TopicProduceData {
        name: (*name).into(),
        partition_data: vec![PartitionProduceData {
            index: 0,
            records: Some(records.to_vec().into()),
        }],
        ..TopicProduceData::default()
    });
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: topic_data.collect(),
        ..Default::default()
    };
    let mut connection = broker.connection();
    connection.send_as(client_id, 8, &request);
    let answer = connection.answer::<ProduceRequest>(8);
    answer.responses.into_iter().flat_map(|topic| topic.partition_responses).collect()
}

#[test]
fn a_topic_that_is_not_there_keeps_no_batch_of_another_topic_out() {
    let broker = Broker::start();
    assert_eq!(broker.create(topic("t", 1)).error_code, ErrorCode::None);
    let records = batch(Codec::None, &[Some(b"key")]);
    for round in 0..3 {
        let produced = produce_to(&broker, "test", &["unknown", "t"], &records);
        let codes: Vec<ErrorCode> = produced.iter().map(|one| one.error_code).collect();
        assert_eq!(codes, [ErrorCode::UnknownTopicOrPartition, ErrorCode::None]);
        assert_eq!(produced[1].base_offset, round);
    }
}

#[test]
fn records_of_compacted_topics_have_keys() {
    let broker = Broker::start_with_groups(&[]);
    let compacted = configured("compacted", &[("cleanup.policy", "compact,delete")]);
    assert_eq!(broker.create(compacted).error_code, ErrorCode::None);
    for codec in [Codec::None, Codec::Gzip, Codec::Lz4] {
        let without = batch(codec, &[Some(b"key"), None]);
        let refused = produce(&broker, "test", "compacted", without.clone());
        assert_eq!(refused.error_code, ErrorCode::InvalidRecord, "{codec:?}");
        assert_eq!(refused.record_errors.len(), 1);
        assert_eq!(refused.record_errors[0].batch_index, 1);
        // What would make a coordinator's partition unreadable does not get in by Kafka's own tools either.
        let refused = produce(&broker, "__admin_client", OFFSETS, without.clone());
        assert_eq!(refused.error_code, ErrorCode::InvalidRecord, "{codec:?}");
        // Other topics take it.
        assert_eq!(produce(&broker, "test", "t", without).error_code, ErrorCode::None);
        let with = batch(codec, &[Some(b"key"), Some(b"")]);
        assert_eq!(produce(&broker, "test", "compacted", with).error_code, ErrorCode::None);
    }
    let mut damaged = batch(Codec::None, &[None]);
    *damaged.last_mut().unwrap() ^= 1;
    let refused = produce(&broker, "test", "compacted", damaged).error_code;
    assert_eq!(refused, ErrorCode::CorruptMessage);
}
