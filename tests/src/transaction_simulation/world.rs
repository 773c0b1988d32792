//! The event loop of a simulation of transactions: one thread, one clock, one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coordinator::transaction::ids::{TransactionVersion, TransactionalId};
use coordinator::transaction::request::{AddPartitions, Request, VerifyPartitions};
use coordinator::transaction::response::Response;
use coordinator::transaction::state::{TransactionResult, TransactionState};
use coordinator::transaction::{
    DecisionId, Event, MarkersToWrite, Now, TransactionConfig, WrittenMarkers,
};
use model::{BrokerId, ErrorCode, Timestamp, TopicPartition, UnixMillis};

use super::Statistics;
use super::checker::{Checker, position};
use super::coordinator::{Asked, Asker, Coordinator, Outgoing, Shared};
use super::copier::{Copier, Heard, Message, OUTPUTS, ProduceRequest, index_of, name_of};
use super::log::ReplicatedLog;
use super::partition::{Admission, Marker, Partition};
use crate::simulator::agenda::Agenda;
use crate::simulator::random::Random;
use crate::simulator::trace::Trace;

/// How many transactional ids there are.
const PLACES: usize = 3;

/// How long everything may take to come to rest after the faults.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a coordinator waits before it sends markers again that were not answered.
const MARKER_RETRY: Duration = Duration::from_millis(60);

/// Names a coordinator's shard: who, in which incarnation and leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leadership {
    broker: BrokerId,
    incarnation: u64,
    epoch: i32,
}

/// The markers of one decision, on their way.
#[derive(Clone, Debug)]
struct Carried {
    from: Leadership,
    markers: MarkersToWrite,
    left: BTreeSet<TopicPartition>,
}

/// Something that happens at a moment.
#[derive(Debug)]
enum Occurrence {
    /// A copier thinks of something to do.
    CopierTick(usize),
    /// A request arrives at a coordinator.
    Request(BrokerId, u64, Box<Asked>),
    /// Its answer arrives.
    Answer(Box<Asked>, Result<Response, ErrorCode>),
    /// A batch arrives at its partition.
    Produce(Box<ProduceRequest>),
    /// Its answer arrives.
    Produced(usize, u64, Result<(), ErrorCode>),
    /// Markers that are not answered are sent, by their number.
    SendMarkers(usize),
    /// One arrives.
    Marker(usize, TopicPartition),
    /// Its answer arrives.
    Marked(usize, TopicPartition),
    /// More of the real leader's tail is committed.
    Commit,
    /// A broker hears who leads.
    Hear(BrokerId, u64),
    /// A broker tries to load its shard.
    Load(BrokerId, u64, i32),
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
    /// Has everything come to rest?
    LookForRest,
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    agenda: Agenda<Occurrence>,
    wall_skew_millis: i64,
    random: Random,
    config: TransactionConfig,
    shared: Shared,
    brokers: BTreeMap<BrokerId, Coordinator>,
    partitions: Vec<Partition>,
    copiers: Vec<Copier>,
    /// The newest copier of each place.
    places: Vec<usize>,
    versions: Vec<TransactionVersion>,
    carried: Vec<Carried>,
    checker: Checker,
    heal_at: Timestamp,
    is_healed: bool,
    /// Of a hundred messages.
    loss: u64,
    duplication: u64,
    /// Of a hundred decisions, completions and marker rounds: how many kill their coordinator.
    deaths: u64,
    is_commit_stalled: bool,
    pub(super) trace: Trace<Statistics>,
}

