//! The commands of a script.
//!
//! Each line is one entry of the metadata log; its place there is the broker epoch of a registration. What is left out is what a quiet cluster would say:
//! all unfenced brokers are live, a broker's disk is intact and says what was last synced to it, its last run ended cleanly.
//! `cluster N` forms a cluster and registers and unfences brokers 1 to N. Every line is also run through the bytes of command, outcome and snapshot.

use std::collections::BTreeMap;
use std::str::FromStr;

use model::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, IncarnationId, LeaderEpoch, PartitionEpoch,
    TopicId, TopicIdPartition,
};
use scripts::{Arguments, Scenario};

use super::format::{self, Names};
use crate::metadata::{
    Address, AllocateProducerIds, AlterConfigs, Assignment, Command, ConfigAlteration,
    ConfigChange, ConfigOperation, ConfigResource, ControlledShutdown, CreatePartitions,
    CreateTopics, DeleteTopics, ElectLeaders, Election, Endpoint, FenceBroker, FormCluster, Image,
    IsrMember, IsrProposal, LastShutdown, LiveSet, NewPartitions, NewTopic, Outcome, ProposeIsr,
    RaftId, RegisterBroker, ReplicaLost, SecurityProtocol, TopicSelector, UnfenceBroker,
    UpdateVoters, YieldLeadership, apply, preview,
};

/// One run of a script.
#[derive(Default)]
pub(super) struct Session {
    output: String,
    image: Image,
    index: u64,
    names: Names,
    /// What brokers last synced to their directories: at every unfencing.
    disks: BTreeMap<DirectoryId, BrokerEpoch>,
    incarnations: u64,
}

impl Scenario for Session {
    /// Runs one line and appends what became of it.
    fn run(&mut self, line: &str) {
        self.output += &format!("> {line}\n");
        let arguments = Arguments::parse(line);
        match arguments.command {
            "cluster" => self.cluster(&arguments),
            "describe" => self.describe(&arguments),
            "query" => self.query(&arguments),
            "preview" => {
                let rest = line.split_once(' ').expect("a command is previewed").1;
                let command = self.command(&Arguments::parse(rest));
                let outcome = preview(&self.image, self.index + 1, &command);
                self.print(&format::outcome(&self.names, &outcome));
            }
            _ => {
                let command = self.command(&arguments);
                let (outcome, changes) = self.apply(&command);
                self.print(&format::outcome(&self.names, &outcome));
                self.print(&changes);
            }
        }
    }

    fn end(self) -> String {
        self.output
    }
}

impl Session {
    fn print(&mut self, lines: &[String]) {
        for line in lines {
            self.output += &format!("  {line}\n");
        }
    }

    /// Applies a command and holds it against all that must hold of every command.
    fn apply(&mut self, command: &Command) -> (Outcome, Vec<String>) {
        assert_eq!(Command::decode(&command.encode()).as_ref(), Ok(command));
        let before = self.image.clone();
        self.index += 1;
        let applied = apply(&mut self.image, self.index, command);
        assert_eq!(Outcome::decode(&applied.outcome.encode()).as_ref(), Ok(&applied.outcome));
        assert_eq!(Image::from_snapshot(&self.image.to_snapshot()).as_ref(), Ok(&self.image));
        assert_eq!(self.image.check_invariants(), Ok(()));
        assert_eq!(before.check_successor(&self.image), Ok(()));
        if let Command::CreateTopics(create) = command {
            for topic in &create.topics {
                self.names.insert(topic.topic_id, topic.name.clone());
            }
        }
        if let (Command::UnfenceBroker(unfence), Outcome::BrokerUnfenced) =
            (command, &applied.outcome)
        {
            let broker = self.image.broker(unfence.broker_id).expect("it is unfenced");
            self.disks.insert(broker.directory_id, unfence.broker_epoch);
        }
        (applied.outcome, format::changes(&self.names, &self.image, &applied.changes))
    }

    fn cluster(&mut self, arguments: &Arguments<'_>) {
        let count: i32 = arguments.subject();
        self.apply(&self.form(arguments));
        for broker in 1..=count {
            let register = format!("register {broker}");
            let command = self.register(&Arguments::parse(&register));
            self.apply(&command);
            let command = self.unfence(&Arguments::parse(&format!("unfence {broker}")));
            self.apply(&command);
        }
        let brokers: Vec<String> = self.image.brokers().map(format::broker).collect();
        self.print(&brokers);
    }

