//! The event loop of a simulation: one thread, one clock, one seed.
//!
//! Owns the order of everything. Whatever happens is an [`Occurrence`] in one queue; its handlers sit in the siblings of this module.

use std::collections::BTreeMap;
use std::time::Duration;

use controller::metadata::Command;
use model::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, Timestamp};
use replication::partition::{AlterIsr, FollowerFetch, LeaderAnswer};

use super::Statistics;
use super::broker::{Broker, CutUnderWay, Disk, FlushUnderWay, SESSION_TIMEOUT};
use super::checker::Checker;
use super::client::Client;
use super::controller::{Controller, Registration};
use super::faults::Repair;
use super::model_log::Batch;
use super::network::Network;
use crate::simulator::agenda::Agenda;
use crate::simulator::random::Random;
use crate::simulator::trace::Trace;

/// What a seed decides about a run as a whole.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) brokers: Vec<BrokerId>,
    pub(super) min_isr: usize,
    /// `flush.messages=1`, the default, or the page cache.
    pub(super) is_durable: bool,
    /// `replica.lag.time.max.ms` of all brokers.
    pub(super) lag: Duration,
    /// When faults stop.
    pub(super) heal_at: Timestamp,
    /// Mean pause between faults in milliseconds.
    pub(super) fault_pause: u64,
    /// How long everything may take to converge after the faults.
    pub(super) patience: Duration,
}

impl Settings {
    fn draw(random: &mut Random) -> Self {
        let count = if random.percent(80) { 3 } else { 5 };
        let min_isr = match random.below(10) {
            0 => 1,
            1 if count == 5 => 3,
            _ => 2,
        };
        Self {
            brokers: (1..=count).map(BrokerId).collect(),
            min_isr,
            is_durable: random.percent(85),
            lag: random.millis(200, 1200),
            heal_at: Timestamp::ZERO + random.millis(1500, 6000),
            fault_pause: random.between(40, 400),
            patience: Duration::from_secs(20),
        }
    }
}

/// Something that happens at a moment.
#[derive(Clone, Debug)]
pub(super) enum Occurrence {
    /// The machine's timer of a process fires.
    MachineTimer { broker: BrokerId, incarnation: u64 },
    /// A flush ends.
    FlushDone { broker: BrokerId, incarnation: u64, flush: FlushUnderWay },
    /// A storage thread has cut the log.
    CutDone { broker: BrokerId, incarnation: u64, cut: CutUnderWay },
    /// A replication message arrives.
    Message(Message),
    /// A leader's stream has more to send.
    Pump { broker: BrokerId, incarnation: u64 },
    /// A follower tries to open a stream to its leader.
    Connect { follower: BrokerId, incarnation: u64, leader: BrokerId },
    /// A broker looks for newer images.
    ImageTick { broker: BrokerId, incarnation: u64 },
    /// A broker sends its heartbeat.
    Heartbeat { broker: BrokerId, incarnation: u64 },
    /// A broker sends its registration until it is answered.
    Register { broker: BrokerId, incarnation: u64 },
    /// The registration's answer arrives.
    Registered { broker: BrokerId, incarnation: u64, broker_epoch: BrokerEpoch },
    /// A request arrives at the controller.
    Request(Request),
    /// The controller looks at its sessions and at partitions without a leader.
    ControllerTick,
    /// A produce request arrives at a broker.
    Produce(Produce),
    /// Its answer arrives at the client.
    ProduceAnswered { client: usize, payload: u64, attempt: u64, is_ok: bool },
    /// A client thinks of something to do.
    ClientTick { client: usize },
    /// A broker persists its high watermark.
    Checkpoint { broker: BrokerId, incarnation: u64 },
    /// The next fault strikes.
    Fault,
    /// A fault ends.
    Repair(Repair),
    /// All faults end.
    Heal,
    /// Has everything converged?
    LookForConvergence,
}

/// A message on a replication stream.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) from: (BrokerId, u64),
    pub(super) to: (BrokerId, u64),
    pub(super) body: MessageBody,
}

/// The two directions of a stream.
#[derive(Clone, Debug)]
pub(super) enum MessageBody {
    Fetch(FollowerFetch),
    Answer { answer: LeaderAnswer, batches: Vec<Batch> },
}

