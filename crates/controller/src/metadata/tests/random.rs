//! Random commands, sane and absurd: `apply` is total, the same everywhere, and keeps its rules.
//!
//! The rules are stated here a second time, from the outside: what a step may take out of an ISR, and whom it may elect.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, IncarnationId, LeaderEpoch, PartitionEpoch,
    TopicId, TopicIdPartition,
};

use crate::metadata::{
    Address, AllocateProducerIds, AlterConfigs, Applied, Assignment, Command, ConfigAlteration,
    ConfigChange, ConfigOperation, ConfigResource, ControlledShutdown, CreatePartitions,
    CreateTopics, DeleteTopics, Durability, ElectLeaders, Election, FenceBroker, FormCluster,
    Image, IsrMember, IsrProposal, LastShutdown, LiveSet, NewPartitions, NewTopic, Outcome,
    ProposeIsr, RaftId, RecordKey, RegisterBroker, ReplicaLost, TopicSelector, UnfenceBroker,
    UpdateVoters, YieldLeadership, apply,
};

const RUNS: u64 = 150;
const COMMANDS_PER_RUN: u64 = 300;
const BROKERS: i32 = 4;

/// A small generator (xorshift64*), so that a seed names a run everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn number(&mut self, bound: i32) -> i32 {
        i32::try_from(self.below(u64::try_from(bound).unwrap())).unwrap()
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> Option<T> {
        let count = u64::try_from(choices.len()).unwrap();
        let index = (count > 0).then(|| self.below(count))?;
        choices.get(usize::try_from(index).unwrap()).cloned()
    }

    fn broker(&mut self) -> BrokerId {
        if self.chance(2) { BrokerId(-7) } else { BrokerId(1 + self.number(BROKERS)) }
    }
}

/// Makes commands that mostly fit the image, so that they mostly do something.
struct Generator<'a> {
    random: &'a mut Random,
    image: &'a Image,
    index: u64,
}

