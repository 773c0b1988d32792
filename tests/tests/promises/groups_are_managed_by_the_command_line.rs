//! Groups by the command line: what `consume --group` printed is committed, describe shows it, a reset is planned before it is done, and a group with members is
//! left alone.

use std::io::{BufRead as _, BufReader};
use std::process::Child;

use cluster_tests::cluster::{Cluster, Signal};
use cluster_tests::command_line::CommandLine;

/// An empty group does not wait for more members than the one that comes.
const AT_ONCE: &str = "group.initial.rebalance.delay.ms=0";

/// Returns a group's committed offsets, by partition.
fn committed(cli: &CommandLine, group: &str) -> Vec<Option<i64>> {
    let described = cli.json(&["group", "describe", group]);
    let partitions = described[0]["partitions"].as_array().expect("a list").clone();
    partitions.iter().map(|partition| partition["current_offset"].as_i64()).collect()
}

/// A member that prints and stays, ended when the value is dropped.
struct Reader {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Reader {
    fn start(cli: &CommandLine, arguments: &[&str]) -> Self {
        let mut child = cli.start(arguments);
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self { child, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    /// Ends it as Ctrl-C does and says whether it ended well.
    fn interrupt(&mut self) -> bool {
        assert!(Signal::Interrupt.send(self.child.id()), "the signal cannot be sent");
        self.child.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Fails where it has ended, which is what is wanted.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[test]
fn a_group_is_read_described_reset_and_deleted() {
    let cluster = Cluster::start_with(3, &[AT_ONCE]);
    let cli = CommandLine::of(&cluster);
    cli.succeed(&["topic", "create", "lines", "-p", "1"], "");
    cli.succeed(&["produce", "lines"], "one\ntwo\nthree\n");
    let unknown = cli.fail(&["group", "describe", "nobody"], 1);
    assert!(unknown.contains("nobody") && unknown.contains("group list"), "{unknown}");

    // What was printed is committed, and no more than that.
    let read = ["consume", "lines", "--group", "readers", "--from", "earliest"];
    let two = cli.succeed(&[&read[..], &["--max-records", "2"]].concat(), "");
    assert_eq!(two, "one\ntwo\n");
    assert_eq!(committed(&cli, "readers"), [Some(2)]);
    let rest = cli.succeed(&[&read[..], &["--until-end"]].concat(), "");
    assert_eq!(rest, "three\n");
    let described = cli.json(&["group", "describe", "readers"]);
    assert_eq!((&described[0]["lag"], &described[0]["state"]), (&0.into(), &"Empty".into()));
    assert_eq!(cli.succeed(&["group", "list"], ""), "readers\n");
    assert_eq!(cli.succeed(&["group", "list", "--state", "stable", "--json"], ""), "[]\n");

    // A plan changes nothing, and is what is then done.
    let reset = ["group", "reset-offsets", "--group", "readers", "--topic", "lines:0"];
    let to = |target: &[&str]| cli.json(&[&reset[..], target].concat())["offsets"][0].clone();
    assert_eq!(to(&["--to-earliest"])["new_offset"], 0);
    assert_eq!(to(&["--to-latest"])["new_offset"], 3);
    assert_eq!(to(&["--shift-by", "-2"])["new_offset"], 1);
    assert_eq!(to(&["--to-offset", "99"])["new_offset"], 3);
    assert_eq!(to(&["--to-datetime", "2001-01-01T00:00:00.000"])["new_offset"], 0);
    assert_eq!(to(&["--by-duration", "PT0S"])["new_offset"], 3);
    assert_eq!(committed(&cli, "readers"), [Some(3)], "a plan has changed something");
    cli.succeed(&[&reset[..], &["--shift-by", "-2", "--execute"]].concat(), "");
    assert_eq!(committed(&cli, "readers"), [Some(1)]);
    let again = cli.succeed(&[&read[..], &["--until-end"]].concat(), "");
    assert_eq!(again, "two\nthree\n");
    cli.fail(
        &["group", "reset-offsets", "--group", "new", "--topic", "lines", "--shift-by", "1"],
        1,
    );
    let nowhere = ["group", "reset-offsets", "--group", "new", "--topic", "gone", "--to-latest"];
    assert!(cli.fail(&nowhere, 1).contains("gone"));

    cli.succeed(&["group", "delete-offsets", "--group", "readers", "--topic", "lines"], "");
    let gone = cli.json(&["group", "list"]);
    if gone.as_array().is_some_and(|groups| !groups.is_empty()) {
        assert!(committed(&cli, "readers").is_empty());
        cli.succeed(&["group", "delete", "readers"], "");
    }
    assert_eq!(cli.succeed(&["group", "list"], ""), "");
}

#[test]
fn a_group_with_a_member_is_shown_and_left_alone() {
    let cluster = Cluster::start_with(3, &[AT_ONCE]);
    let cli = CommandLine::of(&cluster);
    cli.succeed(&["topic", "create", "lines", "-p", "2"], "");
    cli.succeed(&["produce", "lines"], "one\n");
    let arguments = ["consume", "lines", "--group", "readers", "--from", "earliest"];
    let mut reader = Reader::start(&cli, &arguments);
    assert_eq!(reader.line(), "one");

    let described = cli.json(&["group", "describe", "--all"]);
    let group = &described[0];
    assert_eq!((&group["state"], &group["members"]), (&"Stable".into(), &1.into()), "{group}");
    assert_eq!(group["strategy"], "range");
    assert!(group["partitions"][1]["member_id"].is_string(), "{group}");
    let members = cli.json(&["group", "members", "readers"]);
    let member = &members[0]["members"][0];
    assert_eq!(member["client_id"], "steadfast-cli");
    assert_eq!(member["assignment"].as_array().map(Vec::len), Some(2), "{member}");

    let reset = ["group", "reset-offsets", "--group", "readers", "--topic", "lines", "--to-latest"];
    let refused = cli.fail(&[&reset[..], &["--execute"]].concat(), 1);
    assert!(refused.contains("readers has a member"), "{refused}");
    let refused = cli.fail(&["group", "delete", "readers"], 1);
    assert!(refused.contains("NON_EMPTY_GROUP"), "{refused}");

    // It commits and leaves in order: nothing is left to wait for.
    assert!(reader.interrupt(), "the reader did not end well");
    let described = cli.json(&["group", "describe", "readers"]);
    assert_eq!(described[0]["state"], "Empty", "{described}");
    let committed: i64 = committed(&cli, "readers").into_iter().flatten().sum();
    assert_eq!(committed, 1);
    let none = cli.succeed(&[&arguments[..], &["--until-end"]].concat(), "");
    assert_eq!(none, "");
    cli.succeed(&["group", "delete", "readers"], "");
}

#[test]
fn wrong_usage_of_groups_is_2() {
    let cli = CommandLine::ALONE;
    for arguments in [
        &["group", "describe"][..],
        &["group", "reset-offsets", "--group", "g", "--topic", "t"],
        &["group", "reset-offsets", "--group", "g", "--to-latest"],
        &["group", "list", "--state", "sleepy"],
        &["group", "delete-offsets", "--group", "g", "--topic", "t:x"],
        &["consume", "t", "--group", "g", "--partition", "1"],
        &["consume", "t", "--group", "g", "--from", "7"],
        &["consume", "t", "--group-instance-id", "i"],
    ] {
        cli.refuse_usage(arguments);
    }
}