    fn describe(&mut self, arguments: &Arguments<'_>) {
        let topic_id = self.topic_id(arguments.subject.expect("a topic is described"));
        let lines: Vec<String> = self
            .image
            .partitions_of(topic_id)
            .map(|(partition, state)| {
                let name = format::partition(&self.names, partition);
                let minimum = self.image.effective_min_isr(partition);
                let conditions = self.image.replica_conditions(state);
                let conditions: Vec<String> = conditions
                    .iter()
                    .map(|(id, condition)| format!("{id}:{condition:?}"))
                    .collect();
                let conditions = conditions.join(" ");
                format!("{name}: {} min={minimum} {conditions}", format::state(state))
            })
            .collect();
        let policy = format!("flush policy {:?}", self.image.flush_policy(topic_id));
        self.print(&lines);
        self.print(&[policy]);
    }

    fn query(&mut self, arguments: &Arguments<'_>) {
        let live = self.live(arguments);
        let image = &self.image;
        let found = match arguments.subject.expect("a query has a name") {
            "leaderless" => image.leaderless_partitions(),
            "electable" => image.electable_partitions(&live),
            "led" => image.partitions_led_by(BrokerId(arguments.need("by"))),
            "held" => image.partitions_held_by(BrokerId(arguments.need("by"))),
            "under-replicated" => image.under_replicated_partitions(),
            "under-min-isr" => image.under_min_isr_partitions(),
            "imbalanced" => image.imbalanced_partitions(&live),
            "default-replication-factor" => {
                let factor = image.default_replication_factor(arguments.need("voters"));
                return self.print(&[factor.to_string()]);
            }
            "default-partition-count" => {
                let count = image.default_partition_count();
                return self.print(&[count.to_string()]);
            }
            other => panic!("unknown query {other}"),
        };
        let names: Vec<String> =
            found.into_iter().map(|partition| format::partition(&self.names, partition)).collect();
        self.print(&[if names.is_empty() { "none".to_owned() } else { names.join(" ") }]);
    }

    fn command(&mut self, arguments: &Arguments<'_>) -> Command {
        match arguments.command {
            "form" => self.form(arguments),
            "register" => self.register(arguments),
            "unfence" => self.unfence(arguments),
            "fence" => self.fence(arguments),
            "shutdown" => Command::ControlledShutdown(ControlledShutdown {
                broker_id: BrokerId(arguments.subject()),
                broker_epoch: self.epoch(arguments),
                live: self.live(arguments),
            }),
            "isr" => self.isr(arguments),
            "lost" => Command::ReplicaLost(ReplicaLost {
                broker_id: BrokerId(arguments.subject()),
                broker_epoch: self.epoch(arguments),
                partitions: self.led(arguments, "leader_epoch"),
                live: self.live(arguments),
            }),
            "elect" => self.elect(arguments),
            "yield" => self.give_way(arguments),
            "create" => self.create(arguments),
            "delete" => self.delete(arguments),
            "enlarge" => Command::CreatePartitions(CreatePartitions {
                topics: vec![NewPartitions {
                    name: arguments.subject(),
                    total_count: arguments.need("total"),
                    assignments: arguments.text("assignments").map(assignments),
                    start: arguments.get("start").unwrap_or(0),
                }],
                live: self.live(arguments),
            }),
            "alter" => self.alter(arguments),
            "producer-ids" => Command::AllocateProducerIds(AllocateProducerIds {
                broker_id: BrokerId(arguments.subject()),
                broker_epoch: self.epoch(arguments),
            }),
            "voters" => Command::UpdateVoters(UpdateVoters {
                voters: voters(&arguments.subject::<String>()),
            }),
            other => panic!("unknown command {other}"),
        }
    }

    fn form(&self, arguments: &Arguments<'_>) -> Command {
        Command::FormCluster(FormCluster {
            cluster_id: ClusterId(arguments.text("id").unwrap_or("c1").to_owned()),
            voters: voters(arguments.text("voters").unwrap_or("1:101,2:102,3:103")),
            configs: configs(arguments),
        })
    }

