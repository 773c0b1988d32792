//! What goes wrong, and when it ends.

use std::time::Duration;

use controller::metadata::{Durability, LastShutdown};
use model::{BrokerId, DirectoryId, Offset};
use replication::partition::{AlterIsr, Event, ReplicaRole};

use super::broker::Disk;
use super::model_log::Batch;
use super::world::{Occurrence, World};

/// The end of a fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Repair {
    /// A broker that is down starts again.
    Boot(BrokerId),
    /// Two brokers reach one another again.
    Mend(BrokerId, BrokerId),
    /// A broker reaches the controller again.
    MendController(BrokerId),
    /// A broker gets images again.
    ResumeImages(BrokerId),
    /// A controlled shutdown is over: the process ends, cleanly if it is still there.
    Stop(BrokerId, u64),
    /// The network is fast and faithful again.
    CalmNetwork,
}

impl World {
    /// Does one harmful thing, and plans the next.
    pub(super) fn strike(&mut self) {
        if self.is_healed {
            return;
        }
        let victim = self.victim();
        match self.random.below(100) {
            0..12 => self.kill(victim, Crash::Process),
            12..24 => self.kill(victim, Crash::Power),
            24..27 => self.kill_all(),
            27..36 => self.cut_pair(victim),
            36..42 => self.isolate(victim),
            42..48 => self.cut_from_controller(victim),
            48..55 => self.slow_disk(victim),
            55..60 => self.fail_controller(),
            60..66 => self.corrupt(victim),
            66..70 => self.wipe(victim),
            70..75 => self.shut_down(victim),
            75..80 => self.network.break_streams_of(victim),
            80..86 => self.pause(victim),
            86..88 => self.fill_disk(victim),
            88..91 => self.delete_records(),
            91..94 => self.disturb_network(),
            94..97 => self.hold_images(victim),
            97..98 => self.elect_preferred(),
            98 => self.change_min_isr(),
            _ => self.change_flush_policy(),
        }
        let pause = self.random.millis(1, self.settings.fault_pause * 2);
        self.agenda.after(pause, Occurrence::Fault);
    }

    /// Returns the leader half of the time, else anyone.
    fn victim(&mut self) -> BrokerId {
        let partition = self.controller.partition;
        let leader = self.controller.image().partition(partition).and_then(|state| state.leader);
        match leader {
            Some(leader) if self.random.percent(50) => leader,
            Some(_) | None => self.random.pick(&self.settings.brokers),
        }
    }

    fn repair_after(&mut self, low: u64, high: u64, repair: Repair) {
        let pause = self.random.millis(low, high);
        self.agenda.after(pause, Occurrence::Repair(repair));
    }

    pub(super) fn repair(&mut self, repair: Repair) {
        match repair {
            Repair::Boot(broker) => self.boot(broker),
            Repair::Mend(one, other) => self.network.mend(one, other),
            Repair::MendController(broker) => {
                self.network.cut_from_controller.remove(&broker);
            }
            Repair::ResumeImages(broker) => {
                self.network.without_images.remove(&broker);
            }
            Repair::Stop(broker, incarnation) => self.stop(broker, incarnation),
            Repair::CalmNetwork => {
                self.network.latency_micros = 1_000;
                self.network.loss = 0;
                self.network.duplication = 0;
                self.network.reordering = 0;
            }
        }
    }

    fn kill(&mut self, id: BrokerId, crash: Crash) {
        if self.brokers[&id].process.is_none() {
            return;
        }
        self.end_process(id, crash);
        let most = if self.is_healed { 30 } else { 1500 };
        self.repair_after(20, most, Repair::Boot(id));
    }

    /// Ends a process, and the bytes that only its machine's memory held.
    fn end_process(&mut self, id: BrokerId, crash: Crash) {
        self.trace.statistics.crashes += 1;
        self.trace.line(self.agenda.now(), || format!("{id} ends by {crash:?}"));
        self.network.break_streams_of(id);
        let Some(broker) = self.brokers.get_mut(&id) else { return };
        broker.process = None;
        // A partition that counts the page cache is promised nothing over a power loss.
        if crash == Crash::Power && self.settings.is_durable {
            broker.disk.log.lose_power(&mut self.random);
        }
        if crash == Crash::Clean {
            broker.disk.log.complete_flush(
                broker.disk.log.end(),
                broker.disk.log.state().truncation_generation,
            );
            broker.disk.last_shutdown = LastShutdown::Clean;
        }
    }

