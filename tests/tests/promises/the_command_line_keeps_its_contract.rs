//! What scripts rely on: exit codes 0, 1 and 2, an error as one line on standard error that says what and where, `--json` on what prints.

use cluster_tests::cluster::Cluster;
use cluster_tests::command_line::CommandLine;
use serde_json::Value;

/// The program without a cluster in its environment.
const STEADFAST: CommandLine = CommandLine::ALONE;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn wrong_usage_is_2() {
    for arguments in [&["nonsense"][..], &["topic", "create"], &["dev", "--brokers", "many"]] {
        STEADFAST.refuse_usage(arguments);
    }
    let said = STEADFAST.fail(&["topic", "list", "-b", "host:none"], 2);
    assert!(said.contains("host:none"), "{said}");
}

#[test]
fn a_cluster_that_is_not_there_is_1_and_named() {
    let arguments = ["topic", "list", "-b", "127.0.0.1:1", "--timeout", "300ms"];
    let said = STEADFAST.fail(&arguments, 1);
    assert!(said.contains("127.0.0.1:1"), "{said}");
}

#[test]
fn a_key_that_nobody_knows_is_an_error_that_names_the_nearest() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("server.properties");
    std::fs::write(&file, "node.id=1\nlog.dir=/nowhere\nmin.insync.replica=2\n").unwrap();
    let output = STEADFAST.run(&["server", "--config", &file.to_string_lossy()], "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{said}");
    assert!(said.contains("min.insync.replicas"), "{said}");

    let missing = STEADFAST.fail(&["server", "--config", "/nowhere/server.properties"], 2);
    assert!(missing.contains("/nowhere/server.properties"), "{missing}");
}

#[test]
fn dev_refuses_a_port_that_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_string_lossy().into_owned();
    let said = STEADFAST.fail(&["dev", "--data-dir", &data, "--kafka-port", &port], 1);
    assert!(said.contains(&port), "{said}");
}

#[test]
fn a_second_process_of_a_broker_ends_and_leaves_the_first_ones_file() {
    let cluster = Cluster::start(1);
    let pid = cluster.pid(1);
    let config = cluster.broker_dir(1).join("server.properties");
    let said = STEADFAST.fail(&["server", "--config", &config.to_string_lossy()], 1);
    assert!(said.contains("in use"), "{said}");
    assert_eq!(cluster.pid(1), pid);
}

#[test]
fn topics_records_and_health_by_the_command_line() {
    let cluster = Cluster::start(3);
    let bootstrap = cluster.bootstrap();
    let run = |arguments: &[&str], input: &str| {
        STEADFAST.succeed(&[arguments, &["-b", &bootstrap][..]].concat(), input)
    };
    let created = run(&["topic", "create", "lines", "-p", "1", "--json"], "");
    assert_eq!(json(&created)["replication_factor"], 3, "{created}");
    assert_eq!(run(&["topic", "list"], ""), "lines\n");
    let described = json(&run(&["topic", "describe", "lines", "--json"], ""));
    assert_eq!(described[0]["partitions"][0]["replicas"].as_array().map(Vec::len), Some(3));

    let produced = run(&["produce", "lines", "-K", ":", "--json"], "a:one\nb:two\n");
    assert_eq!(json(&produced)["records"], 2, "{produced}");
    let read = run(&["consume", "lines", "--until-end", "-k", "-K", "="], "");
    assert_eq!(read, "a=one\nb=two\n");
    let as_json = run(&["consume", "lines", "--until-end", "--json"], "");
    let values: Vec<Value> = as_json.lines().map(json).collect();
    assert_eq!((values.len(), &values[1]["value"]), (2, &Value::from("two")), "{as_json}");
    assert_eq!(json(&run(&["health", "--json", "--brokers", "3"], ""))["healthy"], true);

    let twice = STEADFAST.fail(&["topic", "create", "lines", "-b", &bootstrap], 1);
    assert!(twice.contains("lines"), "{twice}");
    let nowhere = STEADFAST.fail(&["topic", "describe", "nowhere", "-b", &bootstrap], 1);
    assert!(nowhere.contains("nowhere"), "{nowhere}");
    run(&["topic", "delete", "lines"], "");
    assert_eq!(run(&["topic", "list"], ""), "");
}
