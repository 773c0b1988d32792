//! The event loop of a simulation of groups: one thread, one clock, one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coordinator::group::ids::{GroupId, GroupInstanceId};
use coordinator::group::record::GroupRecord;
use coordinator::group::request::{FetchOffsets, Request, RequestId, Stability};
use coordinator::group::response::Response;
use coordinator::group::state::GroupState;
use coordinator::group::{Action, Event, GroupConfig, Now, Shard};
use model::{BrokerId, ErrorCode, Timestamp, UnixMillis};

use super::Statistics;
use super::checker::{Checker, Told};
use super::log::{Entry, ReplicatedLog};
use super::member::{AttemptId, Lane, Member, PARTITIONS, Phase};
use super::process::{Origin, Process, Released};
use super::transactions::{Transactions, partitions_of_all};
use super::truth::committed_at_end;
use crate::simulator::agenda::Agenda;
use crate::simulator::random::Random;
use crate::simulator::trace::Trace;

/// The group whose members end with the faults.
const DELETED: &str = "auditing";

/// How long everything may take to converge after the faults.
const PATIENCE: Duration = Duration::from_secs(20);

/// Something that happens at a moment.
#[derive(Debug)]
enum Occurrence {
    /// A member thinks of something to do.
    MemberTick(usize),
    /// A member that looks for its coordinator is told of one.
    CoordinatorFound(usize, BrokerId),
    /// A request arrives.
    Request(BrokerId, u64, Box<Origin>),
    /// An answer arrives.
    Answer(Box<Origin>, Result<Response, ErrorCode>),
    /// More of the real leader's tail is committed.
    Commit,
    /// A broker hears who leads.
    Hear(BrokerId, u64),
    /// A broker tries to load its shard.
    Load(BrokerId, u64, i32),
    /// The transactions' coordinator looks for markers to write.
    TransactionTick,
    /// A shard's timer.
    ShardTimer(BrokerId, u64),
    /// A broker starts again.
    Restart(BrokerId),
    /// A new leader is elected.
    Elect,
    /// The next fault strikes.
    Fault,
    /// All faults end.
    Heal,
    /// Has everything converged?
    LookForConvergence,
}

/// A place in a group that some process fills.
#[derive(Clone, Debug)]
struct Place {
    group_id: GroupId,
    instance: Option<GroupInstanceId>,
    /// The newest process.
    member: usize,
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    agenda: Agenda<Occurrence>,
    wall_skew_millis: i64,
    random: Random,
    config: GroupConfig,
    log: ReplicatedLog,
    processes: BTreeMap<BrokerId, Process>,
    members: Vec<Member>,
    places: Vec<Place>,
    checker: Checker,
    /// Requests by the epoch and end of the entry that they made.
    causes: Vec<(i32, usize, Request)>,
    next_commit: i64,
    transactions: Transactions,
    heal_at: Timestamp,
    is_healed: bool,
    /// Of a hundred messages.
    loss: u64,
    duplication: u64,
    is_commit_stalled: bool,
    pub(super) trace: Trace<Statistics>,
}

impl World {
    pub(super) fn new(seed: u64, trace: Trace<Statistics>) -> Self {
        let mut random = Random::new(seed);
        let brokers = [BrokerId(1), BrokerId(2), BrokerId(3)];
        let config = GroupConfig {
            min_session_timeout: Duration::from_millis(100),
            max_session_timeout: Duration::from_secs(60),
            initial_rebalance_delay: random.millis(0, 150),
            max_size: usize::MAX,
            max_record_bytes: GroupConfig::MAX_RECORD_BYTES,
            offset_metadata_max_bytes: 4096,
            offsets_retention: Duration::from_secs(7 * 24 * 3600),
            offsets_retention_check_interval: random.millis(500, 3000),
        };
        let heal_at = Timestamp::ZERO + random.millis(2_000, 8_000);
        let mut world = Self {
            agenda: Agenda::new(),
            wall_skew_millis: 0,
            log: ReplicatedLog::new(random.pick(&brokers)),
            processes: brokers.into_iter().map(|broker| (broker, Process::new(broker))).collect(),
            config,
            members: Vec::new(),
            places: Vec::new(),
            checker: Checker::default(),
            causes: Vec::new(),
            next_commit: 1,
            transactions: Transactions::default(),
            heal_at,
            is_healed: false,
            loss: random.pick(&[0, 0, 2, 10]),
            duplication: random.pick(&[0, 2, 10]),
            is_commit_stalled: false,
            trace,
            random,
        };
        world.populate();
        world
    }

