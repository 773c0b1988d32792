//! A broker's process: boot, registration, images, the machine's steps and actions.

use std::time::Duration;

use model::{Acks, BrokerEpoch, BrokerId, Offset};
use replication::partition::{
    Action, Appended, BatchesRefused, Event, LeaderAnswer, OpenedLog, Options, Partition,
    ProduceWaiter, ReplicaRole, WaiterId,
};

use super::broker::{CutUnderWay, FlushUnderWay, Link, Process, SESSION_TIMEOUT, Waiter};
use super::controller::Registration;
use super::model_log::{Batch, SequenceCheck};
use super::network::Direction;
use super::view::partition_metadata;
use super::world::{Message, MessageBody, Occurrence, Produce, Request, World};

/// Batches per message, and messages per turn of a stream.
const BATCHES_PER_MESSAGE: usize = 4;
const MESSAGES_PER_TURN: usize = 3;

impl World {
    pub(super) fn process(&self, broker: BrokerId) -> Option<&Process> {
        self.brokers[&broker].process.as_ref()
    }

    fn process_mut(&mut self, broker: BrokerId) -> Option<&mut Process> {
        self.brokers.get_mut(&broker)?.process.as_mut()
    }

    fn incarnation(&self, broker: BrokerId) -> u64 {
        self.process(broker).map_or(0, |process| process.incarnation)
    }

    /// Starts a process on what the disk holds.
    pub(super) fn boot(&mut self, id: BrokerId) {
        if self.brokers[&id].process.is_some() {
            return;
        }
        let incarnation = self.next_incarnation;
        self.next_incarnation += 1;
        self.trace.line(self.agenda.now(), || format!("{id} boots"));
        let newest = u64::try_from(self.controller.last_index()).expect("it fits");
        let broker = self.brokers.get_mut(&id).expect("ids are known");
        broker.disk.log.recover(&mut self.random);
        let floor = u64::try_from(broker.disk.applied_floor).expect("it fits");
        let applied = self.random.between(floor.min(newest), newest);
        let applied = usize::try_from(applied).expect("it fits");
        broker.process = Some(Process::new(incarnation, applied));
        self.agenda.after(Duration::ZERO, Occurrence::Register { broker: id, incarnation });
    }

    /// Registers and unfences a broker without any delay: how a run begins.
    pub(super) fn register_at_once(&mut self, id: BrokerId) {
        let registration = self.registration(id);
        let broker_epoch = self.controller.register(&registration).expect("nobody else is there");
        self.registered(id, broker_epoch);
        let applied = self.controller.last_index();
        self.request_arrived(Request::Heartbeat {
            broker: id,
            broker_epoch,
            applied,
            wants_unfencing: true,
        });
    }

    fn registration(&self, id: BrokerId) -> Registration {
        let disk = &self.brokers[&id].disk;
        Registration {
            broker: id,
            incarnation: self.incarnation(id),
            directory_id: disk.directory_id,
            stored_epoch: disk.stored_epoch,
            last_shutdown: disk.last_shutdown,
            has_lost: disk.has_lost(),
        }
    }

    pub(super) fn send_registration(&mut self, id: BrokerId) {
        let is_registered = self.process(id).is_some_and(|it| it.broker_epoch.is_some());
        if is_registered {
            return;
        }
        let registration = self.registration(id);
        self.send_request(id, Request::Register(registration));
        let (pause, incarnation) = (self.random.millis(50, 200), self.incarnation(id));
        self.agenda.after(pause, Occurrence::Register { broker: id, incarnation });
    }

    /// Sends something to the controller, which may get it late, twice or never.
    pub(super) fn send_request(&mut self, from: BrokerId, request: Request) {
        if self.network.cut_from_controller.contains(&from) {
            return;
        }
        for at in self.network.send_datagram(self.agenda.now(), &mut self.random) {
            self.agenda.at(at, Occurrence::Request(request.clone()));
        }
    }