impl Generator<'_> {
    fn command(&mut self) -> Command {
        match self.random.below(100) {
            0 => self.form(),
            1..=14 => self.register(),
            15..=34 => self.unfence(),
            35..=44 => self.fence(),
            45..=48 => {
                let broker_id = self.random.broker();
                let broker_epoch = self.epoch(broker_id);
                let live = self.live();
                Command::ControlledShutdown(ControlledShutdown { broker_id, broker_epoch, live })
            }
            49..=68 => self.propose_isr(),
            69..=70 => self.replica_lost(),
            71..=75 => self.elect(),
            76..=78 => self.give_way(),
            79..=84 => self.create(),
            85..=86 => self.delete(),
            87..=88 => self.enlarge(),
            89..=95 => self.alter(),
            96..=97 => {
                let broker_id = self.random.broker();
                let broker_epoch = self.epoch(broker_id);
                Command::AllocateProducerIds(AllocateProducerIds { broker_id, broker_epoch })
            }
            _ => {
                let raft_id = RaftId(self.random.below(1 << 40));
                let voters = BTreeMap::from([(self.random.broker(), raft_id)]);
                Command::UpdateVoters(UpdateVoters { voters })
            }
        }
    }

    fn form(&mut self) -> Command {
        let id = if self.random.chance(80) { "c1" } else { "c2" };
        Command::FormCluster(FormCluster {
            cluster_id: ClusterId(id.to_owned()),
            voters: BTreeMap::from([(BrokerId(1), RaftId(101))]),
            configs: BTreeMap::from([("min.insync.replicas".to_owned(), "2".to_owned())]),
        })
    }

    fn epoch(&mut self, broker_id: BrokerId) -> BrokerEpoch {
        let known = self.image.broker(broker_id).map(|broker| broker.broker_epoch);
        match known {
            Some(epoch) if self.random.chance(95) => epoch,
            Some(_) | None => BrokerEpoch(i64::try_from(self.random.below(400)).unwrap()),
        }
    }

    fn live(&mut self) -> LiveSet {
        let registered: Vec<_> =
            self.image.brokers().map(|broker| (broker.broker_id, broker.broker_epoch)).collect();
        registered.into_iter().filter(|_| self.random.chance(75)).collect()
    }

    fn partition(&mut self) -> TopicIdPartition {
        let known: Vec<_> = self.image.partitions().map(|(partition, _)| partition).collect();
        let known = if self.random.chance(97) { self.random.pick(&known) } else { None };
        known.unwrap_or_else(|| TopicIdPartition {
            topic_id: TopicId::from_bytes([3; 16]),
            partition: self.random.number(3) - 1,
        })
    }

    fn partitions(&mut self) -> Vec<TopicIdPartition> {
        (0..self.random.below(3)).map(|_| self.partition()).collect()
    }

    fn register(&mut self) -> Command {
        let broker_id = self.random.broker();
        let old = self.image.broker(broker_id);
        let fresh = IncarnationId::from_bytes(u128::from(self.index).to_be_bytes());
        let incarnation_id = match old {
            Some(old) if self.random.chance(5) => old.incarnation_id,
            Some(old) if self.random.chance(5) => old.superseded.first().copied().unwrap_or(fresh),
            Some(_) | None => fresh,
        };
        let kind = u8::from(self.random.chance(15));
        let directory_id = DirectoryId::from_bytes([kind + 1; 16]);
        let stored = old.and_then(|old| old.last_unfenced_epoch(directory_id));
        let address = || Address { host: "host".to_owned(), port: 9092 };
        Command::RegisterBroker(RegisterBroker {
            broker_id,
            incarnation_id,
            directory_id,
            raft_id: RaftId(self.index),
            stored_broker_epoch: if self.random.chance(90) { stored } else { None },
            last_shutdown: if self.random.chance(50) {
                LastShutdown::Clean
            } else {
                LastShutdown::Unclean
            },
            lost_replicas: if self.random.chance(15) { self.partitions() } else { Vec::new() },
            endpoints: Vec::new(),
            replication_address: address(),
            control_address: address(),
            rack: self.random.pick(&[None, Some("a".to_owned()), Some("b".to_owned())]).flatten(),
            open_session: None,
            live: self.live(),
        })
    }

    fn unfence(&mut self) -> Command {
        let broker_id = self.random.broker();
        let broker_epoch = self.epoch(broker_id);
        Command::UnfenceBroker(UnfenceBroker { broker_id, broker_epoch, live: self.live() })
    }

    fn fence(&mut self) -> Command {
        let broker_id = self.random.broker();
        let count = self.image.broker(broker_id).map_or(0, |broker| broker.fence_count);
        Command::FenceBroker(FenceBroker {
            broker_id,
            broker_epoch: self.epoch(broker_id),
            fence_count: if self.random.chance(90) { count } else { self.random.below(3) },
            live: self.live(),
        })
    }

    fn propose_isr(&mut self) -> Command {
        let partition = self.partition();
        let state = self.image.partition(partition);
        let broker_id = match state.and_then(|state| state.leader) {
            Some(leader) if self.random.chance(95) => leader,
            Some(_) | None => self.random.broker(),
        };
        let mut isr: Vec<BrokerId> = state.map(|state| state.replicas.clone()).unwrap_or_default();
        isr.retain(|member| *member == broker_id || self.random.chance(70));
        if self.random.chance(5) {
            isr.push(self.random.broker());
        }
        let isr = isr
            .into_iter()
            .map(|member| IsrMember { broker_id: member, broker_epoch: self.epoch(member) });
        let isr = isr.collect();
        let slip = |random: &mut Random| if random.chance(94) { 0 } else { random.number(3) - 1 };
        let leader_epoch = state.map_or(0, |state| state.leader_epoch.0) + slip(self.random);
        let partition_epoch = state.map_or(0, |state| state.partition_epoch.0) + slip(self.random);
        Command::ProposeIsr(ProposeIsr {
            broker_id,
            broker_epoch: self.epoch(broker_id),
            proposals: vec![IsrProposal {
                partition,
                leader_epoch: LeaderEpoch(leader_epoch),
                partition_epoch: PartitionEpoch(partition_epoch),
                isr,
            }],
        })
    }

    fn replica_lost(&mut self) -> Command {
        let broker_id = self.random.broker();
        let present = |partition| {
            let state = self.image.partition(partition);
            (partition, state.map_or(LeaderEpoch(0), |state| state.leader_epoch))
        };
        let partitions = self.partitions().into_iter().map(present).collect();
        Command::ReplicaLost(ReplicaLost {
            broker_id,
            broker_epoch: self.epoch(broker_id),
            partitions,
            live: self.live(),
        })
    }

    fn elect(&mut self) -> Command {
        let election =
            if self.random.chance(50) { Election::Preferred } else { Election::Available };
        let partitions = self.random.chance(40).then(|| self.partitions());
        Command::ElectLeaders(ElectLeaders { election, partitions, live: self.live() })
    }

    fn give_way(&mut self) -> Command {
        let partition = self.partition();
        let state = self.image.partition(partition);
        let leader = state.and_then(|state| state.leader);
        let broker_id = leader.unwrap_or_else(|| self.random.broker());
        let leader_epoch = state.map_or(LeaderEpoch(0), |state| state.leader_epoch);
        Command::YieldLeadership(YieldLeadership {
            broker_id,
            broker_epoch: self.epoch(broker_id),
            partitions: vec![(partition, leader_epoch)],
            live: self.live(),
        })
    }

    fn assignments(&mut self) -> Vec<Vec<BrokerId>> {
        let replicas = |random: &mut Random| (0..3).map(|_| random.broker()).collect();
        (0..self.random.below(3)).map(|_| replicas(self.random)).collect()
    }

    fn create(&mut self) -> Command {
        let name = self.random.pick(&["a", "b.c", "b_c", "d", "", "bad name"]).unwrap();
        let assignment = if self.random.chance(85) {
            Assignment::Placed {
                partition_count: self.random.number(5),
                replication_factor: i16::try_from(self.random.below(5)).unwrap(),
                start: u32::try_from(self.random.below(1 << 31)).unwrap() * 2,
            }
        } else {
            Assignment::Manual(self.assignments())
        };
        Command::CreateTopics(CreateTopics {
            topics: vec![NewTopic {
                name: name.to_owned(),
                topic_id: TopicId::from_bytes(u128::from(self.index).to_be_bytes()),
                assignment,
                configs: if self.random.chance(50) { self.settings() } else { BTreeMap::new() },
            }],
            live: self.live(),
        })
    }

    fn topic(&mut self) -> String {
        let names: Vec<String> = self.image.topics().map(|topic| topic.name.to_string()).collect();
        self.random.pick(&names).unwrap_or_else(|| "missing".to_owned())
    }

    fn delete(&mut self) -> Command {
        let name = self.topic();
        let topic_id = self.image.topic_id(&name);
        let selector = match topic_id {
            Some(topic_id) if self.random.chance(50) => TopicSelector::Id(topic_id),
            Some(_) | None => TopicSelector::Name(name),
        };
        Command::DeleteTopics(DeleteTopics { topics: vec![selector] })
    }

    fn enlarge(&mut self) -> Command {
        let name = self.topic();
        let total_count = self.random.number(8);
        let assignments = self.random.chance(20).then(|| self.assignments());
        let start = u32::try_from(self.random.below(100)).unwrap();
        let topics = vec![NewPartitions { name, total_count, assignments, start }];
        Command::CreatePartitions(CreatePartitions { topics, live: self.live() })
    }

    fn settings(&mut self) -> BTreeMap<String, String> {
        let (name, value) = self.setting();
        BTreeMap::from([(name, value)])
    }

    fn setting(&mut self) -> (String, String) {
        let settings = [
            ("min.insync.replicas", "1"),
            ("min.insync.replicas", "2"),
            ("min.insync.replicas", "3"),
            ("min.insync.replicas", "0"),
            ("flush.messages", "1"),
            ("flush.messages", "9223372036854775807"),
            ("log.flush.interval.messages", "9223372036854775807"),
            ("log.flush.interval.messages", "1"),
            ("cleanup.policy", "compact"),
            ("unclean.leader.election.enable", "true"),
            ("no.such.key", "1"),
        ];
        let (name, value) = self.random.pick(&settings).unwrap();
        (name.to_owned(), value.to_owned())
    }

    fn alter(&mut self) -> Command {
        let resource = match self.random.below(10) {
            0 => ConfigResource::Broker(self.random.broker()),
            1..=4 => ConfigResource::Cluster,
            _ => ConfigResource::Topic(self.topic()),
        };
        let alteration = if self.random.chance(20) {
            ConfigAlteration::Replace(self.settings())
        } else {
            let (name, value) = self.setting();
            let operation = match self.random.below(6) {
                0 => ConfigOperation::Delete,
                1 => ConfigOperation::Append(value),
                2 => ConfigOperation::Subtract(value),
                _ => ConfigOperation::Set(value),
            };
            ConfigAlteration::Incremental(vec![(name, operation)])
        };
        Command::AlterConfigs(AlterConfigs { changes: vec![ConfigChange { resource, alteration }] })
    }
}

