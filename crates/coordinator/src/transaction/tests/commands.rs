//! The commands of a script.
//!
//! Time stands still but for `advance`, which steps each timeout when it comes. Requests are numbered from 1. Who is asked for with `id=` is `t` if nothing is said; a client's
//! producer id and epoch are those that the id was told last, unless `as=id/epoch` says otherwise. When the machine needs a producer id for a request, the next number from 1000 on
//! is drawn and the request comes again; `failover` makes a new shard of what was appended.
//!
//! * `init timeout=60s expected=1000/0 two_phase_commit`, `add a-0,a-1 version=2`, `verify a-0,b-0`, `end commit version=2`
//! * `written a-0 decision=` (the last one that was asked for): these have their markers; `drawn`: a producer id was drawn
//! * `describe`, `list states= producers= longer=`, `counts`
//! * `advance 10s`, `clock 1h` (the wall clock jumps; `clock -1h` back), `failover`
//! * `config max_timeout= check= expire= expiry_check= record_bytes= two_phase_commit=`
//! * `replay state= as= partitions= started= version= next= previous=`: the log has such a record, for the next `failover`
//! * `rewrite limit=`: appends the next chunk of a rewrite, each record alone by default; after the last one the log loses what lies before the first

use std::collections::BTreeMap;
use std::time::Duration;

use model::{ProducerEpoch, ProducerId, Timestamp, UnixMillis};
use scripts::{Arguments, Scenario, Span};

use super::format;
use crate::transaction::ids::{ProducerIdAndEpoch, TransactionVersion, TransactionalId};
use crate::transaction::record::{TransactionMetadataRecord, TransactionRecord};
use crate::transaction::request::{
    AddPartitions, EndTransaction, InitProducerId, ListTransactions, Request, TwoPhaseCommit,
    VerifyPartitions,
};
use crate::transaction::response::Response;
use crate::transaction::state::{TransactionResult, TransactionState};
use crate::transaction::{
    Action, DecisionId, Event, Now, RequestId, RewriteCursor, Shard, TransactionConfig,
    WrittenMarkers,
};

/// Settings that scripts begin with: Kafka's.
pub(super) fn config() -> TransactionConfig {
    TransactionConfig {
        id_expiration: Duration::from_secs(7 * 24 * 3_600),
        max_timeout: Duration::from_secs(900),
        timed_out_check_interval: Duration::from_secs(10),
        expired_check_interval: Duration::from_secs(3_600),
        two_phase_commit: false,
        max_record_bytes: TransactionConfig::MAX_RECORD_BYTES,
    }
}

/// One run of a script.
pub(super) struct Session {
    output: String,
    config: TransactionConfig,
    shard: Shard,
    now: Timestamp,
    wall_skew_millis: i64,
    log: Vec<TransactionRecord>,
    next_request: u64,
    next_producer_id: i64,
    /// What each id was told that it is.
    told: BTreeMap<TransactionalId, ProducerIdAndEpoch>,
    decisions: BTreeMap<TransactionalId, DecisionId>,
    rewrite: Option<Rewrite>,
}

/// A rewrite under way.
struct Rewrite {
    /// How long the log was when it began.
    first: usize,
    cursor: Option<RewriteCursor>,
}

impl Default for Session {
    fn default() -> Self {
        let mut session = Self {
            output: String::new(),
            config: config(),
            shard: Shard::new(config()),
            now: Timestamp::ZERO,
            wall_skew_millis: 0,
            log: Vec::new(),
            next_request: 1,
            next_producer_id: 1_000,
            told: BTreeMap::new(),
            decisions: BTreeMap::new(),
            rewrite: None,
        };
        session.failover();
        session
    }
}

impl Scenario for Session {
    /// Runs one command and appends what it makes the machine ask for.
    fn run(&mut self, line: &str) {
        let arguments = Arguments::parse(line);
        let request = self.request(&arguments);
        let number =
            request.as_ref().map_or_else(String::new, |_| format!("  #{}", self.next_request));
        self.output += &format!("> {line}{number}\n");
        if let Some(request) = request {
            return self.ask(&id(&arguments), request);
        }
        match arguments.command {
            "written" => self.written(&arguments),
            "drawn" => {
                let drawn = self.draw();
                self.step(Event::ProducerIdDrawn(drawn), "");
            }
            "counts" => {
                let counts = self.shard.counts(self.time());
                self.print(&format!("{counts:?}"));
            }
            "advance" => self.advance(arguments.subject::<Span>().0),
            "clock" => self.set_clock(arguments.subject.expect("a span")),
            "failover" => self.failover(),
            "config" => self.configure(&arguments),
            "replay" => self.log.push(replayed(&arguments)),
            "rewrite" => self.rewrite(arguments.get("limit").unwrap_or(0)),
            other => panic!("unknown command {other}"),
        }
    }