    /// The registration is known: the epoch is stored before anything is appended, cut or unfenced; then the machine begins.
    pub(super) fn registered(&mut self, id: BrokerId, broker_epoch: BrokerEpoch) {
        let replica_lag_time_max = self.settings.lag;
        let Some(broker) = self.brokers.get_mut(&id) else { return };
        let Some(process) = broker.process.as_mut() else { return };
        if process.broker_epoch.is_some() {
            return;
        }
        process.broker_epoch = Some(broker_epoch);
        let disk = &mut broker.disk;
        disk.stored_epoch = Some(broker_epoch);
        disk.last_shutdown = controller::metadata::LastShutdown::Unclean;
        if let Some(offset) = disk.log.corrupt_from {
            disk.log.truncate_to(
                disk.log
                    .batches()
                    .map(Batch::end_offset)
                    .take_while(|end| *end <= offset)
                    .last()
                    .unwrap_or_else(|| disk.log.start()),
            );
            disk.log.corrupt_from = None;
        }
        disk.has_lost_mark = false;
        disk.high_watermark = disk.high_watermark.min(disk.log.end());
        let options = Options {
            broker_id: id,
            broker_epoch,
            replica_lag_time_max,
            broker_session_timeout: SESSION_TIMEOUT,
            first_generation: process.first_generation,
        };
        let opened = OpenedLog {
            log: disk.log.state(),
            high_watermark: Some(disk.high_watermark),
            epochs: disk.log.epochs(),
        };
        process.machine = Some(Partition::new(options, opened));
        let incarnation = process.incarnation;
        self.trace.line(self.agenda.now(), || format!("{id} is registered under {broker_epoch}"));
        self.show_image(id);
        for occurrence in [
            Occurrence::ImageTick { broker: id, incarnation },
            Occurrence::Heartbeat { broker: id, incarnation },
            Occurrence::Checkpoint { broker: id, incarnation },
        ] {
            self.agenda.after(Duration::ZERO, occurrence);
        }
    }

    pub(super) fn heartbeat(&mut self, id: BrokerId) {
        let Some(process) = self.process(id) else { return };
        let Some(broker_epoch) = process.broker_epoch else { return };
        let (incarnation, applied) = (process.incarnation, process.applied);
        let wants_unfencing = !process.is_shutting_down;
        if process.is_shutting_down {
            self.send_request(id, Request::ControlledShutdown { broker: id, broker_epoch });
        }
        self.send_request(
            id,
            Request::Heartbeat { broker: id, broker_epoch, applied, wants_unfencing },
        );
        self.agenda.after(SESSION_TIMEOUT / 4, Occurrence::Heartbeat { broker: id, incarnation });
    }

    /// Takes in newer images, if the controller can be reached; several at once are one change.
    pub(super) fn image_tick(&mut self, id: BrokerId) {
        let newest = u64::try_from(self.controller.last_index()).expect("it fits");
        let reachable = !self.network.cut_from_controller.contains(&id)
            && !self.network.without_images.contains(&id);
        let is_whole = self.random.percent(70);
        let Some(process) = self.process(id) else { return };
        let incarnation = process.incarnation;
        let applied = u64::try_from(process.applied).expect("it fits");
        if reachable && newest > applied {
            let to = if is_whole { newest } else { self.random.between(applied + 1, newest) };
            let to = usize::try_from(to).expect("it fits");
            if let Some(process) = self.process_mut(id) {
                process.applied = to;
            }
            if self.random.percent(50)
                && let Some(broker) = self.brokers.get_mut(&id)
            {
                broker.disk.applied_floor = to;
            }
            self.show_image(id);
        }
        let pause = self.random.micros(500, if self.is_healed { 10_000 } else { 40_000 });
        self.agenda.after(pause, Occurrence::ImageTick { broker: id, incarnation });
    }

    fn show_image(&mut self, id: BrokerId) {
        let Some(process) = self.process(id) else { return };
        let image = &self.controller.images[process.applied];
        let registered = image.broker(id).map(|broker| broker.broker_epoch);
        if registered > process.broker_epoch {
            self.supersede(id);
            return;
        }
        let view = partition_metadata(image, self.controller.partition);
        if view.is_none() || view == process.view {
            return;
        }
        if let Some(process) = self.process_mut(id) {
            process.view.clone_from(&view);
        }
        if let Some(metadata) = view {
            self.step(id, Event::MetadataChanged(metadata));
        }
    }

    /// Steps the machine, does what it asks for, and compares its picture of the log with the log.
    pub(super) fn step(&mut self, id: BrokerId, event: Event) {
        let now = self.agenda.now();
        self.trace.line(now, || format!("{id} <- {event:?}"));
        let Some(machine) = self.process_mut(id).and_then(|it| it.machine.as_mut()) else { return };
        machine.step(now, event);
        self.drain(id);
    }

