//! What the bytes refuse. That they carry everything is shown by the scripts and the random commands of the machine.

use prost::Message;

use super::*;
use crate::metadata::{Image, RecordKey};

#[test]
fn a_command_of_a_newer_level_is_an_error_and_not_half_applied() {
    let newer = proto::Command {
        metadata_version: METADATA_VERSION + 1,
        kind: Some(proto::command::Kind::UpdateVoters(proto::UpdateVoters::default())),
    };
    let read = Command::decode(&newer.encode_to_vec());
    assert_eq!(read, Err(DecodeError::NewerVersion(METADATA_VERSION + 1)));
}

#[test]
fn a_command_without_kind_or_level_is_an_error() {
    assert!(Command::decode(&[]).is_err());
    let unknown = proto::Command { metadata_version: METADATA_VERSION, kind: None };
    let read = Command::decode(&unknown.encode_to_vec());
    assert_eq!(read, Err(DecodeError::Field("command")));
}

#[test]
fn a_snapshot_whose_records_contradict_one_another_is_an_error() {
    let mut image = Image::default();
    let form = crate::metadata::FormCluster {
        cluster_id: model::ClusterId("c1".to_owned()),
        voters: std::collections::BTreeMap::new(),
        configs: std::collections::BTreeMap::new(),
    };
    crate::metadata::apply(&mut image, 1, &Command::FormCluster(form));
    let topic = proto::TopicRecord { name: "a".to_owned(), partition_count: 1 };
    let topic_id = model::TopicId::from_bytes([1; 16]);
    let cluster = image.record(&RecordKey::Cluster).expect("it is formed");
    let records = [
        (RecordKey::Cluster.encode(), cluster),
        (RecordKey::Topic(topic_id).encode(), topic.encode_to_vec()),
    ];
    let read = Image::from_records(records);
    assert!(matches!(read, Err(DecodeError::Image(_))), "a topic without partitions: {read:?}");
}

#[test]
fn keys_of_records_sort_as_records_are_listed() {
    let topic_id = model::TopicId::from_bytes([1; 16]);
    let partition =
        |partition| RecordKey::Partition(model::TopicIdPartition { topic_id, partition });
    let keys = [
        RecordKey::Cluster,
        RecordKey::ClusterConfig("a".to_owned()),
        RecordKey::Broker(model::BrokerId(1)),
        RecordKey::Broker(model::BrokerId(300)),
        RecordKey::BrokerConfig(model::BrokerId(1), "b".to_owned()),
        RecordKey::Topic(topic_id),
        RecordKey::TopicConfig(topic_id, "c".to_owned()),
        partition(1),
        partition(256),
    ];
    let encoded: Vec<_> = keys.iter().map(RecordKey::encode).collect();
    assert!(encoded.is_sorted());
    for (key, bytes) in keys.iter().zip(&encoded) {
        assert_eq!(RecordKey::decode(bytes).as_ref(), Ok(key));
    }
}