impl World {
    pub(super) fn new(seed: u64, trace: Trace<Statistics>) -> Self {
        let mut random = Random::new(seed);
        let brokers = [BrokerId(1), BrokerId(2), BrokerId(3)];
        let config = TransactionConfig {
            id_expiration: Duration::from_secs(30 * 3_600),
            max_timeout: Duration::from_secs(60),
            timed_out_check_interval: random.millis(100, 500),
            expired_check_interval: random.millis(500, 3_000),
            two_phase_commit: false,
            max_record_bytes: TransactionConfig::MAX_RECORD_BYTES,
        };
        let heal_at = Timestamp::ZERO + random.millis(1_500, 5_000);
        let version = |random: &mut Random| {
            if random.percent(70) { TransactionVersion::V2 } else { TransactionVersion::V0 }
        };
        let mut world = Self {
            agenda: Agenda::new(),
            wall_skew_millis: 0,
            shared: Shared { log: ReplicatedLog::new(random.pick(&brokers)), next_producer_id: 0 },
            brokers: brokers.into_iter().map(|broker| (broker, Coordinator::new(broker))).collect(),
            partitions: (0..=OUTPUTS).map(|_| Partition::default()).collect(),
            config,
            copiers: Vec::new(),
            places: vec![0; PLACES],
            versions: (0..PLACES).map(|_| version(&mut random)).collect(),
            carried: Vec::new(),
            checker: Checker::default(),
            heal_at,
            is_healed: false,
            loss: random.pick(&[0, 0, 2, 10]),
            duplication: random.pick(&[0, 2, 10]),
            deaths: random.pick(&[0, 1, 4]),
            is_commit_stalled: false,
            trace,
            random,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        for place in 0..PLACES {
            self.fill(place);
        }
        for broker in self.brokers.keys().copied().collect::<Vec<_>>() {
            self.agenda.after(Duration::ZERO, Occurrence::Hear(broker, 1));
        }
        self.agenda.after(Duration::from_millis(1), Occurrence::Commit);
        self.agenda.after(Duration::from_millis(200), Occurrence::Fault);
        self.agenda.at(self.heal_at, Occurrence::Heal);
    }

    /// Starts a new process in a place.
    fn fill(&mut self, place: usize) {
        let name = self.copiers.len();
        self.places[place] = name;
        let mut new = Copier::new(name, place, self.versions[place], &mut self.random);
        new.wants_to_stop = self.is_healed;
        self.copiers.push(new);
        self.agenda.after(Duration::ZERO, Occurrence::CopierTick(name));
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
            Occurrence::CopierTick(copier) => self.tick(copier),
            Occurrence::Request(broker, incarnation, asked) => {
                self.request(broker, incarnation, *asked);
            }
            Occurrence::Answer(asked, response) => self.answer(*asked, response),
            Occurrence::Produce(request) => self.produce(*request),
            Occurrence::Produced(copier, attempt, result) => {
                let now = self.agenda.now();
                let heard = self.copiers[copier].produced(now, attempt, result, &mut self.random);
                self.heard(copier, heard);
            }
            Occurrence::SendMarkers(number) => self.send_markers(number),
            Occurrence::Marker(number, partition) => self.marker(number, partition),
            Occurrence::Marked(number, partition) => self.marked(number, partition),
            Occurrence::Commit => self.commit(),
            Occurrence::Hear(broker, incarnation) => self.hear(broker, incarnation),
            Occurrence::Load(broker, incarnation, epoch) => self.load(broker, incarnation, epoch),
            Occurrence::ShardTimer(broker, incarnation) => self.shard_timer(broker, incarnation),
            Occurrence::Restart(broker) => {
                let process = self.broker(broker);
                process.is_up = true;
                process.incarnation += 1;
                let incarnation = process.incarnation;
                self.agenda.after(Duration::from_millis(20), Occurrence::Hear(broker, incarnation));
            }
            Occurrence::Elect => self.elect(),
            Occurrence::Fault => self.fault(),
            Occurrence::Heal => self.heal(),
            Occurrence::LookForRest => return self.is_at_rest(),
        }
        false
    }

    fn broker(&mut self, broker: BrokerId) -> &mut Coordinator {
        self.brokers.get_mut(&broker).expect("brokers are never removed")
    }

    /// Delays of the copies of a message: none when it is lost, two when it is duplicated. Later ones overtake earlier ones.
    fn arrivals(&mut self, version: TransactionVersion) -> Vec<Duration> {
        if self.random.percent(self.loss) {
            return Vec::new();
        }
        let may_double = version.bumps_epochs();
        let copies = 1 + usize::from(may_double && self.random.percent(self.duplication));
        let slow = if self.is_healed { 3 } else { self.random.pick(&[3, 3, 3, 3, 40, 300]) };
        (0..copies).map(|_| self.random.millis(0, slow)).collect()
    }

