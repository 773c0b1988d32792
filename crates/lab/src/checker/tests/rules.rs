//! For each anomaly histories that show it, and near misses that do not.

use std::io::Write as _;

use super::super::findings::Kind as Anomaly;
use super::super::{CheckError, check_history};
use super::script::{Script, names};

/// An anomaly, a history that shows it, and one that nearly does.
const CASES: &[(&str, &str, &str)] = &[
    // Acknowledged and not in the final read / only unknown.
    (
        "lost-write",
        "p send 0; p ok 0 0; p send 1; p ok 1 1; f poll 0:0; f through 0 2",
        "p send 0; p ok 0 0; p send 1; p info 1; f poll 0:0; f through 0 2",
    ),
    // Acknowledged behind the end / acknowledged before the log start.
    ("lost-write", "p send 0; p ok 0 7; f through 0 5", "p send 0; p ok 0 3; f through 4 5"),
    // No offset known: a full read settles it / a read from the middle does not.
    ("lost-write", "p send 0; p ok 0; f through 0 5", "p send 0; p ok 0; f through 4 5"),
    // An unknown one that somebody read is committed / it may come behind the end.
    (
        "lost-write",
        "p send 0; p info 0; c poll 0:0; f through 0 1",
        "p send 0; p info 0; f through 0 1; c poll 1:0",
    ),
    // Of two final readers each must have it.
    (
        "lost-write",
        "p send 0; p ok 0 0; f poll 0:0; f through 0 1; k through 0 1",
        "p send 0; p ok 0 0; f poll 0:0; f through 0 1; k poll 0:0; k through 0 1",
    ),
    // acks=1 promises nothing.
    ("lost-write", "p send 0; p ok 0 0; f through 0 1", "o send 0; o ok 0 0; f through 0 1"),
    (
        "vanished-read",
        "o send 0; o ok 0 0; c poll 0:0; f through 0 1",
        "o send 0; o ok 0 0; c poll 0:0; f poll 0:0; f through 0 1",
    ),
    (
        "inconsistent-offsets",
        "p send 0; p ok 0 0; p send 1; p info 1; c poll 0:1",
        "o send 0; o ok 0 0; p send 1; p info 1; c poll 0:1",
    ),
    (
        "inconsistent-offsets",
        "p send 0; p send 1; c poll 0:0; u poll 0:1",
        "p send 0; p send 1; c poll 0:0; u poll 1:1",
    ),
    ("duplicate", "p send 0; p ok 0 0; c poll 0:0 1:0", "r send 0; r ok 0 0; c poll 0:0 1:0"),
    ("duplicate", "i send 0; c poll 0:0; i ok 0 1", "i send 0; c poll 1:0; i ok 0 1"),
    ("reorder", "i send 0; i send 1; i ok 1 0; i ok 0 1", "r send 0; r send 1; r ok 1 0; r ok 0 1"),
    ("reorder", "p send 0; p send 1; p ok 1 0; p ok 0 1", "p send 0; i send 1; i ok 1 0; p ok 0 1"),
    (
        "stale-append",
        "p send 0; p ok 0 5; i send 1; i ok 1 4",
        "p send 0; i send 1; p ok 0 5; i ok 1 4",
    ),
    ("spurious-offset", "p send 0; p ok 0 -1", "z send 0; z ok 0 -1"),
    ("phantom-read", "p send 0; c poll 0:1", "p send 0; c poll 0:0"),
    (
        "aborted-read",
        "p send 0; p fail 0 MessageSizeTooLarge; c poll 0:0",
        "p send 0; p info 0 RequestTimedOut; c poll 0:0",
    ),
    (
        "aborted-read",
        "t begin A; t send 0 in=A; t ok 0 0; t abort A; c poll 0:0",
        "t begin A; t send 0 in=A; t ok 0 0; t abort A; u poll 0:0",
    ),
    (
        "aborted-read",
        "t begin A; t send 0 in=A; t ok 0 0; c poll 0:0; t abort A",
        "t begin A; t send 0 in=A; t ok 0 0; c poll 0:0; t unknown A",
    ),
    (
        "precommitted-read",
        "t begin A; t send 0 in=A; t ok 0 0; t poll 0:0 in=A; t end A",
        "t begin A; t send 0 in=A; t ok 0 0; t end A; t begin B; t poll 0:0 in=B; t end B",
    ),
    (
        "circular-flow",
        "t begin A; s begin B; t send 0 in=A; s send 1 in=B; t poll 1:1 in=A; s poll 0:0 in=B; t end A; s end B",
        "t begin A; s begin B; t send 0 in=A; s send 1 in=B; s poll 0:0 in=B; t end A; s end B",
    ),
    (
        "torn-transaction",
        "t begin A; t send 0 in=A; t ok 0 0; t send 1 in=A; t ok 1 1; t unknown A; f poll 0:0; f through 0 3",
        "t begin A; t send 0 in=A; t ok 0 0; t send 1 in=A; t ok 1 1; t unknown A; f through 0 3",
    ),
    // No member polled it / another member did.
    (
        "undelivered",
        "p send 0; p ok 0 0; p send 1; p ok 1 1; g poll 0:0; f poll 0:0 1:1; f through 0 2; f ended",
        "p send 0; p ok 0 0; p send 1; p ok 1 1; g poll 0:0; h poll 1:1; f poll 0:0 1:1; f through 0 2; f ended",
    ),
    // A member polled it / nobody waited; a consumer outside of the group does not count, and what is lost is no matter of delivery.
    (
        "undelivered",
        "p send 0; p ok 0 0; c poll 0:0; f poll 0:0; f through 0 1; f ended",
        "p send 0; p ok 0 0; c poll 0:0; f poll 0:0; f through 0 1",
    ),
    (
        "undelivered",
        "t begin A; t send 0 in=A; t ok 0 0; t end A; f poll 0:0; f through 0 1; f ended",
        "t begin A; t send 0 in=A; t ok 0 0; t abort A; f through 0 1; f ended",
    ),
    ("replica-divergence", "f disk 1 2 a; f disk 2 2 b", "f disk 1 2 a; f disk 2 2 a"),
    (
        "replica-divergence",
        "f through 0 2; f disk 1 2 a; f disk 2 1 a",
        "f through 0 2; f disk 1 2 a; f disk 2 3 a",
    ),
    // A record in between / a control record, or an aborted one.
    (
        "poll-skip",
        "p send 0; p ok 0 0; p send 1; p ok 1 1; p send 2; p ok 2 2; c poll 0:0; c poll 2:2",
        "p send 0; p ok 0 0; p send 2; p ok 2 2; c poll 0:0 2:2",
    ),
    (
        "poll-skip",
        "p send 0; p send 1; c assign 0; c poll 1:1; u poll 0:0",
        "p send 0; p send 1; c poll 1:1; u poll 0:0",
    ),
    (
        "poll-skip",
        "t begin A; t send 0 in=A; t ok 0 1; t end A; p send 1; p ok 1 2; c assign 0; c poll 2:1",
        "t begin A; t send 0 in=A; t ok 0 1; t abort A; p send 1; p ok 1 2; c assign 0; c poll 2:1",
    ),
    // A lost record was not jumped over.
    (
        "poll-skip",
        "p send 0; p send 1; c assign 0; c poll 1:1; p ok 0 0",
        "o send 0; o ok 0 0; p send 1; c assign 0; c poll 1:1",
    ),
    (
        "nonmonotonic-poll",
        "p send 0; c poll 0:0; c poll 0:0",
        "p send 0; c poll 0:0; c assign 0; c poll 0:0",
    ),
    ("nonmonotonic-poll", "p send 0; g placed 3; g poll 2:0", "p send 0; g placed 2; g poll 2:0"),
    (
        "committed-offset-regress",
        "g placed 0; g commit 5; g commit-ok 5; h placed 3",
        "g placed 0; g commit 5; g commit-ok 5; g assign 3; h placed 3",
    ),
    // An unknown commit may arrive late.
    (
        "committed-offset-regress",
        "g commit 3; g commit-ok 3; g commit 5; g commit-ok 5; h placed 3",
        "g commit 3; g commit-info 3; g commit 5; g commit-ok 5; h placed 3",
    ),
    (
        "committed-offset-regress",
        "g commit 5; g commit-ok 5; h commit 3; h commit-ok 3",
        "g commit 5; h commit 3; g commit-ok 5; h commit-ok 3",
    ),
    // What another was told may not have reached the coordinator that answers.
    (
        "committed-offset-regress",
        "g commit 5; g commit-ok 5; g fetch; g fetched -1",
        "g commit 5; g commit-ok 5; h fetch; h fetched -1",
    ),
    (
        "committed-offset-regress",
        "g commit 3; g commit-ok 3; g fetch; g fetched 2",
        "g fetch; g commit 3; g commit-ok 3; g fetched 2",
    ),
    (
        "committed-offset-skip",
        "p send 0; p ok 0 0; p send 1; p ok 1 1; g placed 0; g poll 0:0; g commit 1; g commit-ok 1; h placed 2",
        "p send 0; p ok 0 0; g placed 0; g poll 0:0; g commit 1; g commit-ok 1; h placed 2",
    ),
    (
        "watermark-regress",
        "c ask; c answer 0 5; c ask; c answer 0 4",
        "c ask; u ask; c answer 0 5; u answer 0 4",
    ),
    (
        "watermark-regress",
        "c ask; c answer 3 5; f ask; f answer 2 5",
        "c ask; f ask; c answer 3 5; f answer 2 5",
    ),
    (
        "illegal-error",
        "p send 0; p info 0 UnknownServerError",
        "p send 0; p fail 0 UnknownTopicOrPartition",
    ),
];