/// What brokers ask of the controller.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Register(Registration),
    Heartbeat {
        broker: BrokerId,
        broker_epoch: BrokerEpoch,
        applied: usize,
        wants_unfencing: bool,
    },
    AlterIsr(AlterIsr),
    /// Commands whose live set the controller fills in.
    ReplicaLost {
        broker: BrokerId,
        broker_epoch: BrokerEpoch,
        leader_epoch: LeaderEpoch,
    },
    GiveWay {
        broker: BrokerId,
        broker_epoch: BrokerEpoch,
        leader_epoch: LeaderEpoch,
    },
    ControlledShutdown {
        broker: BrokerId,
        broker_epoch: BrokerEpoch,
    },
}

/// A produce request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Produce {
    pub(super) broker: BrokerId,
    pub(super) client: usize,
    pub(super) acks: model::Acks,
    pub(super) payload: u64,
    pub(super) count: i64,
    pub(super) producer: Option<(u64, u64)>,
    /// Sequence of the first batch of the producer's window.
    pub(super) oldest: u64,
    pub(super) attempt: u64,
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub(super) agenda: Agenda<Occurrence>,
    pub(super) random: Random,
    pub(super) settings: Settings,
    pub(super) brokers: BTreeMap<BrokerId, Broker>,
    pub(super) controller: Controller,
    pub(super) network: Network,
    pub(super) clients: Vec<Client>,
    pub(super) checker: Checker,
    pub(super) trace: Trace<Statistics>,
    pub(super) is_healed: bool,
    pub(super) next_incarnation: u64,
    pub(super) next_attempt: u64,
    is_converged: bool,
}

/// More occurrences than any run needs: a run that gets here goes in circles.
const MAX_OCCURRENCES: u64 = 400_000;

impl World {
    pub(super) fn new(seed: u64, trace: Trace<Statistics>) -> Self {
        let mut random = Random::new(seed);
        let settings = Settings::draw(&mut random);
        let brokers = settings
            .brokers
            .iter()
            .map(|id| {
                let disk = Disk::new(u128::from(id.0.unsigned_abs()));
                (*id, Broker { id: *id, disk, process: None, is_compromised: false })
            })
            .collect();
        let checker = Checker::new(!settings.is_durable);
        Self {
            agenda: Agenda::new(),
            random,
            settings,
            brokers,
            controller: Controller::new(SESSION_TIMEOUT),
            network: Network::new(),
            clients: (0..5).map(Client::new).collect(),
            checker,
            trace,
            is_healed: false,
            next_incarnation: 1,
            next_attempt: 1,
            is_converged: false,
        }
    }

    /// Runs from the first registration to convergence.
    pub(super) fn run(&mut self) {
        self.set_up();
        let mut count = 0;
        while let Some((sequence, occurrence)) = self.agenda.next() {
            self.trace.mix(self.agenda.now().0 ^ sequence);
            self.happen(occurrence);
            count += 1;
            self.trace.statistics.occurrences = count;
            assert!(count < MAX_OCCURRENCES, "the run goes in circles");
            if self.is_converged {
                return;
            }
        }
    }

    /// Forms the cluster, with all brokers unfenced and the topic there, and starts everyone.
    fn set_up(&mut self) {
        self.controller.form();
        for id in self.settings.brokers.clone() {
            self.boot(id);
            self.register_at_once(id);
        }
        let min_isr = self.settings.min_isr.to_string();
        let mut configs = BTreeMap::from([("min.insync.replicas".to_owned(), min_isr)]);
        if !self.settings.is_durable {
            configs.insert("flush.messages".to_owned(), i64::MAX.to_string());
        }
        self.controller.create_topic(&self.settings.brokers.clone(), configs);
        self.agenda.after(Duration::from_millis(20), Occurrence::ControllerTick);
        for client in 0..self.clients.len() {
            self.agenda.after(Duration::from_millis(30), Occurrence::ClientTick { client });
        }
        let first_fault = self.random.millis(50, 600);
        self.agenda.after(first_fault, Occurrence::Fault);
        self.agenda.at(self.settings.heal_at, Occurrence::Heal);
    }