/// The broker that may lose membership in this partition whatever the floor, by the words of the command.
fn may_lose(before: &Image, command: &Command, partition: TopicIdPartition) -> Option<BrokerId> {
    match command {
        Command::ReplicaLost(lost) => {
            lost.partitions.iter().any(|(name, _)| *name == partition).then_some(lost.broker_id)
        }
        Command::RegisterBroker(register) => {
            let old = before.broker(register.broker_id)?;
            let last = old.last_unfenced_epoch(register.directory_id);
            let intact = old.directory_id == register.directory_id
                && last.is_some_and(|last| register.stored_broker_epoch >= Some(last));
            let lossy = before.partition(partition)?.durability == Durability::Lossy;
            let lost = !intact
                || register.lost_replicas.contains(&partition)
                || (lossy && register.last_shutdown == LastShutdown::Unclean);
            lost.then_some(register.broker_id)
        }
        _ => None,
    }
}

fn check_floor(before: &Image, after: &Image, command: &Command) {
    for (partition, old) in before.partitions() {
        let Some(new) = after.partition(partition) else {
            continue;
        };
        let loser = may_lose(before, command, partition);
        let left =
            old.isr.iter().find(|member| !new.isr.contains(member) && Some(**member) != loser);
        if let Some(left) = left {
            let remaining = after.unfenced_isr(new).count();
            let floor = after.effective_min_isr(partition);
            assert!(
                remaining >= floor,
                "{left} left the ISR of {partition}, {remaining} of {floor} remain: {command:?}"
            );
        }
        if let Some(loser) = loser.filter(|_| before != after) {
            assert!(
                !new.isr.contains(&loser) || old.isr.is_empty(),
                "{loser} lost {partition} and is in its ISR: {command:?}"
            );
        }
    }
}

