//! The commands of a script.
//!
//! Time stands still but for `advance`, which steps each timeout when it comes. Requests are numbered from 1. A generation that is left out is the last one that a
//! JoinGroup's answer told. `failover` makes a new shard of what was appended.
//!
//! * `config max_size= metadata_max= initial_delay= record_bytes= retention= check=`
//! * `join m1` (a member that knows its id), `join new=m1` (one that will get it); `first=id` (is told its id first), `static=`, `protocols=range:x,roundrobin:y`, `type=`,
//!   `subscribes=t,u`, `session=`, `rebalance=`, `skip=yes`
//! * `sync m1 generation= assign=m1:a,m2:b static= type= protocol=`, `heartbeat m1 generation= static=`, `leave m1,m2/name,/name`
//! * `commit m1 topic= partition= offset= generation= static=`, `commit offset=` (no member), `fetch`, `delete-offsets topic= partition=`
//! * `txn-commit m1 producer=7 epoch= offsets=` and the rest of `commit`: within a transaction; `marker commit producer=7 epoch= coordinator=`, or `abort`
//! * `refuse INVALID_PRODUCER_EPOCH`: how the log answers the next batch of a transaction
//! * more of offsets, and the rewrite of the log: see `offset_commands`
//! * `describe`, `list states=`, `delete`, `topics-deleted t id=` (a number), `counts`, `group=` with any of them (default `g`)

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use model::{ErrorCode, Timestamp, TopicId, UnixMillis};
use scripts::{Arguments, Scenario, Span};

use super::format;
use super::offset_commands::{self, Rewrite};
use super::transaction_commands::{self, ScriptLog};
use crate::group::ids::{
    GenerationId, GroupId, GroupInstanceId, MemberId, TopicIdentity, TopicName,
};
use crate::group::request::{
    FirstJoin, Heartbeat, JoinGroup, JoinProtocol, LeaveGroup, LeavingMember, ListGroups,
    MemberRef, Request, RequestId, SkipAssignment, SyncGroup,
};
use crate::group::response::Response;
use crate::group::state::GroupState;
use crate::group::{Action, Event, GroupConfig, Now, Shard};

/// Settings that scripts begin with: Kafka's, but few seconds of initial delay are what most scripts wait for.
pub(super) fn config() -> GroupConfig {
    GroupConfig {
        min_session_timeout: Duration::from_secs(6),
        max_session_timeout: Duration::from_secs(1800),
        initial_rebalance_delay: Duration::from_secs(3),
        max_size: 100,
        offset_metadata_max_bytes: 4096,
        offsets_retention: Duration::from_secs(7 * 24 * 3600),
        offsets_retention_check_interval: Duration::from_secs(600),
        max_record_bytes: GroupConfig::MAX_RECORD_BYTES,
    }
}

/// One run of a script.
pub(super) struct Session {
    output: String,
    config: GroupConfig,
    shard: Shard,
    now: Timestamp,
    log: ScriptLog,
    /// How the log answers the next batch of a transaction.
    refusal: Option<ErrorCode>,
    next_request: u64,
    waiting: BTreeSet<RequestId>,
    generations: BTreeMap<GroupId, GenerationId>,
    /// Which group each request is for.
    groups: BTreeMap<RequestId, GroupId>,
    rewrite: Option<Rewrite>,
}

impl Default for Session {
    fn default() -> Self {
        let mut shard = Shard::new(config());
        shard.loaded(now(Timestamp::ZERO));
        Self {
            output: String::new(),
            config: config(),
            shard,
            now: Timestamp::ZERO,
            log: ScriptLog::default(),
            refusal: None,
            next_request: 1,
            waiting: BTreeSet::new(),
            generations: BTreeMap::new(),
            groups: BTreeMap::new(),
            rewrite: None,
        }
    }
}

/// Makes both clocks say the same.
pub(super) fn now(monotonic: Timestamp) -> Now {
    let millis = i64::try_from(monotonic.0 / 1_000_000).expect("scripts are short");
    Now { monotonic, wall: UnixMillis(millis) }
}

impl Scenario for Session {
    /// Runs one command and appends what it makes the machine ask for.
    fn run(&mut self, line: &str) {
        let arguments = Arguments::parse(line);
        let before = self.next_request;
        let request = self.request(&arguments);
        let number = request.as_ref().map_or_else(String::new, |_| format!("  #{before}"));
        self.output += &format!("> {line}{number}\n");
        if let Some(request) = request {
            return self.ask(group(&arguments), request);
        }
        match arguments.command {
            "config" => self.configure(&arguments),
            "advance" => self.advance(arguments.subject::<Span>().0),
            "failover" => self.failover(),
            "topics-deleted" => {
                let name = TopicName::from(arguments.subject.expect("a topic"));
                let topic = TopicIdentity { name, id: topic_id(&arguments) };
                self.step(Event::TopicsDeleted(vec![topic]), "");
            }
            "rewrite" => self.rewrite(&arguments),
            "refuse" => self.refusal = Some(transaction_commands::code(arguments.subject)),
            "counts" => {
                let counts = self.shard.counts();
                self.print(&format!("{counts:?}"));
            }
            other => panic!("unknown command {other}"),
        }
    }

