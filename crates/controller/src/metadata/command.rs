//! What may be asked of the cluster's metadata: one command is one entry of the metadata log.
//!
//! Owns the commands' shapes. Whatever is volatile or random (who is alive, fresh ids, where placement starts) is a field, put in by the proposer,
//! so that [`super::apply()`] decides from command and image alone.

use std::collections::BTreeMap;

use model::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, IncarnationId, LeaderEpoch, PartitionEpoch,
    TopicId, TopicIdPartition,
};

use super::image::broker::{Address, Endpoint, RaftId};

/// One entry of the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Gives a blank cluster its identity; the first command of every metadata log.
    FormCluster(FormCluster),
    /// Registers a broker's process, and ends the one that was registered before it.
    RegisterBroker(RegisterBroker),
    /// Lets a registered broker lead and join ISRs.
    UnfenceBroker(UnfenceBroker),
    /// Takes a silent broker out of leadership.
    FenceBroker(FenceBroker),
    /// Moves leaderships off a broker that wants to stop.
    ControlledShutdown(ControlledShutdown),
    /// A leader's proposals of new ISRs (Kafka's AlterPartition).
    ProposeIsr(ProposeIsr),
    /// A running broker's word that replicas of its own lost data.
    ReplicaLost(ReplicaLost),
    /// Elects leaders: the preferred ones, or any where there is none (Kafka's ElectLeaders).
    ElectLeaders(ElectLeaders),
    /// A leader that cannot commit asks for another one.
    YieldLeadership(YieldLeadership),
    /// Creates topics.
    CreateTopics(CreateTopics),
    /// Deletes topics.
    DeleteTopics(DeleteTopics),
    /// Adds partitions to topics.
    CreatePartitions(CreatePartitions),
    /// Changes configurations of topics, of one broker, or of the cluster.
    AlterConfigs(AlterConfigs),
    /// Takes a block of producer ids.
    AllocateProducerIds(AllocateProducerIds),
    /// Records who votes in Raft, for all to read; Raft's own membership stays the truth.
    UpdateVoters(UpdateVoters),
}

impl Command {
    /// Returns the live set of a command that may elect.
    pub(crate) fn live_mut(&mut self) -> Option<&mut LiveSet> {
        match self {
            Self::RegisterBroker(command) => Some(&mut command.live),
            Self::UnfenceBroker(command) => Some(&mut command.live),
            Self::FenceBroker(command) => Some(&mut command.live),
            Self::ControlledShutdown(command) => Some(&mut command.live),
            Self::ReplicaLost(command) => Some(&mut command.live),
            Self::ElectLeaders(command) => Some(&mut command.live),
            Self::YieldLeadership(command) => Some(&mut command.live),
            Self::CreateTopics(command) => Some(&mut command.live),
            Self::CreatePartitions(command) => Some(&mut command.live),
            Self::FormCluster(_)
            | Self::ProposeIsr(_)
            | Self::DeleteTopics(_)
            | Self::AlterConfigs(_)
            | Self::AllocateProducerIds(_)
            | Self::UpdateVoters(_) => None,
        }
    }

    /// Says what a second application of the command would do.
    pub(crate) fn repetition(&self) -> Repetition {
        match self {
            Self::FormCluster(_)
            | Self::RegisterBroker(_)
            | Self::UnfenceBroker(_)
            | Self::FenceBroker(_)
            | Self::ControlledShutdown(_)
            | Self::ProposeIsr(_)
            | Self::ReplicaLost(_)
            | Self::ElectLeaders(_)
            | Self::YieldLeadership(_)
            | Self::AllocateProducerIds(_)
            | Self::UpdateVoters(_) => Repetition::Harmless,
            Self::CreateTopics(_)
            | Self::DeleteTopics(_)
            | Self::CreatePartitions(_)
            | Self::AlterConfigs(_) => Repetition::Misleading,
        }
    }
}

/// What becomes of a command that is applied twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repetition {
    /// Nothing worse than of one that is applied once.
    Harmless,
    /// The second time would answer that the thing is there (or gone) already.
    Misleading,
}

/// The brokers from which the proposing controller has heard in its own term, with the epochs they spoke under.
///
/// `apply` uses its intersection with what the image holds registered and unfenced, and only for elections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveSet(pub BTreeMap<BrokerId, BrokerEpoch>);

impl LiveSet {
    /// Says whether this incarnation of the broker is in the set.
    #[must_use]
    pub fn contains(&self, broker_id: BrokerId, broker_epoch: BrokerEpoch) -> bool {
        self.0.get(&broker_id) == Some(&broker_epoch)
    }
}