    /// Another registration took the broker's place: the process stops, and is started again.
    pub(super) fn supersede(&mut self, id: BrokerId) {
        self.kill(id, Crash::Process);
    }

    fn kill_all(&mut self) {
        for id in self.settings.brokers.clone() {
            self.kill(id, Crash::Power);
        }
    }

    fn cut_pair(&mut self, one: BrokerId) {
        let other = self.random.pick(&self.settings.brokers);
        if other != one {
            self.trace.line(self.agenda.now(), || format!("{one} and {other} are cut"));
            self.network.cut(one, other);
            self.repair_after(50, 1500, Repair::Mend(one, other));
        }
    }

    fn isolate(&mut self, one: BrokerId) {
        self.trace.line(self.agenda.now(), || format!("{one} is isolated"));
        for other in self.settings.brokers.clone() {
            if other != one {
                self.network.cut(one, other);
                self.repair_after(50, 1500, Repair::Mend(one, other));
            }
        }
        self.cut_from_controller(one);
    }

    fn cut_from_controller(&mut self, id: BrokerId) {
        self.trace.line(self.agenda.now(), || format!("{id} is cut from the controller"));
        self.network.cut_from_controller.insert(id);
        self.repair_after(50, 1500, Repair::MendController(id));
    }

    /// The broker applies the metadata log late, while what it asks still reaches the controller.
    fn hold_images(&mut self, id: BrokerId) {
        self.trace.line(self.agenda.now(), || format!("{id} gets no images"));
        self.network.without_images.insert(id);
        self.repair_after(50, 2000, Repair::ResumeImages(id));
    }

    fn slow_disk(&mut self, id: BrokerId) {
        let until = self.agenda.now() + self.random.millis(50, 2500);
        self.trace.line(self.agenda.now(), || format!("{id}'s disk hangs until {until}"));
        if let Some(broker) = self.brokers.get_mut(&id) {
            broker.disk.slow_until = until;
        }
    }

    fn fill_disk(&mut self, id: BrokerId) {
        let until = self.agenda.now() + self.random.millis(50, 1000);
        if let Some(broker) = self.brokers.get_mut(&id) {
            broker.disk.full_until = until;
        }
    }

    fn pause(&mut self, id: BrokerId) {
        let until = self.agenda.now() + self.random.millis(50, 1200);
        if let Some(process) = self.brokers.get_mut(&id).and_then(|it| it.process.as_mut()) {
            process.paused_until = until;
        }
    }

    /// Says whether one more disk may be lost: someone in the ISR still has everything, and no other loss is pending. With
    /// `min.insync.replicas=1` or a lossy topic nothing is promised.
    fn may_lose(&self, id: BrokerId) -> bool {
        let image = self.controller.image();
        let Some(state) = image.partition(self.controller.partition) else { return false };
        let is_free = self.brokers.values().all(|broker| !broker.is_compromised);
        let others = state.isr.iter().filter(|member| **member != id).count();
        let floor = image.effective_min_isr(self.controller.partition);
        is_free && self.settings.is_durable && floor >= 2 && others >= 1
    }