    pub(super) fn drain(&mut self, id: BrokerId) {
        while let Some(action) = self
            .process_mut(id)
            .and_then(|process| process.machine.as_mut())
            .and_then(Partition::poll_action)
        {
            self.trace.line(self.agenda.now(), || format!("{id} -> {action:?}"));
            self.perform(id, action);
        }
        let Some(broker) = self.brokers.get_mut(&id) else { return };
        let Some(process) = broker.process.as_mut() else { return };
        let Some(machine) = process.machine.as_ref() else { return };
        assert_eq!(machine.log(), broker.disk.log.state(), "the machine's picture of its log");
        if let Some(at) = machine.poll_timeout()
            && process.armed.is_none_or(|armed| at < armed)
        {
            process.armed = Some(at);
            let incarnation = process.incarnation;
            self.agenda.at(at, Occurrence::MachineTimer { broker: id, incarnation });
        }
    }

    pub(super) fn machine_timer(&mut self, id: BrokerId) {
        let now = self.agenda.now();
        let Some(process) = self.process_mut(id) else { return };
        // One that a sooner timer replaced has nothing to say.
        if process.armed.is_some_and(|at| at <= now) {
            process.armed = None;
            self.step(id, Event::TimeoutReached);
        }
    }

    fn perform(&mut self, id: BrokerId, action: Action) {
        let incarnation = self.incarnation(id);
        match action {
            Action::BecomeLeader { leader_epoch, .. } => self.become_leader(id, leader_epoch),
            Action::BecomeFollower { leader, .. } => {
                self.drop_links(id);
                let pause = self.random.micros(0, 3_000);
                self.agenda.after(pause, Occurrence::Connect { follower: id, incarnation, leader });
            }
            Action::BecomeOffline { .. } => self.drop_links(id),
            Action::CompleteProduce { id: waiter, result } => {
                self.complete(id, waiter, result.is_ok());
            }
            Action::AdvanceHighWatermark { high_watermark } => {
                self.high_watermark_moved(id, high_watermark);
            }
            Action::AlterIsr(alter_isr) => {
                self.haunt(id, &alter_isr);
                self.send_request(id, Request::AlterIsr(alter_isr));
            }
            Action::RequestElection { leader_epoch, broker_epoch } => {
                self.send_request(id, Request::GiveWay { broker: id, broker_epoch, leader_epoch });
            }
            Action::DeclareReplicaLost { reason, leader_epoch, broker_epoch } => {
                assert!(
                    matches!(reason, replication::partition::LossReason::Corruption { .. }),
                    "{id} would have to drop what it knows to be committed"
                );
                if let Some(broker) = self.brokers.get_mut(&id) {
                    broker.disk.has_lost_mark = true;
                }
                let request = Request::ReplicaLost { broker: id, broker_epoch, leader_epoch };
                self.send_request(id, request);
            }
            Action::Fetch { leader, fetch } => {
                self.send((id, leader), Direction::ToLeader, MessageBody::Fetch(fetch));
            }
            Action::AnswerFetch { follower, fetch_offset, answer, .. } => {
                self.answer_fetch(id, follower, fetch_offset, answer);
            }
            Action::Truncate { offset, high_watermark } => {
                self.begin_cut(id, high_watermark, CutUnderWay::Truncate(offset));
            }
            Action::RestartAt { offset } => {
                self.begin_cut(id, Offset::ZERO, CutUnderWay::Restart(offset));
            }
            Action::AdvanceLogStart { offset } => {
                if let Some(broker) = self.brokers.get_mut(&id) {
                    broker.disk.log.advance_start(offset);
                }
                self.step(id, Event::LogStartMoved { log_start_offset: offset });
            }
        }
    }

    fn become_leader(&mut self, id: BrokerId, leader_epoch: model::LeaderEpoch) {
        self.drop_links(id);
        self.trace.statistics.elections += 1;
        let incarnation = self.incarnation(id);
        let partition = self.controller.partition;
        let newest = self.controller.image().partition(partition).map(|it| it.leader_epoch);
        let Some(broker) = self.brokers.get_mut(&id) else { return };
        broker.disk.log.assign_epoch(leader_epoch);
        let newest = newest.unwrap_or_default();
        self.checker.leads((id, incarnation), leader_epoch, newest, &broker.disk.log);
    }