impl FromIterator<(BrokerId, BrokerEpoch)> for LiveSet {
    fn from_iter<I: IntoIterator<Item = (BrokerId, BrokerEpoch)>>(brokers: I) -> Self {
        Self(brokers.into_iter().collect())
    }
}

/// Gives a blank cluster its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormCluster {
    /// Drawn by the forming broker, or configured.
    pub cluster_id: ClusterId,
    /// The configured voters and the Raft ids they answered with.
    pub voters: BTreeMap<BrokerId, RaftId>,
    /// Values of cluster scope from the forming broker's file; afterwards no file sets them.
    pub configs: BTreeMap<String, String>,
}

/// Registers a broker's process, with the proof of what its disk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    /// The configured `node.id`.
    pub broker_id: BrokerId,
    /// Drawn at the process's start: registration is idempotent by it.
    pub incarnation_id: IncarnationId,
    /// The log directory's identity; an unknown one counts as wiped.
    pub directory_id: DirectoryId,
    /// The Raft id of the storage.
    pub raft_id: RaftId,
    /// The broker epoch that the directory holds; `None` in a fresh one.
    pub stored_broker_epoch: Option<BrokerEpoch>,
    /// Whether the last run of this directory ended with the clean-shutdown mark.
    pub last_shutdown: LastShutdown,
    /// Replicas whose logs end below their checkpointed high watermark, or whose directories are missing.
    pub lost_replicas: Vec<TopicIdPartition>,
    /// Where clients reach it.
    pub endpoints: Vec<Endpoint>,
    /// Where replicas reach it.
    pub replication_address: Address,
    /// Where the control plane reaches it.
    pub control_address: Address,
    /// Kafka's `broker.rack`.
    pub rack: Option<String>,
    /// The broker epoch for which the proposer still holds a session of this broker id open, heard or not; `None` when it has none.
    /// When that epoch is the registered one and belongs to another directory, the registration is refused.
    pub open_session: Option<BrokerEpoch>,
    /// Candidates for what the old incarnation led.
    pub live: LiveSet,
}

/// How the last run on a log directory ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastShutdown {
    /// The clean-shutdown mark was there: every log was flushed to its end.
    Clean,
    /// No mark: bytes above the flushed offsets may be gone.
    Unclean,
}

/// Lets a registered broker lead and join ISRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfenceBroker {
    /// The broker that wishes to be unfenced.
    pub broker_id: BrokerId,
    /// Its present epoch, which its directory holds on disk.
    pub broker_epoch: BrokerEpoch,
    /// Candidates for partitions without a leader; the broker itself is added.
    pub live: LiveSet,
}

/// Takes a silent broker out of leadership. Void when epoch or fence count differ from the image's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceBroker {
    /// The silent broker.
    pub broker_id: BrokerId,
    /// The incarnation that was silent.
    pub broker_epoch: BrokerEpoch,
    /// The fence count that the proposer's image held: a late copy must not fence a broker that came back.
    pub fence_count: u64,
    /// Candidates for what it led.
    pub live: LiveSet,
}

/// Moves leaderships off a broker that wants to stop. May be repeated until nothing is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlledShutdown {
    /// The stopping broker.
    pub broker_id: BrokerId,
    /// Its present epoch.
    pub broker_epoch: BrokerEpoch,
    /// Candidates for what it leads.
    pub live: LiveSet,
}

/// A leader's proposals of new ISRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposeIsr {
    /// The proposing leader.
    pub broker_id: BrokerId,
    /// Its present epoch.
    pub broker_epoch: BrokerEpoch,
    /// One per partition.
    pub proposals: Vec<IsrProposal>,
}

/// The ISR that a leader proposes for one partition: a compare-and-set on leader epoch and partition epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrProposal {
    /// The partition.
    pub partition: TopicIdPartition,
    /// The epoch in which the proposer leads.
    pub leader_epoch: LeaderEpoch,
    /// The state that the proposal builds on.
    pub partition_epoch: PartitionEpoch,
    /// The whole proposed ISR. The epoch is checked for members that join; members that stay may have restarted since.
    pub isr: Vec<IsrMember>,
}

/// A member of a proposed ISR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IsrMember {
    /// The member.
    pub broker_id: BrokerId,
    /// The epoch under which the leader heard from it (KIP-903).
    pub broker_epoch: BrokerEpoch,
}

