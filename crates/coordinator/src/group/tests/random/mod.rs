//! Random steps from a seed: whatever is asked, in whatever order, the invariants hold, each request is answered once, and what was told survives a failover.
//!
//! The driver here lets appends be committed late, so a failover loses a suffix of them, with the replies that depend on it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use model::record_batch::{EndTransactionMarker, TransactionResult};
use model::{ErrorCode, Offset, ProducerEpoch, ProducerId, Timestamp, TopicId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::commands::{config, now};
use super::transaction_commands::Entry;
use super::truth::Truth;
use crate::group::ids::{GenerationId, GroupId, MemberId, TopicIdentity, TopicName};
use crate::group::record::{GroupRecord, TransactionBatch};
use crate::group::request::{
    CommitOffsets, CommitTransactionalOffsets, CompleteTransaction, FetchOffsets, FirstJoin,
    Heartbeat, JoinGroup, JoinProtocol, LeaveGroup, LeavingMember, ListGroups, MemberRef,
    OffsetToCommit, Request, RequestId, SkipAssignment, Stability, SyncGroup,
};
use crate::group::response::{FetchOffsetsAnswer, FetchedOffset, JoinAnswer, Response};
use crate::group::{Action, Event, GroupConfig, Shard, WriteId};

/// A reply that waits for what it depends on.
struct Held {
    id: RequestId,
    response: Response,
    depends_on: Option<WriteId>,
    /// How often the group had been deleted when the reply came: after that its generations count from the start.
    deletions: usize,
}

/// A request, as it was when it was asked.
#[derive(Clone, Debug)]
struct Asked {
    client: usize,
    generation: Option<GenerationId>,
    legitimacy: Legitimacy,
    partition: i32,
}

/// Whether a request may be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Legitimacy {
    /// It may, or not: that depends on more than this test knows.
    Open,
    /// Its member was replaced under its static name, or its generation is older than one that is in the log.
    Outdated,
}

/// What a client knows of itself.
#[derive(Clone, Debug)]
struct Client {
    group_id: GroupId,
    instance: Option<&'static str>,
    member_id: MemberId,
    generation_id: Option<GenerationId>,
    is_leader: bool,
    members: Vec<MemberId>,
}

