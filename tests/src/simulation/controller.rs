//! The controller of a simulation: the real metadata machine behind an abstract log, with the sessions that only the active controller knows.
//!
//! It checks each image against its predecessor: the metadata's own invariants, and that nothing but loss takes a member out of an ISR below the floor.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use controller::metadata::{
    Address, AlterConfigs, Applied, Assignment, Command, ConfigAlteration, ConfigChange,
    ConfigOperation, ConfigResource, CreateTopics, FormCluster, Image, LastShutdown, LiveSet,
    NewTopic, Outcome, RegisterBroker, apply,
};
use model::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, IncarnationId, Timestamp, TopicId,
    TopicIdPartition,
};

/// What the active controller knows of a broker's session; lost with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct BrokerSession {
    pub(super) broker_epoch: BrokerEpoch,
    /// Heard from in this controller's term.
    pub(super) is_heard: bool,
    pub(super) expires_at: Timestamp,
}

/// What a registration brings along.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    pub(super) broker: BrokerId,
    pub(super) incarnation: u64,
    pub(super) directory_id: DirectoryId,
    pub(super) stored_epoch: Option<BrokerEpoch>,
    pub(super) last_shutdown: LastShutdown,
    pub(super) has_lost: bool,
}

/// The metadata log and who is alive.
#[derive(Debug)]
pub(super) struct Controller {
    /// The image after each command; index 0 is blank.
    pub(super) images: Vec<Image>,
    pub(super) sessions: BTreeMap<BrokerId, BrokerSession>,
    /// Set while no controller is active.
    pub(super) down_until: Option<Timestamp>,
    pub(super) partition: TopicIdPartition,
    pub(super) session_timeout: Duration,
}

impl Controller {
    pub(super) fn new(session_timeout: Duration) -> Self {
        let topic_id = TopicId::from_bytes([7; 16]);
        Self {
            images: vec![Image::default()],
            sessions: BTreeMap::new(),
            down_until: None,
            partition: TopicIdPartition { topic_id, partition: 0 },
            session_timeout,
        }
    }

    pub(super) fn image(&self) -> &Image {
        self.images.last().expect("the blank image is always there")
    }

    /// Returns the index of the newest image.
    pub(super) fn last_index(&self) -> usize {
        self.images.len() - 1
    }

    /// Forms the cluster and creates the topic, its replicas being all brokers. The brokers are registered and unfenced already.
    pub(super) fn create_topic(&mut self, brokers: &[BrokerId], configs: BTreeMap<String, String>) {
        let topic = NewTopic {
            name: "simulated".to_owned(),
            topic_id: self.partition.topic_id,
            assignment: Assignment::Manual(vec![brokers.to_vec()]),
            configs,
        };
        let live = self.live();
        let outcome =
            self.apply(&Command::CreateTopics(CreateTopics { topics: vec![topic], live }));
        assert!(self.image().partition(self.partition).is_some(), "no topic: {outcome:?}");
    }

    pub(super) fn form(&mut self) {
        let command = FormCluster {
            cluster_id: ClusterId::from_random([9; 16]),
            voters: BTreeMap::new(),
            configs: BTreeMap::new(),
        };
        self.apply(&Command::FormCluster(command));
    }

    /// Changes a configuration of the topic.
    pub(super) fn set_config(&mut self, key: &str, value: &str) {
        let set = ConfigOperation::Set(value.to_owned());
        let change = ConfigChange {
            resource: ConfigResource::Topic("simulated".to_owned()),
            alteration: ConfigAlteration::Incremental(vec![(key.to_owned(), set)]),
        };
        self.apply(&Command::AlterConfigs(AlterConfigs { changes: vec![change] }));
    }

    /// Registers a broker. `None` when it is refused.
    pub(super) fn register(&mut self, registration: &Registration) -> Option<BrokerEpoch> {
        let broker_id = registration.broker;
        let address = Address { host: "localhost".to_owned(), port: 1 };
        let lost_replicas = if registration.has_lost { vec![self.partition] } else { Vec::new() };
        let command = RegisterBroker {
            broker_id,
            incarnation_id: IncarnationId::from_bytes(
                u128::from(registration.incarnation).to_be_bytes(),
            ),
            directory_id: registration.directory_id,
            raft_id: controller_raft_id(broker_id),
            stored_broker_epoch: registration.stored_epoch,
            last_shutdown: registration.last_shutdown,
            lost_replicas,
            endpoints: Vec::new(),
            replication_address: address.clone(),
            control_address: address,
            rack: None,
            open_session: self.sessions.get(&broker_id).map(|session| session.broker_epoch),
            live: self.live(),
        };
        match self.apply(&Command::RegisterBroker(command)).outcome {
            Outcome::BrokerRegistered(registered) => Some(registered.broker_epoch),
            _ => None,
        }
    }

    /// Returns the brokers from which this controller has heard.
    pub(super) fn live(&self) -> LiveSet {
        let heard = self.sessions.iter().filter(|(_, session)| session.is_heard);
        heard.map(|(broker, session)| (*broker, session.broker_epoch)).collect()
    }

    /// A new controller is active: it has heard from nobody, and gives everyone a whole session to be heard.
    pub(super) fn restart_sessions(&mut self, now: Timestamp) {
        self.down_until = None;
        self.sessions.clear();
        let registered: Vec<_> =
            self.image().brokers().map(|broker| (broker.broker_id, broker.broker_epoch)).collect();
        for (broker, broker_epoch) in registered {
            let expires_at = now + self.session_timeout;
            let session = BrokerSession { broker_epoch, is_heard: false, expires_at };
            self.sessions.insert(broker, session);
        }
    }

    /// Commits a command and checks what it made of the image.
    pub(super) fn apply(&mut self, command: &Command) -> Applied {
        let index = u64::try_from(self.images.len()).expect("a length fits");
        let before = self.image().clone();
        let mut image = before.clone();
        let applied = apply(&mut image, index, command);
        image.check_invariants().expect("an image holds its invariants");
        before.check_successor(&image).expect("an image follows its predecessor");
        self.check_floor(&before, &image, command);
        self.images.push(image);
        applied
    }

    /// Checks the floor, as the design words it and apart from the machine's own code: unless by loss, members leave only while at least
    /// max(1, effective min ISR) of the rest are unfenced in the image.
    fn check_floor(&self, before: &Image, after: &Image, command: &Command) {
        let (Some(old), Some(new)) =
            (before.partition(self.partition), after.partition(self.partition))
        else {
            return;
        };
        let kept: BTreeSet<_> = new.isr.iter().collect();
        let is_loss = match command {
            Command::ReplicaLost(_) => true,
            Command::RegisterBroker(command) => {
                let is_own = |member: &&BrokerId| **member == command.broker_id;
                old.isr.iter().filter(|member| !kept.contains(member)).all(|left| is_own(&left))
            }
            _ => false,
        };
        let leaves = old.isr.iter().any(|member| !kept.contains(member));
        let unfenced = new.isr.iter().filter(|member| after.is_unfenced(**member)).count();
        let floor = after.effective_min_isr(self.partition).max(1);
        assert!(
            !leaves || is_loss || unfenced >= floor,
            "the floor: {:?} became {:?} with {unfenced} unfenced of {floor} by {command:?}",
            old.isr,
            new.isr
        );
    }
}

fn controller_raft_id(broker: BrokerId) -> controller::metadata::RaftId {
    controller::metadata::RaftId(u64::try_from(broker.0).expect("a broker id is not negative"))
}