    /// Flips a bit below the flushed offset of a running replica; it is found at once, and half of the time the leader dies soon after.
    fn corrupt(&mut self, id: BrokerId) {
        if !self.may_lose(id) || self.has_corruption(id) {
            return;
        }
        let Some(broker) = self.brokers.get_mut(&id) else { return };
        let flushed = broker.disk.log.flushed();
        let bases: Vec<Offset> = broker
            .disk
            .log
            .batches()
            .filter(|batch| batch.end_offset() <= flushed)
            .map(|batch| batch.base_offset)
            .collect();
        let is_running = broker.process.as_ref().is_some_and(|process| process.machine.is_some());
        if bases.is_empty() || !is_running {
            return;
        }
        let offset = self.random.pick(&bases[bases.len().saturating_sub(12)..]);
        let offset = offset.max(broker.disk.log.start());
        broker.disk.log.corrupt_from = Some(offset);
        broker.is_compromised = true;
        self.trace.statistics.losses += 1;
        self.trace.line(self.agenda.now(), || format!("{id} is corrupt from {offset}"));
        self.step(id, Event::CorruptionFound { offset });
        let leader = self
            .controller
            .image()
            .partition(self.controller.partition)
            .and_then(|state| state.leader);
        if let Some(leader) = leader.filter(|leader| *leader != id)
            && self.random.percent(50)
        {
            self.kill(leader, Crash::Process);
        }
    }

    fn has_corruption(&self, id: BrokerId) -> bool {
        let disk = &self.brokers[&id].disk;
        disk.log.corrupt_from.is_some() || disk.has_lost_mark
    }

    /// The disk is gone; the broker comes back with an empty one.
    fn wipe(&mut self, id: BrokerId) {
        if !self.may_lose(id) {
            return;
        }
        self.trace.statistics.losses += 1;
        if self.brokers[&id].process.is_some() {
            self.end_process(id, Crash::Power);
        }
        let directory = (u128::from(self.next_incarnation) << 64) + 1;
        self.next_incarnation += 1;
        let Some(broker) = self.brokers.get_mut(&id) else { return };
        let applied_floor = 0;
        broker.disk = Disk { applied_floor, ..Disk::new(directory) };
        debug_assert_ne!(broker.disk.directory_id, DirectoryId::default());
        broker.is_compromised = true;
        let most = if self.random.percent(50) { 40 } else { 1500 };
        self.repair_after(20, most, Repair::Boot(id));
    }

    /// Strikes around an ISR proposal: the moments in which leader, controller and joiner know different things are short, and worth a fault of their own.
    pub(super) fn haunt(&mut self, leader: BrokerId, proposal: &AlterIsr) {
        if self.is_healed || !self.random.percent(6) {
            return;
        }
        let committed = self
            .process(leader)
            .and_then(|process| process.machine.as_ref()?.metadata())
            .map(|metadata| metadata.isr.clone())
            .unwrap_or_default();
        let members = proposal.new_isr.iter().map(|(member, _)| *member);
        let joiner = members.into_iter().find(|member| !committed.contains(member));
        match (joiner, self.random.below(4)) {
            (Some(joiner), 0) => {
                self.hold_images(leader);
                self.network.cut(leader, joiner);
                self.repair_after(300, 2000, Repair::Mend(leader, joiner));
            }
            (Some(joiner), 1) => {
                self.cut_briefly(leader);
                if self.brokers[&joiner].process.is_some() {
                    self.end_process(joiner, Crash::Process);
                    self.repair_after(5, 40, Repair::Boot(joiner));
                }
            }
            (Some(joiner), 2) => {
                self.cut_briefly(leader);
                self.wipe(joiner);
            }
            (Some(_) | None, _) => self.hold_images(leader),
        }
    }

    /// Cuts a broker from the controller for less than a session.
    fn cut_briefly(&mut self, id: BrokerId) {
        self.network.cut_from_controller.insert(id);
        self.repair_after(40, 280, Repair::MendController(id));
    }

    fn shut_down(&mut self, id: BrokerId) {
        let Some(process) = self.brokers.get_mut(&id).and_then(|it| it.process.as_mut()) else {
            return;
        };
        process.is_shutting_down = true;
        let incarnation = process.incarnation;
        self.repair_after(50, 800, Repair::Stop(id, incarnation));
    }

    fn stop(&mut self, id: BrokerId, incarnation: u64) {
        let is_there = self.process(id).is_some_and(|process| process.incarnation == incarnation);
        if is_there {
            self.end_process(id, Crash::Clean);
            self.repair_after(20, 1000, Repair::Boot(id));
        }
    }