    fn register(&mut self, arguments: &Arguments<'_>) -> Command {
        let broker: i32 = arguments.subject();
        self.incarnations += 1;
        let incarnation = format!("run{}", self.incarnations);
        let directory_id = directory(
            arguments.text("dir").map_or_else(|| format!("d{broker}"), str::to_owned).as_str(),
        );
        let stored = match arguments.text("stored") {
            Some("none") => None,
            Some(epoch) => Some(BrokerEpoch(epoch.parse().expect("an epoch"))),
            None => self.disks.get(&directory_id).copied(),
        };
        let address = |port: u16| Address { host: format!("host{broker}"), port };
        Command::RegisterBroker(RegisterBroker {
            broker_id: BrokerId(broker),
            incarnation_id: IncarnationId::from_bytes(padded(
                arguments.text("incarnation").unwrap_or(&incarnation),
            )),
            directory_id,
            raft_id: RaftId(100 + u64::from(broker.unsigned_abs())),
            stored_broker_epoch: stored,
            last_shutdown: if arguments.has("unclean") {
                LastShutdown::Unclean
            } else {
                LastShutdown::Clean
            },
            lost_replicas: self.partitions(arguments, "lost"),
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".to_owned(),
                address: address(9092),
                security_protocol: SecurityProtocol::Plaintext,
            }],
            replication_address: address(9192),
            control_address: address(9392),
            rack: arguments.text("rack").map(str::to_owned),
            open_session: arguments.get("session").map(BrokerEpoch),
            live: self.live_without(arguments, BrokerId(broker)),
        })
    }

    fn unfence(&self, arguments: &Arguments<'_>) -> Command {
        Command::UnfenceBroker(UnfenceBroker {
            broker_id: BrokerId(arguments.subject()),
            broker_epoch: self.epoch(arguments),
            live: self.live(arguments),
        })
    }

    fn fence(&self, arguments: &Arguments<'_>) -> Command {
        let broker_id = BrokerId(arguments.subject());
        let count = self.image.broker(broker_id).map_or(0, |broker| broker.fence_count);
        Command::FenceBroker(FenceBroker {
            broker_id,
            broker_epoch: self.epoch(arguments),
            fence_count: arguments.get("count").unwrap_or(count),
            live: self.live_without(arguments, broker_id),
        })
    }

    fn isr(&self, arguments: &Arguments<'_>) -> Command {
        let partition = self.partition(&arguments.subject::<String>());
        let state = self.image.partition(partition);
        let leader = state.and_then(|state| state.leader).map(|leader| leader.0);
        let broker_id = BrokerId(arguments.get("from").or(leader).unwrap_or(1));
        let known = |id: BrokerId| self.image.broker(id).map_or(BrokerEpoch(0), |b| b.broker_epoch);
        let member = |Member(id, epoch): Member| IsrMember {
            broker_id: BrokerId(id),
            broker_epoch: epoch.map_or_else(|| known(BrokerId(id)), BrokerEpoch),
        };
        let leader_epoch = state.map_or(0, |state| state.leader_epoch.0);
        let partition_epoch = state.map_or(0, |state| state.partition_epoch.0);
        Command::ProposeIsr(ProposeIsr {
            broker_id,
            broker_epoch: arguments
                .get("broker_epoch")
                .map_or_else(|| known(broker_id), BrokerEpoch),
            proposals: vec![IsrProposal {
                partition,
                leader_epoch: LeaderEpoch(arguments.get("epoch").unwrap_or(leader_epoch)),
                partition_epoch: PartitionEpoch(
                    arguments.get("partition_epoch").unwrap_or(partition_epoch),
                ),
                isr: arguments.list("isr").into_iter().map(member).collect(),
            }],
        })
    }

    fn elect(&self, arguments: &Arguments<'_>) -> Command {
        let election = match arguments.subject {
            Some("preferred") => Election::Preferred,
            Some("available") => Election::Available,
            other => panic!("unknown election {other:?}"),
        };
        let partitions = self.partitions(arguments, "partitions");
        Command::ElectLeaders(ElectLeaders {
            election,
            partitions: arguments.has("partitions").then_some(partitions),
            live: self.live(arguments),
        })
    }

    fn give_way(&self, arguments: &Arguments<'_>) -> Command {
        Command::YieldLeadership(YieldLeadership {
            broker_id: BrokerId(arguments.subject()),
            broker_epoch: self.epoch(arguments),
            partitions: self.led(arguments, "epoch"),
            live: self.live(arguments),
        })
    }

    /// Reads partitions with a leader epoch: the present one, unless `key` says another.
    fn led(&self, arguments: &Arguments<'_>, key: &str) -> Vec<(TopicIdPartition, LeaderEpoch)> {
        let partitions = self.partitions(arguments, "partitions").into_iter();
        let led = partitions.map(|partition| {
            let state = self.image.partition(partition);
            let epoch = state.map_or(0, |state| state.leader_epoch.0);
            (partition, LeaderEpoch(arguments.get(key).unwrap_or(epoch)))
        });
        led.collect()
    }

    fn create(&self, arguments: &Arguments<'_>) -> Command {
        let topics = arguments.subject::<String>();
        let new = topics.split(',').zip(0_u64..).map(|(name, offset)| NewTopic {
            name: name.to_owned(),
            topic_id: TopicId::from_bytes(
                u128::from(1_000 + 10 * self.index + offset).to_be_bytes(),
            ),
            assignment: match arguments.text("assignments") {
                Some(text) => Assignment::Manual(assignments(text)),
                None => Assignment::Placed {
                    partition_count: arguments.get("partitions").unwrap_or(1),
                    replication_factor: arguments.get("rf").unwrap_or(3),
                    start: arguments.get("start").unwrap_or(0),
                },
            },
            configs: configs(arguments),
        });
        Command::CreateTopics(CreateTopics { topics: new.collect(), live: self.live(arguments) })
    }

    fn delete(&self, arguments: &Arguments<'_>) -> Command {
        let name: String = arguments.subject();
        let selector = match name.strip_prefix("id:") {
            Some(name) => TopicSelector::Id(self.topic_id(name)),
            None => TopicSelector::Name(name),
        };
        Command::DeleteTopics(DeleteTopics { topics: vec![selector] })
    }

    fn alter(&self, arguments: &Arguments<'_>) -> Command {
        let whose: String = arguments.subject();
        let resource = match whose.split_once(':') {
            Some(("topic", name)) => ConfigResource::Topic(name.to_owned()),
            Some(("broker", id)) => ConfigResource::Broker(BrokerId(id.parse().expect("an id"))),
            Some(_) | None => ConfigResource::Cluster,
        };
        let operations = arguments.with_prefix("").filter_map(|(key, value)| {
            let (operation, name) = key.split_once(':')?;
            let value = value.to_owned();
            let operation = match operation {
                "set" => ConfigOperation::Set(value),
                "delete" => ConfigOperation::Delete,
                "append" => ConfigOperation::Append(value),
                "subtract" => ConfigOperation::Subtract(value),
                _ => return None,
            };
            Some((name.to_owned(), operation))
        });
        let alteration = if arguments.has("replace") {
            ConfigAlteration::Replace(configs(arguments))
        } else {
            ConfigAlteration::Incremental(operations.collect())
        };
        Command::AlterConfigs(AlterConfigs { changes: vec![ConfigChange { resource, alteration }] })
    }

    /// The epoch that a broker speaks under: its present one, unless the script says otherwise.
    fn epoch(&self, arguments: &Arguments<'_>) -> BrokerEpoch {
        let known = self.image.broker(BrokerId(arguments.subject()));
        let known = known.map_or(BrokerEpoch(0), |broker| broker.broker_epoch);
        arguments.get("epoch").map_or(known, BrokerEpoch)
    }

    fn live(&self, arguments: &Arguments<'_>) -> LiveSet {
        self.live_without(arguments, BrokerId(-1))
    }

    /// The live set that the script names, else all unfenced brokers but the silent one.
    fn live_without(&self, arguments: &Arguments<'_>, silent: BrokerId) -> LiveSet {
        let named: Vec<i32> = arguments.list("live");
        let brokers = self.image.brokers().filter(|broker| {
            if arguments.has("live") {
                named.contains(&broker.broker_id.0)
            } else {
                !broker.is_fenced() && broker.broker_id != silent
            }
        });
        brokers.map(|broker| (broker.broker_id, broker.broker_epoch)).collect()
    }

    fn topic_id(&self, name: &str) -> TopicId {
        let known = self.names.iter().find(|(_, known)| known.as_str() == name);
        known.map_or_else(|| TopicId::from_bytes([9; 16]), |(topic_id, _)| *topic_id)
    }

    fn partition(&self, name: &str) -> TopicIdPartition {
        let (topic, partition) = name.rsplit_once('-').expect("a partition is topic-index");
        TopicIdPartition {
            topic_id: self.topic_id(topic),
            partition: partition.parse().expect("an index"),
        }
    }

    fn partitions(&self, arguments: &Arguments<'_>, key: &str) -> Vec<TopicIdPartition> {
        let names: Vec<String> = arguments.list(key);
        names.iter().map(|name| self.partition(name)).collect()
    }
}