    fn end(self) -> String {
        self.output
    }
}

impl Session {
    fn print(&mut self, text: &str) {
        self.output += &format!("  {text}\n");
    }

    fn time(&self) -> Now {
        let millis = i64::try_from(self.now.0 / 1_000_000).expect("scripts are short");
        Now { monotonic: self.now, wall: UnixMillis(millis + self.wall_skew_millis) }
    }

    fn draw(&mut self) -> ProducerId {
        let drawn = ProducerId(self.next_producer_id);
        self.next_producer_id += 1;
        drawn
    }

    fn request(&self, arguments: &Arguments<'_>) -> Option<Request> {
        let transactional_id = id(arguments);
        Some(match arguments.command {
            "init" => Request::InitProducerId(init(arguments)),
            "add" => Request::AddPartitions(AddPartitions {
                producer: self.client(arguments),
                transactional_id,
                partitions: partitions(arguments.subject).into_iter().collect(),
                client_version: version(arguments),
            }),
            "verify" => Request::VerifyPartitions(VerifyPartitions {
                producer: self.client(arguments),
                transactional_id,
                partitions: partitions(arguments.subject),
            }),
            "end" => Request::End(EndTransaction {
                producer: self.client(arguments),
                transactional_id,
                result: match arguments.subject {
                    Some("commit") => TransactionResult::Commit,
                    Some("abort") => TransactionResult::Abort,
                    other => panic!("end commit or end abort, not {other:?}"),
                },
                client_version: version(arguments),
                spare_producer_id: None,
            }),
            "describe" => Request::Describe(transactional_id),
            "list" => Request::List(ListTransactions {
                states: arguments.has("states").then(|| {
                    let names = arguments.words("states").into_iter();
                    names.filter_map(TransactionState::from_name).collect()
                }),
                producer_ids: arguments.list("producers").into_iter().map(ProducerId).collect(),
                open_longer_than: arguments.get("longer").map(|Span(it)| it),
            }),
            _ => return None,
        })
    }

    fn client(&self, arguments: &Arguments<'_>) -> ProducerIdAndEpoch {
        match arguments.text("as") {
            Some(text) => identity(text),
            None => self.told.get(&id(arguments)).copied().unwrap_or_else(|| identity("0/0")),
        }
    }

    fn ask(&mut self, id: &TransactionalId, request: Request) {
        let number = RequestId(self.next_request);
        self.next_request += 1;
        self.shard.step(self.time(), Event::Request(number, request.clone()));
        let answer = self.drain("");
        let answer = answer.expect("a request is answered in its own step");
        if answer == Response::NeedsProducerId {
            let drawn = self.draw();
            return self.ask(id, with_spare(request, drawn));
        }
        if let Response::InitProducerId(Ok(is)) | Response::End(Ok(is)) = answer {
            self.told.insert(id.clone(), is);
        }
    }

    fn step(&mut self, event: Event, prefix: &str) {
        self.shard.step(self.time(), event);
        self.drain(prefix);
    }

    fn drain(&mut self, prefix: &str) -> Option<Response> {
        let mut answer = None;
        while let Some(action) = self.shard.poll_action() {
            for line in format::action(&action) {
                self.print(&format!("{prefix}{line}"));
            }
            match action {
                Action::Append(_, records) => self.log.extend(records),
                Action::Reply(_, response, _) => {
                    assert!(answer.replace(response).is_none(), "one request, one answer");
                }
                Action::WriteMarkers(markers, _) => {
                    self.decisions.insert(markers.transactional_id, markers.decision);
                }
                Action::DrawProducerId => {}
            }
        }
        answer
    }

    fn written(&mut self, arguments: &Arguments<'_>) {
        let transactional_id = id(arguments);
        let last = self.decisions.get(&transactional_id).copied();
        let decision = arguments.get("decision").map(DecisionId).or(last);
        let told = WrittenMarkers {
            transactional_id,
            decision: decision.expect("markers were asked for"),
            partitions: partitions(arguments.subject),
        };
        self.step(Event::MarkersWritten(told), "");
    }

    fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.shard.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.step(Event::TimeoutReached, &format!("at {}: ", self.now));
        }
        self.now = until;
    }

    fn set_clock(&mut self, text: &str) {
        let (sign, span) = text.strip_prefix('-').map_or((1, text), |span| (-1, span));
        let Span(by) = span.parse().expect("a span");
        self.wall_skew_millis += sign * i64::try_from(by.as_millis()).expect("scripts are short");
    }

    fn failover(&mut self) {
        let mut shard = Shard::new(self.config.clone());
        for record in &self.log {
            shard.replay(record.clone());
        }
        shard.loaded(self.time());
        self.shard = shard;
        self.rewrite = None;
        self.drain("");
    }

    fn rewrite(&mut self, limit_bytes: usize) {
        let first = self.log.len();
        let rewrite = self.rewrite.take().unwrap_or(Rewrite { first, cursor: None });
        let (records, next) = self.shard.live_records(rewrite.cursor.as_ref(), limit_bytes);
        for record in &records {
            self.print(&format!("rewrite {}", format::record(record)));
        }
        self.log.extend(records);
        if next.is_some() {
            self.rewrite = Some(Rewrite { first: rewrite.first, cursor: next });
            return;
        }
        self.log.drain(..rewrite.first);
        self.print(&format!("the log holds {} records", self.log.len()));
    }

    fn configure(&mut self, arguments: &Arguments<'_>) {
        let duration = |key, was| arguments.get::<Span>(key).map_or(was, |Span(it)| it);
        let config = &mut self.config;
        config.max_timeout = duration("max_timeout", config.max_timeout);
        config.timed_out_check_interval = duration("check", config.timed_out_check_interval);
        config.id_expiration = duration("expire", config.id_expiration);
        config.expired_check_interval = duration("expiry_check", config.expired_check_interval);
        config.max_record_bytes = arguments.get("record_bytes").unwrap_or(config.max_record_bytes);
        config.two_phase_commit =
            arguments.get("two_phase_commit").unwrap_or(config.two_phase_commit);
        self.failover();
    }
}

fn with_spare(mut request: Request, drawn: ProducerId) -> Request {
    match &mut request {
        Request::InitProducerId(InitProducerId { spare_producer_id, .. })
        | Request::End(EndTransaction { spare_producer_id, .. }) => {
            assert_eq!(*spare_producer_id, None, "one spare is enough");
            *spare_producer_id = Some(drawn);
        }
        other => panic!("{other:?} never needs a producer id"),
    }
    request
}

fn init(arguments: &Arguments<'_>) -> InitProducerId {
    InitProducerId {
        transactional_id: id(arguments),
        transaction_timeout: arguments
            .get("timeout")
            .map_or(Duration::from_secs(60), |Span(it)| it),
        two_phase_commit: if arguments.subject == Some("two_phase_commit") {
            TwoPhaseCommit::Enabled
        } else {
            TwoPhaseCommit::Disabled
        },
        expected: arguments.text("expected").map(identity),
        spare_producer_id: arguments.get("spare").map(ProducerId),
    }
}

fn replayed(arguments: &Arguments<'_>) -> TransactionRecord {
    let is = identity(arguments.text("as").unwrap_or("1000/0"));
    let value = TransactionMetadataRecord {
        producer_id: is.id,
        previous_producer_id: arguments.get("previous").map(ProducerId),
        next_producer_id: arguments.get("next").map(ProducerId),
        producer_epoch: is.epoch,
        transaction_timeout: Duration::from_secs(60),
        state: arguments
            .text("state")
            .and_then(TransactionState::from_name)
            .expect("a state's name"),
        partitions: partitions(arguments.text("partitions")).into_iter().collect(),
        updated_at: UnixMillis(arguments.get("updated").unwrap_or(0)),
        started_at: arguments.get("started").map(UnixMillis),
        client_version: version(arguments),
    };
    TransactionRecord { transactional_id: id(arguments), value: Some(value) }
}

/// Returns the transactional id that a command names; `id=` alone is the empty one.
fn id(arguments: &Arguments<'_>) -> TransactionalId {
    arguments.text("id").unwrap_or("t").into()
}

fn version(arguments: &Arguments<'_>) -> TransactionVersion {
    let level = arguments.get("version").unwrap_or(2);
    TransactionVersion::from_level(level).expect("a version")
}

fn partitions(text: Option<&str>) -> Vec<model::TopicPartition> {
    let text = text.unwrap_or_default();
    text.split(',').filter(|item| !item.is_empty()).map(format::partition).collect()
}

/// Reads `id/epoch`.
pub(super) fn identity(text: &str) -> ProducerIdAndEpoch {
    let (id, epoch) = text.split_once('/').expect("a producer id, a slash and an epoch");
    ProducerIdAndEpoch {
        id: ProducerId(id.parse().expect("a producer id")),
        epoch: ProducerEpoch(epoch.parse().expect("an epoch")),
    }
}