    /// DeleteRecords at the leader, up to its high watermark at most.
    fn delete_records(&mut self) {
        let leaders: Vec<BrokerId> = self
            .brokers
            .values()
            .filter(|broker| {
                let machine = broker.process.as_ref().and_then(|it| it.machine.as_ref());
                machine.is_some_and(|it| matches!(it.role(), ReplicaRole::Leader(_)))
            })
            .map(|broker| broker.id)
            .collect();
        let Some(leader) = leaders.first().copied() else { return };
        let most = self.deletable_below(leader);
        let Some(broker) = self.brokers.get_mut(&leader) else { return };
        let log = &mut broker.disk.log;
        let ends: Vec<Offset> = log
            .batches()
            .map(Batch::end_offset)
            .filter(|end| *end <= most && *end > log.start())
            .collect();
        if ends.is_empty() {
            return;
        }
        let offset = self.random.pick(&ends);
        log.advance_start(offset);
        self.checker.deleted_below = self.checker.deleted_below.max(offset);
        self.trace.line(self.agenda.now(), || format!("{leader} deletes below {offset}"));
        self.step(leader, Event::LogStartMoved { log_start_offset: offset });
    }

    fn disturb_network(&mut self) {
        self.network.latency_micros = self.random.between(1_000, 60_000);
        self.network.loss = self.random.between(0, 2_000);
        self.network.duplication = self.random.between(0, 5_000);
        self.network.reordering = self.random.between(0, 5_000);
        self.repair_after(100, 2000, Repair::CalmNetwork);
    }

    /// The topic's `min.insync.replicas` changes, within what its promises allow.
    fn change_min_isr(&mut self) {
        if self.settings.min_isr >= 2 && self.controller.down_until.is_none() {
            let most = u64::try_from(self.settings.brokers.len()).expect("it is small");
            let count = usize::try_from(self.random.between(2, most)).expect("it is small");
            self.controller.set_config("min.insync.replicas", &count.to_string());
            self.check_members();
        }
    }

    /// The topic leaves `flush.messages=1`, or goes back to it; either way the partition is lossy from the first time on.
    fn change_flush_policy(&mut self) {
        let all_are_well = self.brokers.values().all(|broker| {
            let is_running = broker.process.as_ref().is_some_and(|it| it.machine.is_some());
            is_running && !broker.is_compromised && !broker.disk.has_lost()
        });
        if self.controller.down_until.is_some() || !all_are_well {
            return;
        }
        // A lossy partition is promised nothing over a power loss, and nothing over a lost disk.
        self.settings.is_durable = false;
        self.checker.count_page_cache();
        let is_flushed = self.random.percent(50) && !self.is_durable_in_image();
        let messages = if is_flushed { 1 } else { i64::MAX };
        self.trace.line(self.agenda.now(), || format!("flush.messages={messages}"));
        self.controller.set_config("flush.messages", &messages.to_string());
        self.check_members();
    }

    fn is_durable_in_image(&self) -> bool {
        let state = self.controller.image().partition(self.controller.partition);
        state.is_some_and(|state| state.durability == Durability::Durable)
    }

    /// Ends all faults: what follows must converge.
    pub(super) fn heal(&mut self) {
        self.trace.line(self.agenda.now(), || "all faults end".to_owned());
        self.is_healed = true;
        self.network.heal();
        let now = self.agenda.now();
        for id in self.settings.brokers.clone() {
            if let Some(broker) = self.brokers.get_mut(&id) {
                broker.disk.slow_until = now;
                broker.disk.full_until = now;
                if let Some(process) = broker.process.as_mut() {
                    process.paused_until = now;
                    process.is_shutting_down = false;
                }
            }
            self.boot(id);
        }
        if self.settings.min_isr >= 2 {
            self.controller.set_config("min.insync.replicas", "2");
        }
        for client in &mut self.clients {
            client.produce(now, 1);
        }
        self.agenda.after(Duration::from_millis(100), Occurrence::LookForConvergence);
    }
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    /// The page cache stays.
    Process,
    /// What was not flushed may be gone.
    Power,
    /// Everything was flushed, and the clean-shutdown mark written.
    Clean,
}
