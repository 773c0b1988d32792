//! Good histories, made from a seed, are valid; each corruption of them is found. And a long one takes no more memory than was said.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::super::Checker;
use super::super::table::PAGE_BYTES;
use super::script::{Script, check, names, partition};
use crate::history::{Action, Event, Kind, Read};

/// Sends of several producers with every outcome, two consumers behind, a group that commits, and two final readers.
fn good(seed: u64) -> Vec<Event> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut script = Script::new().run("c assign 0; g placed 0");
    let mut log: Vec<(i64, u64)> = Vec::new();
    let (mut consumed, mut grouped, mut end) = (0, 0, 0);
    for value in 0..400 {
        let producer = ["p", "i", "r"][random.random_range(0..3)];
        script = script.run(&format!("{producer} send {value}"));
        let fate = random.random_range(0..20);
        if fate != 0 && fate != 1 {
            end += i64::from(random.random_range(0..10) == 0);
            log.push((end, value));
            end += 1;
        }
        script = match fate {
            0 => script.run(&format!("{producer} fail {value} NotEnoughReplicas")),
            1 | 2 => script.run(&format!("{producer} info {value} RequestTimedOut")),
            _ => script.run(&format!("{producer} ok {value} {}", end - 1)),
        };
        if random.random_range(0..5) == 0 && consumed < log.len() {
            script = poll(script, "c", &log[consumed..]);
            consumed = log.len();
        }
        if random.random_range(0..9) == 0 && grouped < log.len() {
            script = poll(script, "g", &log[grouped..]);
            grouped = log.len();
            script = script.run(&format!("g commit {end}; g commit-ok {end}"));
            script = script.run(&format!("g ask; g answer 0 {end}"));
        }
    }
    script = script.run(&format!("g commit {end}; g commit-ok {end}; h placed {end}"));
    if grouped < log.len() {
        script.events.truncate(script.events.len() - 3);
    }
    for reader in ["f", "k"] {
        script = poll(script.run(&format!("{reader} assign 0")), reader, &log);
        script = script.run(&format!("{reader} through 0 {end}"));
    }
    script.events
}

fn poll(script: Script, process: &str, records: &[(i64, u64)]) -> Script {
    let records: Vec<String> = records.iter().map(|(o, v)| format!("{o}:{v}")).collect();
    script.run(&format!("{process} poll {}", records.join(" ")))
}

/// The records of the last poll of a process.
fn last_poll<'a>(events: &'a mut [Event], process: &str) -> &'a mut Vec<(i64, u64)> {
    let polls = events.iter_mut().rev().filter(|event| &*event.process == process);
    let reads = polls.filter_map(|event| match &mut event.action {
        Action::Poll { reads, .. } => Some(&mut reads[0].records),
        _ => None,
    });
    reads.into_iter().next().unwrap()
}

#[test]
fn good_histories_are_valid() {
    for seed in 0..50 {
        let verdict = check(&good(seed)).unwrap();
        assert!(verdict.valid, "seed {seed}: {verdict:?}");
        assert_eq!(verdict.sends["all"].found, verdict.sends["all"].acknowledged, "seed {seed}");
    }
}

type Corruption = fn(&mut Vec<Event>, usize);

/// What is broken, how, and what must be found.
const CORRUPTIONS: &[(&str, Corruption)] = &[
    ("poll-skip", |events, at| {
        last_poll(events, "f").remove(at);
    }),
    ("lost-write", |events, _| last_poll(events, "k").clear()),
    ("inconsistent-offsets", |events, at| {
        let records = last_poll(events, "k");
        (records[at].1, records[at + 1].1) = (records[at + 1].1, records[at].1);
    }),
    ("nonmonotonic-poll", |events, at| last_poll(events, "f").swap(at, at + 1)),
    ("nonmonotonic-poll", |events, at| {
        let records = last_poll(events, "f");
        records.insert(at, records[at]);
    }),
    ("phantom-read", |events, at| last_poll(events, "f")[at].1 = 1 << 40),
    ("aborted-read", |events, at| {
        let acked = |event: &&mut Event| {
            event.kind == Kind::Ok && matches!(event.action, Action::Send { .. })
        };
        events.iter_mut().filter(acked).nth(at).unwrap().kind = Kind::Fail;
    }),
    ("stale-append", |events, at| {
        let offsets = events.iter_mut().filter_map(|event| match &mut event.action {
            Action::Send { offset: Some(offset), .. } => Some(offset),
            _ => None,
        });
        let mut offsets: Vec<_> = offsets.skip(at).take(2).collect();
        let first = *offsets[0];
        *offsets[1] = first;
    }),
    ("committed-offset-regress", |events, _| {
        let commit = events.iter_mut().rev().filter_map(|event| match &mut event.action {
            Action::Commit { offsets, .. } => Some(offsets),
            _ => None,
        });
        commit.take(2).for_each(|offsets| offsets[0].1 = 1);
    }),
    ("watermark-regress", |events, _| {
        let answers = events.iter_mut().rev().filter(|event| event.kind == Kind::Ok);
        let mut highs = answers.filter_map(|event| match &mut event.action {
            Action::Watermarks { high, .. } => Some(high),
            _ => None,
        });
        *highs.next().unwrap() = 1;
    }),
];

#[test]
fn every_corruption_of_a_good_history_is_found() {
    for seed in 0..20 {
        let at = StdRng::seed_from_u64(seed).random_range(0..300);
        for (name, corrupt) in CORRUPTIONS {
            let mut events = good(seed);
            corrupt(&mut events, at);
            let verdict = check(&events).unwrap();
            assert!(
                names(&verdict).contains(name),
                "seed {seed}: no {name}: {:?}",
                names(&verdict)
            );
        }
    }
}

#[test]
fn two_million_events_take_a_bounded_number_of_pages() {
    const PAGES: usize = 16;
    const VALUES: u64 = 800_000;
    let mut checker = Checker::with_pages(&std::env::temp_dir(), PAGES).unwrap();
    let mut count = 0_u64;
    for event in Script::new().events {
        checker.observe(&event).unwrap();
    }
    let mut observe = |op: u64, process: &str, kind: Kind, action: Action| {
        count += 1;
        let event = Event { time: op, op, process: process.into(), kind, action, error: None };
        checker.observe(&event).unwrap();
        assert!(checker.table.resident_pages() <= PAGES);
    };
    let (partition, offset_of) = (partition(), |value: u64| i64::try_from(value).unwrap());
    let send = |value: u64, offset: Option<i64>| Action::Send {
        partition: partition.clone(),
        value,
        intended: None,
        offset,
        transaction: None,
    };
    let read = |value: u64| {
        let records = vec![(offset_of(value), value)];
        let reads = vec![Read { partition: partition.clone(), records }];
        Action::Poll { reads, transaction: None }
    };
    for value in 0..VALUES {
        let op = 100 + 2 * value;
        // Every third is unknown and never ends: it must not pile up.
        observe(op, "i", Kind::Invoke, send(value, None));
        if value % 3 != 0 {
            observe(op, "i", Kind::Ok, send(value, Some(offset_of(value))));
        }
        observe(op + 1, "f", Kind::Ok, read(value));
    }
    let to = offset_of(VALUES);
    observe(0, "f", Kind::Ok, Action::ReadThrough { partition: partition.clone(), from: 0, to });
    assert!(count > 2_000_000);
    assert!(checker.table.pages() * PAGE_BYTES > 60 << 20, "the table did not outgrow the memory");
    assert!(checker.open_commits.is_empty() && checker.flows.is_empty());
    assert!(checker.finish().unwrap().valid);
}