fn live_of(command: &Command) -> LiveSet {
    match command {
        Command::RegisterBroker(command) => command.live.clone(),
        Command::UnfenceBroker(command) => {
            let mut live = command.live.clone();
            live.0.insert(command.broker_id, command.broker_epoch);
            live
        }
        Command::FenceBroker(command) => command.live.clone(),
        Command::ControlledShutdown(command) => command.live.clone(),
        Command::ReplicaLost(command) => command.live.clone(),
        Command::ElectLeaders(command) => command.live.clone(),
        Command::YieldLeadership(command) => command.live.clone(),
        Command::CreateTopics(command) => command.live.clone(),
        Command::CreatePartitions(command) => command.live.clone(),
        _ => LiveSet::default(),
    }
}

fn check_elections(before: &Image, after: &Image, command: &Command, applied: &Applied) {
    let live = live_of(command);
    for (partition, new) in after.partitions() {
        let old = before.partition(partition);
        if old.is_some_and(|old| old.leader == new.leader) {
            continue;
        }
        if let Some(leader) = new.leader {
            let broker = after.broker(leader).expect("a leader is registered");
            assert!(live.contains(leader, broker.broker_epoch), "{leader} leads unheard");
            assert!(broker.is_active(), "{leader} leads while fenced or stopping");
            let was_in_sync = old.is_none_or(|old| old.isr.contains(&leader));
            let lossy = applied.changes.lossy_elections.contains(&partition)
                && new.durability == Durability::Lossy
                && old.is_some_and(|old| old.isr.is_empty());
            assert!(was_in_sync || lossy, "{leader} leads {partition} from outside the ISR");
        }
    }
}

