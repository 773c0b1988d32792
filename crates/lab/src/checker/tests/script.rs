//! Histories of one partition in a few words, for tests. Everything between `;` is one step: a process, a verb, arguments.
//!
//! The processes, all started: `p` sends with acks=all and never twice, `i` is idempotent, `r` retries with five in flight, `o` and `z` send with
//! acks=1 and 0; `c` and `u` poll (read_committed, read_uncommitted); `f` and `k` are final readers; `g` and `h` are members of a group; `t` and
//! `s` are transactional.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::{CheckError, Checker};
use crate::history::{Acks, Action, Event, Kind, Partition, Read, Role, Settings, TransactionEnd};
use crate::report::Verdict;

pub(super) fn partition() -> Partition {
    Partition { topic: Arc::from("t"), number: 0 }
}

fn settings(role: Role) -> Settings {
    Settings {
        role,
        acks: Some(Acks::All),
        idempotent: false,
        retries: false,
        max_in_flight: 1,
        read_committed: true,
        group: None,
    }
}

fn processes() -> Vec<(&'static str, Settings)> {
    let producer = || settings(Role::Producer);
    let member = || Settings { group: Some("group".to_owned()), ..settings(Role::GroupMember) };
    let transactional = || Settings { idempotent: true, ..settings(Role::Transactional) };
    vec![
        ("p", producer()),
        ("i", Settings { idempotent: true, retries: true, max_in_flight: 5, ..producer() }),
        ("r", Settings { retries: true, max_in_flight: 5, ..producer() }),
        ("o", Settings { acks: Some(Acks::One), ..producer() }),
        ("z", Settings { acks: Some(Acks::Zero), ..producer() }),
        ("c", settings(Role::Consumer)),
        ("u", Settings { read_committed: false, ..settings(Role::Consumer) }),
        ("f", settings(Role::FinalReader)),
        ("k", settings(Role::FinalReader)),
        ("g", member()),
        ("h", member()),
        ("t", transactional()),
        ("s", transactional()),
    ]
}

/// Builds events; `open` finds the operation that a completion ends.
#[derive(Default)]
pub(super) struct Script {
    pub(super) events: Vec<Event>,
    open: HashMap<String, u64>,
    ops: u64,
}

impl Script {
    pub(super) fn new() -> Self {
        let mut script = Self::default();
        for (process, settings) in processes() {
            script.push(None, process, Kind::Ok, Action::Start { settings });
        }
        script
    }

    pub(super) fn push(
        &mut self,
        op: Option<u64>,
        process: &str,
        kind: Kind,
        action: Action,
    ) -> u64 {
        let op = op.unwrap_or(self.ops);
        self.ops = self.ops.max(op + 1);
        let time = self.events.len() as u64;
        let process = Arc::from(process);
        self.events.push(Event { time, op, process, kind, action, error: None });
        op
    }

    pub(super) fn run(mut self, text: &str) -> Self {
        text.split(';').map(str::trim).filter(|step| !step.is_empty()).for_each(|s| self.step(s));
        self
    }