    fn drop_links(&mut self, id: BrokerId) {
        if let Some(process) = self.process_mut(id) {
            process.links.clear();
        }
    }

    fn complete(&mut self, id: BrokerId, waiter: WaiterId, is_ok: bool) {
        let Some(process) = self.process_mut(id) else { return };
        let waiter = process.waiters.remove(&waiter).expect("each waiter is completed once");
        let acks = self.clients[waiter.client].acks;
        if is_ok && acks == Acks::All {
            self.checker.acknowledge_all(waiter.payload, waiter.end_offset);
            self.trace.statistics.acknowledged += 1;
        }
        self.answer_client(waiter.client, waiter.payload, waiter.attempt, is_ok);
    }

    fn answer_client(&mut self, client: usize, payload: u64, attempt: u64, is_ok: bool) {
        for at in self.network.send_datagram(self.agenda.now(), &mut self.random) {
            let answer = Occurrence::ProduceAnswered { client, payload, attempt, is_ok };
            self.agenda.at(at, answer);
        }
    }

    fn high_watermark_moved(&mut self, id: BrokerId, to: Offset) {
        let Some(broker) = self.brokers.get(&id) else { return };
        let machine = broker.process.as_ref().and_then(|process| process.machine.as_ref());
        let Some(machine) = machine else { return };
        let is_leader = matches!(machine.role(), ReplicaRole::Leader(_));
        self.checker.high_watermark_moved(id, is_leader, to, &broker.disk.log);
        self.check_members();
        if is_leader {
            self.pump(id);
        }
    }

    fn begin_cut(&mut self, id: BrokerId, high_watermark: Offset, cut: CutUnderWay) {
        self.trace.statistics.cuts += 1;
        let incarnation = self.incarnation(id);
        if let Some(broker) = self.brokers.get_mut(&id) {
            broker.disk.high_watermark = broker.disk.high_watermark.min(high_watermark);
        }
        let pause = self.random.micros(100, 20_000);
        self.agenda.after(pause, Occurrence::CutDone { broker: id, incarnation, cut });
    }

    pub(super) fn cut_done(&mut self, id: BrokerId, cut: CutUnderWay) {
        let Some(broker) = self.brokers.get_mut(&id) else { return };
        match cut {
            CutUnderWay::Truncate(offset) => broker.disk.log.truncate_to(offset),
            CutUnderWay::Restart(offset) => broker.disk.log.restart_at(offset),
        }
        broker.disk.has_lost_mark = false;
        let state = broker.disk.log.state();
        self.step(id, Event::Truncated(state));
        self.begin_flush(id);
    }

    /// Starts a flush of what is appended, if none is under way.
    pub(super) fn begin_flush(&mut self, id: BrokerId) {
        let mut delay = self.random.micros(100, 2_000);
        let now = self.agenda.now();
        let Some(broker) = self.brokers.get_mut(&id) else { return };
        let Some(process) = broker.process.as_mut() else { return };
        let state = broker.disk.log.state();
        if process.is_flushing || state.flushed_offset == state.log_end_offset {
            return;
        }
        if !process.flushes_each_message() {
            delay += Duration::from_millis(300);
        }
        process.is_flushing = true;
        let incarnation = process.incarnation;
        let flush =
            FlushUnderWay { end: state.log_end_offset, generation: state.truncation_generation };
        let at = (now + delay).max(broker.disk.slow_until);
        self.agenda.at(at, Occurrence::FlushDone { broker: id, incarnation, flush });
    }

    pub(super) fn flush_done(&mut self, id: BrokerId, flush: FlushUnderWay) {
        let Some(broker) = self.brokers.get_mut(&id) else { return };
        if let Some(process) = broker.process.as_mut() {
            process.is_flushing = false;
        }
        broker.disk.log.complete_flush(flush.end, flush.generation);
        let (offset, truncation_generation) = (flush.end, flush.generation);
        self.step(id, Event::Flushed { offset, truncation_generation });
        self.begin_flush(id);
    }