/// `config:KEY=VALUE`, as often as there are keys.
fn configs(arguments: &Arguments<'_>) -> BTreeMap<String, String> {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    arguments.with_prefix("config:").map(owned).collect()
}

fn list<T: FromStr>(text: &str) -> Vec<T> {
    let items = text.split(',').filter(|item| !item.is_empty());
    items.map(|item| item.parse().unwrap_or_else(|_| panic!("{item} does not parse"))).collect()
}

/// `1,2,3/2,3,1`: the replicas of partition 0, then of partition 1.
fn assignments(text: &str) -> Vec<Vec<BrokerId>> {
    text.split('/').map(|replicas| list(replicas).into_iter().map(BrokerId).collect()).collect()
}

fn voters(text: &str) -> BTreeMap<BrokerId, RaftId> {
    let pair = |Member(id, raft_id): Member| {
        let raft_id = raft_id.map_or(0, |raft_id| raft_id.unsigned_abs());
        (BrokerId(id), RaftId(raft_id))
    };
    list(text).into_iter().map(pair).collect()
}

fn directory(name: &str) -> DirectoryId {
    DirectoryId::from_bytes(padded(name))
}

fn padded(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// `2` or `2:17`.
struct Member(i32, Option<i64>);

impl FromStr for Member {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((id, epoch)) => Ok(Self(id.parse()?, Some(epoch.parse()?))),
            None => Ok(Self(text.parse()?, None)),
        }
    }
}