    /// Three groups: one of dynamic members, one of static ones, and one that is to be deleted at the end.
    fn populate(&mut self) {
        for (group, is_static, most) in
            [("payments", false, 4), ("shipping", true, 4), (DELETED, false, 1)]
        {
            for slot in 0..self.random.between(1, most) {
                let name = format!("{group}-{slot}");
                let instance = is_static.then(|| GroupInstanceId::from(name.as_str()));
                let place = Place { group_id: GroupId::from(group), instance, member: 0 };
                self.places.push(place);
                self.fill(self.places.len() - 1);
            }
        }
        for broker in self.processes.keys().copied().collect::<Vec<_>>() {
            self.agenda.after(Duration::ZERO, Occurrence::Hear(broker, 1));
        }
        self.agenda.after(Duration::from_millis(1), Occurrence::Commit);
        self.agenda.after(Duration::from_millis(5), Occurrence::TransactionTick);
        self.agenda.after(Duration::from_millis(300), Occurrence::Fault);
        self.agenda.at(self.heal_at, Occurrence::Heal);
    }

    /// Starts a new process in a place.
    fn fill(&mut self, place: usize) {
        let name = self.members.len();
        let Place { group_id, instance, member } = &mut self.places[place];
        *member = name;
        let new = Member::new(name, group_id.clone(), instance.clone(), &mut self.random);
        self.members.push(new);
        self.agenda.after(Duration::ZERO, Occurrence::MemberTick(name));
    }

    fn line(&mut self, text: impl FnOnce() -> String) {
        self.trace.line(self.agenda.now(), text);
    }

    fn time(&self) -> Now {
        let millis = i64::try_from(self.agenda.now().0 / 1_000_000).unwrap_or(i64::MAX);
        Now {
            monotonic: self.agenda.now(),
            wall: UnixMillis(1_700_000_000_000 + millis + self.wall_skew_millis),
        }
    }

    pub(super) fn run(&mut self) {
        while let Some((sequence, occurrence)) = self.agenda.next() {
            self.trace.statistics.occurrences += 1;
            self.trace.mix(self.agenda.now().0 ^ sequence);
            if self.occur(occurrence) {
                return;
            }
        }
    }

    /// Returns true at the end of the run.
    fn occur(&mut self, occurrence: Occurrence) -> bool {
        match occurrence {
            Occurrence::MemberTick(member) => self.tick(member),
            Occurrence::CoordinatorFound(member, broker) => {
                self.members[member].coordinator.get_or_insert(broker);
            }
            Occurrence::Request(broker, incarnation, origin) => {
                self.request(broker, incarnation, *origin);
            }
            Occurrence::Answer(origin, response) => self.answer(&origin, response),
            Occurrence::Commit => self.commit(),
            Occurrence::TransactionTick => self.write_markers(),
            Occurrence::Hear(broker, incarnation) => self.hear(broker, incarnation),
            Occurrence::Load(broker, incarnation, epoch) => self.load(broker, incarnation, epoch),
            Occurrence::ShardTimer(broker, incarnation) => self.shard_timer(broker, incarnation),
            Occurrence::Restart(broker) => {
                let process = self.process(broker);
                process.is_up = true;
                process.incarnation += 1;
                let incarnation = process.incarnation;
                self.agenda.after(Duration::from_millis(20), Occurrence::Hear(broker, incarnation));
            }
            Occurrence::Elect => self.elect(),
            Occurrence::Fault => self.fault(),
            Occurrence::Heal => self.heal(),
            Occurrence::LookForConvergence => return self.has_converged(),
        }
        false
    }