struct World {
    random: StdRng,
    config: GroupConfig,
    shard: Shard,
    now: Timestamp,
    clients: Vec<Client>,
    next_request: u64,
    next_id: u64,
    /// What is unanswered.
    waiting: BTreeMap<RequestId, Asked>,
    log: Vec<(WriteId, Entry)>,
    /// How many records of the log are committed.
    committed: usize,
    /// Appends of this shard that are committed.
    committed_write: Option<WriteId>,
    held: Vec<Held>,
    /// Which leader's request each generation's assignment came with.
    assignments: BTreeMap<(GroupId, usize, GenerationId), String>,
    answered: BTreeMap<&'static str, usize>,
    /// The newest commit of each partition that a client was told of. Offsets are the numbers of the requests.
    acknowledged: BTreeMap<(GroupId, i32), u64>,
    /// The number of the first request after each partition's last tombstone.
    deleted: BTreeMap<(GroupId, i32), u64>,
    /// Whom a coordinator told last that it bears a static name.
    bearers: BTreeMap<(GroupId, &'static str), MemberId>,
    /// Who bore one before.
    former: BTreeSet<MemberId>,
    /// The topic as it is now: one that is made again has the next number.
    topic: u128,
    /// Those before it, of whose deletion the shard has not heard.
    gone: Vec<u128>,
    deleted_topic_offsets: usize,
}

const GROUPS: [&str; 2] = ["g", "h"];

impl World {
    fn new(seed: u64) -> Self {
        let config = GroupConfig { max_size: 5, ..config() };
        let mut shard = Shard::new(config.clone());
        shard.loaded(now(Timestamp::ZERO));
        let clients = (0..10).map(|number| Client {
            group_id: GROUPS[number % 2].into(),
            instance: [Some("one"), Some("one"), None, Some("two"), None][number / 2],
            member_id: "".into(),
            generation_id: None,
            is_leader: false,
            members: Vec::new(),
        });
        Self {
            random: StdRng::seed_from_u64(seed),
            config,
            shard,
            now: Timestamp::ZERO,
            clients: clients.collect(),
            next_request: 1,
            next_id: 1,
            waiting: BTreeMap::new(),
            log: Vec::new(),
            committed: 0,
            committed_write: None,
            held: Vec::new(),
            assignments: BTreeMap::new(),
            answered: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            deleted: BTreeMap::new(),
            bearers: BTreeMap::new(),
            former: BTreeSet::new(),
            topic: 1,
            gone: Vec::new(),
            deleted_topic_offsets: 0,
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn step(&mut self, event: Event) {
        self.shard.step(now(self.now), event);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.shard.poll_action() {
            match action {
                Action::Append(write, records) => {
                    for record in records {
                        if let GroupRecord::Offset { group_id, partition, value: None, .. } =
                            &record
                        {
                            let key = (group_id.clone(), *partition);
                            self.acknowledged.remove(&key);
                            self.deleted.insert(key, self.next_request);
                        }
                        self.log.push((write, Entry::Plain(record)));
                    }
                }
                Action::AppendOfTransaction(write, batch) => self.ask_log(write, batch),
                Action::Reply(id, response, depends_on) => {
                    assert!(self.waiting.contains_key(&id), "{id:?} is answered once");
                    assert!(self.held.iter().all(|held| held.id != id), "{id:?} once");
                    let group = &self.clients[self.waiting[&id].client].group_id;
                    let deletions = self.deletions(group);
                    if let Response::FetchOffsets(answer) = &response {
                        self.compare_fetched(group, &answer.offsets);
                    }
                    self.held.push(Held { id, response, depends_on, deletions });
                }
            }
        }
    }

    /// The log takes a batch of a transaction, or now and then does not.
    fn ask_log(&mut self, write: WriteId, batch: TransactionBatch) {
        let result = if self.chance(10) {
            Err(ErrorCode::InvalidProducerEpoch)
        } else {
            let offset = Offset(i64::try_from(self.log.len()).expect("logs are short"));
            self.log.extend(Entry::of_batch(batch).into_iter().map(|entry| (write, entry)));
            Ok(offset)
        };
        self.shard.appended(now(self.now), result);
    }

    fn truth(&self) -> Truth {
        Truth::of(self.log.iter().map(|(_, entry)| entry))
    }

    /// A fetch tells what the log says at its moment, and hides what is not stable.
    fn compare_fetched(&self, group_id: &GroupId, fetched: &[FetchedOffset]) {
        let truth = self.truth();
        for FetchedOffset { topic, partition, committed, error } in fetched {
            let key = (group_id.clone(), topic.clone(), *partition);
            let is_pending = truth.pending.contains_key(&key);
            assert_eq!(*error == ErrorCode::UnstableOffsetCommit, is_pending, "{key:?} is stable");
            let expected = truth.committed.get(&key).filter(|_| !is_pending);
            let told = committed.as_ref().map(|committed| committed.offset);
            assert_eq!(told, expected.map(|value| value.offset), "{key:?} is told");
        }
    }

    /// Commits some of what was appended, and hands out what that releases.
    fn commit(&mut self) {
        let count = self.random.random_range(self.committed..=self.log.len());
        let next = self.log.get(count).map(|(write, _)| *write);
        // A batch is committed as a whole.
        self.committed = self.log.iter().take_while(|(write, _)| next != Some(*write)).count();
        if let Some((write, _)) = self.committed.checked_sub(1).map(|last| &self.log[last]) {
            self.committed_write = Some(*write);
        }
        let committed = self.committed_write;
        let held = std::mem::take(&mut self.held);
        let (out, held) = held.into_iter().partition(|held| held.depends_on <= committed);
        self.held = held;
        let out: Vec<Held> = out;
        for held in out {
            self.told(held);
        }
    }

    /// Returns the generation of a group that was written last.
    fn logged_generation(&self, group: &GroupId) -> Option<GenerationId> {
        let of_group = self.log.iter().rev().find_map(|(_, entry)| match entry {
            Entry::Plain(GroupRecord::Group { group_id, value }) if group_id == group => {
                Some(value.as_ref())
            }
            _ => None,
        });
        of_group?.map(|value| value.generation_id)
    }

    fn legitimacy(&self, member: &MemberRef) -> Legitimacy {
        // Without a generation a commit is nobody's in particular, and welcome while the group is empty.
        let is_old = member.generation_id < self.logged_generation(&member.group_id)
            || self.former.contains(&member.member_id);
        if is_old && member.generation_id.is_some() {
            Legitimacy::Outdated
        } else {
            Legitimacy::Open
        }
    }

    fn deletions(&self, group: &GroupId) -> usize {
        let is_deletion = |entry: &Entry| matches!(entry, Entry::Plain(GroupRecord::Group { group_id, value: None }) if group_id == group);
        self.log.iter().filter(|(_, entry)| is_deletion(entry)).count()
    }

    fn told(&mut self, held: Held) {
        let asked = self.waiting.remove(&held.id).expect("it is answered once");
        let number = asked.client;
        let client = &mut self.clients[number];
        match held.response {
            Response::Join(answer) => self.told_of_join(number, answer),
            Response::Sync(answer) => {
                let generation = asked.generation.unwrap_or_default();
                let key = (client.group_id.clone(), held.deletions, generation);
                self.count("sync", answer.error);
                let part = String::from_utf8(answer.assignment.to_vec()).expect("it is text");
                if answer.error == ErrorCode::None && !part.is_empty() {
                    // Empty: the leader did not know of the member; it owns nothing.
                    let known = self.assignments.entry(key.clone()).or_insert_with(|| part.clone());
                    assert_eq!(*known, part, "one assignment in one generation of {key:?}");
                }
            }
            Response::Heartbeat(error) => {
                let is_granted = error == ErrorCode::None;
                assert!(
                    !is_granted || asked.legitimacy == Legitimacy::Open,
                    "{asked:?} is granted"
                );
                self.count("heartbeat", error);
            }
            Response::CommitOffsets(codes) => {
                let is_granted = codes[0] == ErrorCode::None;
                assert!(
                    !is_granted || asked.legitimacy == Legitimacy::Open,
                    "{asked:?} is granted"
                );
                let key = (client.group_id.clone(), asked.partition);
                let deleted = self.deleted.get(&key).copied().unwrap_or_default();
                if is_granted && held.id.0 >= deleted {
                    let newest = self.acknowledged.entry(key).or_default();
                    *newest = held.id.0.max(*newest);
                }
                self.count("commit", codes[0]);
            }
            Response::CommitTransactionalOffsets(codes) => {
                let is_granted = codes[0] == ErrorCode::None;
                assert!(
                    !is_granted || asked.legitimacy == Legitimacy::Open,
                    "{asked:?} is granted"
                );
                self.count("transactional commit", codes[0]);
            }
            Response::CompleteTransaction(code) => {
                let is_marked =
                    held.depends_on.is_some() && held.depends_on <= self.committed_write;
                assert!(code.is_error() || is_marked, "a marker that is told of is committed");
                self.count("marker", code);
            }
            Response::FetchOffsets(answer) => {
                let group_id = client.group_id.clone();
                self.told_of_offsets(held.id, &group_id, answer);
            }
            Response::Leave(answer) => self.count("leave", answer.members[0]),
            _ => {}
        }
    }

    fn told_of_join(&mut self, number: usize, answer: JoinAnswer) {
        self.count("join", answer.error);
        let client = &mut self.clients[number];
        match answer.error {
            ErrorCode::None => {
                if let Some(name) = client.instance {
                    let (key, bearer) = ((client.group_id.clone(), name), answer.member_id.clone());
                    let before = self.bearers.insert(key, bearer.clone());
                    self.former.extend(before.filter(|before| *before != bearer));
                }
                client.is_leader = answer.leader == answer.member_id;
                client.member_id = answer.member_id;
                client.generation_id = answer.generation_id;
                client.members =
                    answer.members.into_iter().map(|member| member.member_id).collect();
            }
            ErrorCode::MemberIdRequired => client.member_id = answer.member_id,
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => {
                client.member_id = "".into();
            }
            _ => {}
        }
    }

    /// What a client was told is committed must not go back.
    fn told_of_offsets(&mut self, id: RequestId, group_id: &GroupId, answer: FetchOffsetsAnswer) {
        let mut is_told = false;
        for FetchedOffset { partition, committed, .. } in answer.offsets {
            let key = (group_id.clone(), partition);
            let deleted = self.deleted.get(&key).copied().unwrap_or_default();
            if let Some(committed) = committed.filter(|_| id.0 >= deleted) {
                let newest = self.acknowledged.entry(key).or_default();
                *newest = committed.offset.0.unsigned_abs().max(*newest);
                is_told = true;
            }
        }
        if is_told {
            self.count("fetch", answer.error);
        }
    }

    fn count(&mut self, what: &'static str, error: ErrorCode) {
        if error == ErrorCode::None {
            *self.answered.entry(what).or_default() += 1;
        }
    }

    /// Another broker becomes coordinator. What was not committed is lost, and so are the connections.
    fn failover(&mut self) {
        self.log.truncate(self.committed);
        let mut shard = Shard::new(self.config.clone());
        for (position, (write, entry)) in self.log.iter_mut().enumerate() {
            *write = WriteId(0);
            let offset = Offset(i64::try_from(position).expect("logs are short"));
            entry.replay_into(offset, &mut shard);
        }
        shard.loaded(now(self.now));
        let truth = self.truth();
        let mut found = BTreeMap::new();
        for record in shard.committed_records(None, usize::MAX).0 {
            if let GroupRecord::Offset { group_id, topic, partition, value: Some(value) } = record {
                found.insert((group_id, topic, partition), value);
            }
        }
        assert_eq!(truth.committed, found, "what was committed is there, and nothing else");
        for ((group_id, partition), number) in &self.acknowledged {
            let key = (group_id.clone(), TopicName::from("t"), *partition);
            let committed = found.get(&key).map(|value| value.offset.0.unsigned_abs());
            assert!(committed >= Some(*number), "{key:?} went from {number} to {committed:?}");
        }
        assert_eq!(truth.groups.len(), shard.counts().groups.values().sum(), "no group returns");
        self.shard = shard;
        self.waiting.clear();
        self.held.clear();
        // A place that changed hands while a rebalance was prepared is not in the log.
        self.former.clear();
        self.bearers.clear();
        self.committed_write = None;
        self.drain();
    }

    fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.shard.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.step(Event::TimeoutReached);
        }
        self.now = until;
    }