/// Checks that what is said to have changed is all that changed, by keeping a store up to date from it.
fn check_changes(
    store: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    before: &Image,
    after: &Image,
    applied: &Applied,
) {
    for key in &applied.changes.records {
        assert_eq!(RecordKey::decode(&key.encode()).as_ref(), Ok(key));
        match after.record(key) {
            Some(value) => store.insert(key.encode(), value),
            None => store.remove(&key.encode()),
        };
    }
    let changed: BTreeSet<_> = before
        .partitions()
        .filter(|(partition, state)| after.partition(*partition) != Some(state))
        .map(|(partition, _)| partition)
        .collect();
    assert!(changed.is_subset(&applied.changes.partitions));
    for broker in before.brokers().filter(|broker| after.broker(broker.broker_id) != Some(broker)) {
        assert!(applied.changes.brokers.contains(&broker.broker_id));
        for partition in after.partitions_held_by(broker.broker_id) {
            assert!(applied.changes.partitions.contains(&partition), "a view changed unnoticed");
        }
    }
    if matches!(applied.outcome, Outcome::Refused(_)) {
        assert_eq!(before, after, "a refused command changes nothing");
        assert!(applied.changes.is_empty(), "a refused command changes nothing");
    }
}

#[test]
fn random_commands_keep_every_rule_and_make_the_same_image_everywhere() {
    let mut effective = Vec::new();
    let mut lossy_elections = 0;
    for seed in 0..RUNS {
        let mut random = Random::new(seed);
        let (mut image, mut twin) = (Image::default(), Image::default());
        let mut store = BTreeMap::new();
        for index in 1..=COMMANDS_PER_RUN {
            let command = match index {
                1 => Generator { random: &mut random, image: &image, index }.form(),
                _ => Generator { random: &mut random, image: &image, index }.command(),
            };
            let before = image.clone();
            let applied = apply(&mut image, index, &command);
            let decoded = Command::decode(&command.encode()).expect("it was just encoded");
            assert_eq!(apply(&mut twin, index, &decoded), applied, "seed {seed}, {command:?}");
            assert_eq!(image, twin);
            let outcome = Outcome::decode(&applied.outcome.encode());
            assert_eq!(outcome.as_ref(), Ok(&applied.outcome));
            assert_eq!(image.check_invariants(), Ok(()), "seed {seed}, {index}: {command:?}");
            assert_eq!(before.check_successor(&image), Ok(()), "seed {seed}: {command:?}");
            check_floor(&before, &image, &command);
            check_elections(&before, &image, &command, &applied);
            check_changes(&mut store, &before, &image, &applied);
            if index % 10 == 0 {
                twin = Image::from_snapshot(&image.to_snapshot()).expect("it was just taken");
                assert_eq!(Image::from_records(store.iter()).as_ref(), Ok(&image));
            }
            lossy_elections += applied.changes.lossy_elections.len();
            let kind = std::mem::discriminant(&command);
            if before != image && !effective.contains(&kind) {
                effective.push(kind);
            }
        }
    }
    assert_eq!(effective.len(), 15, "some commands never changed anything");
    assert!(lossy_elections > 0, "no lossy partition ever lost its ISR");
}

#[test]
fn mangled_bytes_are_refused_or_read_and_never_panic() {
    let mut random = Random::new(7);
    let mut image = Image::default();
    for index in 1..=COMMANDS_PER_RUN {
        let mut generator = Generator { random: &mut random, image: &image, index };
        let command = if index == 1 { generator.form() } else { generator.command() };
        apply(&mut image, index, &command);
        let snapshot = image.to_snapshot();
        for mut bytes in [command.encode(), snapshot] {
            for _ in 0..1 + random.below(3) {
                let at = random.below(u64::try_from(bytes.len()).unwrap());
                let bit = random.below(8);
                bytes[usize::try_from(at).unwrap()] ^= 1 << bit;
            }
            if let Ok(mut other) = Image::from_snapshot(&bytes) {
                assert_eq!(other.check_invariants(), Ok(()));
                apply(&mut other, index + 1, &command);
            }
            if let Ok(mangled) = Command::decode(&bytes) {
                let mut copy = image.clone();
                apply(&mut copy, index + 1, &mangled);
                assert_eq!(copy.check_invariants(), Ok(()), "{mangled:?}");
            }
            let cut = usize::try_from(random.below(u64::try_from(bytes.len()).unwrap())).unwrap();
            let _ = Command::decode(&bytes[..cut]);
            let _ = Outcome::decode(&bytes[..cut]);
        }
    }
}