    fn process(&mut self, broker: BrokerId) -> &mut Process {
        self.processes.get_mut(&broker).expect("brokers are never removed")
    }

    fn tick(&mut self, index: usize) {
        if self.members[index].phase == Phase::Gone {
            return;
        }
        let pause = self.random.millis(3, 25);
        self.agenda.after(pause, Occurrence::MemberTick(index));
        if self.members[index].coordinator.is_none() {
            let brokers: Vec<BrokerId> = self.processes.keys().copied().collect();
            let truth = self.is_healed || self.random.percent(80);
            let told = if truth { self.log.leader } else { self.random.pick(&brokers) };
            let delay = self.random.millis(1, 30);
            self.agenda.after(delay, Occurrence::CoordinatorFound(index, told));
            return;
        }
        let due = self.members[index].due(self.agenda.now(), self.next_commit, &mut self.random);
        let Some((attempt, request)) = due else { return };
        let now = self.agenda.now();
        self.next_commit += i64::from(matches!(request, Request::CommitOffsets(_)));
        let request = if self.is_healed {
            // Those that are open end, and then nothing is pending.
            request
        } else {
            self.transactions.adopt(index, request, now, &mut self.random)
        };
        let broker = self.members[index].coordinator.expect("it was looked for above");
        self.send(broker, index, attempt, request);
    }

    /// Has the transactions' coordinator send the markers that are due.
    fn write_markers(&mut self) {
        let pause = self.random.millis(5, 25);
        self.agenda.after(pause, Occurrence::TransactionTick);
        let now = self.agenda.now();
        let brokers: Vec<BrokerId> = self.processes.keys().copied().collect();
        for (member, marker) in self.transactions.due(now, &mut self.random) {
            let truth = self.is_healed || self.random.percent(80);
            let broker = if truth { self.log.leader } else { self.random.pick(&brokers) };
            let attempt = AttemptId { lane: Lane::Marker, number: 0 };
            self.send(broker, member, attempt, Request::CompleteTransaction(marker));
        }
    }

    /// Sends a request, in as many copies as the network makes.
    fn send(&mut self, broker: BrokerId, member: usize, attempt: AttemptId, request: Request) {
        let asked = self.checker.asked(&request);
        let origin = Origin { member, attempt, request, asked };
        self.line(|| format!("m{member} -> {broker}: {:?}", origin.request));
        let incarnation = self.process(broker).incarnation;
        for delay in self.arrivals() {
            let origin = Box::new(origin.clone());
            self.agenda.after(delay, Occurrence::Request(broker, incarnation, origin));
        }
    }

    /// Delays of the copies of a message: none when it is lost, two when it is duplicated. Later ones overtake earlier ones.
    fn arrivals(&mut self) -> Vec<Duration> {
        if self.random.percent(self.loss) {
            return Vec::new();
        }
        let copies = 1 + usize::from(self.random.percent(self.duplication));
        let slow = if self.is_healed { 3 } else { self.random.pick(&[3, 3, 3, 40, 300]) };
        (0..copies).map(|_| self.random.millis(0, slow)).collect()
    }

    fn request(&mut self, broker: BrokerId, incarnation: u64, origin: Origin) {
        let now = self.time();
        let process = self.processes.get_mut(&broker).expect("brokers are never removed");
        if !process.is_up || process.incarnation != incarnation {
            return;
        }
        let released = process.request(now, origin, &mut self.log, &mut self.causes);
        self.let_go(broker, released);
    }