#[test]
fn each_anomaly_is_found_and_its_near_miss_is_not() {
    for (name, bad, near) in CASES {
        let verdict = Script::new().run(bad).check().unwrap();
        assert!(names(&verdict).contains(name), "{name} is not found in {bad}: {verdict:?}");
        assert!(!verdict.valid);
        let verdict = Script::new().run(near).check().unwrap();
        assert!(!names(&verdict).contains(name), "{name} is found in {near}: {verdict:?}");
    }
}

#[test]
fn every_anomaly_has_a_case() {
    for kind in Anomaly::ALL {
        assert!(CASES.iter().any(|(name, ..)| *name == kind.name()), "{}", kind.name());
    }
}

#[test]
fn what_the_settings_allow_is_counted_and_valid() {
    let verdict = Script::new()
        .run("o send 0; o ok 0 0; r send 1; r ok 1 1; f poll 1:1 2:1; f through 0 3")
        .check()
        .unwrap();
    assert!(verdict.valid, "{verdict:?}");
    assert_eq!(verdict.allowed["lost-write (acks=1)"], 1);
    assert_eq!(verdict.allowed["duplicate (the client sends again)"], 1);
    let (one, all) = (verdict.sends["1"], verdict.sends["all"]);
    assert_eq!((one.sent, one.acknowledged, one.found, one.lost), (1, 1, 0, 1));
    assert_eq!((all.sent, all.found, all.lost, all.duplicated), (1, 1, 0, 1));
}

