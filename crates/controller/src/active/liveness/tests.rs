//! Golden scripts of who is alive (`testscripts/<a sentence>`, one scenario each); `scripts` says how they are run and rewritten.

use std::fmt::Write;

use scripts::{Scenario, Scripts};

use super::*;

const SESSION_TIMEOUT: Duration = Duration::from_secs(1);

struct Script {
    now: Timestamp,
    machine: Liveness,
    registered: BTreeMap<BrokerId, Registered>,
    output: String,
}

impl Default for Script {
    fn default() -> Self {
        let now = Timestamp::ZERO;
        Self {
            now,
            machine: Liveness::new(now, SESSION_TIMEOUT),
            registered: BTreeMap::new(),
            output: String::new(),
        }
    }
}

impl Scenario for Script {
    fn run(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        writeln!(self.output, "{} {line}", self.now).unwrap();
        match words[0] {
            "advance" => self.advance(number(words[1])),
            "jump" => {
                self.now = self.now + Duration::from_millis(number(words[1]));
                self.step(Event::TimeReached);
            }
            "registered" => {
                let broker_id = broker(words[1]);
                let registered = Registered {
                    broker_id,
                    broker_epoch: BrokerEpoch(field(&words, "epoch=").unwrap()),
                    is_fenced: words.contains(&"fenced"),
                    fence_count: u64::try_from(field(&words, "fences=").unwrap_or(0)).unwrap(),
                };
                self.registered.insert(broker_id, registered);
                let all = self.registered.values().copied().collect();
                self.step(Event::Registrations(all));
            }
            "open" => self.step(Event::Opened {
                session: session(&words),
                broker_id: broker(words[1]),
                broker_epoch: field(&words, "epoch=").map(BrokerEpoch),
            }),
            "heard" => self.step(Event::Heard {
                session: session(&words),
                heartbeat: Heartbeat {
                    broker_epoch: field(&words, "epoch=").map(BrokerEpoch),
                    applied_index: field(&words, "applied=").map(|i| u64::try_from(i).unwrap()),
                    wants_unfenced: words.contains(&"ready"),
                },
            }),
            "close" => self.step(Event::Closed { session: session(&words) }),
            "inherit" => {
                let ago = u64::try_from(field(&words, "ago=").unwrap()).unwrap();
                let since = self.now - Duration::from_millis(ago);
                self.machine.inherit_suspicion(self.now, broker(words[1]), since);
                self.step(Event::TimeReached);
            }
            "refused" | "inconclusive" => {
                let ago = u64::try_from(field(&words, "ago=").unwrap_or(0)).unwrap();
                self.step(Event::Probed {
                    broker_id: broker(words[1]),
                    asked_at: self.now - Duration::from_millis(ago),
                    result: match words[0] {
                        "refused" => ProbeResult::Refused,
                        _ => ProbeResult::Inconclusive,
                    },
                });
            }
            "answered" => self.step(Event::Answered { broker_id: broker(words[1]) }),
            "live" => {
                let live: Vec<String> =
                    self.machine.live().0.keys().map(ToString::to_string).collect();
                writeln!(self.output, "  live: {}", live.join(" ")).unwrap();
            }
            "suspected" => {
                let suspected = self.machine.suspected();
                writeln!(self.output, "  suspected: {suspected:?}").unwrap();
            }
            "open-session" => {
                let found = self.machine.open_session(broker(words[1]), session(&words));
                writeln!(self.output, "  open session: {found:?}").unwrap();
            }
            unknown => panic!("unknown word {unknown}"),
        }
    }

    fn end(self) -> String {
        self.output
    }
}

impl Script {
    /// Lets time pass as a punctual driver would: every timer is met.
    fn advance(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.now < end {
            self.now = self.machine.poll_timeout().max(self.now + Duration::from_nanos(1)).min(end);
            self.step(Event::TimeReached);
        }
    }

    fn step(&mut self, event: Event) {
        self.machine.step(self.now, event);
        while let Some(action) = self.machine.poll_action() {
            writeln!(self.output, "  at {}: {action:?}", self.now).unwrap();
        }
    }
}

fn number(word: &str) -> u64 {
    word.trim_end_matches("ms").parse().unwrap()
}

fn field(words: &[&str], name: &str) -> Option<i64> {
    words.iter().find_map(|word| word.strip_prefix(name)?.parse().ok())
}

fn broker(word: &str) -> BrokerId {
    BrokerId(word.parse().unwrap())
}

fn session(words: &[&str]) -> SessionId {
    SessionId(u64::try_from(field(words, "session=").unwrap()).unwrap())
}

#[test]
fn every_script_yields_its_golden_output() {
    Scripts {
        folder: concat!(env!("CARGO_MANIFEST_DIR"), "/src/active/liveness/testscripts"),
        least: 10,
    }
    .check::<Script>();
}