    fn shard_timer(&mut self, broker: BrokerId, incarnation: u64) {
        let now = self.time();
        let process = self.processes.get_mut(&broker).expect("brokers are never removed");
        let due = process.shard.as_ref().and_then(|shard| shard.machine.poll_timeout());
        if process.is_up
            && process.incarnation == incarnation
            && due.is_some_and(|at| at <= self.agenda.now())
        {
            let released = process.timeout(now, &mut self.log, &mut self.causes);
            self.let_go(broker, released);
        }
    }

    /// Judges answers, sends them, and arms the shard's timer.
    fn let_go(&mut self, broker: BrokerId, released: Vec<Released>) {
        for Released { epoch, end, origin, response } in released {
            if let Ok(response) = &response {
                let view = self.log.view(broker, epoch);
                let Origin { asked, request, .. } = &origin;
                self.checker.released(&view, &Told { epoch, end, asked, request, response });
                self.trace.statistics.answers += 1;
            }
            self.line(|| format!("{broker} -> m{}: {response:?}", origin.member));
            for delay in self.arrivals() {
                let answer = Occurrence::Answer(Box::new(origin.clone()), response.clone());
                self.agenda.after(delay, answer);
            }
        }
        let process = &self.processes[&broker];
        let incarnation = process.incarnation;
        if let Some(at) = process.shard.as_ref().and_then(|shard| shard.machine.poll_timeout()) {
            self.agenda.at(at, Occurrence::ShardTimer(broker, incarnation));
        }
    }

    fn answer(&mut self, origin: &Origin, response: Result<Response, ErrorCode>) {
        match (&origin.request, &response) {
            (
                Request::CompleteTransaction(marker),
                Ok(Response::CompleteTransaction(ErrorCode::None)),
            ) => self.transactions.written(origin.member, marker),
            (
                Request::CommitTransactionalOffsets(commit),
                Ok(Response::CommitTransactionalOffsets(codes)),
            ) => self.transactions.answered(origin.member, commit, codes, &mut self.random),
            _ => {}
        }
        let before = self.members[origin.member].phase;
        self.members[origin.member].answered(
            self.agenda.now(),
            origin.attempt,
            response.as_ref().map_err(|error| *error),
            &mut self.random,
        );
        let after = self.members[origin.member].phase;
        if (before, after) == (Phase::Joined, Phase::Stable) {
            self.trace.statistics.assignments += 1;
        }
    }

    fn commit(&mut self) {
        let pause = self.random.millis(1, 15);
        self.agenda.after(pause, Occurrence::Commit);
        if self.is_commit_stalled || !self.process(self.log.leader).is_up {
            return;
        }
        let count = usize::try_from(self.random.between(1, 5)).expect("it is small");
        for (position, entry) in self.log.commit(count) {
            let made = |(epoch, end, _): &&(i32, usize, Request)| {
                (*epoch, *end) == (entry.epoch, position + 1)
            };
            let cause = self.causes.iter().find(made).map(|(_, _, request)| request.clone());
            self.checker.committed(&entry, cause.as_ref());
            self.trace.statistics.committed += 1;
        }
        let leader = self.log.leader;
        let process = self.processes.get_mut(&leader).expect("brokers are never removed");
        let released = process.release(&self.log);
        if let Some(start) = process.trim() {
            self.log.start = start;
            self.trace.statistics.rewrites += 1;
            self.line(|| format!("{leader} trims to {start}"));
        }
        self.let_go(leader, released);
        if self.process(leader).shard.as_ref().is_some_and(|shard| shard.rewrite.is_some())
            || self.random.percent(1)
        {
            let process = self.processes.get_mut(&leader).expect("brokers are never removed");
            process.rewrite(&mut self.log);
        }
    }