/// A running broker's word that replicas of its own lost data: they leave the ISR whatever the floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaLost {
    /// The broker that lost.
    pub broker_id: BrokerId,
    /// Its present epoch.
    pub broker_epoch: BrokerEpoch,
    /// What it lost, each with the leader epoch in which it says so. The command ends that epoch, so a late copy of it is void: it must not take the replica
    /// out again after it has fetched anew and joined.
    pub partitions: Vec<(TopicIdPartition, LeaderEpoch)>,
    /// Candidates for what it leads.
    pub live: LiveSet,
}

/// Elects leaders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectLeaders {
    /// Which election.
    pub election: Election,
    /// The partitions, or `None` for all; with `None` partitions that need no election are left out of the outcome.
    pub partitions: Option<Vec<TopicIdPartition>>,
    /// Candidates.
    pub live: LiveSet,
}

/// Which election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// The first assigned replica shall lead.
    Preferred,
    /// Partitions without a leader, or with a fenced one, shall have one: how a controller looks again.
    Available,
}

/// A leader that cannot commit asks for an election among the other live ISR members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YieldLeadership {
    /// The leader that gives way.
    pub broker_id: BrokerId,
    /// Its present epoch.
    pub broker_epoch: BrokerEpoch,
    /// The partitions and the epochs in which it leads them.
    pub partitions: Vec<(TopicIdPartition, LeaderEpoch)>,
    /// Candidates.
    pub live: LiveSet,
}

/// Creates topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTopics {
    /// The topics.
    pub topics: Vec<NewTopic>,
    /// Candidates for leadership.
    pub live: LiveSet,
}

/// A topic to create. Defaults are already filled in: see [`super::Image::default_partition_count`] and [`super::Image::default_replication_factor`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// The topic's name.
    pub name: String,
    /// A fresh id, drawn by the proposer.
    pub topic_id: TopicId,
    /// Who decides about the replicas.
    pub assignment: Assignment,
    /// Configurations; keys that shall have their default are left out.
    pub configs: BTreeMap<String, String>,
}

/// Who decides about the replicas of new partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// The placement: striped over racks and brokers.
    Placed {
        /// Number of partitions, at least 1.
        partition_count: i32,
        /// Replicas of each, at least 1.
        replication_factor: i16,
        /// Random number where the striping starts.
        start: u32,
    },
    /// The caller: the replicas of partition 0, 1, ... in order of preference.
    Manual(Vec<Vec<BrokerId>>),
}

/// Deletes topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteTopics {
    /// The topics.
    pub topics: Vec<TopicSelector>,
}

/// Names a topic in one of two ways.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicSelector {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
}

/// Adds partitions to topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitions {
    /// The topics.
    pub topics: Vec<NewPartitions>,
    /// Candidates for leadership.
    pub live: LiveSet,
}

/// New partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartitions {
    /// The topic's name.
    pub name: String,
    /// Number of partitions after the change.
    pub total_count: i32,
    /// Replicas of the new partitions, or `None` for placement.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
    /// Random number where the striping starts.
    pub start: u32,
}

/// Changes configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterConfigs {
    /// One per resource; each succeeds or fails as a whole.
    pub changes: Vec<ConfigChange>,
}

/// A change of one resource's configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Whose.
    pub resource: ConfigResource,
    /// What.
    pub alteration: ConfigAlteration,
}

/// What a configuration belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// One broker (Kafka's dynamic per-broker configuration).
    Broker(BrokerId),
    /// All brokers (Kafka's dynamic default of brokers); keys of cluster scope live here.
    Cluster,
}

/// How the configurations of a resource change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigAlteration {
    /// Key by key (Kafka's IncrementalAlterConfigs), in order.
    Incremental(Vec<(String, ConfigOperation)>),
    /// The whole set (Kafka's AlterConfigs): keys that are not named go back to their defaults.
    Replace(BTreeMap<String, String>),
}

/// What happens to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    /// Sets a value.
    Set(String),
    /// Goes back to the default.
    Delete,
    /// Adds elements to a list.
    Append(String),
    /// Removes elements from a list.
    Subtract(String),
}

/// Takes a block of producer ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocateProducerIds {
    /// The broker that will hand them out.
    pub broker_id: BrokerId,
    /// Its present epoch.
    pub broker_epoch: BrokerEpoch,
}

/// Records who votes in Raft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateVoters {
    /// The voters and the Raft ids of their storages.
    pub voters: BTreeMap<BrokerId, RaftId>,
}