    /// The topic is deleted and made again; the coordinator hears of that later, or after a failover.
    fn make_topic_again(&mut self) {
        self.gone.push(self.topic);
        self.topic += 1;
    }

    /// The coordinator hears of a deletion: what was committed for another topic of that name stays.
    fn hear_of_deletion(&mut self) {
        if self.gone.is_empty() {
            return;
        }
        let number = self.random.random_range(0..self.gone.len());
        let id = topic_id(self.gone.swap_remove(number));
        let truth = self.truth();
        // The topics of all that a partition has, and whether each is the one that is gone.
        let of_key = |key: &(GroupId, i32)| {
            let key = (key.0.clone(), TopicName::from("t"), key.1);
            let pending = truth.pending.get(&key).into_iter().flatten();
            let all = truth.committed.get(&key).into_iter().chain(pending);
            all.map(|value| value.topic_id == Some(id)).collect::<Vec<_>>()
        };
        let before = self.log.len();
        self.step(Event::TopicsDeleted(vec![TopicIdentity { name: "t".into(), id: Some(id) }]));
        for (_, entry) in &self.log[before..] {
            let Entry::Plain(GroupRecord::Offset { group_id, partition, value: None, .. }) = entry
            else {
                panic!("{entry:?} is no tombstone of an offset")
            };
            let are_gone = of_key(&(group_id.clone(), *partition));
            assert!(are_gone.iter().all(|is_gone| *is_gone), "all of {group_id} {partition} goes");
            self.deleted_topic_offsets += 1;
        }
        for key in truth.committed.keys().chain(truth.pending.keys()) {
            let (group_id, _, partition) = key;
            let are_gone = of_key(&(group_id.clone(), *partition));
            let goes = !are_gone.is_empty() && are_gone.iter().all(|is_gone| *is_gone);
            let is_left = self.truth().committed.contains_key(key);
            assert!(!goes || !is_left, "nothing of the topic that is gone is left of {key:?}");
        }
    }