    /// A broker learns from its image who leads.
    fn hear(&mut self, broker: BrokerId, incarnation: u64) {
        let (leader, epoch) = (self.log.leader, self.log.epoch);
        let process = self.processes.get_mut(&broker).expect("brokers are never removed");
        if !process.is_up || process.incarnation != incarnation {
            return;
        }
        let leads = (leader == broker).then_some(epoch);
        if process.leads == leads && (leads.is_none() || process.shard.is_some()) {
            return;
        }
        process.leads = leads;
        let released = process.unload();
        self.let_go(broker, released);
        if leads.is_some() {
            self.agenda.after(Duration::ZERO, Occurrence::Load(broker, incarnation, epoch));
        }
    }

    /// Loads once what was in the log at the election is committed.
    fn load(&mut self, broker: BrokerId, incarnation: u64, epoch: i32) {
        let now = self.time();
        let process = self.processes.get_mut(&broker).expect("brokers are never removed");
        if !process.is_up || process.incarnation != incarnation || process.leads != Some(epoch) {
            return;
        }
        let is_committed =
            self.log.end(broker, epoch).is_some_and(|end| end <= self.log.high_watermark());
        if self.log.epoch != epoch || process.shard.is_some() {
            return;
        }
        if !is_committed {
            self.agenda
                .after(Duration::from_millis(3), Occurrence::Load(broker, incarnation, epoch));
            return;
        }
        process.load(epoch, &self.log, &self.config, now);
        self.trace.statistics.loads += 1;
        self.line(|| format!("{broker} has loaded in epoch {epoch}"));
        self.let_go(broker, Vec::new());
    }

    fn elect(&mut self) {
        let live: Vec<BrokerId> =
            self.processes.values().filter(|one| one.is_up).map(|one| one.broker).collect();
        if live.is_empty() {
            self.agenda.after(Duration::from_millis(50), Occurrence::Elect);
            return;
        }
        let (before, leader) = (self.log.leader, self.random.pick(&live));
        let inherited = usize::try_from(self.random.below(6)).expect("it is small");
        self.log.elect(leader, inherited);
        let epoch = self.log.epoch;
        self.line(|| format!("{leader} is elected in epoch {epoch}, after {before}"));
        for broker in live {
            let slowest = if self.is_healed { 20 } else { 400 };
            let delay = self.random.millis(1, slowest);
            let incarnation = self.process(broker).incarnation;
            self.agenda.after(delay, Occurrence::Hear(broker, incarnation));
        }
    }

    fn fault(&mut self) {
        if self.is_healed {
            return;
        }
        let pause = self.random.millis(30, 600);
        self.agenda.after(pause, Occurrence::Fault);
        let place = usize::try_from(self.random.below(self.places.len() as u64)).expect("an index");
        match self.random.below(10) {
            0 => self.crash(self.log.leader),
            1 => {
                let brokers: Vec<BrokerId> = self.processes.keys().copied().collect();
                let broker = self.random.pick(&brokers);
                self.crash(broker);
            }
            2 => self.elect(),
            3 => self.is_commit_stalled = !self.is_commit_stalled,
            4 => self.wall_skew_millis += 3_600_000 * (self.random.between(0, 40) as i64 - 20),
            5 => {
                // The process ends without a word, and another takes its place.
                let member = self.places[place].member;
                self.members[member].phase = Phase::Gone;
                self.fill(place);
            }
            // A second process with the same place: the first does not know that it is to end.
            6 => self.fill(place),
            7 => {
                let member = self.places[place].member;
                self.members[member].wants_to_leave = true;
            }
            8 => {
                let member = self.places[place].member;
                self.members[member].change_subscription();
            }
            _ => {
                let member = self.places[place].member;
                if self.members[member].phase == Phase::Gone {
                    self.fill(place);
                }
            }
        }
    }

    fn crash(&mut self, broker: BrokerId) {
        if !self.process(broker).is_up {
            return;
        }
        self.line(|| format!("{broker} crashes"));
        let process = self.process(broker);
        process.is_up = false;
        process.leads = None;
        // Nobody is told: connections just end.
        drop(process.unload());
        self.log.forget(broker);
        let back = self.random.millis(50, 1500);
        self.agenda.after(back, Occurrence::Restart(broker));
        if self.log.leader == broker {
            let delay = self.random.millis(20, 300);
            self.agenda.after(delay, Occurrence::Elect);
        }
    }