    pub(super) fn checkpoint(&mut self, id: BrokerId) {
        let Some(broker) = self.brokers.get_mut(&id) else { return };
        let Some(process) = broker.process.as_ref() else { return };
        let incarnation = process.incarnation;
        if let Some(machine) = process.machine.as_ref() {
            let log = machine.log();
            broker.disk.high_watermark = machine.high_watermark().min(log.flushed_offset);
        }
        let pause = self.random.millis(50, 1500);
        self.agenda.after(pause, Occurrence::Checkpoint { broker: id, incarnation });
    }

    pub(super) fn connect(&mut self, follower: BrokerId, leader: BrokerId) {
        let incarnation = self.incarnation(follower);
        let role = self.process(follower).and_then(|it| it.machine.as_ref()).map(Partition::role);
        let wants = matches!(role, Some(ReplicaRole::Follower(other, _)) if other == leader);
        if !wants {
            return;
        }
        let leader_incarnation = self.process(leader).map(|process| process.incarnation);
        let is_open = self.network.streams.get(&(follower, leader)).is_some_and(|stream| {
            stream.follower_incarnation == incarnation
                && Some(stream.leader_incarnation) == leader_incarnation
        });
        let is_cut = self.network.cut.contains(&(follower, leader));
        if let (Some(leader_incarnation), false, false) = (leader_incarnation, is_open, is_cut) {
            self.network.connect((follower, incarnation), (leader, leader_incarnation));
            self.step(follower, Event::StreamOpened { leader });
        }
        // Looks again from time to time: how a broken stream is noticed.
        let pause = self.random.millis(5, 60);
        self.agenda.after(pause, Occurrence::Connect { follower, incarnation, leader });
    }

    fn send(&mut self, stream: (BrokerId, BrokerId), direction: Direction, body: MessageBody) {
        let (now, random) = (self.agenda.now(), &mut self.random);
        let Some(connection) = self.network.streams.get(&stream).copied() else { return };
        let Some(arrivals) = self.network.send(now, stream, direction, random) else { return };
        let follower = (stream.0, connection.follower_incarnation);
        let leader = (stream.1, connection.leader_incarnation);
        let (from, to) = match direction {
            Direction::ToLeader => (follower, leader),
            Direction::ToFollower => (leader, follower),
        };
        for at in arrivals {
            let message = Message { from, to, body: body.clone() };
            self.agenda.at(at, Occurrence::Message(message));
        }
    }

    fn answer_fetch(
        &mut self,
        id: BrokerId,
        follower: BrokerId,
        fetch_offset: Offset,
        answer: LeaderAnswer,
    ) {
        let Some(process) = self.process_mut(id) else { return };
        if let replication::partition::AnswerBody::Progress { high_watermark, .. } = answer.body {
            let link = Link { answer, next: fetch_offset, sent_high_watermark: high_watermark };
            process.links.insert(follower, link);
        } else {
            process.links.remove(&follower);
        }
        let body = MessageBody::Answer { answer, batches: Vec::new() };
        self.send((follower, id), Direction::ToFollower, body);
        self.pump(id);
    }

    /// Sends every follower what it lacks: batches a few at a time, else a new high watermark.
    pub(super) fn pump(&mut self, id: BrokerId) {
        let Some(process) = self.process(id) else { return };
        let incarnation = process.incarnation;
        for follower in process.links.keys().copied().collect::<Vec<_>>() {
            for _ in 0..MESSAGES_PER_TURN {
                let Some(body) = self.next_message(id, follower) else { break };
                self.send((follower, id), Direction::ToFollower, body);
            }
        }
        let end = self.brokers[&id].disk.log.end();
        if self.process(id).is_some_and(|it| it.links.values().any(|link| link.next < end)) {
            self.agenda
                .after(Duration::from_millis(1), Occurrence::Pump { broker: id, incarnation });
        }
    }

    fn next_message(&mut self, id: BrokerId, follower: BrokerId) -> Option<MessageBody> {
        let broker = self.brokers.get_mut(&id)?;
        let process = broker.process.as_mut()?;
        let machine = process.machine.as_ref()?;
        let link = process.links.get_mut(&follower)?;
        let log = &broker.disk.log;
        if link.next < log.start() {
            return None;
        }
        let batches: Vec<Batch> = log.read(link.next).take(BATCHES_PER_MESSAGE).copied().collect();
        if batches.is_empty() && machine.high_watermark() == link.sent_high_watermark {
            return None;
        }
        link.next = batches.last().map_or(link.next, Batch::end_offset);
        link.sent_high_watermark = machine.high_watermark();
        let answer = LeaderAnswer { body: machine.progress(), ..link.answer };
        Some(MessageBody::Answer { answer, batches })
    }