    fn tick(&mut self, index: usize) {
        if self.copiers[index].is_gone {
            return;
        }
        let pause = self.random.millis(1, 10);
        self.agenda.after(pause, Occurrence::CopierTick(index));
        let due = self.copiers[index].due(self.agenda.now(), &mut self.random);
        let Some((attempt, message)) = due else { return };
        self.line(|| format!("copier {index} sends {attempt}: {message:?}"));
        match message {
            Message::ToCoordinator(request) => {
                let asker = Asker::Copier { copier: index, attempt };
                let version = self.copiers[index].version;
                self.ask(Asked { asker, request }, version);
            }
            Message::ToPartition(request) => {
                // By sequence and epoch a partition knows what it has seen, whatever the client's version is.
                for delay in self.arrivals(TransactionVersion::V2) {
                    self.agenda.after(delay, Occurrence::Produce(Box::new(request.clone())));
                }
            }
        }
    }

    /// Sends a request to whom the sender believes to be the coordinator.
    fn ask(&mut self, asked: Asked, version: TransactionVersion) {
        let brokers: Vec<BrokerId> = self.brokers.keys().copied().collect();
        let knows = self.is_healed || self.random.percent(85);
        let broker = if knows { self.shared.log.leader } else { self.random.pick(&brokers) };
        let incarnation = self.broker(broker).incarnation;
        for delay in self.arrivals(version) {
            let copy = Box::new(asked.clone());
            self.agenda.after(delay, Occurrence::Request(broker, incarnation, copy));
        }
    }

    fn request(&mut self, broker: BrokerId, incarnation: u64, asked: Asked) {
        let now = self.time();
        let process = self.brokers.get_mut(&broker).expect("brokers are never removed");
        if !process.is_up || process.incarnation != incarnation {
            return;
        }
        let outgoing = process.request(now, asked, &mut self.shared);
        self.let_go(broker, outgoing);
    }

    fn step(&mut self, broker: BrokerId, event: Event) {
        let now = self.time();
        let process = self.brokers.get_mut(&broker).expect("brokers are never removed");
        let outgoing = process.step(now, event, &mut self.shared);
        self.let_go(broker, outgoing);
    }

    fn shard_timer(&mut self, broker: BrokerId, incarnation: u64) {
        let process = &self.brokers[&broker];
        let due = process.shard.as_ref().and_then(|shard| shard.machine.poll_timeout());
        if process.is_up
            && process.incarnation == incarnation
            && due.is_some_and(|at| at <= self.agenda.now())
        {
            self.step(broker, Event::TimeoutReached);
        }
    }

    /// Sends what a coordinator lets go, and arms its shard's timer.
    fn let_go(&mut self, broker: BrokerId, outgoing: Vec<Outgoing>) {
        for one in outgoing {
            match one {
                Outgoing::Answer(asked, response) => {
                    self.line(|| format!("{broker} answers {:?}: {response:?}", asked.asker));
                    for delay in self.arrivals(TransactionVersion::V2) {
                        let answer = Occurrence::Answer(Box::new(asked.clone()), response.clone());
                        self.agenda.after(delay, answer);
                    }
                }
                Outgoing::Markers(markers) => self.carry(broker, markers),
            }
        }
        let process = &self.brokers[&broker];
        let incarnation = process.incarnation;
        if let Some(at) = process.shard.as_ref().and_then(|shard| shard.machine.poll_timeout()) {
            self.agenda.at(at, Occurrence::ShardTimer(broker, incarnation));
        }
    }

    fn answer(&mut self, asked: Asked, response: Result<Response, ErrorCode>) {
        match asked.asker {
            Asker::Copier { copier, attempt } => {
                let now = self.agenda.now();
                let response = response.as_ref().map_err(|code| *code);
                let heard = self.copiers[copier].answered(now, attempt, response, &mut self.random);
                self.heard(copier, heard);
            }
            Asker::Partition { produce, guard } => {
                let code = match response {
                    Err(code) | Ok(Response::AddPartitions(code)) => code,
                    Ok(Response::VerifyPartitions(codes)) => codes[0],
                    Ok(other) => panic!("{other:?} answers nothing that a partition asks"),
                };
                let result = if code.is_error() {
                    Err(code)
                } else {
                    self.partitions[produce.partition].append_verified(&produce.record, guard)
                };
                self.answer_produce(&produce, result);
            }
        }
    }