    fn ask(&mut self) {
        let number = self.random.random_range(0..self.clients.len());
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let kind = self.random.random_range(0..100);
        let request = self.request(number, kind, id);
        let (member, partition) = match &request {
            Request::Sync(sync) => (Some(&sync.member), 0),
            Request::Heartbeat(heartbeat) => (Some(&heartbeat.member), 0),
            Request::CommitOffsets(commit) => (Some(&commit.member), commit.offsets[0].partition),
            Request::CommitTransactionalOffsets(commit) => (Some(&commit.member), 0),
            _ => (None, 0),
        };
        let asked = Asked {
            client: number,
            generation: member.and_then(|member| member.generation_id),
            legitimacy: member.map_or(Legitimacy::Open, |member| self.legitimacy(member)),
            partition,
        };
        self.waiting.insert(id, asked);
        self.step(Event::Request(id, request));
    }

    fn member(&mut self, number: usize) -> MemberRef {
        let is_confused = self.chance(5);
        let client = &self.clients[number];
        MemberRef {
            group_id: client.group_id.clone(),
            member_id: client.member_id.clone(),
            group_instance_id: client.instance.map(Into::into),
            generation_id: client.generation_id.filter(|_| !is_confused),
        }
    }

    fn request(&mut self, number: usize, kind: u32, id: RequestId) -> Request {
        let member = self.member(number);
        match kind {
            0..28 => Request::Join(self.join(number)),
            28..52 => {
                let client = &self.clients[number];
                let part = Bytes::from(format!("by-{}", id.0));
                let of_all = client.members.iter().map(|member| (member.clone(), part.clone()));
                let assignments = if client.is_leader { of_all.collect() } else { Vec::new() };
                let (protocol_type, protocol_name) = (Some("consumer".to_owned()), None);
                Request::Sync(SyncGroup { member, protocol_type, protocol_name, assignments })
            }
            52..70 => Request::Heartbeat(Heartbeat { member }),
            70..75 => Request::Leave(LeaveGroup {
                group_id: member.group_id,
                members: vec![LeavingMember {
                    member_id: member.member_id,
                    group_instance_id: member.group_instance_id,
                }],
            }),
            75..87 => Request::CommitOffsets(CommitOffsets {
                member,
                offsets: vec![self.any_offset(id)],
                retention: None,
            }),
            87..92 => Request::CommitTransactionalOffsets(CommitTransactionalOffsets {
                member,
                producer_id: ProducerId(self.random.random_range(0..3)),
                producer_epoch: ProducerEpoch(0),
                guard: None,
                offsets: vec![self.any_offset(id)],
            }),
            92..94 => Request::CompleteTransaction(CompleteTransaction {
                producer_id: ProducerId(self.random.random_range(0..3)),
                producer_epoch: ProducerEpoch(0),
                marker: EndTransactionMarker {
                    result: TransactionResult::from_committed(self.chance(60)),
                    coordinator_epoch: 0,
                },
                transaction_version: 1,
            }),
            94..96 => Request::FetchOffsets(FetchOffsets {
                group_id: member.group_id,
                partitions: Some((0..3).map(|partition| ("t".into(), partition)).collect()),
                stability: Stability::Stable,
            }),
            96..97 => Request::Delete(member.group_id),
            97..98 => Request::Describe(member.group_id),
            _ => Request::List(ListGroups::default()),
        }
    }