    pub(super) fn message_arrived(&mut self, message: Message) {
        let (from, to) = (message.from.0, message.to.0);
        match message.body {
            MessageBody::Fetch(fetch) => {
                self.step(to, Event::FollowerFetched { follower: from, fetch });
            }
            MessageBody::Answer { answer, batches } => self.take_answer(to, from, answer, &batches),
        }
    }

    fn take_answer(
        &mut self,
        id: BrokerId,
        leader: BrokerId,
        answer: LeaderAnswer,
        batches: &[Batch],
    ) {
        if let Some(first) = batches.first() {
            let Some(machine) = self.process(id).and_then(|process| process.machine.as_ref())
            else {
                return;
            };
            let (leader_epoch, generation) = (answer.leader_epoch, answer.generation);
            match machine.admit_batches(leader, leader_epoch, generation, first.base_offset) {
                Ok(()) => {}
                Err(BatchesRefused::Stale) => return,
                Err(BatchesRefused::NotContiguous { .. }) => {
                    self.step(id, Event::FetchFailed { leader_epoch, generation });
                    return;
                }
            }
            for batch in batches {
                self.append(id, *batch);
            }
            self.begin_flush(id);
        }
        self.step(id, Event::LeaderAnswered { leader, answer });
    }

    fn append(&mut self, id: BrokerId, batch: Batch) {
        let Some(broker) = self.brokers.get_mut(&id) else { return };
        broker.disk.log.append(batch);
        let state = broker.disk.log.state();
        self.step(
            id,
            Event::Appended(Appended {
                log_end_offset: state.log_end_offset,
                leader_epoch: batch.leader_epoch,
                truncation_generation: state.truncation_generation,
            }),
        );
    }

    /// One synchronous pass: admission, append, waiter.
    pub(super) fn produce_arrived(&mut self, produce: Produce) {
        let id = produce.broker;
        let now = self.agenda.now();
        let paused = self.process(id).map(|process| process.paused_until);
        if let Some(at) = paused.filter(|at| *at > now) {
            self.agenda.at(at, Occurrence::Produce(produce));
            return;
        }
        let Some(machine) = self.process(id).and_then(|process| process.machine.as_ref()) else {
            return;
        };
        let Ok(leader_epoch) = machine.admit_produce(now, produce.acks) else {
            self.answer_client(produce.client, produce.payload, produce.attempt, false);
            return;
        };
        let disk = &self.brokers[&id].disk;
        let end_offset = match disk.log.check_sequence(produce.producer, produce.oldest) {
            SequenceCheck::New if disk.full_until > now => {
                self.answer_client(produce.client, produce.payload, produce.attempt, false);
                self.step(id, Event::AppendFailed);
                return;
            }
            SequenceCheck::New => {
                let batch = Batch {
                    base_offset: disk.log.end(),
                    count: produce.count,
                    leader_epoch,
                    payload: produce.payload,
                    producer: produce.producer,
                };
                self.append(id, batch);
                batch.end_offset()
            }
            SequenceCheck::Duplicate(end_offset) => end_offset,
            SequenceCheck::OutOfOrder => {
                self.answer_client(produce.client, produce.payload, produce.attempt, false);
                return;
            }
        };
        self.wait(&produce, leader_epoch, end_offset);
        self.begin_flush(id);
        self.pump(id);
    }

    fn wait(&mut self, produce: &Produce, leader_epoch: model::LeaderEpoch, end_offset: Offset) {
        let id = produce.broker;
        let deadline = self.agenda.now() + super::client::REQUEST_TIMEOUT;
        let Some(process) = self.process_mut(id) else { return };
        let waiter = WaiterId(process.next_waiter);
        process.next_waiter += 1;
        let Produce { client, payload, attempt, acks, .. } = *produce;
        process.waiters.insert(waiter, Waiter { client, payload, attempt, end_offset });
        let waiter = ProduceWaiter { id: waiter, acks, end_offset, leader_epoch, deadline };
        self.step(id, Event::Produced(waiter));
    }
}