    fn produce(&mut self, request: ProduceRequest) {
        let partition = &mut self.partitions[request.partition];
        match partition.admit(&request.record) {
            Err(code) => self.answer_produce(&request, Err(code)),
            Ok(Admission::Duplicate) => self.answer_produce(&request, Ok(())),
            Ok(Admission::Append) => {
                partition.append(&request.record);
                self.answer_produce(&request, Ok(()));
            }
            Ok(Admission::Verify(guard)) => {
                let (transactional_id, producer) =
                    (request.transactional_id.clone(), request.record.producer);
                let version = request.version;
                let name = name_of(request.partition);
                let question = if version.bumps_epochs() {
                    Request::AddPartitions(AddPartitions {
                        transactional_id,
                        producer,
                        partitions: BTreeSet::from([name]),
                        client_version: version,
                    })
                } else {
                    let partitions = vec![name];
                    let verify = VerifyPartitions { transactional_id, producer, partitions };
                    Request::VerifyPartitions(verify)
                };
                let asker = Asker::Partition { produce: request, guard };
                self.ask(Asked { asker, request: question }, version);
            }
        }
    }

    fn answer_produce(&mut self, request: &ProduceRequest, result: Result<(), ErrorCode>) {
        self.line(|| format!("partition {} answers {request:?}: {result:?}", request.partition));
        for delay in self.arrivals(TransactionVersion::V2) {
            let answer = Occurrence::Produced(request.copier, request.attempt, result);
            self.agenda.after(delay, answer);
        }
    }

    fn heard(&mut self, copier: usize, heard: Heard) {
        self.checker.heard(copier, heard);
        match heard {
            Heard::Nothing | Heard::Wrote { .. } => {}
            Heard::Initialised(is) => {
                for (index, partition) in self.partitions.iter().enumerate() {
                    assert!(
                        !partition.is_open_before(is),
                        "{is} begins, and its predecessor's transaction is open in {index}"
                    );
                }
                let place = self.copiers[copier].place;
                let position = position(&self.partitions[OUTPUTS], place);
                self.copiers[copier].read_position(position);
            }
            Heard::Ended(_, TransactionResult::Commit) => self.trace.statistics.commits += 1,
            Heard::Ended(_, TransactionResult::Abort) => self.trace.statistics.aborts += 1,
            Heard::Fenced => {
                self.trace.statistics.fenced += 1;
                let place = self.copiers[copier].place;
                if self.places[place] == copier {
                    self.fill(place);
                }
            }
        }
    }

    /// Takes markers to be carried to their partitions.
    fn carry(&mut self, broker: BrokerId, markers: MarkersToWrite) {
        let process = &self.brokers[&broker];
        let Some(shard) = &process.shard else { return };
        let (incarnation, epoch) = (process.incarnation, shard.epoch);
        let from = Leadership { broker, incarnation, epoch };
        self.line(|| format!("{broker} asks for {markers:?}"));
        let left = markers.partitions.clone();
        self.carried.push(Carried { from, markers, left });
        self.agenda.after(Duration::ZERO, Occurrence::SendMarkers(self.carried.len() - 1));
        self.may_die(broker);
    }

    /// Says whether the shard that asked for markers is still there.
    fn is_present(&self, from: Leadership) -> bool {
        let process = &self.brokers[&from.broker];
        let epoch = process.shard.as_ref().map(|shard| shard.epoch);
        process.is_up && process.incarnation == from.incarnation && epoch == Some(from.epoch)
    }

    fn send_markers(&mut self, number: usize) {
        let Carried { from, left, markers } = self.carried[number].clone();
        if left.is_empty() || !self.is_present(from) {
            return;
        }
        let version = markers.version;
        for partition in left {
            // Below version 2 a marker that comes late would end the next transaction: its sender waits until it knows its fate.
            let arrivals = if version.bumps_epochs() {
                self.arrivals(version)
            } else {
                vec![self.random.millis(0, 30)]
            };
            for delay in arrivals {
                self.agenda.after(delay, Occurrence::Marker(number, partition.clone()));
            }
        }
        if version.bumps_epochs() {
            self.agenda.after(MARKER_RETRY, Occurrence::SendMarkers(number));
        }
    }