    /// An offset that nobody has committed before: the number of the request.
    fn any_offset(&mut self, id: RequestId) -> OffsetToCommit {
        OffsetToCommit {
            topic: "t".into(),
            topic_id: Some(topic_id(self.topic)),
            partition: self.random.random_range(0..3),
            offset: Offset(i64::try_from(id.0).expect("few requests")),
            leader_epoch: None,
            metadata: String::new(),
        }
    }

    fn join(&mut self, number: usize) -> JoinGroup {
        // Now and then a client has restarted and lost its id.
        if self.chance(10) {
            self.clients[number].member_id = "".into();
        }
        let range = JoinProtocol { name: "range".to_owned(), metadata: Bytes::from_static(b"x") };
        let metadata = Bytes::from(vec![b'0' + self.random.random_range(0..3)]);
        let sticky = JoinProtocol { name: "sticky".to_owned(), metadata };
        let first_join =
            if self.chance(50) { FirstJoin::WithMemberId } else { FirstJoin::Directly };
        let protocols = if self.chance(80) { vec![sticky, range] } else { vec![range] };
        let skip_assignment =
            if self.chance(50) { SkipAssignment::Understood } else { SkipAssignment::Unknown };
        let rebalance_timeout = Duration::from_secs(self.random.random_range(0..20));
        self.next_id += 1;
        let client = &self.clients[number];
        JoinGroup {
            group_id: client.group_id.clone(),
            member_id: client.member_id.clone(),
            drawn_member_id: MemberId::from(&*format!("m{}", self.next_id)),
            group_instance_id: client.instance.map(Into::into),
            first_join,
            skip_assignment,
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout: Duration::from_secs(self.random.random_range(6..20)),
            rebalance_timeout,
            protocol_type: "consumer".to_owned(),
            protocols,
        }
    }
}

/// Runs one seed; returns how often each request succeeded.
fn run(seed: u64) -> BTreeMap<&'static str, usize> {
    let mut world = World::new(seed);
    for _ in 0..3_000 {
        match world.random.random_range(0..1000) {
            0..3 => world.failover(),
            3..100 => {
                let millis = world.random.random_range(0..4_000);
                world.advance(Duration::from_millis(millis));
            }
            100..104 => {
                let seconds = world.random.random_range(0..1_000);
                world.advance(Duration::from_secs(seconds));
            }
            104..398 => world.commit(),
            398 => world.make_topic_again(),
            399 => world.hear_of_deletion(),
            _ => world.ask(),
        }
    }
    world.advance(Duration::from_secs(7200));
    let held: BTreeSet<RequestId> = world.held.iter().map(|held| held.id).collect();
    let unanswered: Vec<_> = world.waiting.keys().filter(|id| !held.contains(id)).collect();
    assert!(unanswered.is_empty(), "{unanswered:?} are never answered");
    world.answered.insert("deleted topic", world.deleted_topic_offsets);
    world.answered
}