#[test]
fn without_a_final_read_losses_are_said_to_be_unchecked() {
    let verdict = Script::new().run("p send 0; p ok 0 0").check().unwrap();
    assert!(verdict.valid);
    assert_eq!(verdict.unchecked.len(), 1, "{verdict:?}");
}

#[test]
fn numbers_that_are_not_dense_are_refused() {
    for text in ["p send 99999999", "p send 0; p ok 0 99999999", "p send 0; c poll -3:0"] {
        let error = Script::new().run(text).check().unwrap_err();
        assert!(matches!(error, CheckError::Malformed { .. }), "{error}");
        assert!(error.to_string().contains("not dense"), "{error}");
    }
}

#[test]
fn a_history_that_contradicts_itself_is_refused() {
    for text in ["p send 0; p ok 0 0; p ok 0 0", "p send 0; r send 0"] {
        assert!(Script::new().run(text).check().is_err(), "{text}");
    }
}

#[test]
fn an_example_shows_the_lines_of_the_history() {
    let script = Script::new().run("p send 0; p ok 0 0; f through 0 1");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for event in &script.events {
        writeln!(file, "{}", serde_json::to_string(event).unwrap()).unwrap();
    }
    let verdict = check_history(file.path(), &std::env::temp_dir()).unwrap();
    let operations = &verdict.anomalies[0].examples[0].operations;
    assert_eq!(operations.len(), 3, "{operations:?}");
    assert!(operations[0].contains(r#""type":"invoke","f":"send""#), "{operations:?}");
    assert!(operations[2].contains("read-through"), "{operations:?}");
}