    fn marker(&mut self, number: usize, partition: TopicPartition) {
        let Carried { from, markers, .. } = self.carried[number].clone();
        let marker = Marker {
            producer: markers.producer,
            result: markers.result,
            version: markers.version,
            coordinator_epoch: from.epoch,
        };
        let result = self.partitions[index_of(&partition)].end(&marker);
        self.line(|| format!("{partition} is marked {marker:?}: {result:?}"));
        if result.is_err() {
            return;
        }
        self.trace.statistics.markers += 1;
        self.checker.marked(&markers.transactional_id, &marker);
        let arrivals = if marker.version.bumps_epochs() {
            self.arrivals(marker.version)
        } else {
            vec![self.random.millis(0, 30)]
        };
        for delay in arrivals {
            self.agenda.after(delay, Occurrence::Marked(number, partition.clone()));
        }
    }

    fn marked(&mut self, number: usize, partition: TopicPartition) {
        let Carried { from, markers, .. } = self.carried[number].clone();
        if !self.is_present(from) {
            return;
        }
        self.carried[number].left.remove(&partition);
        self.tell_written(from.broker, markers.transactional_id, markers.decision, partition);
        if !self.carried[number].left.is_empty() {
            self.may_die(from.broker);
        }
    }

    fn tell_written(
        &mut self,
        broker: BrokerId,
        transactional_id: TransactionalId,
        decision: DecisionId,
        partition: TopicPartition,
    ) {
        let told = WrittenMarkers { transactional_id, decision, partitions: vec![partition] };
        self.step(broker, Event::MarkersWritten(told));
    }

    /// A coordinator may die between a decision and its completion.
    fn may_die(&mut self, broker: BrokerId) {
        if !self.is_healed && self.random.percent(self.deaths) {
            self.trace.statistics.deaths_between += 1;
            self.crash(broker);
        }
    }

    fn commit(&mut self) {
        let pause = self.random.millis(1, 15);
        self.agenda.after(pause, Occurrence::Commit);
        let leader = self.shared.log.leader;
        if self.is_commit_stalled || !self.broker(leader).is_up {
            return;
        }
        let count = usize::try_from(self.random.between(1, 5)).expect("it is small");
        let mut is_decision = false;
        for (_, entry) in self.shared.log.commit(count) {
            for record in &entry.records {
                self.checker.committed(record, &self.partitions);
                let state = record.value.as_ref().map(|value| value.state);
                is_decision |= state.and_then(TransactionState::prepared).is_some();
            }
        }
        if is_decision {
            // Before anybody is told.
            self.may_die(leader);
        }
        if self.random.percent(10) {
            self.checker.read(&self.partitions);
        }
        let process = self.brokers.get_mut(&leader).expect("brokers are never removed");
        let outgoing = process.release(&self.shared.log);
        self.let_go(leader, outgoing);
    }

    /// A broker learns from its image who leads.
    fn hear(&mut self, broker: BrokerId, incarnation: u64) {
        let (leader, epoch) = (self.shared.log.leader, self.shared.log.epoch);
        let process = self.brokers.get_mut(&broker).expect("brokers are never removed");
        if !process.is_up || process.incarnation != incarnation {
            return;
        }
        let leads = (leader == broker).then_some(epoch);
        if process.leads == leads && (leads.is_none() || process.shard.is_some()) {
            return;
        }
        process.leads = leads;
        let outgoing = process.unload();
        self.let_go(broker, outgoing);
        if leads.is_some() {
            self.agenda.after(Duration::ZERO, Occurrence::Load(broker, incarnation, epoch));
        }
    }

    /// Loads once what was in the log at the election is committed.
    fn load(&mut self, broker: BrokerId, incarnation: u64, epoch: i32) {
        let now = self.time();
        let process = self.brokers.get_mut(&broker).expect("brokers are never removed");
        let log = &self.shared.log;
        if !process.is_up
            || process.incarnation != incarnation
            || process.leads != Some(epoch)
            || log.epoch != epoch
            || process.shard.is_some()
        {
            return;
        }
        if log.end(broker, epoch).is_none_or(|end| end > log.high_watermark()) {
            let again = Occurrence::Load(broker, incarnation, epoch);
            self.agenda.after(Duration::from_millis(3), again);
            return;
        }
        let outgoing = process.load(epoch, &mut self.shared, &self.config, now);
        self.trace.statistics.loads += 1;
        self.line(|| format!("{broker} has loaded in epoch {epoch}"));
        self.let_go(broker, outgoing);
    }

