//! What became of a command: Kafka's error codes, and short messages of our own.
//!
//! Owns the answers' shapes. They travel to the broker that proposed; what they changed reaches a partition through the image alone.

use model::{
    BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, PartitionEpoch, ProducerId, TopicId,
    TopicIdPartition,
};

use super::command::ConfigResource;
use super::image::broker::DirectoryProof;

/// Why a command, or a part of it, was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// Kafka's code, never [`ErrorCode::None`].
    pub code: ErrorCode,
    /// What is wrong, for a human.
    pub message: String,
}

impl Refusal {
    /// Makes a refusal.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What became of a command. Lists have one entry per entry of the command, in its order, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole command was refused and changed nothing.
    Refused(Refusal),
    /// The cluster has its identity.
    ClusterFormed,
    /// The broker is registered, and fenced.
    BrokerRegistered(BrokerRegistered),
    /// The broker is unfenced.
    BrokerUnfenced,
    /// The broker is fenced.
    BrokerFenced,
    /// The broker is shutting down.
    ShuttingDown {
        /// Partitions that it still leads because no other live member of their ISRs was there.
        leaderships_left: u32,
    },
    /// What became of each ISR proposal.
    IsrProposed(Vec<PartitionResult<IsrAltered>>),
    /// What became of each lost replica.
    ReplicasLost(Vec<PartitionResult<()>>),
    /// What became of each election, with the leader.
    LeadersElected(Vec<PartitionResult<BrokerId>>),
    /// What became of each yielded leadership, with the new leader.
    LeadershipYielded(Vec<PartitionResult<BrokerId>>),
    /// What became of each topic to create.
    TopicsCreated(Vec<TopicResult<TopicCreated>>),
    /// What became of each topic to delete.
    TopicsDeleted(Vec<TopicResult<()>>),
    /// What became of each topic to enlarge.
    PartitionsCreated(Vec<TopicResult<()>>),
    /// What became of each resource.
    ConfigsAltered(Vec<(ConfigResource, Result<(), Refusal>)>),
    /// The block of producer ids.
    ProducerIdsAllocated(ProducerIdBlock),
    /// The voters are recorded.
    VotersUpdated,
}

/// What became of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionResult<T> {
    /// The partition.
    pub partition: TopicIdPartition,
    /// What became of it.
    pub result: Result<T, Refusal>,
}

/// What became of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicResult<T> {
    /// The name, where it was given or is known.
    pub name: Option<String>,
    /// The id, where it was given or is known.
    pub topic_id: Option<TopicId>,
    /// What became of it.
    pub result: Result<T, Refusal>,
}

/// The registration that holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerRegistered {
    /// The incarnation's epoch.
    pub broker_epoch: BrokerEpoch,
    /// What it proved of its directory; unless intact, the broker's replicas left every ISR.
    pub directory_proof: DirectoryProof,
}

/// State of a partition after an accepted ISR proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrAltered {
    /// The leader.
    pub leader: Option<BrokerId>,
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
    /// The state's version.
    pub partition_epoch: PartitionEpoch,
    /// The ISR, which lacks fenced members that the proposal made dispensable.
    pub isr: Vec<BrokerId>,
}

/// A topic that was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicCreated {
    /// Number of partitions.
    pub partition_count: i32,
    /// Replicas of each.
    pub replication_factor: i16,
}

/// Producer ids that one broker may hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first.
    pub first: ProducerId,
    /// How many follow, the first included.
    pub count: i32,
}