    fn happen(&mut self, occurrence: Occurrence) {
        if let Some((broker, incarnation)) = process_of(&occurrence) {
            let Some(process) = self.process(broker).filter(|it| it.incarnation == incarnation)
            else {
                return;
            };
            if process.paused_until > self.agenda.now() {
                self.agenda.at(process.paused_until, occurrence);
                return;
            }
        }
        match occurrence {
            Occurrence::MachineTimer { broker, .. } => self.machine_timer(broker),
            Occurrence::FlushDone { broker, flush, .. } => self.flush_done(broker, flush),
            Occurrence::CutDone { broker, cut, .. } => self.cut_done(broker, cut),
            Occurrence::Message(message) => self.message_arrived(message),
            Occurrence::Pump { broker, .. } => self.pump(broker),
            Occurrence::Connect { follower, leader, .. } => self.connect(follower, leader),
            Occurrence::ImageTick { broker, .. } => self.image_tick(broker),
            Occurrence::Heartbeat { broker, .. } => self.heartbeat(broker),
            Occurrence::Register { broker, .. } => self.send_registration(broker),
            Occurrence::Registered { broker, broker_epoch, .. } => {
                self.registered(broker, broker_epoch);
            }
            Occurrence::Request(request) => self.request_arrived(request),
            Occurrence::ControllerTick => self.controller_tick(),
            Occurrence::Produce(produce) => self.produce_arrived(produce),
            Occurrence::ProduceAnswered { client, payload, attempt, is_ok } => {
                let retry_at = self.agenda.now() + self.random.millis(1, 60);
                self.clients[client].answered(payload, attempt, is_ok, retry_at);
            }
            Occurrence::ClientTick { client } => self.client_tick(client),
            Occurrence::Checkpoint { broker, .. } => self.checkpoint(broker),
            Occurrence::Fault => self.strike(),
            Occurrence::Repair(repair) => self.repair(repair),
            Occurrence::Heal => self.heal(),
            Occurrence::LookForConvergence => self.look_for_convergence(),
        }
    }

    /// Produces and sends what is due.
    fn client_tick(&mut self, client: usize) {
        if !self.is_healed && self.random.percent(70) {
            let count = i64::try_from(self.random.between(1, 4)).expect("it is small");
            self.clients[client].produce(self.agenda.now(), count);
        }
        for index in self.clients[client].due(self.agenda.now()) {
            let attempt = self.next_attempt;
            self.next_attempt += 1;
            let leader = self.known_leader();
            let now = self.agenda.now();
            let sender = &mut self.clients[client];
            let oldest = sender.pending.front().map_or(0, |batch| batch.sequence);
            let batch = &mut sender.pending[index];
            batch.attempt = Some((attempt, now));
            let produce = Produce {
                broker: leader,
                client,
                acks: sender.acks,
                payload: batch.payload,
                count: batch.count,
                producer: sender.is_idempotent.then_some((sender.id, batch.sequence)),
                oldest,
                attempt,
            };
            for at in self.network.send_datagram(now, &mut self.random) {
                self.agenda.at(at, Occurrence::Produce(produce));
            }
        }
        let pause = self.random.millis(2, 40);
        self.agenda.after(pause, Occurrence::ClientTick { client });
    }

    /// Returns whom a client believes to lead.
    fn known_leader(&mut self) -> BrokerId {
        let partition = self.controller.partition;
        let leader = self.controller.image().partition(partition).and_then(|state| state.leader);
        match leader {
            Some(leader) if self.random.percent(90) => leader,
            Some(_) | None => self.random.pick(&self.settings.brokers),
        }
    }

    /// Ends the run once all clients are served and all replicas agree.
    fn look_for_convergence(&mut self) {
        let deadline = self.settings.heal_at + self.settings.patience;
        match self.what_is_missing() {
            None => {
                let log = &self.brokers.values().next().expect("there are brokers").disk.log;
                self.checker.check_final(log);
                self.trace.mix(self.checker.committed_end().0.unsigned_abs());
                self.trace.statistics.committed = self.checker.committed_end().0;
                self.is_converged = true;
            }
            Some(missing) => {
                assert!(self.agenda.now() < deadline, "it did not converge: {missing}");
                self.agenda.after(Duration::from_millis(100), Occurrence::LookForConvergence);
            }
        }
    }

