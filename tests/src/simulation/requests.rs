//! The controller at work: requests become commands, silence becomes a fence, a partition without a leader is looked at again.

use std::time::Duration;

use controller::metadata::{
    Command, ControlledShutdown, ElectLeaders, Election, FenceBroker, IsrMember, IsrProposal,
    ProposeIsr, ReplicaLost, UnfenceBroker, YieldLeadership,
};
use model::{BrokerEpoch, BrokerId};
use replication::partition::AlterIsr;

use super::controller::{BrokerSession, Registration};
use super::world::{Occurrence, Request, World};

impl World {
    pub(super) fn request_arrived(&mut self, request: Request) {
        if self.controller.down_until.is_some() {
            return;
        }
        let partition = self.controller.partition;
        match request {
            Request::Register(registration) => self.register(&registration),
            Request::Heartbeat { broker, broker_epoch, applied, wants_unfencing } => {
                self.heartbeat_arrived(broker, broker_epoch, applied, wants_unfencing);
            }
            Request::AlterIsr(alter_isr) => self.propose_isr(&alter_isr),
            Request::ReplicaLost { broker, broker_epoch, leader_epoch } => {
                let live = self.controller.live();
                let partitions = vec![(partition, leader_epoch)];
                let command = ReplicaLost { broker_id: broker, broker_epoch, partitions, live };
                let image = self.controller.image();
                let present = image.partition(partition).map(|state| state.leader_epoch);
                if image.is_current(broker, broker_epoch) && present == Some(leader_epoch) {
                    // From here on the metadata knows: whatever it still counts on must be there.
                    self.forgive(broker);
                }
                self.commit(&Command::ReplicaLost(command));
            }
            Request::GiveWay { broker, broker_epoch, leader_epoch } => {
                let live = self.controller.live();
                let partitions = vec![(partition, leader_epoch)];
                let command = YieldLeadership { broker_id: broker, broker_epoch, partitions, live };
                self.commit(&Command::YieldLeadership(command));
            }
            Request::ControlledShutdown { broker, broker_epoch } => {
                let live = self.controller.live();
                let command = ControlledShutdown { broker_id: broker, broker_epoch, live };
                self.commit(&Command::ControlledShutdown(command));
            }
        }
    }

    fn forgive(&mut self, broker: BrokerId) {
        if let Some(broker) = self.brokers.get_mut(&broker) {
            broker.is_compromised = false;
        }
    }

    fn register(&mut self, registration: &Registration) {
        let id = registration.broker;
        let incarnation = registration.incarnation;
        let Some(broker_epoch) = self.controller.register(registration) else { return };
        self.trace.line(self.agenda.now(), || {
            format!("controller: {id} is registered: {registration:?}")
        });
        let expires_at = self.agenda.now() + self.controller.session_timeout;
        let session = BrokerSession { broker_epoch, is_heard: true, expires_at };
        self.controller.sessions.insert(id, session);
        let is_present = self.process(id).is_some_and(|it| it.incarnation == incarnation);
        if is_present {
            self.forgive(id);
        }
        self.check_members();
        for at in self.network.send_datagram(self.agenda.now(), &mut self.random) {
            self.agenda.at(at, Occurrence::Registered { broker: id, incarnation, broker_epoch });
        }
    }

    fn heartbeat_arrived(
        &mut self,
        broker_id: BrokerId,
        broker_epoch: BrokerEpoch,
        applied: usize,
        wants_unfencing: bool,
    ) {
        if !self.controller.image().is_current(broker_id, broker_epoch) {
            return;
        }
        let expires_at = self.agenda.now() + self.controller.session_timeout;
        let session = BrokerSession { broker_epoch, is_heard: true, expires_at };
        self.controller.sessions.insert(broker_id, session);
        let is_fenced = !self.controller.image().is_unfenced(broker_id);
        let has_applied = i64::try_from(applied).is_ok_and(|applied| applied >= broker_epoch.0);
        if is_fenced && has_applied && wants_unfencing {
            let live = self.controller.live();
            self.commit(&Command::UnfenceBroker(UnfenceBroker { broker_id, broker_epoch, live }));
        }
    }

    fn propose_isr(&mut self, alter_isr: &AlterIsr) {
        let member = |member: &(BrokerId, BrokerEpoch)| IsrMember {
            broker_id: member.0,
            broker_epoch: member.1,
        };
        let proposal = IsrProposal {
            partition: self.controller.partition,
            leader_epoch: alter_isr.leader_epoch,
            partition_epoch: alter_isr.partition_epoch,
            isr: alter_isr.new_isr.iter().map(member).collect(),
        };
        self.trace.statistics.proposals += 1;
        self.commit(&Command::ProposeIsr(ProposeIsr {
            broker_id: alter_isr.leader,
            broker_epoch: alter_isr.broker_epoch,
            proposals: vec![proposal],
        }));
    }

    /// Fences who is silent, and looks again at a partition without a leader.
    pub(super) fn controller_tick(&mut self) {
        match self.controller.down_until {
            Some(until) if until > self.agenda.now() => {}
            Some(_) => self.controller.restart_sessions(self.agenda.now()),
            None => {
                self.fence_silent_brokers();
                self.elect();
            }
        }
        let pause = self.random.millis(10, 40);
        self.agenda.after(pause, Occurrence::ControllerTick);
    }

    fn fence_silent_brokers(&mut self) {
        let now = self.agenda.now();
        let silent: Vec<_> = self
            .controller
            .sessions
            .iter()
            .filter(|(_, session)| session.expires_at <= now)
            .map(|(broker, session)| (*broker, session.broker_epoch))
            .collect();
        for (broker_id, broker_epoch) in silent {
            self.controller.sessions.remove(&broker_id);
            let Some(broker) = self.controller.image().broker(broker_id) else { continue };
            if !broker.is_fenced() {
                let fence_count = broker.fence_count;
                let live = self.controller.live();
                let command = FenceBroker { broker_id, broker_epoch, fence_count, live };
                self.commit(&Command::FenceBroker(command));
            }
        }
    }

    fn elect(&mut self) {
        let live = self.controller.live();
        if !self.controller.image().electable_partitions(&live).is_empty() {
            let election = Election::Available;
            self.commit(&Command::ElectLeaders(ElectLeaders { election, partitions: None, live }));
        }
    }

    /// Moves leadership to the preferred replica, where it may lead.
    pub(super) fn elect_preferred(&mut self) {
        if self.controller.down_until.is_none() {
            let (election, live) = (Election::Preferred, self.controller.live());
            self.commit(&Command::ElectLeaders(ElectLeaders { election, partitions: None, live }));
        }
    }

    /// The active controller dies; another is elected a while later and knows nobody.
    pub(super) fn fail_controller(&mut self) {
        let pause: Duration = self.random.millis(50, 500);
        self.controller.down_until = Some(self.agenda.now() + pause);
    }
}