    fn heal(&mut self) {
        self.is_healed = true;
        (self.loss, self.duplication, self.is_commit_stalled) = (0, 0, false);
        self.places.retain(|place| place.group_id.as_str() != DELETED);
        let newest: BTreeSet<usize> = self.places.iter().map(|place| place.member).collect();
        for (index, member) in self.members.iter_mut().enumerate() {
            if !newest.contains(&index) {
                member.phase = Phase::Gone;
            }
            member.wants_to_leave = false;
        }
        self.agenda.after(Duration::from_millis(100), Occurrence::LookForConvergence);
    }

    fn has_converged(&mut self) -> bool {
        for place in 0..self.places.len() {
            let member = self.places[place].member;
            if self.members[member].phase == Phase::Gone {
                self.fill(place);
            }
        }
        if self.is_settled() && self.transactions.are_idle() && self.is_abandoned() {
            self.compare_with_log();
            self.delete_for_good();
            self.trace.statistics.transactions = self.transactions.completed;
            self.trace.statistics.acknowledged =
                self.members.iter().map(|member| member.acknowledged).sum();
            return true;
        }
        assert!(
            self.agenda.now() < self.heal_at + PATIENCE,
            "the groups have not converged: {:?}",
            self.places.iter().map(|place| &self.members[place.member]).collect::<Vec<_>>()
        );
        self.agenda.after(Duration::from_millis(100), Occurrence::LookForConvergence);
        false
    }

    /// Everyone has its part of one generation, everything is owned, and everything is committed.
    fn is_settled(&self) -> bool {
        let leader = &self.processes[&self.log.leader];
        let is_led = leader.shard.as_ref().is_some_and(|shard| shard.epoch == self.log.epoch);
        let is_committed =
            self.log.end(self.log.leader, self.log.epoch) == Some(self.log.high_watermark());
        let groups: BTreeSet<&GroupId> = self.places.iter().map(|place| &place.group_id).collect();
        // A late copy of a request may have made a coordinator begin a rebalance that no member has heard of.
        let is_at_rest = leader.shard.as_ref().is_some_and(|shard| {
            shard.machine.counts().groups.iter().all(|(state, count)| {
                *count == 0 || matches!(state, GroupState::Stable | GroupState::Empty)
            }) && shard.machine.counts().member_count == self.places.len()
        });
        is_led
            && is_committed
            && is_at_rest
            && groups.into_iter().all(|group| {
                let places = self.places.iter().filter(|place| place.group_id == *group);
                let members: Vec<&Member> =
                    places.map(|place| &self.members[place.member]).collect();
                let owned: BTreeSet<i32> =
                    members.iter().flat_map(|member| member.owned.iter().copied()).collect();
                let is_one = members.iter().all(|member| {
                    member.phase == Phase::Stable
                        && member.generation == members[0].generation
                        && (member.owned.is_empty()
                            || (member.is_positioned && member.acknowledged > 0))
                });
                is_one && owned == (0..PARTITIONS).collect()
            })
    }

    /// The sessions of the group without processes have ended.
    fn is_abandoned(&mut self) -> bool {
        let now = self.time();
        match ask(self.live_shard(), now, Request::Describe(GroupId::from(DELETED))) {
            Response::Describe(group) => group.is_none_or(|group| group.state == GroupState::Empty),
            other => panic!("DescribeGroups is answered by {other:?}"),
        }
    }

    /// Loads a shard of its own from the log.
    fn loaded_anew(&self, behind: Vec<GroupRecord>) -> Shard {
        let mut fresh = Shard::new(self.config.clone());
        for (position, entry) in self.log.committed().iter().enumerate().skip(self.log.start) {
            entry.replay_into(position, &mut fresh);
        }
        for record in behind {
            fresh.replay(record);
        }
        fresh.loaded(self.time());
        fresh
    }