    /// Names the first thing that is not yet as it should be in a healthy cluster at rest.
    fn what_is_missing(&self) -> Option<String> {
        let insistent = |client: &&Client| client.acks == model::Acks::All;
        if let Some(client) =
            self.clients.iter().filter(insistent).find(|client| !client.pending.is_empty())
        {
            return Some(format!("client {} waits for {:?}", client.id, client.pending.front()));
        }
        let image = self.controller.image();
        let state = image.partition(self.controller.partition)?;
        let all = state.isr.len() == self.settings.brokers.len();
        let Some(leader) = state.leader.filter(|_| all) else {
            return Some(format!("leader {:?}, ISR {:?}", state.leader, state.isr));
        };
        let log_of = |broker: BrokerId| &self.brokers[&broker].disk.log;
        let end = log_of(leader).end();
        let start = self.brokers.values().map(|it| it.disk.log.start()).max()?;
        for broker in self.brokers.values() {
            let machine = broker.process.as_ref().and_then(|process| process.machine.as_ref());
            let Some(machine) = machine else {
                return Some(format!("broker {} is not back", broker.id));
            };
            let log = &broker.disk.log;
            let offsets = (log.end(), machine.high_watermark());
            if offsets != (end, end) || (self.settings.is_durable && log.flushed() != end) {
                return Some(format!("broker {} is at {offsets:?} of {end}", broker.id));
            }
            assert!(
                log.read(start).eq(log_of(leader).read(start)),
                "brokers {} and {leader} differ",
                broker.id
            );
        }
        None
    }

    /// Commits a command, and looks at every ISR member.
    pub(super) fn commit(&mut self, command: &Command) {
        self.trace.line(self.agenda.now(), || format!("controller: {}", brief(command)));
        self.controller.apply(command);
        self.check_members();
    }

    /// Checks that each member of the newest ISR holds what was committed.
    pub(super) fn check_members(&mut self) {
        let image = self.controller.image();
        let Some(state) = image.partition(self.controller.partition) else { return };
        for member in &state.isr {
            let broker = &self.brokers[member];
            if !broker.is_compromised {
                self.checker.check_member(*member, &broker.disk.log);
            }
        }
    }

    /// Returns the controller's present offset of a deletion that loses nothing a client still waits for.
    pub(super) fn deletable_below(&self, leader: BrokerId) -> Offset {
        let broker = &self.brokers[&leader];
        let machine = broker.process.as_ref().and_then(|process| process.machine.as_ref());
        let high_watermark = machine.map_or(Offset::ZERO, |machine| machine.high_watermark());
        let waits = |payload: u64| {
            self.clients.iter().any(|it| it.pending.iter().any(|batch| batch.payload == payload))
        };
        let first = broker.disk.log.batches().find(|batch| waits(batch.payload));
        first.map_or(high_watermark, |batch| batch.base_offset.min(high_watermark))
    }
}

/// Names the process that an occurrence belongs to; it is void once that process has ended.
fn process_of(occurrence: &Occurrence) -> Option<(BrokerId, u64)> {
    match occurrence {
        Occurrence::MachineTimer { broker, incarnation }
        | Occurrence::FlushDone { broker, incarnation, .. }
        | Occurrence::CutDone { broker, incarnation, .. }
        | Occurrence::Pump { broker, incarnation }
        | Occurrence::Connect { follower: broker, incarnation, .. }
        | Occurrence::ImageTick { broker, incarnation }
        | Occurrence::Heartbeat { broker, incarnation }
        | Occurrence::Register { broker, incarnation }
        | Occurrence::Registered { broker, incarnation, .. }
        | Occurrence::Checkpoint { broker, incarnation } => Some((*broker, *incarnation)),
        Occurrence::Message(message) => Some(message.to),
        Occurrence::Request(_)
        | Occurrence::ControllerTick
        | Occurrence::Produce(_)
        | Occurrence::ProduceAnswered { .. }
        | Occurrence::ClientTick { .. }
        | Occurrence::Fault
        | Occurrence::Repair(_)
        | Occurrence::Heal
        | Occurrence::LookForConvergence => None,
    }
}

fn brief(command: &Command) -> String {
    match command {
        Command::ProposeIsr(command) => format!("propose isr {:?}", command.proposals),
        Command::FenceBroker(command) => format!("fence {}", command.broker_id),
        Command::UnfenceBroker(command) => format!("unfence {}", command.broker_id),
        Command::ReplicaLost(command) => format!("replica lost on {}", command.broker_id),
        Command::YieldLeadership(command) => format!("{} gives way", command.broker_id),
        Command::ControlledShutdown(command) => format!("{} shuts down", command.broker_id),
        Command::ElectLeaders(command) => format!("elect {:?}", command.election),
        other => format!("{other:?}"),
    }
}