    /// Ends the script; returns the output, which shows what was not answered.
    fn end(mut self) -> String {
        if !self.waiting.is_empty() {
            let waiting: Vec<_> = self.waiting.iter().map(|id| id.0.to_string()).collect();
            self.output += &format!("waiting: {}\n", waiting.join(", "));
        }
        self.output
    }
}

impl Session {
    fn print(&mut self, text: &str) {
        self.output += &format!("  {text}\n");
    }

    fn request(&self, arguments: &Arguments<'_>) -> Option<Request> {
        let group_id = group(arguments);
        Some(match arguments.command {
            "join" => Request::Join(join(arguments)),
            "sync" => Request::Sync(SyncGroup {
                member: self.member(arguments),
                protocol_type: arguments.text("type").map(str::to_owned),
                protocol_name: arguments.text("protocol").map(str::to_owned),
                assignments: pairs(arguments, "assign", |id, part| (id.into(), copy(part))),
            }),
            "heartbeat" => Request::Heartbeat(Heartbeat { member: self.member(arguments) }),
            "leave" => Request::Leave(leave(arguments)),
            "commit" => {
                Request::CommitOffsets(offset_commands::commit(arguments, self.member(arguments)))
            }
            "txn-commit" => {
                let member = self.member(arguments);
                Request::CommitTransactionalOffsets(transaction_commands::commit(arguments, member))
            }
            "marker" => Request::CompleteTransaction(transaction_commands::marker(arguments)),
            "fetch" => Request::FetchOffsets(offset_commands::fetch(arguments)),
            "delete-offsets" => Request::DeleteOffsets(offset_commands::delete(arguments)),
            "describe" => Request::Describe(group_id),
            "list" => Request::List(ListGroups {
                states: arguments.words("states").iter().map(|name| state(name)).collect(),
            }),
            "delete" => Request::Delete(group_id),
            _ => return None,
        })
    }

    fn member(&self, arguments: &Arguments<'_>) -> MemberRef {
        let group_id = group(arguments);
        let told = self.generations.get(&group_id).copied();
        let generation_id = match arguments.text("generation") {
            Some("none") => None,
            Some(_) => arguments.get("generation").map(GenerationId),
            None => told.filter(|_| arguments.subject.is_some()),
        };
        MemberRef {
            group_id,
            member_id: arguments.subject.unwrap_or_default().into(),
            group_instance_id: static_name(arguments),
            generation_id,
        }
    }

    fn ask(&mut self, group_id: GroupId, request: Request) {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.waiting.insert(id);
        self.groups.insert(id, group_id);
        self.step(Event::Request(id, request), "");
    }

    fn step(&mut self, event: Event, prefix: &str) {
        self.shard.step(now(self.now), event);
        self.drain(prefix);
    }

    fn drain(&mut self, prefix: &str) {
        while let Some(action) = self.shard.poll_action() {
            for line in format::action(&action) {
                self.print(&format!("{prefix}{line}"));
            }
            match action {
                Action::Append(_, records) => self.log.append(records),
                Action::AppendOfTransaction(_, batch) => {
                    let result = match self.refusal.take() {
                        Some(code) => Err(code),
                        None => Ok(self.log.append_of_transaction(batch)),
                    };
                    self.shard.appended(now(self.now), result);
                }
                Action::Reply(id, response, _) => self.note_answer(id, &response),
            }
        }
    }

    fn note_answer(&mut self, id: RequestId, response: &Response) {
        assert!(self.waiting.remove(&id), "request {} is answered once", id.0);
        if let Response::Join(answer) = response
            && let Some(generation) = answer.generation_id
        {
            self.generations.insert(self.groups[&id].clone(), generation);
        }
    }

    fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.shard.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.step(Event::TimeoutReached, &format!("at {}: ", self.now));
        }
        self.now = until;
    }

    fn failover(&mut self) {
        let mut shard = Shard::new(self.config.clone());
        self.log.replay_into(&mut shard);
        shard.loaded(now(self.now));
        self.shard = shard;
        self.waiting.clear();
        self.rewrite = None;
        self.drain("");
    }

    fn rewrite(&mut self, arguments: &Arguments<'_>) {
        let limit_bytes = arguments.get("limit").unwrap_or(0);
        let records = Rewrite::go_on(&mut self.rewrite, &self.shard, limit_bytes, &mut self.log);
        for record in &records {
            self.print(&format!("rewrite {}", format::record(record)));
        }
        if self.rewrite.is_none() {
            self.print(&format!("the log holds {} records", self.log.len()));
        }
    }

    fn configure(&mut self, arguments: &Arguments<'_>) {
        let duration = |key, was| arguments.get::<Span>(key).map_or(was, |Span(it)| it);
        let config = &mut self.config;
        config.max_size = arguments.get("max_size").unwrap_or(config.max_size);
        config.max_record_bytes = arguments.get("record_bytes").unwrap_or(config.max_record_bytes);
        config.offset_metadata_max_bytes =
            arguments.get("metadata_max").unwrap_or(config.offset_metadata_max_bytes);
        config.initial_rebalance_delay = duration("initial_delay", config.initial_rebalance_delay);
        config.offsets_retention = duration("retention", config.offsets_retention);
        config.offsets_retention_check_interval =
            duration("check", config.offsets_retention_check_interval);
        self.failover();
    }
}

/// A JoinGroup of a dynamic member as scripts send it by default.
pub(super) fn join_request() -> JoinGroup {
    join(&Arguments::parse("join"))
}

fn join(arguments: &Arguments<'_>) -> JoinGroup {
    let duration =
        |key, usual| arguments.get(key).map_or_else(|| Duration::from_secs(usual), |Span(it)| it);
    let protocols = pairs(arguments, "protocols", |name, metadata| JoinProtocol {
        name: name.to_owned(),
        metadata: copy(metadata),
    });
    let metadata = if arguments.has("subscribes") {
        offset_commands::subscription(&arguments.words("subscribes"))
    } else {
        copy("x")
    };
    let usual = JoinProtocol { name: "range".to_owned(), metadata };
    JoinGroup {
        group_id: group(arguments),
        member_id: arguments.subject.unwrap_or_default().into(),
        drawn_member_id: arguments.text("new").unwrap_or_default().into(),
        group_instance_id: static_name(arguments),
        first_join: match arguments.text("first") {
            Some("id") => FirstJoin::WithMemberId,
            _ => FirstJoin::Directly,
        },
        skip_assignment: match arguments.text("skip") {
            Some("yes") => SkipAssignment::Understood,
            _ => SkipAssignment::Unknown,
        },
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout: duration("session", 10),
        rebalance_timeout: duration("rebalance", 60),
        protocol_type: arguments.text("type").unwrap_or("consumer").to_owned(),
        protocols: if arguments.has("protocols") { protocols } else { vec![usual] },
    }
}

fn leave(arguments: &Arguments<'_>) -> LeaveGroup {
    let members = arguments.subject.unwrap_or_default().split(',').map(|member| {
        let (member_id, name) = member.split_once('/').unwrap_or((member, ""));
        LeavingMember {
            member_id: member_id.into(),
            group_instance_id: Some(name).filter(|name| !name.is_empty()).map(Into::into),
        }
    });
    LeaveGroup { group_id: group(arguments), members: members.collect() }
}

fn state(name: &str) -> GroupState {
    let states = [
        GroupState::Empty,
        GroupState::PreparingRebalance,
        GroupState::CompletingRebalance,
        GroupState::Stable,
        GroupState::Dead,
    ];
    states.into_iter().find(|state| state.name() == name).expect("a state's name")
}

fn copy(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Returns the group that a command names.
pub(super) fn group(arguments: &Arguments<'_>) -> GroupId {
    arguments.text("group").unwrap_or("g").into()
}

/// Returns the topic that a command names.
pub(super) fn topic(arguments: &Arguments<'_>) -> TopicName {
    arguments.text("topic").unwrap_or("t").into()
}

/// Returns the id of the topic: a number, for brevity.
pub(super) fn topic_id(arguments: &Arguments<'_>) -> Option<TopicId> {
    arguments.get("id").map(|number: u128| TopicId::from_bytes(number.to_be_bytes()))
}

fn static_name(arguments: &Arguments<'_>) -> Option<GroupInstanceId> {
    arguments.text("static").map(Into::into)
}

/// Returns what is made of each `left:right` of a key.
fn pairs<T>(arguments: &Arguments<'_>, key: &str, make: impl Fn(&str, &str) -> T) -> Vec<T> {
    let each = arguments.words(key).into_iter();
    each.map(|item| item.split_once(':').unwrap_or((item, "")))
        .map(|(left, right)| make(left, right))
        .collect()
}

/// Makes an id of a text.
pub(super) fn member(text: &str) -> MemberId {
    text.into()
}