    fn step(&mut self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (process, verb, arguments) = (words[0], words[1], &words[2..]);
        let named = |name: &str| arguments.iter().find_map(|word| word.strip_prefix(name));
        let transaction = named("in=").map(|name| self.open[&format!("transaction {name}")]);
        let number = |at: usize| arguments[at].parse::<i64>().unwrap();
        match verb {
            "send" | "ok" | "fail" | "info" => self.send(process, verb, arguments, transaction),
            "poll" => {
                let pair = |word: &&str| {
                    let (offset, value) = word.split_once(':')?;
                    Some((offset.parse().unwrap(), value.parse().unwrap()))
                };
                let records = arguments.iter().filter_map(pair).collect();
                let reads = vec![Read { partition: partition(), records }];
                self.push(None, process, Kind::Ok, Action::Poll { reads, transaction });
            }
            "assign" => {
                let positions = vec![(partition(), number(0))];
                self.push(None, process, Kind::Ok, Action::Assign { positions });
            }
            "placed" => {
                let assigned = vec![(partition(), number(0))];
                let action = Action::Rebalance { assigned, revoked: Vec::new() };
                self.push(None, process, Kind::Ok, action);
            }
            "commit" | "commit-ok" | "commit-info" => {
                let offsets = vec![(partition(), number(0))];
                let action = Action::Commit { group: "group".to_owned(), offsets };
                let kind = if verb == "commit-ok" { Kind::Ok } else { Kind::Info };
                self.operation(
                    &format!("commit {}", number(0)),
                    process,
                    (verb == "commit", kind),
                    action,
                );
            }
            "fetch" | "fetched" => {
                let offset = if verb == "fetch" { -1 } else { number(0) };
                let offsets = vec![(partition(), offset)];
                let action = Action::Committed { group: "group".to_owned(), offsets };
                self.operation(
                    &format!("fetch {process}"),
                    process,
                    (verb == "fetch", Kind::Ok),
                    action,
                );
            }
            "through" => {
                let action =
                    Action::ReadThrough { partition: partition(), from: number(0), to: number(1) };
                self.push(None, process, Kind::Ok, action);
            }
            "ended" => {
                let action = Action::GroupEnd { group: "group".to_owned(), partition: partition() };
                self.push(None, process, Kind::Ok, action);
            }
            "disk" => {
                let (node, to) = (u32::try_from(number(0)).unwrap(), number(1));
                let digest = arguments[2].to_owned();
                let action = Action::Replica { partition: partition(), node, from: 0, to, digest };
                self.push(None, process, Kind::Ok, action);
            }
            _ => self.operation_of_many(process, verb, arguments),
        }
    }

    /// Transactions and watermarks.
    fn operation_of_many(&mut self, process: &str, verb: &str, arguments: &[&str]) {
        let number = |at: usize| arguments[at].parse::<i64>().unwrap();
        match verb {
            "begin" | "end" | "abort" | "unknown" => {
                let end =
                    if verb == "abort" { TransactionEnd::Abort } else { TransactionEnd::Commit };
                let action = Action::Transaction { end, offsets: Vec::new(), group: None };
                let kind = if verb == "unknown" { Kind::Info } else { Kind::Ok };
                self.operation(
                    &format!("transaction {}", arguments[0]),
                    process,
                    (verb == "begin", kind),
                    action,
                );
            }
            "ask" | "answer" => {
                let (low, high) = if verb == "ask" { (0, 0) } else { (number(0), number(1)) };
                let action = Action::Watermarks { partition: partition(), low, high };
                self.operation(
                    &format!("ask {process}"),
                    process,
                    (verb == "ask", Kind::Ok),
                    action,
                );
            }
            _ => panic!("no verb {verb}"),
        }
    }

    fn send(&mut self, process: &str, verb: &str, arguments: &[&str], transaction: Option<u64>) {
        let value = arguments[0].parse().unwrap();
        let offset = arguments.get(1).filter(|_| verb == "ok").map(|word| word.parse().unwrap());
        let kind = match verb {
            "fail" => Kind::Fail,
            "info" => Kind::Info,
            _ => Kind::Ok,
        };
        let partition = partition();
        let action = Action::Send { partition, value, intended: None, offset, transaction };
        self.operation(&format!("send {value}"), process, (verb == "send", kind), action);
        if kind != Kind::Ok {
            self.events.last_mut().unwrap().error = arguments.get(1).map(|word| (*word).to_owned());
        }
    }

    fn operation(
        &mut self,
        name: &str,
        process: &str,
        (begins, kind): (bool, Kind),
        action: Action,
    ) {
        if begins {
            let op = self.push(None, process, Kind::Invoke, action);
            self.open.insert(name.to_owned(), op);
        } else {
            let op = self.open[name];
            self.push(Some(op), process, kind, action);
        }
    }

    pub(super) fn check(&self) -> Result<Verdict, CheckError> {
        check(&self.events)
    }
}

pub(super) fn check(events: &[Event]) -> Result<Verdict, CheckError> {
    let mut checker = Checker::with_pages(&std::env::temp_dir(), 4)?;
    for event in events {
        checker.observe(event)?;
    }
    checker.finish()
}

pub(super) fn names(verdict: &Verdict) -> Vec<&str> {
    verdict.anomalies.iter().map(|anomaly| anomaly.name.as_str()).collect()
}