    fn live_shard(&mut self) -> &mut Shard {
        let leader = self.log.leader;
        &mut self.process(leader).shard.as_mut().expect("it has settled").machine
    }

    /// What the coordinator holds is what the log says.
    fn compare_with_log(&mut self) {
        let now = self.time();
        let mut fresh = self.loaded_anew(Vec::new());
        let groups: BTreeSet<GroupId> =
            self.places.iter().map(|place| place.group_id.clone()).collect();
        self.compare_with_truth();
        let live = self.live_shard();
        for group_id in groups {
            for request in [all_offsets(group_id.clone()), Request::Describe(group_id)] {
                let (held, logged) =
                    (ask(live, now, request.clone()), ask(&mut fresh, now, request));
                assert_eq!(held, logged, "the coordinator does not hold what its log says");
            }
        }
    }

    /// What is committed is what the log's records and markers say, by another way than the machine's; and nothing is pending.
    fn compare_with_truth(&mut self) {
        let view: Vec<&Entry> = self.log.committed().iter().collect();
        let committed = partitions_of_all().filter_map(|key| {
            let offset = committed_at_end(&view, &key)?;
            Some((key, offset))
        });
        let expected: BTreeMap<(GroupId, i32), i64> = committed.collect();
        let live = self.live_shard();
        let counts = live.counts();
        assert_eq!((counts.pending_offset_count, counts.open_transaction_count), (0, 0));
        let mut found = BTreeMap::new();
        for record in live.committed_records(None, usize::MAX).0 {
            if let GroupRecord::Offset { group_id, partition, value: Some(value), .. } = record {
                found.insert((group_id, partition), value.offset.0);
            }
        }
        assert_eq!(found, expected, "an offset is committed exactly when its marker is in the log");
    }

    /// A group that an operator deletes is gone for whoever loads the log next.
    fn delete_for_good(&mut self) {
        let now = self.time();
        let group_id = GroupId::from(DELETED);
        let (answer, written) =
            ask_and_write(self.live_shard(), now, Request::Delete(group_id.clone()));
        let is_gone = [ErrorCode::None, ErrorCode::GroupIdNotFound].map(Response::Delete);
        assert!(is_gone.contains(&answer), "{DELETED} is empty and cannot be deleted: {answer:?}");
        let mut fresh = self.loaded_anew(written);
        let shown = ask(&mut fresh, now, Request::Describe(group_id.clone()));
        assert_eq!(shown, Response::Describe(None), "{DELETED} was deleted and came back");
        match ask(&mut fresh, now, all_offsets(group_id)) {
            Response::FetchOffsets(fetched) => assert_eq!(fetched.offsets, []),
            other => panic!("OffsetFetch is answered by {other:?}"),
        }
    }
}

/// Asks a shard something that it answers at once.
fn ask(shard: &mut Shard, now: Now, request: Request) -> Response {
    ask_and_write(shard, now, request).0
}

/// Asks a shard to do something that it answers at once; returns what it writes, too.
fn ask_and_write(shard: &mut Shard, now: Now, request: Request) -> (Response, Vec<GroupRecord>) {
    let id = RequestId(u64::MAX);
    shard.step(now, Event::Request(id, request));
    let mut written = Vec::new();
    loop {
        match shard.poll_action().expect("the question is answered at once") {
            Action::Reply(to, response, _) if to == id => return (response, written),
            Action::Reply(..) => {}
            Action::Append(_, records) => written.extend(records),
            Action::AppendOfTransaction(..) => panic!("no transaction was asked about"),
        }
    }
}

/// All committed offsets of a group.
fn all_offsets(group_id: GroupId) -> Request {
    Request::FetchOffsets(FetchOffsets { group_id, partitions: None, stability: Stability::Any })
}