fn topic_id(number: u128) -> TopicId {
    TopicId::from_bytes(number.to_be_bytes())
}

#[test]
fn random_steps_hold_the_invariants() {
    let mut answered: BTreeMap<&'static str, usize> = BTreeMap::new();
    for seed in 0..60 {
        let done = std::panic::catch_unwind(|| run(seed));
        let done = done.unwrap_or_else(|_| panic!("seed {seed} fails"));
        for (what, count) in done {
            *answered.entry(what).or_default() += count;
        }
    }
    let deleted = answered.get("deleted topic").copied().unwrap_or_default();
    assert!(deleted > 50, "only {deleted} offsets went with their topic");
    for what in
        ["join", "sync", "heartbeat", "commit", "leave", "transactional commit", "marker", "fetch"]
    {
        let count = answered.get(what).copied().unwrap_or_default();
        assert!(count > 500, "only {count} requests of the kind {what} came to anything");
    }
}

/// Random steps can fail: they see the deliberate bugs that break a promise.
#[cfg(feature = "mutations")]
#[test]
fn random_steps_see_deliberate_bugs() {
    use crate::group::mutation::{Mutation, activate};

    // A member that expires too early joins again: no promise is broken, and a script sees it. Nobody rewrites a log here: `live_walk` does.
    let elsewhere = [Mutation::ParkedMemberExpires, Mutation::RewriteAbovePending];
    for mutation in Mutation::ALL.into_iter().filter(|bug| !elsewhere.contains(bug)) {
        activate(Some(mutation));
        let seen = (0..60).any(|seed| std::panic::catch_unwind(|| run(seed)).is_err());
        activate(None);
        assert!(seen, "no seed sees {mutation:?}");
    }
}
