//! Configuration: where values come from, what is refused, and the page that is generated from the tables.

#![expect(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a test fails by a panic")]

use std::collections::BTreeSet;
use std::path::Path;

use broker::config::{self, BrokerConfig, Settings};
use model::BrokerId;

fn load(file: &str, environment: &[(&str, &str)], overrides: &[&str]) -> Result<Settings, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.properties");
    std::fs::write(&path, file).unwrap();
    let environment =
        environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    Settings::load(Some(&path), environment, &overrides).map_err(|error| error.to_string())
}

#[test]
fn an_override_is_stronger_than_the_environment_and_that_than_the_file() {
    let settings = load(
        "node.id=1\nnum.network.threads=1\nlog.dirs=/file\n",
        &[("STEADFAST_LOG_DIRS", "/environment"), ("STEADFAST_NODE_ID", "2"), ("PATH", "/bin")],
        &["node.id=3"],
    )
    .unwrap();
    assert_eq!(settings.get("node.id"), Some("3"));
    assert_eq!(settings.get("log.dirs"), Some("/environment"));
    assert_eq!(settings.get("num.network.threads"), Some("1"));
    assert_eq!(settings.get("socket.request.max.bytes"), Some("104857600"));
}

#[test]
fn synonyms_of_kafkas_set_the_same_key() {
    let settings = load("broker.id=7\nlog.dir=/data\n", &[], &[]).unwrap();
    let config = BrokerConfig::from_settings(settings).unwrap();
    assert_eq!(config.node_id, BrokerId(7));
    assert_eq!(config.data_dir, Path::new("/data"));
}

#[test]
fn a_key_of_kafkas_that_is_not_served_is_noted_once() {
    let file = "ssl.keystore.location=/x\nzookeeper.connect=a\nprocess.roles=broker,controller\nzookeeper.connect=b\n";
    let settings = load(file, &[("STEADFAST_SERVICE_HOST", "10.0.0.1")], &[]).unwrap();
    let noted: BTreeSet<&str> = settings.unserved().iter().map(String::as_str).collect();
    let expected =
        ["STEADFAST_SERVICE_HOST", "process.roles", "ssl.keystore.location", "zookeeper.connect"];
    assert_eq!(noted, BTreeSet::from(expected));
    assert_eq!(settings.unserved().len(), 4);
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest_and_the_line() {
    let error = load("node.id=1\nadvertised.listenrs=x\n", &[], &[]).unwrap_err();
    assert!(error.contains("server.properties:2"), "{error}");
    assert!(error.contains("the nearest known one is advertised.listeners"), "{error}");
}

#[test]
fn a_value_that_its_key_does_not_accept_is_an_error() {
    for (key, value) in [("node.id", "-1"), ("max.connections", "many"), ("num.partitions", "0")] {
        let error = load("", &[], &[&format!("{key}={value}")]).unwrap_err();
        assert!(error.contains("--override") && error.contains(key), "{error}");
    }
    assert!(load("", &[], &["node.id"]).unwrap_err().contains("not key=value"));
}

#[test]
fn a_key_of_topics_names_the_key_of_the_cluster() {
    let error = load("retention.ms=1\n", &[], &[]).unwrap_err();
    assert!(error.contains("log.retention.ms"), "{error}");
}

#[test]
fn keys_of_the_cluster_are_kept_for_the_metadata() {
    let file = "num.partitions=4\nmin.insync.replicas=1\nlog.retention.hours=1\nnode.id=1\n";
    let values = load(file, &[], &[]).unwrap().cluster_values();
    let values: Vec<(&str, &str)> =
        values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let expected =
        [("log.retention.hours", "1"), ("min.insync.replicas", "1"), ("num.partitions", "4")];
    assert_eq!(values, expected);
}

#[test]
fn a_broker_without_voters_is_its_own() {
    let settings = load("node.id=5\ncontrol.listener=127.0.0.1:7000\n", &[], &[]).unwrap();
    let config = BrokerConfig::from_settings(settings).unwrap();
    assert_eq!(config.voters.len(), 1);
    assert_eq!(config.voters[0].0, BrokerId(5));
    assert_eq!(config.voters[0].1.to_string(), "127.0.0.1:7000");
}

#[test]
fn kafkas_own_example_file_is_taken() {
    let file = "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:9093\n\
        listeners=PLAINTEXT://:9092\ninter.broker.listener.name=PLAINTEXT\n\
        advertised.listeners=PLAINTEXT://localhost:9092\ncontroller.listener.names=CONTROLLER\n\
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\n\
        num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\nsocket.receive.buffer.bytes=102400\n\
        socket.request.max.bytes=104857600\nlog.dirs=/tmp/kraft-combined-logs\nnum.partitions=1\n\
        num.recovery.threads.per.data.dir=1\noffsets.topic.replication.factor=1\n\
        transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\nlog.retention.hours=168\n\
        log.segment.bytes=1073741824\nlog.retention.check.interval.ms=300000\n";
    let config = BrokerConfig::from_settings(load(file, &[], &[]).unwrap()).unwrap();
    assert_eq!(config.listeners[0].advertised.to_string(), "localhost:9092");
}

#[test]
fn no_name_is_declared_twice_and_each_default_is_legal() {
    let mut names = BTreeSet::new();
    for key in config::all_keys() {
        assert!(names.insert(key.name), "{} is declared twice", key.name);
        if let Some(default) = key.default {
            assert_eq!(key.validate(default), Ok(()), "{}", key.name);
        }
    }
}

#[test]
fn the_page_of_configuration_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == config::render(),
        "docs/configuration.md differs from the tables: run `steadfast docs configuration > docs/configuration.md`"
    );
}