    fn elect(&mut self) {
        let up = self.brokers.values().filter(|one| one.is_up);
        let live: Vec<BrokerId> = up.map(|one| one.broker).collect();
        if live.is_empty() {
            self.agenda.after(Duration::from_millis(50), Occurrence::Elect);
            return;
        }
        let (before, leader) = (self.shared.log.leader, self.random.pick(&live));
        let inherited = usize::try_from(self.random.below(6)).expect("it is small");
        self.shared.log.elect(leader, inherited);
        let epoch = self.shared.log.epoch;
        self.line(|| format!("{leader} is elected in epoch {epoch}, after {before}"));
        for broker in live {
            let slowest = if self.is_healed { 20 } else { 300 };
            let delay = self.random.millis(1, slowest);
            let incarnation = self.broker(broker).incarnation;
            self.agenda.after(delay, Occurrence::Hear(broker, incarnation));
        }
    }

    fn fault(&mut self) {
        if self.is_healed {
            return;
        }
        let pause = self.random.millis(30, 500);
        self.agenda.after(pause, Occurrence::Fault);
        let place = usize::try_from(self.random.below(PLACES as u64)).expect("an index");
        let copier = self.places[place];
        match self.random.below(10) {
            0 => self.crash(self.shared.log.leader),
            1 => self.elect(),
            2 => self.is_commit_stalled = !self.is_commit_stalled,
            3 => self.wall_skew_millis += 3_600_000 * (self.random.between(0, 40) as i64 - 20),
            4 | 5 => {
                // The process ends without a word, and another takes its place.
                self.copiers[copier].is_gone = true;
                self.fill(place);
            }
            6..=8 => {
                // A zombie: it is taken for dead, and goes on later where it was.
                self.copiers[copier].paused_until = self.agenda.now() + self.random.millis(20, 900);
                self.fill(place);
            }
            _ => {
                // It hangs for so long that its transaction may time out.
                let pause = self.random.millis(500, 3_000);
                self.copiers[copier].paused_until = self.agenda.now() + pause;
            }
        }
    }

    fn crash(&mut self, broker: BrokerId) {
        if !self.broker(broker).is_up {
            return;
        }
        self.line(|| format!("{broker} crashes"));
        let process = self.broker(broker);
        process.is_up = false;
        process.leads = None;
        // Nobody is told: connections just end.
        drop(process.unload());
        self.shared.log.forget(broker);
        let back = self.random.millis(50, 1_000);
        self.agenda.after(back, Occurrence::Restart(broker));
        if self.shared.log.leader == broker {
            let delay = self.random.millis(20, 200);
            self.agenda.after(delay, Occurrence::Elect);
        }
    }

    fn heal(&mut self) {
        self.line(|| "the faults end".to_owned());
        self.is_healed = true;
        self.is_commit_stalled = false;
        self.loss = 0;
        self.duplication = 0;
        for copier in &mut self.copiers {
            copier.wants_to_stop = true;
            copier.paused_until = copier.paused_until.min(self.agenda.now());
        }
        self.agenda.after(Duration::from_millis(200), Occurrence::LookForRest);
    }

    /// Everything is at rest when no copier has anything to do and no transaction is open or on its way.
    fn is_at_rest(&mut self) -> bool {
        let restless = self.restless();
        if restless.is_empty() {
            self.checker.at_rest(&self.partitions, PLACES);
            return true;
        }
        assert!(
            self.agenda.now() < self.heal_at + PATIENCE,
            "after the faults: {}",
            restless.join("; ")
        );
        self.agenda.after(Duration::from_millis(100), Occurrence::LookForRest);
        false
    }

    fn restless(&self) -> Vec<String> {
        let busy = self.copiers.iter().filter(|copier| !copier.is_at_rest());
        let mut restless: Vec<_> =
            busy.map(|copier| format!("copier {} has no rest", copier.name)).collect();
        for (index, partition) in self.partitions.iter().enumerate() {
            let open = partition.open();
            if !open.is_empty() {
                restless.push(format!("transactions of {open:?} hang in partition {index}"));
            }
        }
        let shard = self.brokers[&self.shared.log.leader].shard.as_ref();
        let Some(shard) = shard.filter(|shard| shard.epoch == self.shared.log.epoch) else {
            restless.push("nobody is the coordinator".to_owned());
            return restless;
        };
        for (state, count) in shard.machine.counts(self.time()).transactional_ids {
            if state == TransactionState::Ongoing || state.prepared().is_some() {
                restless.push(format!("{count} are {state}"));
            }
        }
        restless
    }
}
